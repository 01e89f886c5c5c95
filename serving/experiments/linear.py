"""A measure as a mean of one number per customer, and what covariates take off it."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from features.history import Floats
from serving.experiments.measures import Measure
from serving.experiments.moments import Moments


@dataclass(frozen=True, eq=False)
class Linear:
    """A measure in one arm: its value, and its moments with the covariates.

    Attributes:
        n: customers.
        var: per customer, of the linear form.
        with_covariates: covariances, ``[covariate]``.
        covariate_mean, covariate_cov: ``[covariate]`` and its square.
    """

    n: int
    value: float
    var: float
    with_covariates: Floats
    covariate_mean: Floats
    covariate_cov: Floats


def linear(
    measure: Measure,
    moments: Moments,
    covariates: tuple[str, ...] = (),
    binomial: bool = False,
) -> Linear | None:
    """The measure as a mean of one number per customer.

    Args:
        measure: what is measured.
        moments: of an arm.
        covariates: columns, for the covariances with them.
        binomial: the variance of a share is ``p * (1 - p)``.

    Returns:
        None: the measure is undefined in this arm.
    """
    if moments.count < 2:
        return None
    places = moments.places(measure.columns)
    mean = moments.mean[places]
    gradient = np.ones(1)
    value = float(mean[0])
    if measure.kind == "ratio":
        if mean[1] <= 0:
            return None
        value = float(mean[0] / mean[1])
        gradient = np.array([1.0, -value]) / mean[1]
    z = moments.places(covariates)
    var = float(gradient @ moments.cov[np.ix_(places, places)] @ gradient)
    if binomial:
        var = value * (1 - value)
    return Linear(
        n=moments.count,
        value=value,
        var=var,
        with_covariates=gradient @ moments.cov[np.ix_(places, z)],
        covariate_mean=moments.mean[z],
        covariate_cov=moments.cov[np.ix_(z, z)],
    )


def slope_of(left: Linear, right: Linear) -> tuple[Floats, Floats]:
    """Slopes of one regression for both arms, and the inverse of its scatter."""
    scatter = sum((x.n - 1) * x.covariate_cov for x in (left, right))
    shared = sum((x.n - 1) * x.with_covariates for x in (left, right))
    # Columns of very different size: scaled, so that the inverse is exact.
    size = np.sqrt(np.diag(scatter))
    size = np.where(size > 0, size, 1.0)
    inverse = np.linalg.pinv(scatter / np.outer(size, size), rcond=1e-10)
    inverse = inverse / np.outer(size, size)
    return inverse @ shared, inverse


def rest_of(x: Linear, slope: Floats) -> float:
    """Variance that the covariates leave; rounding never makes it negative."""
    rest = x.var - 2 * slope @ x.with_covariates + slope @ x.covariate_cov @ slope
    return max(float(rest), 0.0)


def error_of(
    left: Linear,
    right: Linear,
    rest: list[float],
    inverse: Floats,
    equal_var: bool,
    binomial: bool,
) -> tuple[float, float]:
    """Standard error of the effect, and degrees of freedom."""
    n, k = np.array([left.n, right.n], dtype=np.float64), len(inverse)
    apart = right.covariate_mean - left.covariate_mean
    # The slope is estimated too: it matters where the arms' covariates differ.
    lever = float(apart @ inverse @ apart)
    freedom = float(n.sum() - 2 - k)
    common = float((n - 1) @ rest) / freedom if freedom > 0 else math.nan
    if equal_var:
        return math.sqrt(common * (float((1 / n).sum()) + lever)), freedom
    parts = np.array(rest) / n
    se = math.sqrt(float(parts.sum()) + (common * lever if k else 0.0))
    if binomial:
        return se, math.inf
    below = float((parts**2 / (n - 1)).sum())
    return se, float(parts.sum()) ** 2 / below if below > 0 else math.inf
