"""A design out of the past where it tells, else as assumed; errors name their field."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any

import duckdb
import pandas as pd
import pytest

from features.connection import connect
from serving.experiment_schema import ExperimentRequest
from serving.experiments.designed import DesignError, designed

END = datetime(2024, 6, 1)
LINE = ["customer_id", "product_id", "order_id", "ts", "quantity", "amount"]
SHOWN = ["event_id", "customer_id", "arm", "product_id", "ts"]


def asked(primary: str, **design: Any) -> ExperimentRequest:
    arms = [{"name": name, "show": "mixed"} for name in ("old", "new")]
    made = {"name": "spring", "owner": "mia", "arms": arms, "primary": primary}
    return ExperimentRequest.model_validate(made | {"design": design})


@pytest.fixture
def db() -> Iterator[duckdb.DuckDBPyConnection]:
    """Four customers: all bought long ago, two last week, and nobody clicked."""
    lines = [(c, "p", f"o{c}", END - timedelta(days=60), 1.0, 10.0) for c in "abcd"]
    lines += [(c, "p", f"n{c}", END - timedelta(days=7), 1.0, 10.0) for c in "ab"]
    seen = [
        (f"{c}{n}", c, "old", f"p{n}", END - timedelta(days=9))
        for c, slots in (("a", 1), ("b", 2), ("c", 3))
        for n in range(slots)
    ]
    db = connect()
    db.register("bought", pd.DataFrame(lines, columns=LINE))
    db.register("exposures", pd.DataFrame(seen, columns=SHOWN))
    db.execute("CREATE VIEW clicks AS SELECT * FROM exposures WHERE false")
    yield db
    db.close()


def test_what_the_past_tells_comes_before_what_is_assumed(db) -> None:
    found = designed(db, asked("repurchase_rate", mde=0.5, assumed=0.1), END)
    assert (found.baseline.mean, found.baseline.customers) == (0.5, 4)


def test_shown_but_never_clicked_on_is_as_assumed(db) -> None:
    found = designed(db, asked("click_rate", mde=0.5, assumed=0.1), END)
    assert (found.baseline.mean, found.baseline.customers) == (0.1, 0)


@pytest.mark.parametrize(
    ("primary", "design", "as_of", "field"),
    [
        # Half of them buy again: twice as many would be all, more cannot be.
        ("repurchase_rate", {"mde": 1.01}, END, "design.mde"),
        ("click_rate", {"mde": 2, "assumed": 0.4}, END, "design.mde"),
        ("click_rate", {"mde": 0.1}, END, "design.assumed"),
        # Of before the first purchase; orders cannot be assumed.
        ("orders", {"mde": 0.1, "assumed": 0.4}, datetime(2023, 1, 1), "primary"),
    ],
)
def test_an_error_names_the_field_that_has_to_change(
    db, primary: str, design: dict[str, float], as_of: datetime, field: str
) -> None:
    with pytest.raises(DesignError) as error:
        designed(db, asked(primary, **design), as_of)
    assert error.value.field == field
