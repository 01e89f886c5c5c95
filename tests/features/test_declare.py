from __future__ import annotations

import re
from collections import Counter

import numpy as np

from features.assemble import FEATURES
from features.browse import BROWSE
from features.declare import ALL, Rows, difference, ratio
from features.dimension import columns_read, computed
from features.feature import Ratio
from features.purchase import PURCHASE


def test_names_read_quantity_statistic_window() -> None:
    orders = Rows("bought", "order")
    names = [f.name for f in (*orders.count("orders", 90, None), *orders.age("order"))]
    assert names == ["orders_count_90d", "orders_count", "days_since_last_order"]


def test_every_feature_has_its_own_name_unit_and_meaning_of_null() -> None:
    assert max(Counter(f.name for f in FEATURES).values()) == 1
    assert all(f.unit and f.null and f.meaning and f.dimension for f in FEATURES)
    assert all(re.fullmatch("[a-z][a-z0-9_]*", f.name) for f in FEATURES)


def test_the_window_in_a_name_is_the_declared_window() -> None:
    for feature in FEATURES:
        days = re.search(r"_(\d+)d$", feature.name)
        if days and "decay_h" not in feature.name and not isinstance(feature, Ratio):
            assert feature.window_days == int(days[1])


def test_an_undefined_ratio_is_null() -> None:
    wide = {"top": np.array([1.0, 1.0, np.nan]), "under": np.array([4.0, 0.0, 2.0])}
    declared = (
        ratio("part", "top", "under", times=2.0),
        ratio("rest", "part", "under", complement=True),
    )
    found = computed(wide, declared)
    np.testing.assert_array_equal(found["part"], [0.5, np.nan, np.nan])
    np.testing.assert_array_equal(found["rest"], [0.875, np.nan, np.nan])


def test_a_difference_may_use_what_was_computed_before_it() -> None:
    wide = {"last": np.array([5.0, np.nan]), "mean": np.array([2.0, 1.0])}
    declared = (
        difference("trend", "last", "mean", "points"),
        ratio("relative", "trend", "mean"),
        difference("rest", "last", "trend", "points"),
    )
    found = computed(wide, declared)
    np.testing.assert_array_equal(found["trend"], [3.0, np.nan])
    np.testing.assert_array_equal(found["relative"], [1.5, np.nan])
    np.testing.assert_array_equal(found["rest"], [2.0, np.nan])


def test_the_meaning_is_written_from_the_declaration() -> None:
    orders = Rows("bought", "order")
    said = {
        f.name: f.meaning
        for f in (
            *orders.count("orders", 90),
            *orders.age("order"),
            *ALL.each("order", "order_amount", "max", "amount", "EUR"),
            *ALL.trailing("sent_since_last_response", "response", 30),
            *ALL.decayed("orders", 7),
            ratio("trend", "a", "b", times=3.0),
            ratio("opened", "a", "b", note="may exceed 1"),
            ratio("rest", "a", "b", complement=True),
            difference("change", "a", "b", "EUR"),
        )
    }
    assert said == {
        "orders_count_90d": "number of orders in the last 90 days",
        "days_since_last_order": "days from the last order to the cutoff",
        "order_amount_max": "largest order amount (total by order)",
        "sent_since_last_response_30d": (
            "number of sent since the last response in the last 30 days"
        ),
        "orders_decay_h7d": (
            "number of orders, each times 0.5 ** (its age in days / 7)"
        ),
        "trend": "3 * a / b",
        "opened": "a / b: may exceed 1",
        "rest": "1 - a / b",
        "change": "a - b",
    }


def test_only_keeps_what_the_named_features_are_computed_of() -> None:
    kept = PURCHASE.only(["overdue_spreads"])
    assert [f.name for f in kept.features] == [
        "days_since_last_order",
        "days_gap_mean",
        "days_gap_spread",
        "overdue_days",
        "overdue_spreads",
    ]
    # Lines that repeat read nothing if no feature of theirs is kept.
    assert columns_read([kept]) == {"purchases": {"quantity", "order"}}


def test_derived_events_say_which_columns_they_read() -> None:
    carts = BROWSE.only(["bought_carts_count_30d"])
    read = columns_read([carts])
    assert read["browses"] == {"kind", "product"}
    assert read["purchases"] == {"quantity", "product"}
    amounts = PURCHASE.only(["order_amount_max"])
    assert columns_read([amounts])["purchases"] == {"quantity", "order", "amount"}
