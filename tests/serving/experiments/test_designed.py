"""A design out of the past where it tells, else as assumed; errors name their field."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any

import duckdb
import pandas as pd
import pytest

from features.connection import connect
from serving.experiment_design_schema import DesignRequest
from serving.experiment_schema import ExperimentRequest
from serving.experiments.designed import DesignError, designed
from serving.experiments.sketch import sketched, told

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


def sketch(db: duckdb.DuckDBPyConnection, **asked: Any) -> dict[str, Any]:
    body = {"primary": "repurchase_rate", "window_days": 28} | asked
    request = DesignRequest.model_validate(body)
    return told(request, sketched(db, request, END))


def test_an_effect_and_the_customers_it_takes_say_the_same(db) -> None:
    # A ratio's variance grows with its mean: (1.95996 + .84162)^2 = 7.84888 times
    # (.16 + .16 * 1.2) / .04^2 are 1,726.75 customers in each of two equal arms.
    found = sketch(db, primary="click_rate", slots=1, assumed=0.2, mde=0.2)
    assert found["customers"] == 3454
    back = sketch(
        db, primary="click_rate", slots=1, assumed=0.2, customers=found["customers"]
    )
    assert back["mde"] == pytest.approx(0.2, rel=1e-3)
    powers = {one["uplift"]: one["power"] for one in back["power_by_uplift"]}
    assert powers[back["mde"]] == pytest.approx(0.8, abs=1e-6)
    assert sorted(powers.values()) == list(powers.values())


def test_days_are_turned_into_those_who_come_in_them(db) -> None:
    # Of the last 56 days, a and b came on day 49, so in the last 28 days two: beyond
    # the curve 2 / 28 a day. 56 + 980 days less the window of 28 bring 2 + 952 / 14.
    found = sketch(db, days=56 + 980)
    assert (found["customers"], found["days"]) == (2 + 68, 56 + 980)
    assert found["baseline"] == {"mean": 0.5, "kept_variance": 1.0, "customers": 4}
    # 70 customers cannot show less: 1.96 + .84 errors of .5 * sqrt(2 / 35) at first.
    assert 0.3 / 0.5 < found["mde"] < 0.35 / 0.5
    with pytest.raises(DesignError, match="about 2 would come"):
        sketch(db, days=84)


def test_a_holdout_takes_its_share_and_the_rest_is_split_best(db) -> None:
    arms = sketch(db, customers=2000, holdout=0.1, arms=["c", "x", "y"])["arms"]
    # Two treatments: control is sqrt(2) times as large as each, 9,000 in all.
    assert [one["weight"] for one in arms] == [3728, 2636, 2636, 1000]
    assert [one["holdout"] for one in arms] == [False] * 3 + [True]
    own = sketch(db, customers=2000, holdout=0.25, arms=["c", "x"], weights=[2, 1])
    assert [one["share"] for one in own["arms"]] == [0.5, 0.25, 0.25]


@pytest.mark.parametrize(
    "wrong",
    [
        {},
        {"mde": 0.1, "days": 90},
        {"days": 28},
        {"mde": 0.1, "arms": ["a", "a"]},
        {"mde": 0.1, "weights": [1, 2, 3]},
    ],
)
def test_what_is_asked_of_a_design_fits_together(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="expected"):
        DesignRequest.model_validate(wrong)
