"""The health index: 0 to 100 from five dimensions, month by month.

Every dimension is the mean of its parts that have data, the index the mean of the
dimensions that exist; each part is 0 to 100, on a scale that does not depend on other
customers, so that an index of March and one of June can be compared:

| dimension | parts |
|---|---|
| consumption frequency | time since the last order in usual gaps: 100 up to one, 0 from ``gone_gaps``; days with an order of late (half-life 35 days) over those of a longer time (90 days), at most 100 %; weeks with an order of the last twelve |
| interaction depth | days with browsing in 30 days; responses to contacts in 90 days, of customers who ever responded |
| product fit | lines returned over lines bought in 90 days, where the shop records returns; mean rating |
| service rating | last CSAT; last NPS; complaints in 90 days; contacts resolved and mean time to a response in 90 days |
| social influence | referrals and shares so far |

Counts saturate: the number in the config is worth half of the points, twice as many
three quarters.

Source: row 12 of the product description.
"""

from __future__ import annotations

from calendar import monthrange
from dataclasses import dataclass
from datetime import datetime

import numpy as np
import pyarrow as pa

from features.config import HealthConfig
from features.history import Bools, Floats, Longs
from serving.insight.columns import NONE, Codes, find, number, words

DIMENSIONS = (
    "consumption_frequency",
    "interaction_depth",
    "product_fit",
    "service_rating",
    "social_influence",
)
LEVELS = ("poor", "watch", "fair", "healthy")
TRENDS = ("falling", "steady", "rising")
STEPS = 3
"""Months in a row that make a trend."""

_SHORT_DAYS, _LONG_DAYS = 35, 90
_NPS_TOP = 10
_SETS = tuple(
    ", ".join(
        name.replace("_", " ") for i, name in enumerate(DIMENSIONS) if code >> i & 1
    )
    for code in range(2 ** len(DIMENSIONS))
)


def month_cutoffs(cutoff: datetime, months: int) -> list[datetime]:
    """The cutoff and the same day of the months before it, ascending.

    A month that has no such day gives its last one, at the same time of day.
    """
    found: list[datetime] = []
    for back in range(months - 1, -1, -1):
        year, month = divmod(cutoff.year * 12 + cutoff.month - 1 - back, 12)
        day = min(cutoff.day, monthrange(year, month + 1)[1])
        found.append(cutoff.replace(year=year, month=month + 1, day=day))
    return found


def health(
    features: pa.Table, config: HealthConfig, *, has_returns: bool | None = None
) -> pa.Table:
    """The index of every row of features.

    Args:
        features: rows of ``assemble``, at one cutoff or several.
        config: scales and levels.
        has_returns: the shop records returns; None: these rows tell, which they can
            only if they are of all customers.

    Returns:
        In the same order ``customer_id``, ``cutoff``, ``DIMENSIONS`` (0 to 100, null:
        no data), ``health`` (null: no dimension has data), ``level``, and
        ``dimensions``: which of them it is the mean of, in words.
    """
    scores = np.stack(
        [
            consumption_frequency(features, config),
            interaction_depth(features, config),
            product_fit(features, config, has_returns),
            service_rating(features, config),
            social_influence(features, config),
        ]
    )
    index = _mean(scores)
    known = ~np.isnan(scores)
    which = (known * (1 << np.arange(len(DIMENSIONS)))[:, None]).sum(axis=0)
    which[~known.any(axis=0)] = NONE
    columns = dict(zip(DIMENSIONS, map(_nullable, scores), strict=True))
    return pa.table(
        {
            "customer_id": features.column("customer_id").cast(pa.string()),
            "cutoff": features.column("cutoff"),
            **columns,
            "health": _nullable(index),
            "level": words(level_of(index, config), LEVELS),
            "dimensions": words(which, _SETS),
        }
    )


def level_of(index: Floats, config: HealthConfig) -> Codes:
    """Codes of ``LEVELS``; an index at the edge of a level is in it."""
    edges = (config.watch, config.fair, config.healthy)
    codes = np.searchsorted(edges, index, side="right").astype(np.int8)
    codes[np.isnan(index)] = NONE
    return codes


def consumption_frequency(features: pa.Table, config: HealthConfig) -> Floats:
    """How often the customer buys, and how that compares with their own habit."""
    gap = np.maximum(number(features, "days_gap_mean"), config.least_gap_days)
    gaps = number(features, "days_since_last_order") / gap
    recency = 1 - (gaps - 1) / (config.gone_gaps - 1)
    known = number(features, "days_since_first_order")
    late, long = (
        # Decayed days of a steady rhythm add up to this many times its rate.
        number(features, f"days_decay_h{days}d") / (days * (1 - 0.5 ** (known / days)))
        for days in (_SHORT_DAYS, _LONG_DAYS)
    )
    weeks = _saturating(number(features, "weeks_active_84d"), config.active_weeks)
    return _mean(np.stack([_points(recency), _points(late / long), weeks]))


def interaction_depth(features: pa.Table, config: HealthConfig) -> Floats:
    """How much the customer looks and answers, ``[row]``."""
    browsing = number(features, "browse_days_count_30d")
    answers = number(features, "responses_count_90d")
    # Most people never answer a mailing and buy all the same: only a habit can break.
    ever = number(features, "responses_count") > 0
    parts = [
        _saturating(browsing, config.browse_days),
        _saturating(np.where(ever, answers, np.nan), config.responses),
    ]
    return _mean(np.stack(parts))


