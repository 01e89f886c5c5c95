"""The effect by segment: where it is larger, and whether it differs at all."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from scipy import stats

from serving.experiments.effect import Estimate, compare
from serving.experiments.measures import Measure
from serving.experiments.moments import Moments, pooled
from serving.experiments.multiplicity import benjamini_hochberg

SMALLEST = 100
"""A segment with fewer customers in either arm is not looked at by itself."""


@dataclass(frozen=True)
class Segment:
    """One segment; ``p_adjusted`` is Benjamini and Hochberg's over its column."""

    value: str
    estimate: Estimate
    p_adjusted: float | None


@dataclass(frozen=True)
class Segments:
    """A measure of one arm beside control, by one column.

    Attributes:
        column: must be known before the assignment.
        segments: in the order of their values.
        left_out: customers of segments too small to be looked at by themselves.
        p_differ: chance of effects that far apart if they were all the same
            (Cochran's Q, which is the Wald test of the interaction); null: fewer
            than two segments.
        effect, low, high, p_value: of all customers, each segment weighed by its own
            (post-stratified), those too small as one; null: no segment.
    """

    column: str
    measure: str
    arm: str
    segments: tuple[Segment, ...]
    left_out: int
    p_differ: float | None
    effect: float | None
    low: float | None
    high: float | None
    p_value: float | None


def by_segment(
    column: str,
    measure: Measure,
    moments: Mapping[tuple[str, ...], Moments],
    names: tuple[str, str],
    confidence: float = 0.95,
    covariates: tuple[str, ...] = (),
) -> Segments:
    """Effect of one arm beside control in every segment.

    Args:
        column: what makes the segments.
        measure: what is compared.
        moments: by (arm, value of the column).
        names: of control and arm.
        confidence: of the intervals, each by itself.
        covariates: see ``effect.compare``.
    """
    values = sorted({value for _, value in moments})
    found: dict[str, Estimate] = {}
    left_out = 0
    small: tuple[list[Moments], list[Moments]] = ([], [])
    for value in values:
        sides = [moments.get((name, value)) for name in names]
        sizes = [side.count if side else 0 for side in sides]
        control, arm = sides
        if control is None or arm is None or min(sizes) < SMALLEST:
            left_out += sum(sizes)
            for side, rest in zip(sides, small, strict=True):
                rest += [side] if side is not None else []
            continue
        found[value] = compare(
            measure,
            control,
            arm,
            names,
            confidence=confidence,
            covariates=covariates,
        )
    adjusted = benjamini_hochberg([e.p_value for e in found.values()])
    segments = tuple(
        Segment(value, estimate, p)
        for (value, estimate), p in zip(found.items(), adjusted, strict=True)
    )
    known = [e for e in found.values() if e.effect is not None and e.std_error]
    if all(small) and known:
        # Left out, they would make it the effect on other customers.
        sides = [pooled(rest) for rest in small]
        rest = compare(
            measure,
            sides[0],
            sides[1],
            names,
            confidence=confidence,
            covariates=covariates,
        )
        known_too = [rest] if rest.effect is not None and rest.std_error else []
        overall = _weighed([*known, *known_too], confidence)
    else:
        overall = _weighed(known, confidence)
    return Segments(
        column, measure.name, names[1], segments, left_out, _differ(known), *overall
    )


def _differ(estimates: list[Estimate]) -> float | None:
    if len(estimates) < 2:
        return None
    effect = np.array([e.effect for e in estimates], dtype=np.float64)
    weight = np.array([e.std_error for e in estimates], dtype=np.float64) ** -2.0
    apart = effect - (weight @ effect) / weight.sum()
    return float(stats.chi2.sf(weight @ apart**2, len(estimates) - 1))


def _weighed(
    estimates: list[Estimate], confidence: float
) -> tuple[float | None, float | None, float | None, float | None]:
    if not estimates:
        return None, None, None, None
    n = np.array([e.customers_arm + e.customers_control for e in estimates])
    share = n / n.sum()
    effect = float(share @ np.array([e.effect for e in estimates], dtype=np.float64))
    errors = np.array([e.std_error for e in estimates], dtype=np.float64)
    error = float(np.sqrt(share**2 @ errors**2))
    half = error * float(stats.norm.ppf((1 + confidence) / 2))
    p = 2 * float(stats.norm.sf(abs(effect) / error))
    return effect, effect - half, effect + half, p
