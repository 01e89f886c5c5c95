"""A report over drawn tables: looks, early stops, holdouts, lost customers."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import numpy as np
import pandas as pd
import pytest

from features.connection import connect
from serving.experiment_schema import ExperimentRequest
from serving.experiments.design import Baseline, Test, plan
from serving.experiments.page import page
from serving.experiments.plan import Plan, split_of
from serving.experiments.report import Moments, Report, report
from serving.experiments.told import told

START, DAYS, PEOPLE = datetime(2024, 3, 1), 14, 1200
ARMS = [
    {"name": "manual", "show": "mixed"},
    {"name": "model", "show": "new"},
    {"name": "none", "show": "nothing", "holdout": True},
]
MODEL, NONE = 1, 2
BUYS = np.array([0.3, 0.5, 0.15])


def drawn() -> tuple[np.ndarray, np.ndarray]:
    """Arm of each customer, by turns, and whether they buy."""
    arm = np.arange(PEOPLE) % 3
    return arm, np.random.default_rng(3).random(PEOPLE) < BUYS[arm]


def planned(looks: tuple[float, ...] | None, mde: float = 0.32) -> Plan:
    """For some hundreds of customers, a third of them in each arm."""
    asked = ExperimentRequest.model_validate(
        {
            "name": "spring",
            "owner": "mia",
            "arms": ARMS,
            "window_days": DAYS,
            "primary": "repurchase_rate",
        }
    )
    if looks is None:
        return Plan(asked, "salt", {}, None)
    base = Baseline("repurchase_rate", "share", 0.3, 0.21, 1.0, 500)
    arms, test = split_of(asked, "salt").arms, Test(looks=looks)
    made = plan(base, arms, test, mde, [50.0], DAYS)
    return Plan(asked, "salt", {}, made.to_json())


def found(
    made: Plan,
    day: float,
    *,
    stopped: bool = False,
    lost: float = 0.0,
    later: float = 0.0,
    erased: int = 0,
    known_erased: int = 0,
    early: int = 0,
) -> Report:
    """100 customers a day, whose arms buy at different rates; read on a day.

    ``lost``: share of the model's customers who were never shown anything.
    ``later``: days from reading to the stop. ``erased``: customers, the last first,
    of whom ``known_erased`` were counted.
    ``early``: customers whose exposure lies before their assignment.
    """
    arm, buys = drawn()
    at = pd.Timestamp(START) + pd.to_timedelta(np.arange(PEOPLE) / 100, unit="D")
    ids = np.arange(PEOPLE).astype(str)
    assigned = pd.DataFrame(
        {
            "customer_id": ids,
            "arm": np.array(["manual", "model", "none"])[arm],
            "reason": "hash",
            "assigned_at": at.astype("datetime64[us]"),
            "segment": None,
            "propensity": 0.5,
        }
    )
    missed = np.random.default_rng(4).random(PEOPLE) < lost
    seen = (arm != NONE) & ~((arm == MODEL) & missed)
    bought = pd.DataFrame(
        {
            "customer_id": ids[buys],
            "product_id": "p1",
            "order_id": ids[buys],
            "ts": assigned["assigned_at"][buys] + pd.Timedelta(days=1),
            "quantity": 1.0,
            "amount": 10.0,
        }
    )
    exposures = pd.DataFrame(
        {
            "event_id": ids[seen],
            "customer_id": ids[seen],
            "product_id": "p1",
            "ts": assigned["assigned_at"][seen] + pd.Timedelta(hours=1),
        }
    )
    exposures.loc[exposures.index[:early], "ts"] -= pd.Timedelta(hours=2)
    db = connect()
    assigned = assigned[: PEOPLE - erased].copy()
    assigned["segment"] = assigned["segment"].astype("string")
    tables: dict[str, Any] = {"assigned": assigned, "bought": bought}
    tables |= {"exposures": exposures, "clicks": exposures.iloc[:50]}
    tables |= {f"astray_{n}": exposures.iloc[:0] for n in ("exposures", "clicks")}
    for name, frame in tables.items():
        db.register(name, frame)
    as_of = START + timedelta(days=day)
    stop = as_of + timedelta(days=later)
    moments = Moments(START, START, stop if stopped else None)
    return report(db, made, moments, as_of, known_erased)


def test_a_look_decides_by_the_customers_of_its_moment() -> None:
    made = planned((0.5, 1.0))
    promised = json.loads(made.design or "")["customers"]
    (said,) = found(made, 40).decisions
    assert (said.verdict.outcome, said.is_final) == ("won", True)
    # Who reads later sees no other look, and a third of all is the holdout's.
    assert found(made, 60).decisions[0].estimate == said.estimate
    seen = said.estimate.customers_arm + said.estimate.customers_control
    share = 0.5 if said.rests_on.startswith("look 1") else 1.0
    assert abs(seen - share * promised * 2 / 3) <= 1


def test_between_looks_nothing_is_decided() -> None:
    (said,) = found(planned((1.0,)), DAYS + 3).decisions
    assert (said.verdict.outcome, said.is_final) == ("inconclusive", False)
    assert "look 1 of 1 comes at" in said.verdict.sentence


def test_an_early_stop_takes_the_always_valid_interval() -> None:
    (said,) = found(planned((1.0,), mde=0.1), 40, stopped=True).decisions
    assert said.rests_on.startswith("the always-valid interval") and said.is_final
    (plain,) = found(planned(None), 40, stopped=True).decisions
    # Of the same customers, and wider.
    assert said.estimate.effect == plain.estimate.effect
    assert said.estimate.low < plain.estimate.low


def test_an_erasure_does_not_take_back_what_was_decided() -> None:
    # The plan needs all 1,200, of whom 800 are compared.
    made = planned((1.0,), mde=0.2)
    text = json.loads(made.design or "") | {"customers": PEOPLE}
    made = Plan(made.asked, made.salt, {}, json.dumps(text))
    for missing, erased, rests in (
        (0, 0, "look 1"),
        (3, 2, "look 1"),
        (150, 100, "look 1"),
        # One of the two who are compared was never drawn: the plan is not fulfilled.
        (3, 1, "the always-valid"),
    ):
        (said,) = found(
            made, 40, stopped=True, erased=missing, known_erased=erased
        ).decisions
        assert said.is_final and said.rests_on.startswith(rests)


def test_without_a_design_there_is_a_verdict_at_the_end_only() -> None:
    (said,) = found(planned(None), 40).decisions
    assert said.verdict.sentence.startswith("Still running. No design")
    (said,) = found(planned(None), 40, stopped=True).decisions
    assert (said.verdict.outcome, said.is_final) == ("won", True)
    # Read as of a moment before the stop, it still ran.
    (said,) = found(planned(None), 40, stopped=True, later=1).decisions
    assert not said.is_final


def test_a_holdout_tells_what_any_offer_is_worth() -> None:
    one = found(planned(None), 40, stopped=True)
    assert one.beside_holdout is not None
    arms = {answer.plain.arm: answer.plain for answer in one.beside_holdout.primary}
    assert set(arms) == {"manual", "model"}
    arm, buys = drawn()
    for place, name in enumerate(("manual", "model")):
        assert arms[name].mean_arm == pytest.approx(buys[arm == place].mean())
        assert arms[name].mean_control == pytest.approx(buys[arm == NONE].mean())
    assert "Beside nothing at all" in page(one, "stopped")
    assert len(told(one)["beside_holdout"]) == 6


def test_an_arm_that_is_shown_to_fewer_warns_and_decides_all_the_same() -> None:
    fair = found(planned(None), 40, stopped=True)
    assert fair.seen is not None and fair.seen.valid
    # The holdout shows nothing, so it is not missing any exposures.
    assert set(fair.seen.counts) == {"manual", "model"}
    assert told(fair)["sample_ratio"]["warning"] is None
    lossy = found(planned(None), 40, stopped=True, lost=0.1)
    assert lossy.sizes.valid and lossy.seen is not None and not lossy.seen.valid
    assert lossy.decisions == fair.decisions
    assert lossy.decisions[0].verdict.outcome == "won"
    warning = told(lossy)["sample_ratio"]["warning"]
    assert "to fewer of their customers" in warning and warning in page(
        lossy, "stopped"
    )


def test_two_treatments_share_alpha() -> None:
    one = planned(None)
    arms = [arm | {"holdout": False} for arm in ARMS]
    asked = ExperimentRequest.model_validate(one.asked.model_dump() | {"arms": arms})
    shared = found(Plan(asked, "salt", {}, None), 40, stopped=True).decisions
    (alone,) = found(one, 40, stopped=True).decisions
    assert [said.arm for said in shared] == ["model", "none"]
    ratio = (shared[0].estimate.high - shared[0].estimate.low) / (
        alone.estimate.high - alone.estimate.low
    )
    # z of .0125 over z of .025.
    assert ratio == pytest.approx(2.2414 / 1.96, rel=1e-3)


@pytest.mark.parametrize(
    ("effects", "says"),
    [
        ((1.0, 2.0, 3.0), "grows"),
        ((3.0, 2.0, 1.0), "wears off"),
        ((-1.0, -2.0, -3.0), "grows"),
        ((-3.0, -2.0, -1.0), "wears off"),
    ],
)
def test_an_effect_below_none_grows_downwards(effects: Any, says: str) -> None:
    one = found(planned(None), 40, stopped=True)
    (trend,) = one.trends
    (_, day), slope = trend.days[0], effects[1] - effects[0]
    days = tuple(
        (n, replace(day, effect=effect, low=effect - 1, high=effect + 1))
        for n, effect in enumerate(effects)
    )
    drawn_by_day = replace(trend, days=days, slope=slope, p_value=0.01)
    shown = page(replace(one, trends=(drawn_by_day,)), "stopped")
    assert f"It {says} from day to day" in shown


def test_exposures_before_the_assignment_are_counted_apart() -> None:
    one, fair = (found(planned(None), 40, early=n) for n in (7, 0))
    assert one.apart["exposures_before_assignment"] == 7
    assert fair.apart["exposures_before_assignment"] == 0
    assert one.seen is not None and fair.seen is not None
    assert sum(fair.seen.counts.values()) - sum(one.seen.counts.values()) == 7
    assert "7 exposures before the customer" in page(one, "running")


def test_until_the_end_the_draw_is_checked_at_every_day() -> None:
    running, over = found(planned(None), 40), found(planned(None), 40, stopped=True)
    assert running.sizes.p_value == running.sizes.p_anytime is not None
    # By turns, the arms are as large as drawn: 400 each.
    assert over.sizes.p_value == over.sizes.p_sizes == 1.0
    assert told(over)["sample_ratio"]["assigned"]["p_anytime"] == over.sizes.p_anytime
