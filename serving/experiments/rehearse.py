"""An experiment rehearsed on made-up customers whose true effect is an argument.

Plays a design many times through the statistics of a real report: how often it says
"an effect" where there is none, how often it finds one that is there, and how often
its intervals hold the truth.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from features.history import Floats
from serving.experiments import anytime, sequential
from serving.experiments.design import Test
from serving.experiments.effect import Estimate, compare
from serving.experiments.measures import Kind, Measure
from serving.experiments.moments import Moments

COVARIATE = "before"
NAMES = ("control", "treatment")


@dataclass(frozen=True)
class Crowd:
    """Customers with habits of their own, seen before and during the experiment.

    - ``share``: each buys with a probability of their own, 20 % on average.
    - ``mean``: each orders at a rate of their own, 1 on average, long-tailed.
    - ``ratio``: each sees 1 to 9 offers and clicks at a rate of their own, 10 % on
      average.

    The covariate is the same behaviour in a past of the same length.

    Attributes:
        uplift: true, relative, the same for everyone.
    """

    kind: Kind
    uplift: float = 0.0

    @property
    def measure(self) -> Measure:
        """What is compared."""
        below = "offers" if self.kind == "ratio" else None
        return Measure(self.kind, self.kind, self.kind, "did", below)

    @property
    def control(self) -> float:
        """True value of the measure without treatment."""
        return {"share": 0.2, "mean": 1.0, "ratio": 0.1}[self.kind]

    @property
    def effect(self) -> float:
        """True effect, absolute."""
        return self.control * self.uplift

    def draw(self, random: np.random.Generator, n: int, treated: bool) -> Floats:
        """``did``, ``offers`` and ``before`` of n customers, ``[customer, 3]``."""
        lift = 1 + self.uplift * treated
        offers = np.ones(n)
        if self.kind == "mean":
            habit = random.gamma(1.0, 1.0, n)
            did, before = random.poisson(habit * lift), random.poisson(habit)
        elif self.kind == "share":
            habit = random.beta(2.0, 8.0, n)
            # Cut where a chance would pass 1; so few that no figure moves.
            did = random.random(n) < habit * lift
            before = random.random(n) < habit
        else:
            habit = random.beta(4.0, 36.0, n)
            offers = random.integers(1, 10, n).astype(np.float64)
            did = random.binomial(offers.astype(int), np.minimum(habit * lift, 1))
            before = random.binomial(offers.astype(int), habit)
        return np.column_stack([did, offers, before]).astype(np.float64)


@dataclass(frozen=True)
class Rehearsal:
    """How many of the runs did what; all tests two-sided.

    Attributes:
        fixed: the test at the end alone says "an effect".
        bounds: a look crosses its bound.
        always: an always-valid interval leaves out 0 at some look.
        covered, covered_uplift: the interval at the end holds the truth.
        covered_bounds, covered_always: so do the intervals of all looks.
        variance: of the effect over the runs.
        kept: mean of what the covariates left of the variance, as the runs saw it;
            null: no covariates.
    """

    runs: int
    fixed: int
    bounds: int
    always: int
    covered: int
    covered_uplift: int
    covered_bounds: int
    covered_always: int
    variance: float
    kept: float | None


def rehearse(
    crowd: Crowd,
    test: Test,
    customers: int,
    runs: int,
    seed: int,
    *,
    adjust: bool = False,
) -> Rehearsal:
    """Play an experiment of two equal arms.

    Args:
        crowd: whom it is played on.
        test: its alpha and looks; customers come evenly.
        customers: in both arms together, at the end.
        runs: how many times.
        seed: of the first run; each has its own.
        adjust: use the covariate.
    """
    planned = test.bounds(1)
    done = [
        _run(crowd, test, planned, customers, np.random.default_rng([seed, i]), adjust)
        for i in range(runs)
    ]
    totals = [sum(column) for column in zip(*(told for told, _ in done), strict=True)]
    last = [estimate for _, estimate in done]
    effects = np.array([e.effect for e in last], dtype=np.float64)
    kept = [e.kept for e in last if e.kept is not None]
    return Rehearsal(
        runs,
        *totals,
        variance=float(effects.var(ddof=1)),
        kept=float(np.mean(kept)) if kept else None,
    )


def _run(
    crowd: Crowd,
    test: Test,
    planned: tuple[sequential.Look, ...],
    customers: int,
    random: np.random.Generator,
    adjust: bool,
) -> tuple[tuple[bool, ...], Estimate]:
    """What one run said, and its last estimate."""
    arms = [crowd.draw(random, customers // 2, treated) for treated in (False, True)]
    covariates = (COVARIATE,) if adjust else ()
    said = {"bounds": False, "always": False}
    held = {"bounds": True, "always": True}
    estimate = None
    for look, sides in zip(planned, _looks(arms, planned), strict=True):
        estimate = compare(
            crowd.measure,
            *sides,
            NAMES,
            confidence=1 - test.alpha,
            covariates=covariates,
        )
        wide = anytime.half_width(1.0, look.fraction, test.alpha)
        for name, errors in (("bounds", look.bound), ("always", wide)):
            said[name] |= not _holds(estimate, errors, 0.0)
            held[name] &= _holds(estimate, errors, crowd.effect)
    if estimate is None or estimate.p_value is None:
        raise ValueError(f"customers: expected enough to compare, got {customers}")
    return (
        estimate.p_value < test.alpha,
        said["bounds"],
        said["always"],
        _within(estimate.low, crowd.effect, estimate.high),
        _within(estimate.uplift_low, crowd.uplift, estimate.uplift_high),
        held["bounds"],
        held["always"],
    ), estimate


def _holds(estimate: Estimate, errors: float, value: float) -> bool:
    """Whether an interval of so many standard errors to each side holds the value."""
    if estimate.effect is None or estimate.std_error is None or math.isinf(errors):
        return True
    return abs(estimate.effect - value) <= errors * estimate.std_error


def _within(low: float | None, value: float, high: float | None) -> bool:
    return low is not None and high is not None and low <= value <= high


def _looks(
    arms: list[Floats], planned: tuple[sequential.Look, ...]
) -> Iterator[tuple[Moments, Moments]]:
    """Moments of both arms at every look, each from all customers so far."""
    paths = [list(_moments(arm, planned)) for arm in arms]
    yield from zip(paths[0], paths[1], strict=True)


def _moments(rows: Floats, planned: tuple[sequential.Look, ...]) -> Iterator[Moments]:
    columns = ("did", "offers", COVARIATE)
    total, squares, before = np.zeros(3), np.zeros((3, 3)), 0
    for look in planned:
        upto = round(look.fraction * len(rows))
        new = rows[before:upto]
        total, squares = total + new.sum(axis=0), squares + new.T @ new
        mean = total / upto
        # Counts are small: their squares add up without loss.
        cov = (squares - upto * np.outer(mean, mean)) / (upto - 1)
        yield Moments(columns, upto, mean, cov)
        before = upto
