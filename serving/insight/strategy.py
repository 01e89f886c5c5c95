"""The strategy matrix: what to do for each segment, and for how much money.

Source: row 11 of the product description; actions, channels and shares in
``features.insight_config``. Money is counted in whole minor units (cents), so that
what is given out is the budget, to the last one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
import pyarrow as pa

from features.config import StrategyConfig
from features.insight_config import SEGMENTS
from serving.insight.columns import codes_of


@dataclass(frozen=True)
class Measure:
    """What is done for one segment.

    Attributes:
        segment, action, channel: in words.
        customers: of the segment.
        planned_share: of the budget, as configured.
        amount: of the budget, minor units of the shop's currency.
        per_customer: whole minor units that everyone in it can get; None: nobody is.
        left: what remains of ``amount`` then, fewer units than customers.
    """

    segment: str
    action: str
    channel: str
    customers: int
    planned_share: float
    amount: int
    per_customer: int | None
    left: int


@dataclass(frozen=True)
class Strategy:
    """A budget given out.

    Attributes:
        measures: one for each segment, in the order of ``SEGMENTS``; their amounts
            add up to ``budget`` less ``unspent``.
        unsegmented: customers without a segment, for whom nothing is planned.
        budget: minor units.
        unspent: all of it where no segment with a share has a customer, else 0.
    """

    measures: tuple[Measure, ...]
    unsegmented: int
    budget: int
    unspent: int


def plan_budget(
    segments: pa.ChunkedArray | pa.Array, budget: int, config: StrategyConfig
) -> Strategy:
    """Give a budget out to the segments.

    The share of a segment without customers goes to the others, in proportion to
    theirs.

    Args:
        segments: the column of ``tiers.tier``, one row for each customer to plan for.
        budget: minor units of the shop's currency.
        config: actions, channels, shares.

    Raises:
        ValueError: the budget is below 0.
    """
    if budget < 0:
        raise ValueError(f"budget: expected 0 or more minor units, got {budget}")
    codes = codes_of(segments, SEGMENTS)
    counts = np.bincount(codes[codes >= 0], minlength=len(SEGMENTS)).tolist()
    shares = [config.plans[name].share for name in SEGMENTS]
    weights = [share if n else 0.0 for share, n in zip(shares, counts, strict=True)]
    amounts = apportion(budget, weights)
    measures = tuple(
        Measure(
            segment=name,
            action=config.plans[name].action,
            channel=config.plans[name].channel,
            customers=n,
            planned_share=config.plans[name].share,
            amount=amount,
            per_customer=amount // n if n else None,
            left=amount % n if n else 0,
        )
        for name, n, amount in zip(SEGMENTS, counts, amounts, strict=True)
    )
    return Strategy(
        measures=measures,
        unsegmented=int((codes < 0).sum()),
        budget=budget,
        unspent=budget - sum(amounts),
    )


def apportion(total: int, weights: Sequence[float]) -> list[int]:
    """Whole parts of a total in proportion to weights, that add up to it.

    Largest remainders: every part is its exact share rounded down, and what is left
    goes one by one to those cut most; of equal ones to the first.

    Args:
        total: at least 0.
        weights: at least 0 each, as decimal numbers mean them: .3 is 3/10.

    Returns:
        A part for each weight; all 0 where no weight is above 0.
    """
    exact = [Fraction(str(weight)) for weight in weights]
    whole = sum(exact)
    if not whole:
        return [0] * len(exact)
    quotas = [total * weight / whole for weight in exact]
    parts = [int(quota) for quota in quotas]
    cut = sorted(range(len(quotas)), key=lambda i: parts[i] - quotas[i])
    for i in cut[: total - sum(parts)]:
        parts[i] += 1
    return parts
