"""What is drawn once: calendar, products, campaigns, promotions, manual lists.

Times inside the simulation are *shop days*: days since the Monday on or before
the start, on a clock that runs fast when people shop. ``Calendar`` turns them
into timestamps. Both clocks agree at every week's end, so that windows of whole
weeks are the same on both.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

import numpy as np
import pyarrow as pa

from features.simulate import columns
from features.simulate.columns import Array
from features.simulate.truths import Truths
from features.snapshot import DAY_US, to_us

_WEEKDAYS = (0.9, 0.85, 0.9, 1.0, 1.3, 1.5, 0.55)
_HOURS = (
    *(0.1,) * 7,
    *(0.4, 0.8, 1.1, 1.3, 1.4, 1.3, 1.1, 1.0, 1.1),
    *(1.4, 1.8, 2.0, 1.9, 1.5, 1.0, 0.6, 0.2),
)
_OF_WEEK = np.outer(_WEEKDAYS, _HOURS).ravel()
_SHOPPED = np.concatenate([[0.0], np.cumsum(_OF_WEEK) / _OF_WEEK.sum()])
"""Share of the week's shopping that is over, hour by hour."""
_KINDS = ("discount", "coupon", "gift", "bundle", "event", "kol", "other")
_PROMOTION_KINDS = ("display", "mailer", "price", "coupon")
_PRICE, _CUT = 2, 0.2
_LEAD_DAYS = 7


@dataclass(frozen=True)
class Calendar:
    """Shop days and timestamps.

    Attributes:
        origin: the Monday midnight that is shop day 0.
        first, last: the span of the data in shop days.
    """

    origin: datetime
    first: float
    last: float

    def us(self, days: Array) -> Array:
        """Microseconds since 1970, to the second, of shop days."""
        week = np.floor(np.asarray(days) / 7)
        hours = np.interp(days / 7 - week, _SHOPPED, np.arange(169))
        seconds = np.floor((week * 168 + hours) * 3600 + 1e-6)
        return to_us(self.origin) + seconds.astype(np.int64) * 1_000_000


def calendar_of(truths: Truths) -> Calendar:
    """The calendar over the span of the data."""
    midnight = datetime(truths.start.year, truths.start.month, truths.start.day)
    origin = midnight - timedelta(days=midnight.weekday())

    def shop_day(moment: datetime) -> float:
        week, hours = divmod((moment - origin) / timedelta(hours=1), 168)
        return 7 * (week + float(np.interp(hours, np.arange(169), _SHOPPED)))

    return Calendar(origin, shop_day(truths.start), shop_day(truths.end))


@dataclass(frozen=True)
class World:
    """The shop without its customers; products are ordered by category.

    Attributes:
        share: of unplanned sales, per product; sums to 1.
        cumulative: of ``share``, led by 0.
        category: code per product; ``category_ends`` bounds its products.
        cycle: days per product, NaN where it is not replenished.
        launched: shop day per product, -inf where it was always there.
        elder: product of the same category sold before the launch.
        promoted_ends: (weeks + 1) bounds into ``promoted``, week by week.
        promoted_cumulative: share of the week's promoted sales, plus the week.
        promoted_share: per week, of all sales without promotion.
        price_cut: (week, product) share taken off by a price promotion.
        campaign_starts: shop days; campaigns do not overlap.
        tables: products, campaigns, promotions and picks, as in the contract.
        truths: what is true of the products.
    """

    calendar: Calendar
    share: Array
    cumulative: Array
    category: Array
    category_ends: Array
    cycle: Array
    price: Array
    launched: Array
    elder: Array
    promoted: Array
    promoted_cumulative: Array
    promoted_share: Array
    price_cut: Array
    campaign_starts: Array
    campaign_kinds: Array
    product_ids: pa.Array
    campaign_ids: pa.Array
    tables: dict[str, pa.Table]
    truths: pa.Table


