"""Every tag on drawn tables, at its thresholds and beside them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime

import numpy as np
import pyarrow as pa
import pytest

from features import config
from features.config import TagsConfig, TiersConfig
from features.contracts import SettingError
from serving.insight.tags import tag
from serving.insight.thresholds import Thresholds, fit_thresholds, threshold_moment

RULES, TIERS = TagsConfig(), TiersConfig()
Draw = Callable[..., pa.Table]


def preferred(n: int) -> pa.Table:
    texts = pa.nulls(n, pa.dictionary(pa.int32(), pa.string()))
    return pa.table(
        {
            "customer_id": [f"c{i}" for i in range(n)],
            "preferred_category": texts,
            "preferred_channel": texts,
            "preferred_hour": pa.nulls(n, pa.int16()),
        }
    )


def tags_of(
    features: pa.Table,
    thresholds: Thresholds,
    churn: pa.Table | None = None,
    names: pa.Table | None = None,
) -> dict[str, list[object]]:
    names = preferred(features.num_rows) if names is None else names
    return tag(features, churn, names, thresholds, RULES).to_pydict()


@pytest.fixture
def thresholds(draw: Draw) -> Thresholds:
    """Of one customer, who had one order: nothing is high or low beside them."""
    one = draw(spend_sum_365d=[10.0], orders_count_365d=[1.0])
    return fit_thresholds(one, RULES, TIERS)


def test_spending_power_is_of_the_mean_order(
    draw: Draw, thresholds: Thresholds
) -> None:
    features = draw(
        spend_sum_365d=[40, 38, 160, 161, 0, -5],
        orders_count_365d=[2, 2, 2, 2, 0, 1],
    )
    found = tags_of(features, replace(thresholds, order_amount=(20.0, 80.0)))
    # 20, 19, 80, 80.5, no order in the year, returns above purchases.
    assert found["spending_power"] == ["medium", "low", "medium", "high", None, "low"]


def test_all_equal_or_alone_is_in_the_middle(draw: Draw) -> None:
    for n in (1, 5):
        features = draw(
            spend_sum_365d=[30.0] * n,
            orders_count_365d=[3.0] * n,
            offer_lines_share=[0.4] * n,
        )
        fitted = fit_thresholds(features, RULES, TIERS)
        found = tags_of(features, fitted)
        assert found["spending_power"] == ["medium"] * n
        assert found["price_sensitivity"] == ["medium"] * n


@pytest.mark.parametrize(
    ("gap", "pace"),
    [
        (1, "weekly"),
        (10, "weekly"),
        (10.01, "monthly"),
        (45, "monthly"),
        (46, "quarterly"),
        (135, "quarterly"),
        (136, "rarely"),
        (None, "once"),
    ],
)
def test_purchase_frequency(
    gap: float | None, pace: str, draw: Draw, thresholds: Thresholds
) -> None:
    found = tags_of(draw(days_gap_median=[gap]), thresholds)
    assert found["purchase_frequency"] == [pace]


def test_who_never_buys_on_offer_is_not_price_sensitive(
    draw: Draw, thresholds: Thresholds
) -> None:
    features = draw(offer_lines_share=[0, 0.1, 0.3, 0.31, None])
    for low, expected in ((0.1, "medium"), (0.0, "medium"), (0.2, "low")):
        found = tags_of(features, replace(thresholds, discount=(low, 0.3)))
        wanted = ["low", expected, "medium", "high", None]
        assert found["price_sensitivity"] == wanted


def test_lifecycle_by_usual_gaps(draw: Draw, thresholds: Thresholds) -> None:
    """The usual gap is 10 days: at risk at 20, dormant at 40, lost at 80."""
    quiet = [19.9, 20, 39.9, 40, 79.9, 80]
    n = len(quiet)
    features = draw(
        days_since_last_order=quiet,
        days_since_first_order=[300] * n,
        days_gap_mean=[10] * n,
    )
    found = tags_of(features, thresholds)["lifecycle"]
    assert found == ["active", "at risk", "at risk", "dormant", "dormant", "lost"]


def test_new_until_the_day(draw: Draw, thresholds: Thresholds) -> None:
    """One order each; the shop's usual gap is 30 days."""
    features = draw(
        days_since_last_order=[1, 59.9, 59.9, 60],
        days_since_first_order=[1, 59.9, 59.9, 60],
    )
    shop = replace(thresholds, usual_gap=30.0)
    assert tags_of(features, shop)["lifecycle"] == ["new", "new", "new", "at risk"]
    # Where nobody came twice, the floor of 7 days is the usual gap: 59.9 is lost.
    assert tags_of(features, thresholds)["lifecycle"] == ["new", "lost", "lost", "lost"]


