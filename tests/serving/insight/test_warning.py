"""Who was lost, what saw it, and what drives the warnings; all drawn by hand."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from features.config import HealthConfig
from features.engine import Tables
from features.snapshot import to_us
from serving.insight.health import Months
from serving.insight.hindsight import (
    CHURN,
    HEALTH,
    RECENCY,
    Past,
    compare,
    lost_by_spend,
    together,
)
from serving.insight.warning import (
    Driver,
    choose,
    lowest_with,
    on_last,
    ranked,
    scores_of,
    warn,
)
from training.calibration import Platt

RULES = HealthConfig()
CUTOFF = datetime(2024, 6, 1)
US, DAY = timedelta(microseconds=1), timedelta(days=1)
Draw = Callable[..., pa.Table]


def test_lost_is_less_than_half_of_the_usual_spend(tmp_path: Path) -> None:
    """168 usual days are three windows: 30 a window where 90 were spent."""
    old, end = CUTOFF - 168 * DAY, CUTOFF + 56 * DAY
    lines = [
        # Exactly half; a cent less; all of it a moment too late.
        *[("half", old - US, 5.0), ("half", old, 90.0), ("half", CUTOFF, 15.0)],
        *[("less", old - US, 5.0), ("less", old, 90.0), ("less", CUTOFF, 14.99)],
        *[("late", old - US, 5.0), ("late", old, 90.0), ("late", end, 90.0)],
        *[("just", old - US, 5.0), ("just", old, 90.0), ("just", end - US, 90.0)],
        # Not a customer before the usual days; no spend within them.
        *[("young", old, 90.0), ("away", old - US, 90.0)],
    ]
    ids, ts, amount = zip(*lines, strict=True)
    purchases = {
        "customer_id": pa.array(ids),
        "product_id": pa.array(["p"] * len(ids)),
        "ts": pa.array(ts, pa.timestamp("us")),
        "order_id": pa.array([str(i) for i in range(len(ids))]),
        "quantity": pa.array([1] * len(ids)),
        "amount": pa.array(amount),
    }
    pq.write_table(pa.table(purchases), tmp_path / "purchases.parquet")
    with Tables(tmp_path) as tables:
        history, short = tables.history(end + DAY), tables.history(end - US)
    lost, known = lost_by_spend(history, to_us(CUTOFF), RULES)
    assert history.customers.tolist() == [
        "away",
        "half",
        "just",
        "late",
        "less",
        "young",
    ]
    assert known.tolist() == [False, True, True, True, True, False]
    assert lost.tolist() == [False, False, False, True, True, False]
    with pytest.raises(ValueError, match="a history of 56 days past the cutoff"):
        lost_by_spend(short, to_us(CUTOFF), RULES)


def months(*index: float) -> Months:
    """Customers who fall from 100, 90 and 80 to their last index."""
    ids = pa.array([f"c{i}" for i in range(len(index))])
    values = np.array([[100.0, 90.0, 80.0, last] for last in index])
    return Months(ids, np.arange(4), values, values)


def test_scores_of_the_three(draw: Draw) -> None:
    features = draw(days_since_last_order=[10, 30, 21], days_gap_mean=[10, 10, None])
    churn = pa.table(
        {"customer_id": ["c0", "c1", "c2"], "churn_risk": [0.2, None, 0.9]}
    )
    found = scores_of(months(50, 100, 0), features, churn, 7.0, RULES)
    assert found[HEALTH].tolist() == [0.5, 0.0, 1.0]
    assert np.array_equal(found[CHURN], [0.2, np.nan, 0.9], equal_nan=True)
    assert found[RECENCY] == pytest.approx([1 / 2, 3 / 4, 3 / 4])
    unfitted = scores_of(months(50, 100, 0), features, None, 7.0, RULES)
    assert np.isnan(unfitted[CHURN]).all()
    with pytest.raises(ValueError, match="churn: expected rows of the 3 customers"):
        scores_of(months(50, 100, 0), features, churn.slice(1), 7.0, RULES)


def past(
    lost: list[int], warned: list[int], cutoff: int = 0, **scores: list[float]
) -> Past:
    n = len(lost)
    given = {
        name: scores.get(name, [0.5] * n) for name in ("health", "churn", "recency")
    }
    return Past(
        np.arange(n),
        np.full(n, cutoff),
        np.array(lost, np.float64),
        np.array(warned, bool),
        {
            HEALTH: np.array(given["health"]),
            CHURN: np.array(given["churn"]),
            RECENCY: np.array(given["recency"]),
        },
    )


def test_comparison_at_equal_effort_by_hand() -> None:
    """Two of eight are warned by the rule, one rightly; so are two by each score."""
    drawn = past(
        [1, 1, 1, 0, 0, 0, 0, 0],
        [1, 0, 0, 1, 0, 0, 0, 0],
        churn=[0.9, 0.8, 0.1, 0.2, 0.3, 0.0, 0.0, 0.0],
        health=[0.9, 0.1, 0.1, 0.8, 0.0, 0.0, 0.0, 0.0],
        recency=[0.1, 0.1, 0.1, 0.9, 0.8, 0.0, 0.0, 0.0],
    )
    found = compare(drawn, seed=0)
    for name, precision, recall, accuracy, auc in (
        (HEALTH, 1 / 2, 1 / 3, 5 / 8, 13 / 15),
        (CHURN, 1, 2 / 3, 7 / 8, 13 / 15),
        (RECENCY, 0, 0, 3 / 8, 9 / 15),
    ):
        figures = found[name]
        assert figures.warned == 1 / 4
        assert figures.precision.value == pytest.approx(precision)
        assert figures.recall.value == pytest.approx(recall)
        assert figures.accuracy.value == pytest.approx(accuracy)
        assert figures.auc.value == pytest.approx(auc)
        assert figures.auc.low <= figures.auc.value <= figures.auc.high


def test_only_rows_with_every_score_are_compared_and_each_cutoff_for_itself() -> None:
    nan = float("nan")
    first = past([1, 0, 1], [1, 0, 0], churn=[0.2, 0.1, nan], health=[0.9, 0.1, 0.9])
    second = past([0, 1], [0, 1], cutoff=1, churn=[0.9, 0.8], health=[0.1, 0.9])
    figures = compare(together([first, second]), seed=0)
    # Row c2 of the first is left out; one is warned at each of the two cutoffs.
    assert figures[CHURN].warned == 2 / 4
    assert figures[CHURN].precision.value == 1 / 2
    assert figures[HEALTH].recall.value == 1.0


def test_a_driver_without_scores_is_left_out() -> None:
    nothing = [float("nan")] * 4
    drawn = past(
        [1, 1, 0, 0], [1, 0, 0, 0], churn=nothing, recency=[0.9, 0.8, 0.1, 0.2]
    )
    assert list(compare(drawn, seed=0)) == [HEALTH, RECENCY]
    assert [driver.name for driver in choose(drawn, RULES)] == [RECENCY, HEALTH]
    with pytest.raises(ValueError, match="got 0 lost of 4"):
        choose(replace(drawn, lost=np.zeros(4)), RULES)


@pytest.mark.parametrize(
    ("precision", "threshold"), [(1.0, 0.9), (0.75, 0.6), (0.5, 0.2), (0.4, 0.1)]
)
def test_threshold_is_the_lowest_that_is_right_often_enough(
    precision: float, threshold: float
) -> None:
    chance = np.array([0.9, 0.6, 0.6, 0.6, 0.5, 0.2, 0.1, 0.1])
    lost = np.array([1.0, 0, 1, 1, 0, 0, 0, 0])
    # 1/1, then 3/4 of all up to .6, 3/5, 3/6, 3/8.
    if precision == 0.4:
        lost[7] = 1.0
    assert lowest_with(chance, lost, precision) == threshold
    assert lowest_with(chance, np.zeros(8), precision) is None


def test_warnings_by_the_best_that_knows_the_customer(worth: Draw) -> None:
    known = months(10, 20, 30, 95)
    scores = {
        CHURN: np.array([0.9, 0.1, np.nan, np.nan]),
        HEALTH: np.array([0.9, 0.8, 0.7, 0.05]),
        RECENCY: np.full(4, 0.5),
    }
    # At a threshold is a warning.
    at = Platt()(np.array([0.9, 0.7])).tolist()
    drivers = (Driver(CHURN, at[0], Platt()), Driver(HEALTH, at[1], Platt()))
    value = worth(100.0, 1000.0, 1000.0, 1000.0)
    found = warn(scores, known, value, drivers).to_pydict()
    # c1 is safe by the better judge, whatever the index says; c3 by the index.
    assert found["customer_id"] == ["c2", "c0"]
    assert found["driver"] == [HEALTH, CHURN]
    assert found["chance"] == pytest.approx([0.7, 0.9])
    assert found["expected_loss"] == pytest.approx([700, 90])
    assert found["health"] == [30.0, 10.0]
    silent = (Driver(CHURN, None, Platt()), drivers[1])
    assert warn(scores, known, value, silent).column("customer_id").to_pylist() == [
        "c2"
    ]
    with pytest.raises(ValueError, match="value: expected rows of the 4 customers"):
        warn(scores, known, value.slice(1), drivers)


def test_ranks_are_shares_of_those_who_have_a_risk() -> None:
    nan = float("nan")
    found = ranked(np.array([0.9, nan, 0.1, 0.9, 0.2]))
    # Of four: one eighth, three eighths, and the two above them share the rest.
    expected = [0.75, nan, 0.125, 0.75, 0.375]
    assert np.array_equal(found, expected, equal_nan=True)
    assert np.isnan(ranked(np.array([nan, nan]))).all()


def test_the_last_moment_says_how_often_a_threshold_of_the_first_is_right() -> None:
    """At the first both above .8 are lost; at the last one of the two is."""
    day = 24 * 3600 * 1_000_000
    score, nothing = [0.9, 0.8, 0.2, 0.1], [float("nan")] * 4

    def drawn(lost: list[int], cutoff: int) -> Past:
        quiet = {"churn": nothing, "recency": nothing}
        return past(lost, [0] * 4, cutoff, health=score, **quiet)

    first = drawn([1, 1, 0, 0], 0)
    for days, threshold_of, precision in ((56, 0.8, 1 / 2), (55, 0.9, None)):
        both = together([first, drawn([1, 0, 0, 1], days * day)])
        rules = RULES.model_copy(update={"warning_precision": 0.9})
        (driver,) = choose(both, rules)
        chance = driver.calibration(np.array([threshold_of]))
        assert driver.threshold == pytest.approx(float(chance[0]))
        found = on_last(both, (driver,), rules, seed=0)
        # A window that is not over is learned from with the last: nobody can tell.
        if precision is None:
            assert found is None
            continue
        assert found is not None and found.precision.value == precision
        assert (found.warned, found.recall.value) == (1 / 2, 1 / 2)
