"""A budget given out, to the last cent."""

from __future__ import annotations

from collections.abc import Sequence

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from features import config
from features.config import StrategyConfig
from features.contracts import SettingError
from features.insight_config import SEGMENTS
from serving.insight.strategy import Strategy, apportion, plan_budget


def given_out(
    segments: Sequence[str | None], budget: int, rules: StrategyConfig | None = None
) -> Strategy:
    column = pa.array(segments, pa.string()).dictionary_encode()
    return plan_budget(column, budget, rules or StrategyConfig())


def test_the_default_shares_of_a_budget() -> None:
    found = given_out([*SEGMENTS, "stars", "stars", None], 100_001)
    assert [one.segment for one in found.measures] == list(SEGMENTS)
    # 30,000.3, 25,000.25, 20,000.2, 25,000.25: the last cent goes where most was cut.
    assert [one.amount for one in found.measures] == [30_001, 25_000, 20_000, 25_000]
    assert [one.customers for one in found.measures] == [3, 1, 1, 1]
    stars = found.measures[0]
    assert (stars.per_customer, stars.left) == (10_000, 1)
    assert (found.unsegmented, found.unspent) == (1, 0)


def test_the_share_of_an_empty_segment_goes_to_the_others() -> None:
    found = given_out(["stars", "loyal"], 1000)
    # 30 to 20 is 600 to 400.
    assert [one.amount for one in found.measures] == [600, 0, 400, 0]
    assert [one.per_customer for one in found.measures] == [600, None, 400, None]
    assert [one.planned_share for one in found.measures] == [0.3, 0.25, 0.2, 0.25]


def test_without_customers_nothing_is_spent() -> None:
    for segments in ([], [None]):
        found = given_out(segments, 1000)
        assert (sum(m.amount for m in found.measures), found.unspent) == (0, 1000)


def test_a_budget_of_nothing_and_a_negative_one() -> None:
    assert sum(m.amount for m in given_out(["stars"], 0).measures) == 0
    with pytest.raises(ValueError, match="budget: expected 0 or more minor units"):
        given_out(["stars"], -1)


@given(
    st.integers(0, 10**12),
    st.lists(st.sampled_from([0.0, 0.05, 0.1, 0.2, 0.25, 0.3, 1.0]), max_size=8),
)
def test_parts_add_up_and_are_the_exact_share_or_one_more(
    total: int, weights: list[float]
) -> None:
    parts = apportion(total, weights)
    if not any(weights):
        assert parts == [0] * len(weights)
        return
    assert sum(parts) == total
    whole = sum(round(weight * 100) for weight in weights)
    for part, weight in zip(parts, weights, strict=True):
        below = total * round(weight * 100) // whole
        assert below <= part <= below + 1


def test_segments_of_the_config() -> None:
    names = {"action": "write", "channel": "post"}
    plans = {name: {**names, "share": 0.25} for name in SEGMENTS}
    rules = StrategyConfig.model_validate({"plans": plans})
    amounts = [one.amount for one in given_out(SEGMENTS, 10, rules).measures]
    # 2.5 each: of equal ones the first get what is left.
    assert amounts == [3, 3, 2, 2]
    half = "strategy.plans={stars: {action: a, channel: b, share: 1}}"
    with pytest.raises(SettingError, match="a plan for each segment, got none for"):
        config.load(None, (half,))
    plans["stars"]["share"] = 0.5
    with pytest.raises(ValueError, match=r"add up to 1, got 1\.25"):
        StrategyConfig.model_validate({"plans": plans})
