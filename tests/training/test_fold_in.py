from __future__ import annotations

import numpy as np
import pytest
import scipy.sparse as sp
from implicit.cpu.als import AlternatingLeastSquares

from training.fold_in import FoldIn, gram_of

NONE = np.zeros(0)


def folded(factors: np.ndarray, alpha: float, regularization: float) -> FoldIn:
    items = np.arange(len(factors), dtype=np.int32)
    single = factors.astype(np.float32)
    return FoldIn(items, single, items, gram_of(single), alpha, regularization)


def test_factors_are_those_of_implicit() -> None:
    random = np.random.default_rng(4)
    liked = sp.random(60, 40, 0.2, "csr", np.float32, random_state=1)
    liked.data = np.log1p(5 * liked.data)
    model = AlternatingLeastSquares(
        factors=6, alpha=5.0, regularization=0.05, iterations=3, random_state=2
    )
    model.fit(liked, show_progress=False)
    fold = folded(np.asarray(model.item_factors), 5.0, 0.05)

    before = np.array([1.5, 0.3, 0.0, 2.0, 0.0])
    after = before + np.array([0.0, 1.0, 1.0, 0.0, 0.1])
    columns = random.choice(40, 5, replace=False).astype(np.int32)

    def implicit(weight: np.ndarray) -> np.ndarray:
        known = np.flatnonzero(weight)
        at = (np.zeros(len(known)), columns[known])
        row = sp.csr_matrix((np.log1p(weight[known]), at), shape=(1, 40))
        return model.recalculate_user(0, row.astype(np.float32))

    old, new = fold.moved(columns, before, after)
    assert old == pytest.approx(implicit(before), abs=1e-4)
    assert new == pytest.approx(implicit(after), abs=1e-4)
    assert np.abs(new - old).max() > 0.01


def test_one_factor_by_hand() -> None:
    # Two items, 2 and 1: gram 5. One purchase of the first: c = alpha log 2 = 3.
    # (5 + 1 + 4 (3 - 1)) x = 2 * 3, so x = 6 / 14.
    fold = folded(np.array([[2.0], [1.0]]), 3 / np.log(2), 1.0)
    old, new = fold.moved(np.array([0], np.int32), np.zeros(1), np.ones(1))
    assert old.tolist() == [0.0]
    assert new == pytest.approx([6 / 14])


def test_without_events_there_is_no_opinion() -> None:
    fold = folded(np.eye(3), 5.0, 0.0)
    old, new = fold.moved(np.zeros(0, np.int32), NONE, NONE)
    assert not old.any() and not new.any()


def test_items_that_do_not_span_all_factors_can_be_solved_without_ridge() -> None:
    fold = folded(np.array([[1.0, 0.0]]), 5.0, 0.0)
    _, new = fold.moved(np.array([0], np.int32), np.zeros(1), np.ones(1))
    assert new == pytest.approx([1.0, 0.0], abs=1e-5)
