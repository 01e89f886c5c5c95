"""A running experiment, looked at: what may be said now.

Two answers, both honest about the looks taken: at a registered look the bound of its
design, and at any moment the always-valid interval, which is wider.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from serving.experiments import anytime, sequential
from serving.experiments.design import Design
from serving.experiments.effect import Estimate


@dataclass(frozen=True)
class Monitored:
    """One arm beside control, as far as is known.

    Attributes:
        fraction: customers of both arms so far over those of the design; may
            exceed 1.
        bound: z of this look; inf: nothing can be said; null: not a look.
        at_look: the estimate with the repeated interval of this look (Jennison and
            Turnbull, 2000, chapter 9); null: not a look, or nothing can be said.
        always: the estimate with its always-valid interval and p value. Both are at
            a confidence of 1 - alpha of the design, over all looks and treatments.
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
    look: float | None,
    last: bool = False,
) -> Monitored:
    """What the estimate of the primary measure says before the end.

    Args:
        estimate: of all customers so far, windows over, from ``effect.compare``.
        design: registered before the start.
        taken: planned fractions of the looks taken before this one, ascending.
        look: planned fraction of this one. It stands for the pair's own, which differs
            by chance: with three arms the draw may fill one pair before the others.
            None: not registered, such as a curious one, which must not use the bound.
        last: the experiment ends with this look, whatever its fraction.

    Raises:
        ValueError: the look is not after those taken.
    """
    treatments = design.treatments
    alpha = design.alpha / treatments
    seen = estimate.customers_arm + estimate.customers_control
    fraction = seen / design.pair_customers(estimate.arm)
    errors = anytime.half_width(1.0, fraction, alpha)
    p = None if estimate.z is None else anytime.p_value(estimate.z, fraction, alpha)
    # The intervals below are at the confidence of the design, whatever was asked for.
    stated = replace(estimate, confidence=1 - design.alpha)
    always = stated.widened(errors, p)
    if look is None:
        return Monitored(fraction, None, None, always, crossed=False)
    bounds = sequential.looks([*taken, look], alpha, design.spending, last=last)
    bound = bounds[-1].bound
    if bound == float("inf"):
        return Monitored(fraction, bound, None, always, crossed=False)
    found = stated.widened(bound, estimate.p_value)
    crossed = estimate.z is not None and abs(estimate.z) >= bound
    return Monitored(fraction, bound, found, always, crossed)
