"""Churn risk on a drawn shop, and its labels by hand."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from sklearn.metrics import roc_auc_score

from features.assemble import assemble
from features.config import ChurnConfig
from features.history import History
from features.snapshot import to_us
from training import churn
from training.churn import declined, fit_churn, norm_of
from training.churn_quality import BG_NBD, TREND, churn_quality
from training.metrics import MODEL

UNTIL = datetime(2024, 9, 1)
CUTOFFS = [UNTIL - timedelta(days=14 * n) for n in range(8, -1, -1)]
CONFIG = ChurnConfig(threads=1, min_rows_per_leaf=20)
ReadHistory = Callable[..., History]


def line(customer: str, ts: datetime, **more: Any) -> dict[str, Any]:
    ids = {"customer_id": customer, "product_id": "p", "known_at": None}
    order = {"order_id": f"{customer}{ts}", "ts": ts, "quantity": 1.0, "amount": 10.0}
    return ids | order | more


@pytest.fixture(scope="module")
def rows() -> list[dict[str, Any]]:
    """240 customers; every second stops one day, most of them after fewer visits."""
    random = np.random.default_rng(0)
    found: list[dict[str, Any]] = []
    for c in range(240):
        stops = float(random.uniform(100, 260)) if c % 2 else 400.0
        day = float(random.uniform(0, 8))
        while day < 244:
            # Three weeks before the end the gaps grow.
            slow = 2.5 if day > stops - 21 else 1.0
            if day > stops:
                break
            found.append(line(f"c{c:03}", datetime(2024, 1, 1) + timedelta(days=day)))
            day += slow * float(random.exponential(3 + c % 4)) + 0.5
    return found


@pytest.fixture
def history(read_history: ReadHistory, rows: list[dict[str, Any]]) -> History:
    return read_history({"purchases": rows}, UNTIL)


@pytest.fixture
def features(history: History) -> pa.Table:
    return assemble(history, CUTOFFS)


def at(features: pa.Table, cutoff: datetime) -> pa.Table:
    us = features.column("cutoff").cast(pa.int64()).to_numpy()
    return features.filter(pa.array(us == to_us(cutoff)))


def test_norm_and_decline_by_hand(read_history: ReadHistory) -> None:
    cutoff = datetime(2024, 6, 1)
    day = timedelta(days=1)
    before = [
        # Nine days of visits in 84, two lines on one of them.
        *(line("ann", cutoff - 8 * n * day) for n in range(1, 10)),
        line("ann", cutoff - 8 * day + timedelta(hours=1)),
        line("ann", cutoff - 9 * day, quantity=-1.0, amount=-7.0),
        # Before the norm's days.
        line("ann", cutoff - 85 * day),
        # Known only later.
        line("ann", cutoff - 2 * day, known_at=cutoff + day),
        *(line("bob", cutoff - 8 * n * day) for n in range(1, 10)),
    ]
    after = [
        line("ann", cutoff),
        line("ann", cutoff + 28 * day),
        line("bob", cutoff),
        line("bob", cutoff + 27 * day),
    ]
    history = read_history({"purchases": [*before, *after]}, cutoff + 40 * day)
    who = np.arange(2)
    norm = norm_of(history, who, to_us(cutoff), ChurnConfig())
    assert norm.rate.tolist() == [3.0, 3.0]
    # Bob has come for 72 days only: that is no norm.
    assert norm.is_known.tolist() == [True, False]
    assert norm.spend == pytest.approx([(100 - 7) / 3, 90 / 3])
    # Fewer than 1.5 visits: ann's second one is a day too late.
    fell, visits, spend = declined(history, who, norm, to_us(cutoff), ChurnConfig())
    assert fell.tolist() == [True, False]
    assert (visits.tolist(), spend.tolist()) == ([1.0, 2.0], [10.0, 20.0])


def test_who_slows_down_is_at_risk_and_loses_money(
    read_history: ReadHistory, rows: list[dict[str, Any]]
) -> None:
    cutoff = UNTIL - timedelta(days=28)
    history = read_history({"purchases": rows}, cutoff)
    features = assemble(history, [c for c in CUTOFFS if c <= cutoff])
    model = fit_churn(history, features, CONFIG, seed=1)
    assert model is not None
    table = model.predict(history, at(features, cutoff), to_us(cutoff))
    known = table.column("churn_risk").is_valid().to_numpy(zero_copy_only=False)
    few = table.column("visits_norm").to_numpy() * 3 < CONFIG.least_visits
    assert not known[few].any() and few.any()
    assert known[~few].mean() > 0.9
    assert table.column("expected_loss").is_valid().to_pylist() == known.tolist()
    # What became of them, by a history that reaches further.
    later = read_history({"purchases": rows}, UNTIL)
    ids = [list(later.customers).index(c) for c in table["customer_id"].to_pylist()]
    norm = norm_of(later, np.array(ids), to_us(cutoff), CONFIG)
    fell, _, _ = declined(later, np.array(ids), norm, to_us(cutoff), CONFIG)
    risk = table.column("churn_risk").to_numpy(zero_copy_only=False)
    assert risk[known & fell].mean() > 1.8 * risk[known & ~fell].mean()
    loss = table.column("expected_loss").to_numpy(zero_copy_only=False)[known]
    assert (loss >= 0).all()
    assert (loss <= table.column("spend_norm").to_numpy()[known]).all()


def test_quality_of_risk_by_hand(read_history: ReadHistory) -> None:
    cutoff = datetime(2024, 6, 1)
    # 22 customers with a norm of 3; two have no risk.
    rows = [
        line(f"c{c:02}", cutoff - timedelta(days=9 * n + c % 5))
        for c in range(22)
        for n in range(1, 10)
    ]
    history = read_history({"purchases": rows}, cutoff)
    risk = [None, None, *(0.05 * c for c in range(20))]
    table = pa.table(
        {
            "churn_risk": pa.array(risk, pa.float64()),
            "visits_norm": np.full(22, 3.0),
        }
    )
    visited = np.array([0.0, 0.0, *(2.0 if c < 15 else 1.0 for c in range(20))])
    visited[-1] = 2.0
    found = churn_quality(table, history, visited, to_us(cutoff), 28, seed=0)
    assert (found.customers, found.declined) == (20, pytest.approx(4 / 20))
    ours = found.models[MODEL]
    # The highest of 20 stays, the next four decline.
    assert ours["top"] == pytest.approx(1 / 2)
    assert ours["auc"] == pytest.approx((4 * 15) / (4 * 16))
    lately = np.array(
        [sum(9 * n + c % 5 <= 28 for n in range(1, 10)) for c in range(22)]
    )
    assert found.models[TREND]["auc"] == pytest.approx(
        roc_auc_score(visited[2:] < 1.5, -lately[2:])
    )
    assert set(found.models) == {MODEL, TREND, BG_NBD} == {MODEL, *found.auc_gain}


def test_rows_after_the_cutoff_change_nothing(
    read_history: ReadHistory, rows: list[dict[str, Any]]
) -> None:
    cutoff = UNTIL - timedelta(days=28)
    found: list[pa.Table] = []
    for some in (rows, [row for row in rows if row["ts"] < cutoff]):
        history = read_history({"purchases": some}, cutoff)
        features = assemble(history, [c for c in CUTOFFS if c <= cutoff])
        model = fit_churn(history, features, CONFIG, seed=1)
        assert model is not None
        found.append(model.predict(history, at(features, cutoff), to_us(cutoff)))
    assert found[0].equals(found[1])


def test_labels_end_before_the_build(history: History, features: pa.Table) -> None:
    # The window of no cutoff has ended: there is nothing to learn.
    late = pa.concat_tables([at(features, c) for c in CUTOFFS[-2:]])
    assert fit_churn(history, late, CONFIG, seed=1) is None


@pytest.mark.parametrize("silent", [20, 100, 150])
def test_too_little_to_calibrate_on_is_no_model(
    read_history: ReadHistory, rows: list[dict[str, Any]], silent: int
) -> None:
    # Nobody bought of late, so that the last cutoffs have nobody with a norm.
    last = UNTIL - timedelta(days=silent)
    history = read_history({"purchases": [r for r in rows if r["ts"] < last]}, UNTIL)
    cutoffs = CUTOFFS[-4:] if silent == 20 else CUTOFFS
    assert fit_churn(history, assemble(history, cutoffs), CONFIG, seed=1) is None


def test_saved_model_says_the_same_and_so_does_the_same_seed(
    history: History, features: pa.Table, tmp_path: Path
) -> None:
    model = fit_churn(history, features, CONFIG, seed=1)
    assert model is not None
    rest = json.loads(json.dumps(churn.save(model, tmp_path)))
    today = at(features, UNTIL)
    once = model.predict(history, today, to_us(UNTIL))
    again, other = (fit_churn(history, features, CONFIG, seed=s) for s in (1, 2))
    assert again is not None and other is not None
    assert churn.load(tmp_path, rest).predict(history, today, to_us(UNTIL)).equals(once)
    assert again.predict(history, today, to_us(UNTIL)).equals(once)
    assert not other.predict(history, today, to_us(UNTIL)).equals(once)


def test_what_is_known_after_the_build_is_no_lesson(
    read_history: ReadHistory,
) -> None:
    """Of the two visits of a window one is known ten days after its end."""
    cutoff, day = datetime(2024, 6, 1), timedelta(days=1)
    lines = [
        *(line("ann", cutoff - 8 * n * day) for n in range(1, 13)),
        line("ann", cutoff + day),
        line("ann", cutoff + 20 * day, known_at=cutoff + 38 * day),
    ]
    history, who = read_history({"purchases": lines}, cutoff + 40 * day), np.arange(1)
    norm = norm_of(history, who, to_us(cutoff), CONFIG)
    for days, came in ((40, 2.0), (38, 1.0), (30, 1.0)):
        known = replace(history, until=cutoff + days * day)
        found = declined(known, who, norm, to_us(cutoff), CONFIG)
        assert found[1].tolist() == [came], days
        assert found[2].tolist() == [10 * came], days
