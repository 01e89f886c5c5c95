"""Looking early without fooling oneself: group-sequential bounds.

Alpha is spent over the looks (Lan and DeMets, 1983, Discrete sequential boundaries
for clinical trials, Biometrika 70), so neither their number nor their moments need
be known before. Two-sided and symmetric: each side spends half of alpha.

The bounds come by integrating the joint normal density of the looks one look after
the other (Armitage, McPherson and Rowe, 1969; Jennison and Turnbull, 2000, Group
sequential methods with applications to clinical trials, chapter 19).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Literal, cast

import numpy as np
from scipy import optimize, stats

from features.history import Floats

Spending = Literal["obrien-fleming", "pocock"]

_NODES = 160
"""Gauss-Legendre nodes of each look's density: errors below 1e-7."""

_FAR = 8.0
"""A bound so far out is never crossed, and the density ends there."""


@dataclass(frozen=True)
class Look:
    """One look of a design.

    Attributes:
        fraction: information so far over that of the last look, in ``(0, 1]``.
        bound: z at or beyond which the look says "an effect"; inf: never.
        spent: alpha spent until here, both sides.
    """

    fraction: float
    bound: float
    spent: float

    @property
    def nominal(self) -> float:
        """Two-sided p value that the bound stands for."""
        return 2 * float(stats.norm.sf(self.bound))


def spent(fraction: float, alpha: float, spending: Spending) -> float:
    """Alpha, both sides, that may be spent when that much is known.

    Args:
        fraction: of the information, above 0; from 1 on all is spent.
        alpha: of the whole test, two-sided.
        spending: O'Brien-Fleming type: little early, so the last look costs next to
            nothing; Pocock type: nearly the same bound at every look.
    """
    if fraction <= 0:
        raise ValueError(f"fraction: expected above 0, got {fraction}")
    t = min(fraction, 1.0)
    if t == 1.0:
        return alpha
    if spending == "pocock":
        return alpha * math.log(1 + (math.e - 1) * t)
    side = stats.norm.isf(alpha / 4) / math.sqrt(t)
    return min(4 * float(stats.norm.sf(side)), alpha)


def looks(
    fractions: Sequence[float],
    alpha: float = 0.05,
    spending: Spending = "obrien-fleming",
    *,
    last: bool = False,
) -> tuple[Look, ...]:
    """Bounds of the looks taken so far, which later looks never change.

    Args:
        fractions: of the information planned, ascending, above 0. One above 1 is an
            overrun: it is the last look, and spends what is left.
        alpha: of the whole test, two-sided.
        spending: see ``spent``.
        last: the last fraction given is the last look, whatever it is: it spends
            all alpha that is left (the test stops short of its plan).

    Raises:
        ValueError: fractions do not ascend from above 0.
    """
    _ascending(fractions)
    found: list[Look] = []
    before = 0.0
    for k, fraction in enumerate(fractions):
        ends = last and k == len(fractions) - 1
        upto = alpha if ends else spent(fraction, alpha, spending)
        bounds = [look.bound for look in found]
        bound = _bound(fractions[: k + 1], bounds, (upto - before) / 2)
        found.append(Look(fraction, bound, upto))
        before = upto
    return tuple(found)


def crossing(
    fractions: Sequence[float], bounds: Sequence[float], drift: float = 0.0
) -> Floats:
    """Chance of crossing first at each look, either side, shape ``[look]``.

    Args:
        fractions: ascending; the last stands for the end of the plan.
        bounds: z, symmetric; inf: never crossed.
        drift: expected z at fraction 1.
    """
    _ascending(fractions)
    time = np.asarray(fractions, dtype=np.float64)
    edge = np.minimum(np.asarray(bounds, dtype=np.float64), 1e3) * np.sqrt(time)
    chance = np.empty(len(time))
    at, mass, before = np.zeros(1), np.ones(1), 0.0
    for k, t in enumerate(time):
        spread = math.sqrt(t - before)
        mean = at + drift * (t - before)
        up = stats.norm.sf((edge[k] - mean) / spread)
        down = stats.norm.cdf((-edge[k] - mean) / spread)
        chance[k] = mass @ (up + down)
        at, mass = _onward(mass, mean, spread, float(edge[k]), drift, float(t))
        before = float(t)
    return chance


@cache
def _nodes(n: int) -> tuple[Floats, Floats]:
    """Nodes and weights of Gauss and Legendre on ``(-1, 1)``."""
    return np.polynomial.legendre.leggauss(n)


def _onward(
    mass: Floats,
    mean: Floats,
    spread: float,
    edge: float,
    drift: float,
    t: float,
) -> tuple[Floats, Floats]:
    """Nodes of the score that goes on after a look, and the mass at each."""
    reach = _FAR * math.sqrt(t)
    low, high = max(-edge, drift * t - reach), min(edge, drift * t + reach)
    if low >= high:
        return np.zeros(1), np.zeros(1)
    # Short steps between looks have narrow densities: they need closer nodes.
    share = (high - low) / spread
    nodes, weights = _nodes(max(_NODES, math.ceil(share / 8) * 64))
    to = (high - low) / 2 * nodes + (high + low) / 2
    density = stats.norm.pdf((to[:, None] - mean[None, :]) / spread) / spread
    return to, (density @ mass) * weights * (high - low) / 2


def power(looks_: Sequence[Look], drift: float) -> float:
    """Chance that any look crosses its bound on either side."""
    return float(
        crossing([x.fraction for x in looks_], [x.bound for x in looks_], drift).sum()
    )


def inflation(
    fractions: Sequence[float], alpha: float, power_: float, spending: Spending
) -> float:
    """How many times the customers of one fixed look the plan asks for.

    For the same power at the same effect, if the test runs to its end.
    """
    planned = looks(fractions, alpha, spending)
    fixed = looks([1.0], alpha, spending)

    def needed(of: tuple[Look, ...]) -> float:
        return root(lambda d: power(of, d) - power_, 0.0, 12.0)

    return (needed(planned) / needed(fixed)) ** 2


def _bound(fractions: Sequence[float], before: list[float], side: float) -> float:
    """The bound at the last fraction at which each side spends ``side``."""
    if side < 1e-15:
        return math.inf
    if not before:
        return float(stats.norm.isf(side))
    time = np.asarray(fractions, dtype=np.float64)
    at, mass, past = np.zeros(1), np.ones(1), 0.0
    for t, bound in zip(time[:-1], before, strict=True):
        spread = math.sqrt(t - past)
        edge = min(bound, 1e3) * math.sqrt(t)
        at, mass = _onward(mass, at, spread, edge, 0.0, float(t))
        past = float(t)
    spread, scale = math.sqrt(time[-1] - past), math.sqrt(time[-1])

    def excess(z: float) -> float:
        return float(mass @ stats.norm.sf((z * scale - at) / spread)) - side

    if excess(_FAR) > 0 or excess(0.0) < 0:
        return math.inf if excess(0.0) < 0 else _FAR
    return root(excess, 0.0, _FAR)


def root(of: Callable[[float], float], low: float, high: float) -> float:
    """Where the function is 0 between two points at which its signs differ."""
    # The stubs allow for a second result, which only ``full_output`` gives.
    return cast(float, optimize.brentq(of, low, high, xtol=1e-12))


def _ascending(fractions: Sequence[float]) -> None:
    steps = [b - a for a, b in zip([0.0, *fractions], fractions, strict=False)]
    if not fractions or any(step <= 0 for step in steps):
        raise ValueError(
            f"fractions: expected to ascend from above 0, got {list(fractions)}"
        )