def world_of(truths: Truths, seed: int) -> World:
    """Draw the world; the same truths and seed give the same world."""
    rng = np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(0,)))
    calendar = calendar_of(truths)
    n, n_categories = truths.products, truths.categories
    # Every category has a product; the first of each is always there.
    category = np.sort(
        np.concatenate(
            [np.arange(n_categories), rng.integers(n_categories, size=n - n_categories)]
        )
    )
    ends = np.searchsorted(category, np.arange(n_categories + 1))
    share = np.empty(n)
    share[rng.permutation(n)] = np.arange(1, n + 1.0) ** -truths.popularity_exponent
    share /= share.sum()
    cycle = np.full(n, np.nan)
    replenished = rng.random(n) < truths.replenished_products
    cycle[replenished] = np.maximum(
        truths.cycle_days * rng.lognormal(0, 0.4, int(replenished.sum())), 2
    )
    base = rng.lognormal(1.6, 0.6, n_categories)
    price = np.round(base[category] * rng.lognormal(0, 0.4, n), 2) + 0.5
    launched, elder = _launches(rng, calendar, category, ends, replenished)
    ids = columns.digits("p", np.arange(n), max(4, len(str(n - 1))))
    promoted = _promotions(rng, truths, calendar, share, price, ids)
    starts = _campaign_starts(truths, calendar)
    kinds = np.arange(truths.campaigns) % len(_KINDS)
    campaign_ids = columns.digits("k", np.arange(truths.campaigns), 3)
    sold = _sold_per_day(truths, share, cycle)
    return World(
        calendar=calendar,
        share=share,
        cumulative=np.concatenate([[0], np.cumsum(share)]),
        category=category,
        category_ends=ends,
        cycle=cycle,
        price=price,
        launched=launched,
        elder=elder,
        promoted=promoted.products,
        promoted_cumulative=promoted.cumulative,
        promoted_share=promoted.share,
        price_cut=promoted.price_cut,
        campaign_starts=starts,
        campaign_kinds=kinds,
        product_ids=ids,
        campaign_ids=campaign_ids,
        tables={
            "products": _products_table(
                rng, calendar, ids, category, price, cycle, launched
            ),
            "campaigns": _campaigns_table(
                rng, truths, calendar, campaign_ids, starts, kinds
            ),
            "promotions": promoted.table,
            "picks": _picks_table(
                rng, truths, calendar, ids, campaign_ids, starts, sold, launched
            ),
        },
        truths=pa.table(
            {
                "product_id": ids,
                "cycle_days": columns.numbers(cycle),
                "unplanned_share": share,
                "sold_per_customer_day": sold,
            }
        ),
    )


def _launches(
    rng: np.random.Generator,
    calendar: Calendar,
    category: Array,
    ends: Array,
    replenished: Array,
) -> tuple[Array, Array]:
    """One product in twenty comes within the span; an elder sells before."""
    n = len(category)
    new = (rng.random(n) < 0.05) & ~replenished
    elder = ends[category]
    new[elder] = False
    launched = np.full(n, -np.inf)
    launched[new] = rng.uniform(calendar.first, calendar.last, int(new.sum()))
    return launched, elder


def _sold_per_day(truths: Truths, share: Array, cycle: Array) -> Array:
    """Expected lines per product, customer and day, without promotions."""
    planned = np.where(np.isnan(cycle), 0, share)
    if planned.sum() > 0:
        planned = planned / planned.sum() * truths.replenished_items
    unplanned = truths.orders_per_month / 30 * truths.lines_per_order * share
    return unplanned + planned / np.where(np.isnan(cycle), np.inf, cycle)


@dataclass(frozen=True)
class _Promotions:
    products: Array
    cumulative: Array
    share: Array
    price_cut: Array
    table: pa.Table


def _promotions(
    rng: np.random.Generator,
    truths: Truths,
    calendar: Calendar,
    share: Array,
    price: Array,
    ids: pa.Array,
) -> _Promotions:
    """Whole weeks; a plan is fixed a week before it starts."""
    n_weeks, n = int(np.ceil(calendar.last / 7)), len(share)
    per_week = round(truths.promoted_products * n)
    chosen = np.array(
        [rng.choice(n, per_week, replace=False) for _ in range(n_weeks)], np.int64
    ).reshape(n_weeks, per_week)
    kinds = rng.integers(len(_PROMOTION_KINDS), size=chosen.shape)
    weights = share[chosen]
    total = weights.sum(axis=1)
    # The last bound is exactly the next week's first: no draw falls between.
    within = np.cumsum(weights, axis=1) / np.where(total > 0, total, 1)[:, None]
    within[:, -1:] = 1
    week = np.arange(n_weeks)[:, None]
    cuts = np.zeros((n_weeks, n), np.float32)
    cuts[np.broadcast_to(week, chosen.shape), chosen] = np.where(
        kinds == _PRICE, _CUT, 0
    )
    starts = calendar.us(np.repeat(7.0 * np.arange(n_weeks), per_week))
    lower = np.where(kinds == _PRICE, price[chosen] * (1 - _CUT), np.nan)
    table = pa.table(
        {
            "product_id": ids.take(pa.array(chosen.ravel())),
            "starts_at": columns.moments(starts),
            "ends_at": columns.moments(starts + 7 * DAY_US),
            "kind": columns.coded(kinds.ravel(), _PROMOTION_KINDS),
            "price": columns.numbers(lower.round(2).ravel()),
            "reach": rng.uniform(0.2, 1, chosen.size).round(2),
            "known_at": columns.moments(starts - _LEAD_DAYS * DAY_US),
        }
    )
    return _Promotions(chosen.ravel(), (within + week).ravel(), total, cuts, table)


