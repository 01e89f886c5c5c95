"""What is high in this shop: quantiles of its customers, recomputed every quarter.

Within a quarter the thresholds stand still, so that a customer who moves between two
weeks moved by their own doing and not because others did.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

import numpy as np
import pyarrow as pa

from features.config import TagsConfig, TiersConfig
from features.history import Bools, Floats
from serving.insight.columns import number, quantiles
from serving.insight.indicators import need_indicators, order_amount, potential

FIFTHS = (0.2, 0.4, 0.6, 0.8)
TWENTIETHS = tuple(i / 20 for i in range(1, 20))


@dataclass(frozen=True)
class Thresholds:
    """Numbers that stand for one quarter; NaN: no customer to tell it from.

    Attributes:
        as_of: moment of the tables that they are quantiles of.
        order_amount: "low" below the first, "high" above the second; mean net spend
            of an order in the last 365 days.
        discount: the same for the share of order lines bought on offer.
        usual_gap: median of the customers' mean gaps between days with an order, days.
        recency, frequency, spend: fifths of days since the last order (negative, so
            that more is better), orders, and net spend of the last 365 days.
        a_spend, b_spend: least net spend of the last 365 days of A, and of B.
        value: spend of the last 365 days above which value is high.
        potential: ``indicators.potential`` above which potential is high.
        rational, emotional, social: twentieths of the indicators of
            ``indicators.need_indicators``, of customers where they are above 0.
    """

    as_of: datetime
    order_amount: tuple[float, ...]
    discount: tuple[float, ...]
    usual_gap: float
    recency: tuple[float, ...]
    frequency: tuple[float, ...]
    spend: tuple[float, ...]
    a_spend: float
    b_spend: float
    value: float
    potential: float
    rational: tuple[float, ...]
    emotional: tuple[float, ...]
    social: tuple[float, ...]


def quarter_start(moment: datetime) -> datetime:
    """The first midnight of the quarter that a moment is in; of a start, itself."""
    return datetime(moment.year, 3 * ((moment.month - 1) // 3) + 1, 1)


def threshold_moment(cutoff: datetime, first_known: datetime) -> datetime:
    """At which moment the thresholds of a cutoff are taken.

    The start of its quarter; the cutoff itself where no purchase was known before
    that, so that a shop has tiers from its first week on, also where its history was
    loaded late. ``Thresholds.as_of`` says which.
    """
    start = quarter_start(cutoff)
    return start if first_known < start else cutoff


def fit_thresholds(
    features: pa.Table, tags: TagsConfig, tiers: TiersConfig
) -> Thresholds:
    """The thresholds of one moment.

    Args:
        features: rows of ``assemble`` at the moment; all of one cutoff.
        tags: which quantiles.
        tiers: which quantiles and shares.

    Raises:
        ValueError: no customer, or several cutoffs.
    """
    moments = features.column("cutoff").unique().to_pylist()
    if len(moments) != 1:
        raise ValueError(
            f"thresholds: expected features of one cutoff, got {len(moments)}"
        )
    spend = number(features, "spend_sum_365d")
    a_spend, b_spend = share_cuts(spend, (tiers.a_share, tiers.b_share))
    needs = {
        name: quantiles(values[values > 0], TWENTIETHS)
        for name, values in need_indicators(features).items()
    }
    return Thresholds(
        as_of=moments[0],
        order_amount=quantiles(order_amount(features), (tags.low, tags.high)),
        discount=quantiles(
            number(features, "offer_lines_share"), (tags.low, tags.high)
        ),
        usual_gap=quantiles(number(features, "days_gap_mean"), (0.5,))[0],
        recency=quantiles(-number(features, "days_since_last_order"), FIFTHS),
        frequency=quantiles(number(features, "orders_count_365d"), FIFTHS),
        spend=quantiles(spend, FIFTHS),
        a_spend=a_spend,
        b_spend=b_spend,
        value=quantiles(spend, (tiers.value_high,))[0],
        potential=quantiles(potential(features), (tiers.potential_high,))[0],
        rational=needs["rational"],
        emotional=needs["emotional"],
        social=needs["social"],
    )


def share_cuts(spend: Floats, shares: tuple[float, ...]) -> tuple[float, ...]:
    """The spend at which the best customers together reach each share of all.

    Args:
        spend: of each customer; what is below 0 counts as 0.
        shares: of the sum.

    Returns:
        The spend of the customer with whom the share is reached: everyone with as
        much or more is within it. NaN where nobody spent anything.
    """
    positive: Bools = spend > 0
    best = -np.sort(-spend[positive])
    if not len(best):
        return tuple(float("nan") for _ in shares)
    reached = np.cumsum(best)
    # A share of a sum of floats: what is reached but for rounding is reached.
    wanted = np.asarray(shares) * reached[-1] * (1 - 1e-12)
    at = np.minimum(np.searchsorted(reached, wanted, side="left"), len(best) - 1)
    return tuple(float(value) for value in best[at])
