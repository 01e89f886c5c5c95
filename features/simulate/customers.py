"""Who the customers of a chunk are, and what is true of each."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime

import numpy as np
import pyarrow as pa

from features.simulate import columns
from features.simulate.columns import Array
from features.simulate.world import World
from features.snapshot import DAY_US, to_us

CHANNELS = ("app", "web", "store")
_SEGMENTS = ("single", "couple", "family", "senior")
_REGIONS = ("north", "east", "south", "west")
_TIERS = ("basic", "silver", "gold")
_FAVOURITES = 6
_PREFERRED_CATEGORIES = 3
_CONSENT, _UNKNOWN = 0.95, 0.1
_JOINED_DAYS = 1000
_LATELY_DAYS = 90
_OLDEST, _YOUNGEST = (to_us(datetime(y, 1, 1)) // DAY_US for y in (1940, 2005))


@dataclass(frozen=True)
class People:
    """Customers of one chunk; every array has one row each, times in shop days.

    Attributes:
        number: of the customer in the whole shop.
        joined: may lie up to 1000 days before the start.
        since: from when on events are drawn: joining, or the start.
        until: dropout, or the end of the data.
        order_rate: unplanned orders a day.
        quality: of service, 0 worst to 1 best.
        uplift: relative rise of unplanned orders in a campaign that contacts
            them, at least -1.
        asks: makes presale contacts before orders.
        lot: (customer, campaign) drawn in [0, 1), which decides on a contact; 2 for
            whoever cannot be contacted.
        targeted: (customer, campaign) the campaign would contact.
        held_out: (customer, campaign) left alone although the campaign would.
        favourites: (customer, 6) products.
        categories: (customer, 3) preferred categories.
    """

    number: Array
    ids: pa.Array
    joined: Array
    since: Array
    dropout: Array
    until: Array
    order_rate: Array
    quality: Array
    uplift: Array
    asks: Array
    consent: Array
    channel: Array
    lot: Array
    targeted: Array
    held_out: Array
    favourites: Array
    categories: Array

    def __len__(self) -> int:
        return len(self.number)


def people_of(
    rng: np.random.Generator, world: World, number: Array, width: int
) -> People:
    """Draw customers; ``number`` and ``width`` make their ids."""
    n, truths, last = len(number), world.truths, world.calendar.last
    joined, since, dropout, quality = _stays(rng, world, n)
    consent = rng.random(n) < _CONSENT
    starts = world.campaigns.starts
    lot = rng.random((n, len(starts)), np.float32)
    lot[(joined[:, None] >= starts) | ~consent[:, None]] = 2
    targeted = lot < truths.campaign_reach
    alone = rng.random((n, len(starts)), np.float32) < truths.held_out
    mean_rate, shape = truths.orders_per_month / 30, truths.order_rate_shape
    products = world.products
    preferred = products.at(rng.random((n, _PREFERRED_CATEGORIES)))
    return People(
        number=number,
        ids=columns.digits("c", number, width),
        joined=joined,
        since=since,
        dropout=dropout,
        until=np.minimum(dropout, last),
        order_rate=rng.gamma(shape, mean_rate / shape, n),
        quality=quality,
        uplift=np.maximum(rng.normal(truths.uplift, truths.uplift_spread, n), -1),
        asks=rng.random(n) < truths.asking_share,
        consent=consent,
        channel=rng.integers(len(CHANNELS), size=n),
        lot=lot,
        targeted=targeted,
        held_out=alone,
        favourites=products.at(rng.random((n, _FAVOURITES))),
        categories=products.category[preferred],
    )


def aimed(world: World, people: People, customer: Array, day: Array) -> People:
    """The same people, with campaigns that prefer whoever ordered of late.

    Only a holdout among the contacted is random then: to compare them with all others
    is not to compare like with like.

    Args:
        world: with ``targeting``; nothing changes where it is 0.
        people: of the chunk.
        customer: of unplanned orders as they would be without campaigns.
        day: shop day of each.
    """
    truths = world.truths
    if not truths.targeting:
        return people
    reach = truths.campaign_reach
    targeted = np.empty_like(people.targeted)
    for campaign, start in enumerate(world.campaigns.starts):
        lately = customer[(day >= start - _LATELY_DAYS) & (day < start)]
        orders = np.bincount(lately, minlength=len(people))
        odds = reach * (1.0 + orders) ** truths.targeting
        targeted[:, campaign] = people.lot[:, campaign] < odds / (odds + 1 - reach)
    return replace(people, targeted=targeted)


def _stays(
    rng: np.random.Generator, world: World, n: int
) -> tuple[Array, Array, Array, Array]:
    """Joining, first day in the data, dropout, and quality of service.

    The dropout rate is drawn per customer, multiplied by ``service_dropout`` at
    quality 0 and divided by it at quality 1. Who joined before the start has
    not dropped out by then.
    """
    truths, calendar = world.truths, world.calendar
    joined = np.where(
        rng.random(n) < truths.joined_before,
        calendar.first - rng.uniform(0, _JOINED_DAYS, n),
        rng.uniform(calendar.first, calendar.last, n),
    )
    since = np.maximum(joined, calendar.first)
    quality = rng.beta(2, 2, n)
    rate = rng.gamma(truths.lifetime_shape, 1 / truths.lifetime_shape, n)
    rate *= truths.service_dropout ** (1 - 2 * quality) / truths.lifetime_days
    dropout = since + rng.exponential(1, n) / np.maximum(rate, 1e-12)
    return joined, since, dropout, quality


def wanted(
    rng: np.random.Generator,
    world: World,
    people: People,
    customer: Array,
) -> Array:
    """Products of unplanned lines: a favourite, a preferred category, or any.

    Favourites and categories are drawn by share of sales themselves, so that
    over all customers a product keeps its share.
    """
    n = len(customer)
    how, which, u = rng.random((3, n))
    truths, products = world.truths, world.products
    slot = (which * _PREFERRED_CATEGORIES).astype(np.int64)
    category = people.categories[customer, slot]
    low = products.cumulative[products.bounds[category]]
    high = products.cumulative[products.bounds[category + 1]]
    in_category = how >= 1 - truths.category_focus
    drawn = products.at(np.where(in_category, low + u * (high - low), u))
    slot = (which * _FAVOURITES).astype(np.int64)
    return np.where(how < truths.loyalty, people.favourites[customer, slot], drawn)


def customers_table(rng: np.random.Generator, world: World, people: People) -> pa.Table:
    """A row per customer, and a second period for some of them."""
    n, calendar = len(people), world.calendar
    changed = rng.random(n) < world.truths.changed_profiles
    later = people.since + rng.random(n) * (calendar.last - people.since)
    row = np.concatenate([np.arange(n), np.flatnonzero(changed)])
    second = np.arange(len(row)) >= n

    def word(words: tuple[str, ...]) -> pa.Array:
        return columns.coded(rng.integers(len(words), size=n)[row], words)

    tier = rng.integers(len(_TIERS) - 1, size=n)
    born = rng.integers(_OLDEST, _YOUNGEST, n) * DAY_US
    return pa.table(
        {
            "customer_id": people.ids.take(pa.array(row)),
            "valid_from": columns.moments(calendar.us(later[row]), ~second),
            "joined_at": columns.moments(calendar.us(people.joined[row])),
            "segment": word(_SEGMENTS),
            "region": word(_REGIONS),
            "birthday": columns.moments(born[row], rng.random(n)[row] < _UNKNOWN),
            "member_tier": columns.coded(tier[row] + second, _TIERS),
            "points_balance": rng.integers(0, 500, n)[row] + 400.0 * second,
            "acquisition_cost": rng.gamma(2, 5, n).round(2)[row],
            "preferred_channel": columns.coded(people.channel[row], CHANNELS),
            "consent": pa.array(people.consent[row]),
            "household_size": rng.integers(1, 6, n)[row].astype(np.float64),
            "newsletter": pa.array((rng.random(n) < 0.4)[row]),
        }
    )


def truths_table(world: World, people: People) -> pa.Table:
    """What is true of each customer; ``dropout_at`` is null if after the end."""
    calendar = world.calendar
    stays = people.dropout >= calendar.last
    return pa.table(
        {
            "customer_id": people.ids,
            "active_from": columns.moments(calendar.us(people.since)),
            "dropout_at": columns.moments(calendar.us(people.until), stays),
            "active_days": people.until - people.since,
            "unplanned_orders_per_day": people.order_rate,
            "service_quality": people.quality,
            "uplift": people.uplift,
            "asks_before_buying": pa.array(people.asks),
        }
    )