def _campaign_starts(truths: Truths, calendar: Calendar) -> Array:
    """Mondays, evenly spaced, each campaign within the span."""
    first = int(np.ceil(calendar.first / 7))
    room = int(calendar.last // 7) - first
    return 7.0 * (first + np.arange(truths.campaigns) * room // truths.campaigns)


def _campaigns_table(
    rng: np.random.Generator,
    truths: Truths,
    calendar: Calendar,
    ids: pa.Array,
    starts: Array,
    kinds: Array,
) -> pa.Table:
    us = calendar.us(starts)
    return pa.table(
        {
            "campaign_id": ids,
            "kind": columns.coded(kinds, _KINDS),
            "starts_at": columns.moments(us),
            "ends_at": columns.moments(us + 7 * truths.campaign_weeks * DAY_US),
            "cost": rng.uniform(500, 20_000, len(starts)).round(2),
        }
    )


def _picks_table(
    rng: np.random.Generator,
    truths: Truths,
    calendar: Calendar,
    ids: pa.Array,
    campaign_ids: pa.Array,
    starts: Array,
    sold: Array,
    launched: Array,
) -> pa.Table:
    """A list per campaign: best sellers in a share of the slots, chance elsewhere."""
    k = truths.picks_per_campaign
    picked: list[Array] = []
    for start in starts:
        there = np.flatnonzero(launched <= start - 3)
        best = there[np.argsort(-sold[there], kind="stable")]
        good = int(rng.binomial(k, truths.pick_quality))
        rest = rng.choice(best[good:], min(k, len(best)) - good, replace=False)
        picked.append(np.concatenate([best[:good], rest]))
    campaign = np.repeat(np.arange(len(starts)), [len(p) for p in picked])
    return pa.table(
        {
            "list": campaign_ids.take(pa.array(campaign)),
            "product_id": ids.take(pa.array(np.concatenate(picked))),
            "rank": np.concatenate([np.arange(1.0, len(p) + 1) for p in picked]),
            "owner": columns.coded(campaign % 3, ("marketing", "category", "store")),
            "chosen_at": columns.moments(calendar.us(starts[campaign] - 3)),
            "campaign_id": campaign_ids.take(pa.array(campaign)),
            "customer_id": pa.nulls(len(campaign), pa.string()),
        }
    )


def _products_table(
    rng: np.random.Generator,
    calendar: Calendar,
    ids: pa.Array,
    category: Array,
    price: Array,
    cycle: Array,
    launched: Array,
) -> pa.Table:
    n = len(category)
    part, brand = rng.integers(5, size=n), rng.integers(60, size=n)
    lasts = np.where(rng.random(n) < 0.2, rng.integers(12, 60, n) * 30.0, np.nan)
    always = np.isinf(launched)
    return pa.table(
        {
            "product_id": ids,
            "name": [f"article {p}" for p in range(n)],
            "category": [f"category {c:02}" for c in category],
            "subcategory": [
                f"category {c:02}.{s}" for c, s in zip(category, part, strict=True)
            ],
            "brand": [f"brand {b:02}" for b in brand],
            "price": price,
            "margin_rate": rng.uniform(0.1, 0.5, n).round(3),
            "service_life_days": columns.numbers(
                np.where(np.isnan(cycle), lasts, cycle.round())
            ),
            "launched_at": columns.moments(
                calendar.us(np.where(always, 0, launched)), always
            ),
            "available": rng.random(n) < 0.98,
        }
    )
