"""Fresh events of one customer folded into their offers, beside implicit.

    pytest tests/benchmarks/bench_fresh.py --no-header -q

50,000 items of 64 factors, 200 offers, 20 events, one thread. The rival solves for the
customer's factors and ranks all items too (``recalculate_user``); it knows no offers,
no re-buying and no reasons.
"""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np
import pytest
import scipy.sparse as sp
from implicit.cpu.als import AlternatingLeastSquares

from training.fold_in import FoldIn, gram_of
from training.fresh import FreshModel
from training.fresh_rows import COLUMNS, Before, Shop, rows_of
from training.since import Fresh, since_of

ITEMS, FACTORS, BOUGHT, EVENTS = 50_000, 64, 200, 20


def milliseconds(work: Callable[[], object]) -> float:
    """Median of 50 calls, after a first one that warms up."""
    work()
    times: list[float] = []
    for _ in range(50):
        started = time.perf_counter()
        work()
        times.append(time.perf_counter() - started)
    return float(np.median(times)) * 1e3


def test_folding_in_beside_implicit(capsys: pytest.CaptureFixture[str]) -> None:
    random = np.random.default_rng(0)
    factors = random.normal(0, 0.1, (ITEMS, FACTORS)).astype(np.float32)
    items = np.arange(ITEMS, dtype=np.int32)
    fold = FoldIn(items, factors, items, gram_of(factors), 5.0, 0.05)
    popular = random.normal(-6, 1, ITEMS)
    rebuy, kind = np.zeros(ITEMS, np.float32), (items % 500).astype(np.int32)
    shop = Shop(fold, rebuy, popular, items, np.ones(ITEMS, np.bool_), kind)
    bought = np.sort(random.choice(ITEMS, BOUGHT, replace=False)).astype(np.int32)
    never = np.setdiff1d(items, bought)[:100]
    offers = np.concatenate((bought[:100], never)).astype(np.int32)
    score = -np.linspace(0, 6, len(offers)).astype(np.float32)
    before = Before(
        offers, np.arange(200) >= 100, score, bought, np.ones(BOUGHT, np.float32)
    )
    events = Fresh(
        random.integers(0, 6, EVENTS).astype(np.int8),
        random.integers(0, ITEMS, EVENTS).astype(np.int32),
        random.integers(0, 10**11, EVENTS),
        np.ones(EVENTS, np.float32),
    )
    model = FreshModel(np.full((4, len(COLUMNS)), 0.1))
    weights = np.array([0, 0, 0.1, 0.5, 0.5, 0.3])

    def ours() -> object:
        rows = rows_of(shop, before, since_of(events, weights), 10**11)
        return np.argsort(-model.log_odds(rows), kind="stable")

    rival = AlternatingLeastSquares(FACTORS, 0.05, 5.0, num_threads=1)
    rival.item_factors = factors
    liked = np.union1d(bought, events.product)
    own = sp.csr_matrix(
        (np.ones(len(liked), np.float32), (np.zeros(len(liked), int), liked)),
        shape=(1, ITEMS),
    )
    mine = milliseconds(ours)
    theirs = milliseconds(lambda: rival.recommend(0, own, 220, recalculate_user=True))
    with capsys.disabled():
        print(f"\nours {mine:.2f} ms, implicit {theirs:.2f} ms, {mine / theirs:.2f}")
