"""A rule is judged by the customers who were given by chance what it would give."""

from __future__ import annotations

from datetime import datetime, timedelta
from pathlib import Path

import duckdb
import numpy as np
import pandas as pd
import pytest

from features.connection import connect
from features.contracts import SettingError
from serving.experiment_schema import ExperimentRequest
from serving.experiments.plan import Plan
from serving.experiments.policy import Rule, judged, of_log, sentence

T0 = datetime(2024, 3, 1)
LATER = T0 + timedelta(days=60)
RATES = {("a", "x"): 3, ("a", "y"): 1, ("b", "x"): 0, ("b", "y"): 2}
"""Of four customers of an arm and a segment, so many buy."""


def planned(weights: tuple[int, int] = (1, 1)) -> Plan:
    arms = [
        {"name": name, "show": "nothing", "weight": weight}
        for name, weight in zip("ab", weights, strict=True)
    ]
    body = {"name": "rule", "owner": "mia", "arms": arms, "window_days": 10}
    return Plan(ExperimentRequest.model_validate(body), "salt", {}, None)


def logged(times: int) -> duckdb.DuckDBPyConnection:
    """``times`` four customers of each arm and segment."""
    rows = [
        (f"{arm}{part}{n}", arm, part, n % 4 < RATES[arm, part])
        for arm, part in RATES
        for n in range(4 * times)
    ]
    table = pd.DataFrame(rows, columns=["customer_id", "arm", "segment", "buys"])
    db = connect()
    assigned = table.assign(assigned_at=pd.Timestamp(T0), reason="hash", propensity=0.5)
    db.register("assigned", assigned)
    bought = table[table["buys"]].assign(
        product_id="p", order_id="o", ts=pd.Timestamp(T0), quantity=1.0, amount=2.0
    )
    db.register("bought", bought)
    for name in ("exposures", "clicks"):
        db.execute(
            f"CREATE TEMP TABLE {name} (event_id BIGINT, customer_id VARCHAR, "
            "product_id VARCHAR, ts TIMESTAMP)"
        )
    return db


def test_a_rule_earns_the_means_of_the_arms_it_gives() -> None:
    # x gets a: 3 of 4; y gets b: 2 of 4; as many of either: (.75 + .5) / 2.
    found = judged(
        logged(50), planned(), Rule({"x": "a"}, "b"), "repurchase_rate", LATER
    )
    assert found.rows == 800 and found.refused == ""
    for one in (found.ips, found.snips, found.doubly_robust):
        assert one is not None and one.value == pytest.approx(0.625, abs=0.01)
        assert one.low < 0.625 < one.high
    # Half of them were given what the rule gives, each for two: 400 of their own.
    assert (found.effective, found.largest_weight) == (400, 2.0)
    # Each spends 2.
    money = judged(logged(50), planned(), Rule({"x": "a"}, "b"), "revenue", LATER)
    assert money.snips is not None and money.snips.value == pytest.approx(1.25)


def test_the_model_narrows_the_interval() -> None:
    found = judged(logged(50), planned(), Rule({}, "a"), "repurchase_rate", LATER)
    ips, best = found.ips, found.doubly_robust
    assert ips is not None and best is not None
    assert best.high - best.low < 0.8 * (ips.high - ips.low)


def test_where_there_is_too_little_to_go_by_it_says_so() -> None:
    few = judged(logged(5), planned(), Rule({}, "a"), "orders", LATER)
    assert few.ips is None and "too little overlap" in sentence(few)
    none = judged(logged(5), planned(), Rule({}, "a"), "orders", T0)
    assert sentence(none) == "No estimate: nobody's window is over yet."
    # Drawn 1 to 1 and said to be 9 to 1: weights do not average 1.
    wrong = judged(logged(100), planned((9, 1)), Rule({}, "b"), "orders", LATER)
    assert "propensities are wrong" in wrong.refused


@pytest.mark.parametrize("name", ["log.csv", "log.parquet"])
def test_a_log_of_slots_with_propensities_is_judged(tmp_path: Path, name: str) -> None:
    random = np.random.default_rng(1)
    n = 4000
    shown = random.random(n) < 0.25
    table = pd.DataFrame(
        {
            "customer_id": [f"c{i // 2}" for i in range(n)],
            "reward": (random.random(n) < np.where(shown, 0.3, 0.1)).astype(float),
            "logged": np.where(shown, 0.25, 0.75),
            "target": shown.astype(float),
        }
    )
    file = tmp_path / name
    if file.suffix == ".csv":
        table.to_csv(file, index=False)
    else:
        table.to_parquet(file)
    found = of_log(file)
    assert (found.rows, found.customers) == (n, n // 2)
    assert found.snips is not None and found.snips.low < 0.3 < found.snips.high
    table.drop(columns="target").to_csv(tmp_path / "less.csv", index=False)
    with pytest.raises(SettingError, match="none called target"):
        of_log(tmp_path / "less.csv")
    table.assign(logged=0.0).to_csv(tmp_path / "zero.csv", index=False)
    with pytest.raises(SettingError, match="probabilities above 0"):
        of_log(tmp_path / "zero.csv")
    gaps = table.astype({"reward": object})
    gaps.loc[:2, "reward"] = None
    gaps.to_csv(tmp_path / "gaps.csv", index=False)
    with pytest.raises(SettingError, match=r"log\.reward: .* got 3 rows without one"):
        of_log(tmp_path / "gaps.csv")
    table.assign(predicted=0.1, expected=np.nan).to_csv(tmp_path / "m.csv", index=False)
    with pytest.raises(SettingError, match=r"log\.expected: .* got 4,000 rows"):
        of_log(tmp_path / "m.csv")
