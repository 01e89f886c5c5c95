"""What the shop plans: promotions, campaigns and the manual lists for them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from features.contracts import CAMPAIGNS
from features.simulate import columns
from features.simulate.calendar import Calendar
from features.simulate.columns import Array
from features.simulate.products import Products
from features.simulate.truths import Truths
from features.snapshot import DAY_US

EVENT = CAMPAIGNS.column("kind").kinds.index("event")

_KINDS = ("display", "mailer", "price", "coupon")
_PRICE, _CUT = 2, 0.2
_LEAD_DAYS, _CHOSEN_DAYS = 7, 3
_OWNERS = ("marketing", "category", "store")


@dataclass(frozen=True)
class Promotions:
    """Promoted products, week by week.

    Attributes:
        product: the promoted, one week after the other.
        cumulative: share of the week's promoted sales, plus the week's number.
        share: per week, what the promoted sell of all, without the promotion.
        price_cut: (week, product) share taken off by a price promotion.
    """

    product: Array
    cumulative: Array
    share: Array
    price_cut: Array

    def drawn(self, rng: np.random.Generator, week: Array) -> Array:
        """A promoted product for each week, by its sales."""
        place = week + rng.random(len(week))
        at = np.searchsorted(self.cumulative[:-1], place, side="right")
        return self.product[at] if len(at) else at


def promotions_of(
    rng: np.random.Generator, truths: Truths, calendar: Calendar, products: Products
) -> tuple[Promotions, pa.Table]:
    """Draw whole weeks of promotions; a plan is fixed a week before it starts."""
    n_weeks, n = int(np.ceil(calendar.last / 7)), len(products.share)
    shape = n_weeks, round(truths.promoted_products * n)
    chosen = [rng.choice(n, shape[1], replace=False) for _ in range(n_weeks)]
    product = np.array(chosen, np.int64).reshape(shape)
    kind = rng.integers(len(_KINDS), size=shape)
    weight = products.share[product]
    total = weight.sum(axis=1)
    within = np.cumsum(weight, axis=1) / np.maximum(total, 1e-300)[:, None]
    # Exactly, so that a draw of the next week never falls into this one.
    within[:, -1:] = 1
    week = np.broadcast_to(np.arange(n_weeks)[:, None], shape)
    price_cut = np.zeros((n_weeks, n), np.float32)
    price_cut[week, product] = np.where(kind == _PRICE, _CUT, 0)
    starts = calendar.us(7.0 * week.ravel())
    lower = np.where(kind == _PRICE, products.price[product] * (1 - _CUT), np.nan)
    table = pa.table(
        {
            "product_id": products.ids.take(pa.array(product.ravel())),
            "starts_at": columns.moments(starts),
            "ends_at": columns.moments(starts + 7 * DAY_US),
            "kind": columns.coded(kind.ravel(), _KINDS),
            "price": columns.numbers(lower.round(2).ravel()),
            "reach": rng.uniform(0.2, 1, product.size).round(2),
            "known_at": columns.moments(starts - _LEAD_DAYS * DAY_US),
        }
    )
    cumulative = (within + week).ravel()
    return Promotions(product.ravel(), cumulative, total, price_cut), table


@dataclass(frozen=True)
class Campaigns:
    """Campaigns by start, in shop days; they do not overlap."""

    ids: pa.Array
    starts: Array
    days: float
    kind: Array

    def running(self, day: Array) -> Array:
        """The campaign at each shop day, -1 for none."""
        latest = np.searchsorted(self.starts, day, side="right") - 1
        is_over = day >= self.starts[latest] + self.days
        return np.where((latest < 0) | is_over, -1, latest)


def campaigns_of(
    rng: np.random.Generator, truths: Truths, calendar: Calendar
) -> tuple[Campaigns, pa.Table]:
    """Campaigns from Mondays, evenly spaced; every kind has its turn."""
    n, days = truths.campaigns, 7 * truths.campaign_weeks
    first = int(np.ceil(calendar.first / 7))
    room = int(calendar.last // 7) - first
    starts = 7.0 * (first + np.arange(n) * room // n)
    kinds = CAMPAIGNS.column("kind").kinds
    kind = np.arange(n) % len(kinds)
    ids = columns.digits("k", np.arange(n), 3)
    us = calendar.us(starts)
    table = pa.table(
        {
            "campaign_id": ids,
            "kind": columns.coded(kind, kinds),
            "starts_at": columns.moments(us),
            "ends_at": columns.moments(us + days * DAY_US),
            "cost": rng.uniform(500, 20_000, n).round(2),
        }
    )
    return Campaigns(ids, starts, float(days), kind), table


def picks_table(
    rng: np.random.Generator,
    truths: Truths,
    calendar: Calendar,
    products: Products,
    campaigns: Campaigns,
) -> pa.Table:
    """A list per campaign: best sellers in a share of the slots, chance elsewhere."""
    picked: list[Array] = []
    for start in campaigns.starts:
        there = np.flatnonzero(products.launched <= start - _CHOSEN_DAYS)
        best = there[np.argsort(-products.sold[there], kind="stable")]
        slots = min(truths.picks_per_campaign, len(best))
        good = int(rng.binomial(slots, truths.pick_quality))
        rest = rng.choice(best[good:], slots - good, replace=False)
        picked.append(np.concatenate([best[:good], rest]))
    lengths = [len(line) for line in picked]
    code = np.repeat(np.arange(len(lengths)), lengths)
    campaign_id = campaigns.ids.take(pa.array(code))
    chosen = calendar.us(campaigns.starts[code] - _CHOSEN_DAYS)
    return pa.table(
        {
            "list": campaign_id,
            "product_id": products.ids.take(pa.array(np.concatenate(picked))),
            "rank": np.concatenate([np.arange(1.0, n + 1) for n in lengths]),
            "owner": columns.coded(code % len(_OWNERS), _OWNERS),
            "chosen_at": columns.moments(chosen),
            "campaign_id": campaign_id,
            "customer_id": pa.nulls(len(code), pa.string()),
        }
    )
