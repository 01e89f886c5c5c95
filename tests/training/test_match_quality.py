"""Promised and bought, by hand."""

from __future__ import annotations

import numpy as np
import pytest

from training.match_quality import Bin, match_quality, together

PROMISED = np.array([0.0, 0.005, 0.01, 0.85, 1.0])
BOUGHT = np.array([False, True, False, True, False])


def test_a_bin_holds_its_lower_edge_and_the_last_one_holds_1() -> None:
    found = match_quality(PROMISED, BOUGHT)
    assert found.bins == (
        Bin(0.0, 0.01, 2, 0.0025, 0.5),
        Bin(0.01, 0.02, 1, 0.01, 0.0),
        Bin(0.85, 1.0, 2, 0.925, 0.5),
    )
    assert (found.pairs, found.bought) == (5, 0.4)
    # One pair in each of five bins of equal size; the other five are empty.
    assert found.ece == pytest.approx((0 + 0.995 + 0.01 + 0.15 + 1) / 5)


def test_pairs_graded_85_or_more_are_counted_from_the_edge_on() -> None:
    found = match_quality(PROMISED, BOUGHT)
    assert (found.sure, found.sure_bought) == (2, 0.5)
    below = match_quality(np.array([np.nextafter(0.85, 0)]), np.array([True]))
    assert below.sure == 0
    assert np.isnan(below.sure_bought)


def test_without_pairs_nothing_is_promised() -> None:
    found = match_quality(np.zeros(0), np.zeros(0, dtype=np.bool_))
    assert (found.pairs, found.sure, found.bins) == (0, 0, ())
    assert np.isnan([found.promised, found.bought, found.ece, found.sure_bought]).all()
    assert together((found, found)).pairs == 0


def test_cutoffs_together_have_all_pairs() -> None:
    parts = [slice(0, 2), slice(2, 4), slice(4, 5), slice(5, 5)]
    found = together(tuple(match_quality(PROMISED[p], BOUGHT[p]) for p in parts))
    whole = match_quality(PROMISED, BOUGHT)
    assert found.bins == whole.bins
    assert (found.pairs, found.sure) == (whole.pairs, whole.sure)
    assert found.promised == pytest.approx(whole.promised)
    assert found.bought == pytest.approx(whole.bought)
    assert found.sure_bought == whole.sure_bought
    # Of the three that have pairs.
    assert found.ece == pytest.approx((0.5 * (0 + 0.995) + 0.5 * (0.01 + 0.15) + 1) / 3)
