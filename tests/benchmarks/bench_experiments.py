"""Experiments: do they keep their promises, and ten million exposures on two cores.

    pytest tests/benchmarks/bench_experiments.py -s --no-header -q

Promises: 2,000 A/A tests looked at on each of 28 days, 4,000 A/B tests with a true
effect (and the first 1,000 of them), designs and their power, what covariates save,
and the sample-ratio check; each share beside its 99 % binomial bounds.

Speed: 1 million customers, 10 million exposures with event ids of 36 characters, 600,000
clicks, 5 million order lines: reduced to customers, and every measure, two segments
and the effect by day analysed, in bounded memory.
"""

from __future__ import annotations

import resource
import time
from datetime import datetime
from pathlib import Path

import duckdb
import ibis
import numpy as np
import pytest
from scipy import stats

from features.connection import connect
from serving.experiments.analyze import Question, analyze
from serving.experiments.assign import Arm, Split, arm_sql
from serving.experiments.design import Baseline, Test, customers_needed
from serving.experiments.measures import CLICK_RATE, MEASURES, Kind
from serving.experiments.novelty import by_day
from serving.experiments.outcome_sql import Window
from serving.experiments.outcomes import Sources, build
from serving.experiments.ratio import SURE, check, p_anytime
from serving.experiments.rehearse import Crowd, rehearse

SPLIT = Split("bench", "salt", (Arm("manual", 1), Arm("model", 1)))
GENERATED = f"""
CREATE TABLE drawn AS
SELECT customer_id, {arm_sql(SPLIT)} AS arm, 'hash' AS reason,
    TIMESTAMP '2024-03-01' + to_hours((hash(i, 1) % 240)::INTEGER) AS assigned_at,
    (hash(i, 2) % 1000) / 1000 AS propensity,
    'tier ' || (hash(i, 3) % 3) AS tier, 'region ' || (hash(i, 4) % 12) AS region
FROM (SELECT i, 'c' || i AS customer_id FROM range(1000000) t(i));
CREATE TABLE shown AS
SELECT uuid()::VARCHAR AS event_id, 'c' || (i % 1000000) AS customer_id,
    'p' || (hash(i, 5) % 20000) AS product_id,
    TIMESTAMP '2024-03-11' + to_seconds((hash(i, 6) % 1700000)::INTEGER) AS ts
FROM range(10000000) t(i);
CREATE TABLE pressed AS
SELECT uuid()::VARCHAR AS event_id, customer_id, product_id,
    ts + to_seconds(60) AS ts
FROM shown WHERE hash(event_id) % 100 < 6;
CREATE TABLE lines AS
SELECT 'c' || (hash(i, 7) % 1000000) AS customer_id,
    'p' || (hash(i, 8) % 20000) AS product_id, 'o' || (i // 2) AS order_id,
    TIMESTAMP '2023-12-01' + to_seconds((hash(i, 9) % 10000000)::INTEGER) AS ts,
    CASE WHEN hash(i, 10) % 30 = 0 THEN -1.0 ELSE 1.0 END AS quantity,
    CASE WHEN hash(i, 10) % 30 = 0 THEN -1.0 ELSE 1.0 END * (hash(i, 11) % 5000) / 100
        AS amount
FROM range(5000000) t(i);
"""


