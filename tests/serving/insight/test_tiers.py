"""Every tier on drawn tables, at its thresholds and beside them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from features.config import TagsConfig, TiersConfig
from serving.insight.columns import standing
from serving.insight.indicators import potential
from serving.insight.thresholds import Thresholds, fit_thresholds, share_cuts
from serving.insight.tiers import fifth, tier

TAGS, RULES = TagsConfig(), TiersConfig()
Draw = Callable[..., pa.Table]


def fitted(features: pa.Table) -> Thresholds:
    return fit_thresholds(features, TAGS, RULES)


def tiers_of(features: pa.Table, thresholds: Thresholds) -> Any:
    return tier(features, thresholds, RULES).to_pydict()


def test_rfm_fifths_of_ten_customers(draw: Draw) -> None:
    """Days 1 to 10, orders 10 to 1, spend 100 to 10: best first, two to a fifth."""
    ten = list(range(1, 11))
    features = draw(
        days_since_last_order=ten,
        orders_count_365d=ten[::-1],
        spend_sum_365d=[10.0 * i for i in ten[::-1]],
    )
    found = tiers_of(features, fitted(features))
    assert found["recency"] == [5, 5, 4, 4, 3, 3, 2, 2, 1, 1]
    assert found["frequency"] == found["recency"] == found["monetary"]
    assert found["rfm"] == [555, 555, 444, 444, 333, 333, 222, 222, 111, 111]


@pytest.mark.parametrize(
    ("value", "score"), [(9.9, 1), (10, 1), (10.1, 2), (30, 3), (40, 4), (40.1, 5)]
)
def test_a_value_at_an_edge_is_in_the_fifth_below(value: float, score: int) -> None:
    assert fifth(np.array([value]), (10.0, 20.0, 30.0, 40.0)).tolist() == [score]


def test_ties_take_the_middle_of_their_fifths() -> None:
    # 1 fills the lowest three fifths, 2 the fourth, more the fifth.
    assert fifth(np.array([1.0, 2.0, 3.0]), (1.0, 1.0, 1.0, 2.0)).tolist() == [2, 4, 5]
    assert fifth(np.array([7.0]), (7.0,) * 4).tolist() == [3]
    assert fifth(np.array([np.nan]), (7.0,) * 4).tolist() == [-1]


def test_abc_by_share_of_spend(draw: Draw) -> None:
    """Of 100: 50 and 20 make 70 % and are A; 15 and 5 make 90 % and are B."""
    spend = [50, 20, 15, 5, 4, 3, 3, 0, -10]
    features = draw(spend_sum_365d=spend)
    thresholds = fitted(features)
    assert (thresholds.a_spend, thresholds.b_spend) == (20, 5)
    found = tiers_of(features, thresholds)["abc"]
    assert found == ["A", "A", "B", "B", "C", "C", "C", "C", "C"]


def test_equal_customers_have_one_letter(draw: Draw) -> None:
    for spend, letter in (([5.0] * 4, "A"), ([5.0], "A"), ([0.0] * 3, "C")):
        features = draw(spend_sum_365d=spend)
        found = tiers_of(features, fitted(features))["abc"]
        assert found == [letter] * len(spend)


@given(st.lists(st.integers(-50, 1000), min_size=1, max_size=40))
def test_a_and_b_reach_their_shares_and_no_smaller_group_does(spend: list[int]) -> None:
    values = np.array(spend, np.float64)
    a, b = share_cuts(values, (0.7, 0.9))
    positive = values[values > 0]
    if not len(positive):
        assert np.isnan([a, b]).all()
        return
    for cut, tenths in ((a, 7), (b, 9)):
        assert 10 * positive[positive >= cut].sum() >= tenths * positive.sum()
        assert 10 * positive[positive > cut].sum() < tenths * positive.sum()


def test_frequency_tiers(draw: Draw) -> None:
    orders = [0, 1, 2, 4, 5, None]
    features = draw(orders_count_365d=orders, spend_sum_365d=[1.0] * 6)
    found = tiers_of(features, fitted(features))["frequency_tier"]
    assert found == ["none", "low", "medium", "medium", "high", None]


def test_potential_is_the_pace_of_late_over_a_longer_one(draw: Draw) -> None:
    """Since 42 and 180 days: what a pace of 1 gives is (1 - 2 ** -T / h) times h."""
    features = draw(
        days_since_first_order=[42, 180, 180, 180, None],
        spend_decay_h21d=[21 * 3 / 4, 0, -1, 5, 1],
        spend_decay_h60d=[60 * (1 - 2**-0.7) / 2, 9, 9, -1, 1],
    )
    found = potential(features)
    # Twice the pace; nothing of late; more returned than bought, of late or at all.
    assert found[:4] == pytest.approx([2, 0, 0, 0])
    assert np.isnan(found[4])


def test_segments_by_value_and_potential(draw: Draw) -> None:
    """At a threshold of 100 and of a steady pace is not above it."""
    steady = 21 * (1 - 2**-2.0), 60 * (1 - 2**-0.7)
    features = draw(
        spend_sum_365d=[200, 200, 100, 100, None],
        days_since_first_order=[42] * 5,
        spend_decay_h21d=[steady[0] * pace for pace in (2, 1, 2, 0, 1)],
        spend_decay_h60d=[steady[1]] * 5,
    )
    thresholds = replace(fitted(features), value=100.0, potential=1.5)
    found = tiers_of(features, thresholds)
    assert found["value"] == ["high", "high", "low", "low", None]
    assert found["potential"] == ["high", "low", "high", "low", "low"]
    assert found["segment"] == ["stars", "loyal", "growing", "occasional", None]


def test_a_single_customer_has_middle_scores(draw: Draw) -> None:
    features = draw(
        days_since_last_order=[3], orders_count_365d=[2], spend_sum_365d=[9.0]
    )
    found = tiers_of(features, fitted(features))
    assert found["rfm"] == [333]
    assert found["value"] == ["low"]  # not above its own spend


def test_need_is_where_a_customer_stands_highest(draw: Draw) -> None:
    """Offers 10 to 40 %, new products 80 to 20 %; c3 alone brings friends."""
    features = draw(
        spend_sum_365d=[1.0] * 4,
        offer_lines_share=[0.1, 0.2, 0.3, 0.4],
        repeat_share=[0.2, 0.8, 0.6, 0.4],
        days_count=[5, 5, 5, 5],
        referrals_count=[0, 0, 0, 1],
        shares_count=[0, 0, 0, 1],
    )
    found = tiers_of(features, fitted(features))["need"]
    # c1: offers second of four, new ones last; c3: first in offers, and only in
    # bringing friends, which is the middle of one.
    assert found == ["emotional", "rational", "rational", "rational"]


def test_need_is_null_where_one_kind_of_data_is_all(draw: Draw) -> None:
    features = draw(
        spend_sum_365d=[1.0] * 3,
        offer_lines_share=[None, 0.0, 0.5],
        repeat_share=[0.5, 1.0, 0.0],
        days_count=[9, 9, 1],
    )
    # Only new products known; both known and none of either; only offers known, as
    # nothing could be bought again within one day.
    assert tiers_of(features, fitted(features))["need"] == [None] * 3


def test_no_data_no_tier(draw: Draw) -> None:
    features = draw(days_since_last_order=[None])
    found = tiers_of(features, fitted(features))
    assert found.pop("customer_id") == ["c0"]
    assert set(map(tuple, found.values())) == {(None,)}


def test_standing_counts_equal_edges_by_half() -> None:
    values = np.array([0.0, 1.0, 1.5, 2.0, 3.0, np.nan])
    expected = np.array([0, 0.5, 1, 1.5, 2, np.nan])
    assert np.array_equal(standing(values, (1.0, 2.0)), expected, equal_nan=True)
    assert np.isnan(standing(values, (np.nan, np.nan))).all()
