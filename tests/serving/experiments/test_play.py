"""A played experiment has the truth that it was given."""

from __future__ import annotations

from datetime import datetime

import duckdb
import pytest

from features.connection import connect
from serving.experiment_schema import ExperimentRequest
from serving.experiments.assign import arms_of
from serving.experiments.plan import Plan
from serving.experiments.play import Truth, end_of, play
from serving.experiments.report import Moments, Report, answer_of, report

START, DAYS = datetime(2024, 3, 1), 14
ASKED = ExperimentRequest.model_validate(
    {
        "name": "spring",
        "owner": "mia",
        "arms": [
            {"name": "manual", "show": "mixed"},
            {"name": "model", "show": "mixed"},
            {"name": "none", "show": "nothing", "holdout": True},
        ],
        "window_days": DAYS,
        "primary": "click_rate",
    }
)
PLAN = Plan(ASKED, "salt", {}, None)


def played(truth: Truth, seed: int = 1) -> duckdb.DuckDBPyConnection:
    db = connect()
    play(db, PLAN.split, START, DAYS, truth, seed)
    return db


def found(truth: Truth, seed: int = 1) -> Report:
    end = end_of(START, truth, DAYS)
    return report(played(truth, seed), PLAN, Moments(START, START, end), end)


def test_the_true_lifts_lie_in_the_intervals() -> None:
    made = found(Truth(clicks={"model": 1.5}, orders={"model": 1.3}))
    (decision,) = made.decisions
    assert decision.verdict.outcome == "won"
    assert made.analysis is not None
    answers = (*made.analysis.primary, *made.analysis.secondary)
    for name, lift in (("click_rate", 0.5), ("orders", 0.3)):
        answer = answer_of(answers, name, "model")
        assert answer is not None
        low, high = answer.best.uplift_low, answer.best.uplift_high
        assert low is not None and high is not None
        assert 0 < low < lift < high


def test_lost_assignments_make_it_invalid() -> None:
    (decision,) = found(Truth(lost={"model": 0.2})).decisions
    assert decision.verdict.outcome == "invalid"


def test_customers_are_where_the_hash_puts_them_and_holdouts_see_nothing() -> None:
    db = played(Truth(customers=300))
    rows = db.sql("SELECT customer_id, arm FROM assigned ORDER BY ALL").fetchall()
    ids = [customer for customer, _ in rows]
    names = [PLAN.split.arms[place].name for place in arms_of(PLAN.split, ids)]
    assert names == [arm for _, arm in rows] and len(set(names)) == 3
    arms = dict(rows)
    shown = db.sql("SELECT customer_id, count(*) FROM exposures GROUP BY 1").fetchall()
    assert {arms[customer] for customer, _ in shown} == {"manual", "model"}
    assert {n for _, n in shown} == {5}


@pytest.mark.parametrize("table", ["assigned", "bought", "exposures", "clicks"])
def test_the_same_seed_plays_the_same(table: str) -> None:
    one, same, other = (
        played(Truth(customers=200), seed).sql(f"FROM {table}").fetchall()
        for seed in (1, 1, 2)
    )
    assert one == same != other