def product_fit(
    features: pa.Table, config: HealthConfig, has_returns: bool | None = None
) -> Floats:
    """Whether the customer keeps and likes what they bought, ``[row]``."""
    returned = number(features, "returned_share_90d")
    if has_returns is None:
        has_returns = bool((number(features, "returned_lines_count") > 0).any())
    if not has_returns:
        # Nobody ever returned anything: it is not recorded.
        returned = np.full(len(returned), np.nan)
    rating = (number(features, "rating_mean") - 1) / (config.rating_top - 1)
    kept = 1 - returned / config.returned_share
    return _mean(np.stack([_points(kept), _points(rating)]))


def service_rating(features: pa.Table, config: HealthConfig) -> Floats:
    """What the customer says of the service, and what the service did, ``[row]``."""
    csat = (number(features, "csat_last") - 1) / (config.csat_top - 1)
    wait = number(features, "response_mean_90d")
    parts = [
        _points(csat),
        _points(number(features, "nps_last") / _NPS_TOP),
        100 - _saturating(number(features, "complaints_count_90d"), 1),
        _points(number(features, "resolved_share_90d")),
        100 - _saturating(wait, config.slow_seconds),
    ]
    return _mean(np.stack(parts))


def social_influence(features: pa.Table, config: HealthConfig) -> Floats:
    """How often the customer brought others, ``[row]``."""
    acts = number(features, "referrals_count") + number(features, "shares_count")
    return _saturating(acts, config.referrals)


@dataclass(frozen=True)
class Months:
    """The index of some customers, month by month.

    Attributes:
        customer_id: of those with a row at the last cutoff, in its order.
        cutoffs: ascending, microseconds, shape ``[month]``.
        index: shape ``[customer, month]``, NaN: no customer yet, or no data.
        comparable: the same, of the dimensions only that the customer has in the
            last four months, so that a new kind of data is no rise or fall.
    """

    customer_id: pa.Array
    cutoffs: Longs
    index: Floats
    comparable: Floats

    @property
    def trend(self) -> Codes:
        """Codes of ``TRENDS``: down, or up, in each of the last three months.

        ``NONE`` where fewer than four months are known.
        """
        return _trend(self.comparable)

    def is_warned(self, alert_line: float) -> Bools:
        """The early-warning rule: falling, and the index under the line, ``[row]``."""
        return (self.trend == TRENDS.index("falling")) & (
            self.index[:, -1] < alert_line
        )


def months_of(table: pa.Table) -> Months:
    """The months of rows of ``health``, whatever their order.

    Raises:
        ValueError: no rows.
    """
    us = table.column("cutoff").cast(pa.int64()).to_numpy()
    if not len(us):
        raise ValueError("health: expected rows of at least one cutoff, got none")
    cutoffs = np.unique(us)
    ids = table.column("customer_id").combine_chunks()
    last = ids.filter(pa.array(us == cutoffs[-1]))
    scores = np.full((len(last), len(cutoffs), len(DIMENSIONS)), np.nan)
    row = find(ids, last)
    here = row.is_valid().to_numpy(zero_copy_only=False)
    place = row.fill_null(0).to_numpy()[here], np.searchsorted(cutoffs, us)[here]
    for i, name in enumerate(DIMENSIONS):
        scores[(*place, np.full(len(place[0]), i))] = number(table, name)[here]
    return Months(
        customer_id=last,
        cutoffs=cutoffs,
        index=_mean(np.moveaxis(scores, 2, 0)),
        comparable=_comparable(scores),
    )


def trend_of(scores: Floats) -> Codes:
    """Codes of ``TRENDS`` from scores ``[row, month, dimension]``; see ``Months``."""
    return _trend(_comparable(scores.astype(np.float64)))


def _comparable(scores: Floats) -> Floats:
    known = ~np.isnan(scores[:, -(STEPS + 1) :]).any(axis=1, keepdims=True)
    return _mean(np.moveaxis(np.where(known, scores, np.nan), 2, 0))


def _trend(index: Floats) -> Codes:
    last = index[:, -(STEPS + 1) :]
    steps = np.diff(last, axis=1)
    codes = np.full(len(steps), TRENDS.index("steady"), np.int8)
    codes[(steps < 0).all(axis=1)] = TRENDS.index("falling")
    codes[(steps > 0).all(axis=1)] = TRENDS.index("rising")
    if last.shape[1] <= STEPS:
        codes[:] = NONE
    codes[np.isnan(last).any(axis=1)] = NONE
    return codes


def _points(share: Floats) -> Floats:
    return 100 * np.clip(share, 0, 1)


def _saturating(count: Floats, half: float) -> Floats:
    return 100 * (1 - 0.5 ** (count / half))


def _mean(parts: Floats) -> Floats:
    """Mean over the first axis of what is no NaN; NaN where nothing is."""
    known = ~np.isnan(parts)
    n = known.sum(axis=0)
    total = np.where(known, parts, 0.0).sum(axis=0)
    return total / np.where(n > 0, n, np.nan)


def _nullable(values: Floats) -> pa.Array:
    return pa.array(values, from_pandas=True)
