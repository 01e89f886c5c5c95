"""The average customer's curve: counted by hand, steady where little was seen."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.special import expit

from training.marginal import marginal_odds


def test_share_of_those_observed_to_the_end_of_each_day() -> None:
    # Per thousand rows: 100 buy on day 1, 300 of the other 900 on day 3, and 300
    # of the 600 left are lost from sight after day 4, before 150 of 300 buy on day 6.
    n = 1000
    days = np.repeat([0.5, 2.0, np.inf, 5.9, np.inf], [100, 300, 300, 150, 150])
    mature = np.repeat([9.0, 9.0, 4.0, 9.0, 9.0], [100, 300, 300, 150, 150])
    within = expit(marginal_odds(np.tile(days, n), np.tile(mature, n)))
    expected = [0.1, 0.1, 0.4, 0.4, 0.4, 0.7, 0.7, 0.7, 0.7]
    assert within[:9] == pytest.approx(expected, abs=1e-3)


@pytest.mark.parametrize("days", [np.inf, 0.0, 3.0])
@pytest.mark.parametrize("rows", [0, 1, 50])
def test_is_finite_and_never_decreases(rows: int, days: float) -> None:
    odds = marginal_odds(np.full(rows, days), np.full(rows, 20.0))
    assert odds.shape == (180,)
    assert np.isfinite(odds).all()
    assert (np.diff(odds) >= 0).all()


def test_nobody_bought_is_close_to_zero_for_as_long_as_was_seen() -> None:
    within = expit(marginal_odds(np.full(200, np.inf), np.full(200, 30.0)))
    assert within[29] < 0.01
