"""A known lift, from raw tables to the sentence."""

from __future__ import annotations

from datetime import datetime, timedelta

import ibis
import numpy as np
import pandas as pd

from features.connection import connect
from serving.experiments.analyze import Question, analyze
from serving.experiments.assign import Arm, Split, arms_of
from serving.experiments.measures import CLICK_RATE, MEASURES
from serving.experiments.novelty import by_day
from serving.experiments.outcome_sql import Window
from serving.experiments.outcomes import Sources, build
from serving.experiments.ratio import check
from serving.experiments.verdict import Money, verdict

START = datetime(2024, 3, 1)
CUSTOMERS, SLOTS = 6000, 10
CLICKS, REPURCHASE = 1.47, 1.20


def rows(customer: np.ndarray, day: np.ndarray, **more: object) -> pd.DataFrame:
    ts = np.datetime64(START, "us") + (day * 86_400e6).astype("timedelta64[us]")
    return pd.DataFrame({"customer_id": customer.astype(str), "ts": ts, **more})


def test_the_true_lift_lies_in_the_intervals() -> None:
    random = np.random.default_rng(47)
    split = Split("spring", "salt", (Arm("manual", 1), Arm("model", 1)))
    ids = np.arange(CUSTOMERS)
    model = arms_of(split, list(ids.astype(str))) == 1
    habit = random.beta(4, 12, CUSTOMERS)
    shown = np.repeat(ids, SLOTS)
    product = np.tile([f"p{i}" for i in range(SLOTS)], CUSTOMERS)
    day = random.uniform(0, 14, len(shown))
    event = np.arange(len(shown)).astype(str)
    pressed = random.random(len(shown)) < 0.06 * np.where(model[shown], CLICKS, 1)
    buys = random.random(CUSTOMERS) < habit * np.where(model, REPURCHASE, 1)
    bought_before = random.random((CUSTOMERS, 3)) < habit[:, None]
    before = np.repeat(ids, bought_before.sum(axis=1))
    lines = pd.concat(
        [
            rows(ids[buys], random.uniform(0, 28, buys.sum())),
            rows(before, random.uniform(-60, 0, len(before))),
        ]
    )
    lines = lines.assign(
        product_id="p1",
        order_id=np.arange(len(lines)).astype(str),
        quantity=1.0,
        amount=random.lognormal(3, 0.8, len(lines)),
    )
    drawn = pd.DataFrame(
        {
            "customer_id": ids.astype(str),
            "arm": np.where(model, "model", "manual"),
            "assigned_at": START,
            "propensity": np.clip(habit + random.normal(0, 0.05, CUSTOMERS), 0, 1),
        }
    )
    db = connect()
    for name, frame in (
        ("drawn", drawn),
        ("shown", rows(shown, day, event_id=event, product_id=product)),
        (
            "pressed",
            rows(shown[pressed], day[pressed] + 1e-3).assign(
                event_id=event[pressed], product_id=product[pressed]
            ),
        ),
        ("lines", lines),
    ):
        db.register(name, frame)
    window = Window(START + timedelta(days=28), 28)
    counts = build(db, Sources("drawn", "lines", "shown", "pressed"), window)
    engine = ibis.duckdb.from_connection(db)
    question = Question("manual", ("model",), CLICK_RATE, MEASURES)
    found = analyze(engine.table("outcomes"), question)
    clicks = found.primary[0].best
    assert 1 + clicks.uplift_low < CLICKS < 1 + clicks.uplift_high
    told = {answer.measure.name: answer for answer in found.secondary}
    repurchase = told["repurchase_rate"].best
    assert 1 + repurchase.uplift_low < REPURCHASE < 1 + repurchase.uplift_high
    # The propensity explains what the orders of before do not.
    assert repurchase.covariates == ("pre_orders", "pre_bought", "propensity")
    assert repurchase.kept < 0.97
    assert repurchase.p_value < told["repurchase_rate"].p_adjusted < 0.05
    ratio = check(counts.analysed, split.shares, counts.assigned)
    money = Money(told["revenue"].best, 0.3, 1e6)
    said = verdict(CLICK_RATE, clicks, ratio, days=28, money=money)
    assert said.outcome == "won"
    assert "model beats manual: click rate is" in said.sentence
    assert "of margin a year" in said.sentence
    # The lift is the same every day.
    daily = engine.table("outcomes_daily")
    trend = by_day(daily, CLICK_RATE, counts.analysed, ("manual", "model"), 14)
    assert len(trend.days) == 14
    assert trend.low < 0 < trend.high
