from __future__ import annotations

import re
from collections import Counter

import numpy as np

from features.assemble import FEATURES
from features.declare import Rows, ratio
from features.dimension import computed
from features.feature import Ratio


def test_names_read_quantity_statistic_window() -> None:
    orders = Rows("bought", "order")
    names = [f.name for f in (*orders.count("orders", 90, None), *orders.age("order"))]
    assert names == ["orders_count_90d", "orders_count", "days_since_last_order"]


def test_every_feature_has_its_own_name_unit_and_meaning_of_null() -> None:
    assert max(Counter(f.name for f in FEATURES).values()) == 1
    assert all(f.unit and f.null and f.dimension for f in FEATURES)
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