def test_ten_million_exposures(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "bench.duckdb"
    with duckdb.connect(file) as db:
        db.execute(GENERATED)
    db = connect("2500MB", 2)
    db.execute(f"ATTACH '{file}' AS made (READ_ONLY)")
    for name in ("drawn", "shown", "pressed", "lines"):
        db.execute(f"CREATE VIEW {name} AS FROM made.{name}")
    started = time.perf_counter()
    window = Window(datetime(2024, 4, 1), 20, strata=("tier", "region"))
    counts = build(db, Sources("drawn", "lines", "shown", "pressed"), window)
    reduced = time.perf_counter()
    rows = ibis.duckdb.from_connection(db)
    question = Question(
        "manual", ("model",), CLICK_RATE, MEASURES[1:], ("tier", "region")
    )
    found = analyze(rows.table("outcomes"), question)
    analysed = time.perf_counter()
    daily = by_day(
        rows.table("outcomes_daily"),
        CLICK_RATE,
        counts.analysed,
        ("manual", "model"),
        20,
    )
    done = time.perf_counter()
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    with capsys.disabled():
        print(
            f"\n{sum(counts.analysed.values()):,} customers: reduced in "
            f"{reduced - started:.1f} s, {len(found.secondary) + 1} measures and "
            f"{len(found.segments)} segmentations in {analysed - reduced:.1f} s, "
            f"{len(daily.days)} days in {done - analysed:.1f} s; "
            f"all {done - started:.1f} s, at most {peak:.1f} GB with making the data"
        )


DAILY = tuple((day + 1) / 28 for day in range(28))
WEEKLY = (0.25, 0.5, 0.75, 1.0)
MANY = 4000
KINDS: tuple[Kind, ...] = ("share", "mean", "ratio")


def bounds(share: float, runs: int) -> str:
    """Where 99 % of such counts lie, as shares."""
    low, high = stats.binom.interval(0.99, runs, share)
    return f"{low / runs:.4f} to {high / runs:.4f}"


def test_a_a(capsys: pytest.CaptureFixture[str]) -> None:
    runs = 2000
    lines = [f"\n{runs:,} A/A, 5,600 customers; 5 %: {bounds(0.05, runs)}"]
    for kind in KINDS:
        for adjust in (False, True):
            found = rehearse(
                Crowd(kind), Test(looks=DAILY), 5600, runs, 1, adjust=adjust
            )
            flat = rehearse(
                Crowd(kind),
                Test(looks=DAILY, spending="pocock"),
                5600,
                runs,
                1,
                adjust=adjust,
            )
            lines.append(
                f"{kind:5} {'CUPED' if adjust else 'plain'} end {found.fixed / runs:.4f}, "
                f"28 looks: O'Brien-Fleming {found.bounds / runs:.4f}, Pocock "
                f"{flat.bounds / runs:.4f}, always valid {found.always / runs:.4f}"
            )
    with capsys.disabled():
        print("\n".join(lines))


def test_a_b(capsys: pytest.CaptureFixture[str]) -> None:
    lines = [f"\n95 %: {bounds(0.95, MANY)} of {MANY:,}, {bounds(0.95, 1000)} of 1,000"]
    arms = SPLIT.arms
    for kind, uplift in (("share", 0.15), ("mean", 0.1), ("ratio", 0.1)):
        rows = Crowd(kind).draw(np.random.default_rng(0), 2_000_000, False)
        did, offers, before = rows.T
        linear = (did - Crowd(kind).control * offers) / offers.mean()
        for adjust in (False, True):
            kept = 1 - np.corrcoef(linear, before)[0, 1] ** 2 if adjust else 1.0
            base = Baseline(kind, kind, Crowd(kind).control, linear.var(), kept, 1)
            for looks in ((1.0,), WEEKLY):
                test = Test(looks=looks)
                n = customers_needed(base, uplift, arms, test)
                few, many = (
                    rehearse(Crowd(kind, uplift), test, n, runs, 2, adjust=adjust)
                    for runs in (1000, MANY)
                )
                lines.append(
                    f"{kind:5} {'CUPED' if adjust else 'plain'} {len(looks)} looks "
                    f"{n:6,} customers: power {few.bounds / 1000:.3f} ({many.bounds / MANY:.4f}) "
                    f"of .8, effect covered {few.covered / 1000:.3f} ({many.covered / MANY:.4f}), "
                    f"uplift {few.covered_uplift / 1000:.3f} ({many.covered_uplift / MANY:.4f}), "
                    f"all looks {many.covered_bounds / MANY:.4f}, "
                    f"always {many.covered_always / MANY:.4f}"
                    + (f"; kept {many.kept:.4f}, theory {kept:.4f}" if adjust else "")
                )
    with capsys.disabled():
        print("\n".join(lines))


def test_sample_ratio(capsys: pytest.CaptureFixture[str]) -> None:
    random = np.random.default_rng(3)
    shares = {arm.name: 1.0 for arm in SPLIT.arms}
    names, runs = tuple(shares), 2000
    left = random.binomial(100_000, 0.5, runs)
    fired = {"nobody lost": 0, "1 % lost in both": 0, "1 % lost in one": 0, "sizes": 0}
    for n in left:
        assigned = dict(zip(names, (int(n), 100_000 - int(n)), strict=True))
        both = {a: int(random.binomial(m, 0.99)) for a, m in assigned.items()}
        one = {**assigned, names[1]: both[names[1]]}
        fired["nobody lost"] += not check(assigned, shares, assigned).valid
        fired["1 % lost in both"] += not check(both, shares, assigned).valid
        fired["1 % lost in one"] += not check(one, shares, assigned).valid
        fired["sizes"] += not check(one, shares).valid
    days = random.binomial(3571, 0.5, (runs, 28)).cumsum(axis=1)
    shown = 3571 * np.arange(1, 29)
    p = np.array(
        [
            p_anytime(
                list(np.column_stack([row, shown - row]).astype(float)),
                np.array([0.5, 0.5]),
            )
            for row in days
        ]
    )
    with capsys.disabled():
        print(
            f"\nsample ratio, 100,000 customers, {runs:,} runs, p < {SURE}: "
            + ", ".join(f"{k} {v}" for k, v in fired.items())
            + f"; every day {int((p < SURE).sum())} (p < .05: {int((p < 0.05).sum())}); "
            f".1 %: {stats.binom.interval(0.99, runs, SURE)}"
        )
