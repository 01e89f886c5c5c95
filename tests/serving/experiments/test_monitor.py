from __future__ import annotations

import math

import numpy as np
import pytest

from serving.experiments.anytime import half_width
from serving.experiments.assign import Arm
from serving.experiments.design import Baseline, Design
from serving.experiments.effect import Estimate, compare
from serving.experiments.measures import Measure
from serving.experiments.moments import Moments
from serving.experiments.monitor import monitor
from serving.experiments.sequential import looks

ARMS = (Arm("manual", 4), Arm("model", 4), Arm("holdout", 2, holdout=True))
DESIGN = Design(
    "m",
    ARMS,
    0.05,
    0.8,
    (0.5, 1.0),
    "obrien-fleming",
    0.1,
    10_000,
    30,
    14,
    (),
    Baseline("m", "mean", 1.0, 1.0, 1.0, 1),
)


def estimate(z: float, n: int) -> Estimate:
    """An effect z standard errors of sqrt(2 / n) from 0."""
    sides = [
        Moments(("m",), n, np.array([mean]), np.eye(1))
        for mean in (1.0, 1.0 + z * math.sqrt(2 / n))
    ]
    return compare(
        Measure("m", "m", "mean", "m"), sides[0], sides[1], ("manual", "model")
    )


def test_a_registered_look_half_way() -> None:
    # Control and model are 8,000 of the 10,000.
    bound = looks([0.5])[0].bound
    for z, crossed in ((bound + 0.01, True), (bound - 0.01, False)):
        found = monitor(estimate(z, 2000), DESIGN, [], look=0.5)
        assert found.fraction == 0.5
        assert found.crossed is crossed
        assert found.at_look is not None
        assert (found.at_look.low > 0) is crossed
        assert found.bound == pytest.approx(bound)


def test_the_always_valid_interval_needs_no_look() -> None:
    found = monitor(estimate(2.5, 3000), DESIGN, [0.5], look=None)
    assert found.bound is found.at_look is None and not found.crossed
    error = math.sqrt(2 / 3000)
    assert found.always.high - found.always.low == pytest.approx(
        2 * half_width(error, 0.75)
    )
    assert found.always.p_value > 0.05 > estimate(2.5, 3000).p_value


def test_the_last_look_spends_what_is_left() -> None:
    early = monitor(estimate(2.1, 3000), DESIGN, [0.5], look=0.75)
    ended = monitor(estimate(2.1, 3000), DESIGN, [0.5], look=0.75, last=True)
    assert not early.crossed and ended.crossed
    first = monitor(estimate(9.0, 40), DESIGN, [], look=0.01)
    assert first.bound == math.inf and first.at_look is None and not first.crossed


def test_arms_share_alpha_and_must_be_known() -> None:
    three = Design(**{**vars(DESIGN), "arms": (*ARMS[:2], Arm("bold", 2))})
    found = monitor(estimate(2.1, 4000), three, [], look=1.0)
    assert found.bound == pytest.approx(2.2414, abs=1e-4)
    with pytest.raises(ValueError, match="arm"):
        DESIGN.pair_customers("bold")
    with pytest.raises(ValueError, match="ascend"):
        monitor(estimate(1.0, 2000), DESIGN, [0.5], look=0.5)


def test_a_look_has_the_bound_of_its_plan_however_the_draw_filled_the_pair() -> None:
    # 8,100 of the 8,000 planned are there at a look planned for .95: it spends no
    # more than its share, and the last one has a bound of its own.
    early = monitor(estimate(1.0, 4050), DESIGN, [], look=0.95)
    assert early.fraction > 1 and early.bound == looks([0.95])[0].bound
    last = monitor(estimate(1.0, 4000), DESIGN, [0.95], look=1.0, last=True)
    assert last.bound == looks([0.95, 1.0])[1].bound < math.inf


def test_intervals_name_the_confidence_of_the_design() -> None:
    loose = Design(**{**vars(DESIGN), "alpha": 0.1})
    found = monitor(estimate(1.0, 2000), loose, [], look=0.5)
    assert found.at_look is not None
    assert found.at_look.confidence == found.always.confidence == 0.9
