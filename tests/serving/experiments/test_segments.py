"""Small segments are weighed too: the effect is that on all customers."""

from __future__ import annotations

import numpy as np
import pytest

from serving.experiments.measures import Measure
from serving.experiments.moments import Moments
from serving.experiments.segments import by_segment

SPENT = Measure("spent", "spent", "mean", "spent")


def group(n: int, mean: float) -> Moments:
    return Moments(("spent",), n, np.array([mean]), np.array([[4.0]]))


def test_segments_too_small_are_weighed_as_one() -> None:
    moments = {
        ("manual", "big"): group(400, 1.0),
        ("model", "big"): group(400, 2.0),
        ("manual", "few"): group(50, 1.0),
        ("model", "few"): group(50, 5.0),
        ("manual", "tiny"): group(50, 3.0),
        ("model", "tiny"): group(50, 5.0),
    }
    found = by_segment("size", SPENT, moments, ("manual", "model"))
    assert [one.value for one in found.segments] == ["big"]
    assert found.left_out == 200
    # 800 customers of effect 1, and 200 whose means are 2 and 5.
    assert found.effect == pytest.approx(0.8 * 1.0 + 0.2 * 3.0)
    # Variances of the rest: 4 within, and for control 1 between, 100 customers each.
    control, arm = (98 * 4 + 100) / 99, 98 * 4 / 99
    error = (0.8**2 * 2 * 4 / 400 + 0.2**2 * (control + arm) / 100) ** 0.5
    assert found.high is not None and found.low is not None
    assert (found.high - found.low) / 2 == pytest.approx(1.959964 * error, rel=1e-6)
