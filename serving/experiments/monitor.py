"""A running experiment, looked at: what may be said now.

Two answers, both honest about the looks taken: at a registered look the bound of its
design, and at any moment the always-valid interval, which is wider.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from serving.experiments import anytime, sequential
from serving.experiments.design import Design
from serving.experiments.effect import Estimate


@dataclass(frozen=True)
class Monitored:
    """One arm beside control, as far as is known.

    Attributes:
        fraction: customers so far over those of the design; may exceed 1.
        bound: z of this look; inf: nothing can be said; null: not a look.
        at_look: the estimate with the repeated interval of this look (Jennison and
            Turnbull, 2000, chapter 9); null: not a look, or nothing can be said.
        always: the estimate with its always-valid interval and p value.
        crossed: whether the registered look says "an effect".
    """

    fraction: float
    bound: float | None
    at_look: Estimate | None
    always: Estimate
    crossed: bool


def monitor(
    estimate: Estimate,
    design: Design,
    taken: Sequence[float],
    *,
    is_look: bool,
    last: bool = False,
) -> Monitored:
    """What the estimate of the primary measure says before the end.

    Args:
        estimate: of all customers so far, windows over, from ``effect.compare``.
        design: registered before the start.
        taken: fractions of the looks taken before this one, ascending, as they were.
        is_look: whether this one is registered too. A look that is not, such as a
            curious one, must not use the bound.
        last: the experiment ends with this look, whatever its fraction.

    Raises:
        ValueError: no customers came since the last look.
    """
    treatments = design.treatments
    alpha = design.alpha / treatments
    seen = estimate.customers_arm + estimate.customers_control
    fraction = seen / design.pair_customers(estimate.arm)
    errors = anytime.half_width(1.0, fraction, alpha)
    p = None if estimate.z is None else anytime.p_value(estimate.z, fraction, alpha)
    always = estimate.widened(errors, p)
    if not is_look:
        return Monitored(fraction, None, None, always, crossed=False)
    look = sequential.looks([*taken, fraction], alpha, design.spending, last=last)[-1]
    if look.bound == float("inf"):
        return Monitored(fraction, look.bound, None, always, crossed=False)
    found = estimate.widened(look.bound, estimate.p_value)
    crossed = estimate.z is not None and abs(estimate.z) >= look.bound
    return Monitored(fraction, look.bound, found, always, crossed)
