"""Interleaving, and what a list would have earned."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from serving.experiments.draft import SECOND, team_draft
from serving.experiments.interleave import preference
from serving.experiments.off_policy import Logged, evaluate

PRODUCTS = st.lists(st.sampled_from("abcdefghij"), unique=True, max_size=10)


def draft(first: list[str], second: list[str], n: int, customer: str = "7") -> object:
    return team_draft(
        first, second, n, experiment="spring", salt="s", customer_id=customer
    )


@settings(deadline=None)
@given(PRODUCTS, PRODUCTS, st.integers(1, 12))
def test_a_draft_is_fair(first: list[str], second: list[str], n: int) -> None:
    found = draft(first, second, n)
    assert found == draft(first, second, n)
    assert len(found.products) == min(n, len({*first, *second}))
    assert len(set(found.products)) == len(found.products)
    lists = (first, second)
    for i, (product, team) in enumerate(zip(found.products, found.teams, strict=True)):
        # Each takes the best of its own that is left.
        left = [p for p in lists[team] if p not in found.products[:i]]
        assert product == left[0]
        # Nobody is two ahead while the other still has something to give.
        counts = np.bincount(found.teams[: i + 1], minlength=2)
        other = [p for p in lists[1 - team] if p not in found.products[: i + 1]]
        if counts[team] - counts[1 - team] > 1:
            assert not other or counts[team] - counts[1 - team] <= 2


def test_who_goes_first_is_drawn_evenly() -> None:
    teams = [draft(["a"], ["b"], 1, str(i)).teams[0] for i in range(2000)]
    assert stats.binomtest(sum(teams), 2000).pvalue > 0.001
    # Equal lists have no favourite either.
    same = [draft(["a", "b"], ["a", "b"], 2, str(i)).teams for i in range(200)]
    assert set(same) == {(0, 1), (1, 0)}


def test_one_vote_a_customer() -> None:
    # Customer 0: two clicks to one for the second; 1: tied; 2 and 3: second; 4: first.
    customer = np.array([0, 0, 0, 1, 1, 2, 3, 4], dtype=np.int32)
    team = np.array([1, 1, 0, 0, 1, 1, 1, 0], dtype=np.int32)
    found = preference(customer, team)
    assert (found.first, found.second, found.tied) == (1, 3, 1)
    # 2 * (1 + 4) / 16 of the sign test.
    assert found.p_value == pytest.approx(10 / 16)
    assert found.share == 0.75
    assert (found.low, found.high) == pytest.approx(
        (stats.beta.ppf(0.025, 3, 2), stats.beta.ppf(0.975, 4, 1))
    )
    nobody = preference(customer[3:5], team[3:5])
    assert nobody.share is nobody.p_value is None and nobody.tied == 1
    assert SECOND == 1


def logs(seed: int, n: int = 4000) -> tuple[Logged, float]:
    """Slots of customers, four products; the new policy likes the better ones."""
    random = np.random.default_rng(seed)
    customer = np.arange(n, dtype=np.int32) // 4
    taste = random.random(n // 4)[customer]
    rate = np.clip(taste[:, None] * np.array([0.1, 0.2, 0.3, 0.4]), 0, 1)
    old, new = np.array([0.4, 0.3, 0.2, 0.1]), np.array([0.1, 0.2, 0.3, 0.4])
    action = random.choice(4, n, p=old)
    reward = (random.random(n) < rate[np.arange(n), action]).astype(float)
    model = np.array([0.06, 0.09, 0.16, 0.19])
    log = Logged(
        customer,
        reward,
        old[action],
        new[action],
        model[action],
        np.full(n, model @ new),
    )
    return log, float(0.5 * np.array([0.1, 0.2, 0.3, 0.4]) @ new)


def test_truth_lies_in_the_intervals() -> None:
    inside = np.zeros(3)
    for seed in range(150):
        log, truth = logs(seed)
        found = evaluate(log)
        assert found.refused == ""
        for i, one in enumerate((found.ips, found.snips, found.doubly_robust)):
            inside[i] += one.low <= truth <= one.high
    # 95 % of 150 is 142.5; 134 or fewer have probability .004.
    assert (inside >= 134).all()


def test_estimates_by_hand() -> None:
    log = Logged(
        np.arange(200, dtype=np.int32),
        np.tile([1.0, 0.0], 100),
        np.tile([0.5, 0.5], 100),
        np.tile([0.75, 0.25], 100),
        np.tile([0.6, 0.2], 100),
        np.full(200, 0.5),
    )
    found = evaluate(log)
    # Weights 1.5 and .5: 200^2 / (100 * 2.25 + 100 * .25) = 160 effective rows.
    assert found.effective == pytest.approx(160)
    assert found.ips.value == pytest.approx(0.75)
    assert found.snips.value == pytest.approx(0.75)
    # .5 + (1.5 * .4 - .5 * .2) / 2.
    assert found.doubly_robust.value == pytest.approx(0.75)
    assert (
        evaluate(Logged(log.customer, log.reward, log.logged, log.target)).doubly_robust
        is None
    )


def test_refusals() -> None:
    log, _ = logs(1)
    n = len(log.reward)
    few = evaluate(
        Logged(
            log.customer,
            log.reward,
            np.full(n, 0.5),
            np.where(np.arange(n) < 30, 0.9, 0),
        )
    )
    assert "too little overlap" in few.refused and few.ips is None
    wrong = evaluate(Logged(log.customer, log.reward, log.logged * 0.5, log.target))
    assert "average 1.976" in wrong.refused and wrong.snips is None
    for bad, word in (
        (Logged(log.customer, log.reward, log.logged * 0, log.target), "logged"),
        (Logged(log.customer, log.reward, log.logged, log.target * 9), "target"),
        (Logged(log.customer, log.reward, log.logged, log.target, log.reward), "both"),
        (Logged(*[log.customer[:0]] * 4), "none"),
    ):
        with pytest.raises(ValueError, match=word):
            evaluate(bad)
