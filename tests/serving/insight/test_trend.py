"""The trend against scipy's regression."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import linregress, t

from serving.insight.figures import LEAST_POINTS, trend

POINT = st.one_of(st.none(), st.integers(-1000, 1000))


@settings(max_examples=60, deadline=None)
@given(st.lists(POINT, min_size=4, max_size=9))
def test_slope_and_interval_are_those_of_a_regression(values: list) -> None:
    row = np.array([[np.nan if v is None else v for v in values]], dtype=np.float64)
    slope, low, high, used = trend(row)
    x = np.flatnonzero(~np.isnan(row[0]))
    assert used[0] == len(x)
    if len(x) < LEAST_POINTS:
        assert np.isnan(slope[0])
        return
    peer = linregress(x, row[0, x])
    # Of equal values it makes no interval.
    wide = t.ppf(0.975, len(x) - 2) * np.nan_to_num(peer.stderr)
    assert slope[0] == pytest.approx(peer.slope, abs=1e-6)
    assert (high[0] - low[0]) / 2 == pytest.approx(wide, rel=1e-4, abs=1e-4)


def test_a_straight_line_has_no_width() -> None:
    slope, low, high, _ = trend(np.array([[1.0, 3.0, 5.0, 7.0], [2.0, 2.0, 2.0, 2.0]]))
    assert slope.tolist() == low.tolist() == high.tolist() == [2.0, 0.0]
