"""Feature and score tables as drawn by hand: what is not said is null."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any

import pyarrow as pa
import pytest

from features.assemble import FEATURES

CUTOFF = datetime(2024, 5, 10)
TEXTS = ("segment", "region", "member_tier", "preferred_channel")

Draw = Callable[..., pa.Table]


@pytest.fixture
def draw() -> Draw:
    """Rows of ``assemble`` with the columns given; all others are null."""

    def drawn(cutoff: datetime = CUTOFF, **columns: list[Any]) -> pa.Table:
        n = len(next(iter(columns.values())))
        table: dict[str, pa.Array] = {
            "customer_id": pa.array([f"c{i}" for i in range(n)]),
            "cutoff": pa.array([cutoff] * n, pa.timestamp("us")),
        }
        for name in [*(f.name for f in FEATURES), *columns]:
            kind = pa.string() if name in TEXTS else pa.float64()
            table[name] = pa.array(columns.get(name, [None] * n), kind)
        return pa.table(table)

    return drawn


@pytest.fixture
def worth() -> Draw:
    """Rows of ``predict_value`` of the same customers, by their spend to come."""

    def drawn(*expected: float) -> pa.Table:
        ids = pa.array([f"c{i}" for i in range(len(expected))])
        spend = pa.array(expected, pa.float64())
        return pa.table({"customer_id": ids, "expected_spend_365d": spend})

    return drawn