def test_a_short_gap_counts_as_a_week(draw: Draw, thresholds: Thresholds) -> None:
    features = draw(
        days_since_last_order=[13.9, 14],
        days_since_first_order=[300, 300],
        days_gap_mean=[1, 1],
    )
    assert tags_of(features, thresholds)["lifecycle"] == ["active", "at risk"]


def test_nobody_is_kept_beyond_the_longest_time(
    draw: Draw, thresholds: Thresholds
) -> None:
    features = draw(
        days_since_last_order=[729, 730],
        days_since_first_order=[2000, 2000],
        days_gap_mean=[400, 400],
    )
    assert tags_of(features, thresholds)["lifecycle"] == ["active", "lost"]


def test_churn_risk_puts_at_risk_who_still_comes(
    draw: Draw, thresholds: Thresholds
) -> None:
    features = draw(
        days_since_last_order=[1, 1, 1],
        days_since_first_order=[300, 300, 300],
        days_gap_mean=[10, 10, 10],
    )
    churn = pa.table(
        {"customer_id": ["c0", "c1", "c2"], "churn_risk": [0.5, 0.499, None]}
    )
    found = tags_of(features, thresholds, churn)["lifecycle"]
    assert found == ["at risk", "active", "active"]
    with pytest.raises(ValueError, match="churn: expected rows of the 3 customers"):
        tags_of(features, thresholds, churn.slice(1))


def test_the_stated_channel_comes_before_the_usual_one(
    draw: Draw, thresholds: Thresholds
) -> None:
    features = draw(preferred_channel=["app", None, None])
    names = pa.table(
        {
            "customer_id": ["c1", "c0"],
            "preferred_category": pa.array(["tea", "milk"]).dictionary_encode(),
            "preferred_channel": pa.array(["web", "store"]).dictionary_encode(),
            "preferred_hour": pa.array([9, 17], pa.int16()),
        }
    )
    found = tags_of(features, thresholds, names=names)
    assert found["preferred_channel"] == ["app", "web", None]
    assert found["preferred_category"] == ["milk", "tea", None]
    assert found["preferred_hour"] == [17, 9, None]


def test_without_any_data_every_tag_but_once_is_null(
    draw: Draw, thresholds: Thresholds
) -> None:
    found = tags_of(draw(days_gap_median=[None]), thresholds)
    assert found.pop("customer_id") == ["c0"]
    assert found.pop("purchase_frequency") == ["once"]
    assert set(map(tuple, found.values())) == {(None,)}


def test_thresholds_are_of_the_quarter(draw: Draw) -> None:
    first = datetime(2024, 1, 2)
    for cutoff, moment in (
        (datetime(2024, 6, 30, 23, 59), datetime(2024, 4, 1)),
        (datetime(2024, 7, 1), datetime(2024, 7, 1)),
        (datetime(2024, 3, 31), datetime(2024, 3, 31)),  # no purchase before January
    ):
        assert threshold_moment(cutoff, first) == moment
    both = pa.concat_tables(
        [draw(spend_sum_365d=[1.0]), draw(moment, spend_sum_365d=[1.0])]
    )
    with pytest.raises(ValueError, match="features of one cutoff, got 2"):
        fit_thresholds(both, RULES, TIERS)
    nobody = draw(spend_sum_365d=[1.0]).slice(1)
    with pytest.raises(ValueError, match="features of one cutoff, got 0"):
        fit_thresholds(nobody, RULES, TIERS)


def test_config_must_ascend() -> None:
    with pytest.raises(SettingError, match=r"tags: expected low <= high"):
        config.load(None, ("tags.low=0.9",))
    with pytest.raises(SettingError, match=r"tiers: expected a_share <= b_share"):
        config.load(None, ("tiers.b_share=0.5",))
    assert np.isclose(config.load(None, ("tags.low=.1",)).tags.low, 0.1)
