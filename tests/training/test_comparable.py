"""The effect on the treated: by hand, where chance chose, and where it did not."""

from __future__ import annotations

import numpy as np
import pytest

from features.config import CampaignsConfig
from training.comparable import Compared, Effect, effect_on_treated

CONFIG = CampaignsConfig(threads=1)


def rows_of(
    x: list[float] | np.ndarray,
    treated: list[bool] | np.ndarray,
    y: list[float] | np.ndarray,
    *,
    by_chance: bool,
) -> Compared:
    n = len(x)
    return Compared(
        matrix=np.asarray(x, np.float32).reshape(n, 1),
        categorical=(),
        customer=np.arange(n, dtype=np.int32),
        treated=np.asarray(treated, np.bool_),
        outcomes=np.asarray(y, np.float64).reshape(n, 1),
        by_chance=by_chance,
    )


def error_of(effect: Effect) -> float:
    return float(np.sqrt(np.sum(effect.influence[:, 0, 1] ** 2)))


def test_where_chance_chose_and_nothing_is_learned_it_is_the_difference_of_means() -> (
    None
):
    # Four of eight treated bought, two of eight others; too few rows for a split.
    y = [1.0] * 4 + [0.0] * 4 + [1.0] * 2 + [0.0] * 6
    rows = rows_of([0.0] * 16, [True] * 8 + [False] * 8, y, by_chance=True)
    found = effect_on_treated(rows, CONFIG, seed=1)
    assert (found.treated, found.others) == (8, 8)
    assert found.with_it[0] == 0.5
    assert found.naive[0] == 0.25
    assert found.effect[0] == pytest.approx(0.25, abs=0.13)
    assert found.overlap.comparable == 1
    assert found.overlap.effective_others == pytest.approx(8)
    assert found.influence.sum(axis=0) == pytest.approx(0, abs=1e-12)


def test_its_error_is_that_of_two_means() -> None:
    random = np.random.default_rng(5)
    treated = random.random(4000) < 0.5
    y = random.normal(0, 2, 4000)
    rows = rows_of(np.zeros(4000), treated, y, by_chance=True)
    known = np.sqrt(4 / treated.sum() + 4 / (~treated).sum())
    assert error_of(effect_on_treated(rows, CONFIG, seed=1)) == pytest.approx(
        known, rel=0.04
    )


@pytest.mark.parametrize("true", [0.0, 0.2])
def test_who_buys_anyway_and_is_asked_more_often_is_no_effect(true: float) -> None:
    random = np.random.default_rng(7)
    x = random.random(8000)
    treated = random.random(8000) < 0.15 + 0.6 * x
    y = (random.random(8000) < 0.1 + 0.6 * x + true * treated).astype(float)
    found = effect_on_treated(rows_of(x, treated, y, by_chance=False), CONFIG, seed=1)
    error = error_of(found)
    assert error < 0.02
    assert abs(found.effect[0] - true) < 2.6 * error
    assert found.naive[0] - true > 5 * error
    assert found.overlap.imbalance_before > 0.5
    assert abs(found.overlap.imbalance) < 0.1
    assert found.overlap.effective_others < np.sum(~treated)


def test_who_is_always_treated_has_no_like() -> None:
    random = np.random.default_rng(3)
    x = random.random(4000)
    # Everyone of the upper half; below it one in five.
    treated = (x > 0.5) | (random.random(4000) < 0.2)
    y = x
    found = effect_on_treated(rows_of(x, treated, y, by_chance=False), CONFIG, seed=1)
    below = float(np.mean(x[treated] <= 0.5))
    assert found.overlap.comparable == pytest.approx(below, abs=0.03)
    # What is left is compared among its like: the mean of the lower half.
    assert found.with_it[0] == pytest.approx(0.25, abs=0.03)


def test_the_same_seed_gives_the_same_bits() -> None:
    random = np.random.default_rng(9)
    x = random.random(600)
    rows = rows_of(x, random.random(600) < x, random.random(600), by_chance=False)
    first, second = (effect_on_treated(rows, CONFIG, seed=4) for _ in range(2))
    assert first.effect.tobytes() == second.effect.tobytes()
    assert first.influence.tobytes() == second.influence.tobytes()
