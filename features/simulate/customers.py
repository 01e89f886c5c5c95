"""Who the customers of a chunk are, and what is true of each."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

import numpy as np
import pyarrow as pa

from features.simulate import columns
from features.simulate.columns import Array
from features.simulate.truths import Truths
from features.simulate.world import World
from features.snapshot import DAY_US, to_us

CHANNELS = ("app", "web", "store")
_SEGMENTS = ("single", "couple", "family", "senior")
_REGIONS = ("north", "east", "south", "west")
_TIERS = ("basic", "silver", "gold")
_FAVOURITES = 6
_PREFERRED_CATEGORIES = 3


@dataclass(frozen=True)
class People:
    """Customers of one chunk; every array has one row each, times in shop days.

    Attributes:
        number: of the customer in the whole shop.
        since: from when on events are drawn: joining, or the start.
        until: dropout, or the end of the data.
        order_rate: unplanned orders a day.
        quality: of service, 0 worst to 1 best.
        uplift: relative rise of unplanned orders after a contact.
        asks: makes presale contacts before orders.
        targeted: (customer, campaign) the campaign would contact.
        held_out: (customer, campaign) of those, left alone.
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
    targeted: Array
    held_out: Array
    favourites: Array
    categories: Array

    def __len__(self) -> int:
        return len(self.number)


def people_of(
    rng: np.random.Generator,
    truths: Truths,
    world: World,
    number: Array,
    width: int,
) -> People:
    """Draw customers; ``number`` and ``width`` make their ids."""
    n, calendar = len(number), world.calendar
    before = rng.random(n) < truths.joined_before
    joined = np.where(
        before,
        calendar.first - rng.uniform(0, 1000, n),
        rng.uniform(calendar.first, calendar.last, n),
    )
    since = np.maximum(joined, calendar.first)
    quality = rng.beta(2, 2, n)
    rate = rng.gamma(truths.lifetime_shape, 1 / truths.lifetime_shape, n)
    rate *= truths.service_dropout ** (1 - 2 * quality) / truths.lifetime_days
    dropout = since + rng.exponential(1, n) / np.maximum(rate, 1e-12)
    mean_rate = truths.orders_per_month / 30
    shape = truths.order_rate_shape
    consent = rng.random(n) < 0.95
    starts = world.campaign_starts
    there = (joined[:, None] < starts) & consent[:, None]
    reached = rng.random((n, len(starts)), np.float32) < truths.campaign_reach
    alone = rng.random((n, len(starts)), np.float32) < truths.held_out
    drawn = np.searchsorted(world.cumulative[1:-1], rng.random((n, _FAVOURITES)))
    loved = np.searchsorted(
        world.cumulative[1:-1], rng.random((n, _PREFERRED_CATEGORIES))
    )
    return People(
        number=number,
        ids=columns.digits("c", number, width),
        joined=joined,
        since=since,
        dropout=dropout,
        until=np.minimum(dropout, calendar.last),
        order_rate=rng.gamma(shape, mean_rate / shape, n),
        quality=quality,
        uplift=np.maximum(rng.normal(truths.uplift, truths.uplift_spread, n), -1),
        asks=rng.random(n) < truths.asking_share,
        consent=consent,
        channel=rng.integers(len(CHANNELS), size=n),
        targeted=there & reached,
        held_out=there & reached & alone,
        favourites=drawn,
        categories=world.category[loved],
    )


def customers_table(
    rng: np.random.Generator, truths: Truths, world: World, people: People
) -> pa.Table:
    """A row per customer, and a second period for some of them."""
    n, calendar = len(people), world.calendar
    changed = rng.random(n) < truths.changed_profiles
    later = people.since + rng.uniform(0, 1, n) * (calendar.last - people.since)
    row = np.concatenate([np.arange(n), np.flatnonzero(changed)])
    second = np.arange(len(row)) >= n
    tier = rng.integers(len(_TIERS) - 1, size=n)
    oldest, youngest = to_us(datetime(1940, 1, 1)), to_us(datetime(2005, 1, 1))
    birth_days = rng.integers(oldest // DAY_US, youngest // DAY_US, n)
    points = rng.integers(0, 500, n)
    fixed = {
        "segment": columns.coded(rng.integers(len(_SEGMENTS), size=n)[row], _SEGMENTS),
        "region": columns.coded(rng.integers(len(_REGIONS), size=n)[row], _REGIONS),
        "birthday": columns.moments(
            (birth_days * DAY_US)[row], rng.random(n)[row] < 0.1
        ),
    }
    return pa.table(
        {
            "customer_id": people.ids.take(pa.array(row)),
            "valid_from": columns.moments(calendar.us(later[row]), ~second),
            "joined_at": columns.moments(calendar.us(people.joined[row])),
            **fixed,
            "member_tier": columns.coded(tier[row] + second, _TIERS),
            "points_balance": points[row] + 400.0 * second,
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
