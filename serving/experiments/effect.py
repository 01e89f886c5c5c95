"""One measure of one arm beside control: effect, uplift, interval, p.

A ratio is made linear at its arm's own means (delta method: Deng, Knoblich and
Lu, 2018, Applying the delta method in metric analytics, KDD, section 3), so that
means, shares and ratios, with covariates and without, are one formula: a
gradient over the columns' means.

CUPED (Deng, Xu, Kohavi and Walker, 2013, WSDM) with any number of covariates:
the coefficients are those of a regression with one slope for both arms, so the
effect is the coefficient of the arm in ordinary least squares on arm and
covariates, to the last digits.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

from scipy import special

from serving.experiments.linear import Linear, error_of, linear, rest_of, slope_of
from serving.experiments.measures import Measure
from serving.experiments.moments import Moments


@dataclass(frozen=True)
class Estimate:
    """What one arm did beside control.

    ``effect`` is absolute, in the measure's unit; ``uplift`` relative, its
    interval by the delta method on the logarithm of the ratio. Null: undefined,
    such as a ratio over nothing, or an uplift over a mean of 0 or less.

    Attributes:
        mean_control, mean_arm: with covariates, adjusted to the same covariates.
        low, high: of the effect, at ``confidence``.
        std_error: of the effect.
        freedom: degrees of freedom of the test; inf: normal.
        kept: variance left by the covariates, 1: nothing explained; null: the
            same without.
        p_value: two-sided.
        log_error: standard error of the logarithm of ``1 + uplift``.
    """

    measure: str
    arm: str
    control: str
    customers_arm: int
    customers_control: int
    mean_arm: float | None
    mean_control: float | None
    effect: float | None
    low: float | None
    high: float | None
    uplift: float | None
    uplift_low: float | None
    uplift_high: float | None
    std_error: float | None
    freedom: float | None
    p_value: float | None
    log_error: float | None
    confidence: float
    covariates: tuple[str, ...] = ()
    kept: float | None = None

    def widened(self, errors: float, p_value: float | None) -> Estimate:
        """The same with intervals so many standard errors to each side.

        For looks before the end: see ``sequential`` and ``anytime``.
        """
        if self.effect is None or self.std_error is None:
            return replace(self, p_value=p_value)
        half = errors * self.std_error
        found = replace(
            self, low=self.effect - half, high=self.effect + half, p_value=p_value
        )
        if self.uplift is None or self.log_error is None:
            return found
        # Beyond this a factor says no more, and would overflow.
        factor = math.exp(min(errors * self.log_error, 700.0))
        ratio = 1 + self.uplift
        return replace(
            found, uplift_low=ratio / factor - 1, uplift_high=ratio * factor - 1
        )

    @property
    def z(self) -> float | None:
        """Effect over its standard error; null where there is none."""
        if self.effect is None or not self.std_error:
            return None
        return self.effect / self.std_error


def compare(
    measure: Measure,
    control: Moments,
    arm: Moments,
    names: tuple[str, str],
    *,
    confidence: float = 0.95,
    covariates: tuple[str, ...] = (),
    equal_var: bool = False,
) -> Estimate:
    """The arm beside control.

    Args:
        measure: its columns are among those of the moments.
        control: moments of one row per customer.
        arm: the same columns.
        names: of control and arm.
        confidence: of the intervals.
        covariates: columns of before the assignment, besides those that do not
            vary. Empty: no adjustment. ``measure.covariates`` is not read.
        equal_var: one variance for both arms, as in Student's t and ordinary
            least squares. Otherwise Welch's t; a share without covariates is
            tested with its binomial variances and the normal distribution.

    Returns:
        Null in whatever is undefined.
    """
    binomial = measure.kind == "share" and not covariates and not equal_var
    left = linear(measure, control, covariates, binomial)
    right = linear(measure, arm, covariates, binomial)
    if left is None or right is None:
        return _undefined(measure, control, arm, names, confidence)
    slope, free = slope_of(left, right)
    shared = (left.n * left.covariate_mean + right.n * right.covariate_mean) / (
        left.n + right.n
    )
    means = [
        x.value - float(slope @ (x.covariate_mean - shared)) for x in (left, right)
    ]
    rest = [rest_of(x, slope) for x in (left, right)]
    se, freedom = error_of(left, right, rest, free, equal_var, binomial)
    before = _unadjusted(left, right)
    return _estimate(
        measure,
        names,
        (left, right),
        (means[0], means[1]),
        rest,
        (se, freedom),
        confidence,
        covariates,
        kept=se * se / before if covariates and before > 0 else None,
    )


def _unadjusted(left: Linear, right: Linear) -> float:
    return left.var / left.n + right.var / right.n


def _estimate(
    measure: Measure,
    names: tuple[str, str],
    sides: tuple[Linear, Linear],
    means: tuple[float, float],
    rest: list[float],
    error: tuple[float, float],
    confidence: float,
    covariates: tuple[str, ...],
    kept: float | None,
) -> Estimate:
    se, freedom = error
    effect = float(means[1] - means[0])
    known = se > 0 and math.isfinite(se)
    half = se * quantile(confidence, freedom) if known else None
    p = 2 * _beyond(abs(effect) / se, freedom) if known else None
    uplift = _uplift(sides, means, rest, confidence, freedom if known else None)
    return Estimate(
        measure=measure.name,
        arm=names[1],
        control=names[0],
        customers_arm=sides[1].n,
        customers_control=sides[0].n,
        mean_arm=float(means[1]),
        mean_control=float(means[0]),
        effect=effect,
        low=None if half is None else effect - half,
        high=None if half is None else effect + half,
        uplift=uplift[0],
        uplift_low=uplift[1],
        uplift_high=uplift[2],
        std_error=se if known else None,
        freedom=freedom if known else None,
        p_value=p,
        log_error=uplift[3],
        confidence=confidence,
        covariates=covariates,
        kept=kept,
    )


def quantile(confidence: float, freedom: float) -> float:
    """Standard errors on each side of an interval of that confidence."""
    upto = (1 + confidence) / 2
    if math.isinf(freedom):
        return float(special.ndtri(upto))
    return float(special.stdtrit(freedom, upto))


def _beyond(z: float, freedom: float) -> float:
    """Chance of more than ``z`` in one tail."""
    if math.isinf(freedom):
        return float(special.ndtr(-z))
    return float(special.stdtr(freedom, -z))


def _uplift(
    sides: tuple[Linear, Linear],
    means: tuple[float, float],
    rest: list[float],
    confidence: float,
    freedom: float | None,
) -> tuple[float | None, float | None, float | None, float | None]:
    """Uplift, its interval and log error, by the delta method on the log."""
    if means[0] <= 0:
        return None, None, None, None
    ratio = float(means[1] / means[0])
    if freedom is None or means[1] <= 0:
        return ratio - 1, None, None, None
    parts = [r / x.n / m**2 for x, m, r in zip(sides, means, rest, strict=True)]
    se = math.sqrt(sum(parts))
    below = sum(p * p / (x.n - 1) for p, x in zip(parts, sides, strict=True))
    own = freedom
    if math.isfinite(freedom) and below > 0:
        own = sum(parts) ** 2 / below
    half = math.exp(se * quantile(confidence, own))
    return ratio - 1, ratio / half - 1, ratio * half - 1, se


def _undefined(
    measure: Measure,
    control: Moments,
    arm: Moments,
    names: tuple[str, str],
    confidence: float,
) -> Estimate:
    return Estimate(
        measure=measure.name,
        arm=names[1],
        control=names[0],
        customers_arm=arm.count,
        customers_control=control.count,
        mean_arm=None,
        mean_control=None,
        effect=None,
        low=None,
        high=None,
        uplift=None,
        uplift_low=None,
        uplift_high=None,
        std_error=None,
        freedom=None,
        p_value=None,
        log_error=None,
        confidence=confidence,
    )
