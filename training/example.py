"""An example for whoever opens a model: what is usual, and no row of a customer."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from training.skew import KEYS

if TYPE_CHECKING:
    import pandas as pd


def typical(rows: pa.Table) -> pd.DataFrame:
    """One row: the median of every number, as a double, and the commonest text."""
    import pandas as pd

    found: dict[str, float | str | None] = {}
    for name in rows.column_names:
        if name in KEYS:
            continue
        column = rows.column(name)
        if pa.types.is_dictionary(column.type) or pa.types.is_string(column.type):
            known = column.cast(pa.string()).drop_null()
            counted = Counter(known.to_pylist())
            found[name] = max(sorted(counted), key=counted.__getitem__, default=None)
        else:
            numbers = column.cast(pa.float64()).drop_null().to_numpy()
            found[name] = float(np.median(numbers)) if len(numbers) else float("nan")
    return pd.DataFrame([found])
