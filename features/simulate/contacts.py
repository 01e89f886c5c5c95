"""Browses and inquiries: for what is wanted, and aimless ones."""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from features.contracts import BROWSES, INQUIRIES
from features.simulate import columns
from features.simulate.columns import Array
from features.simulate.customers import CHANNELS, People
from features.simulate.intents import Intents
from features.simulate.world import World

_VIEW, _SEARCH = 0, 1
_PRESALE, _SERVICE, _COMPLAINT = range(3)
_SERVICE_CHANNELS = ("chat", "phone", "email")
_BROWSE_KINDS = (0.72, 0.86, 0.95)
_BROWSE_DAYS, _PRESALE_DAYS = 7.0, 14.0


def browses_table(
    rng: np.random.Generator, world: World, people: People, intents: Intents
) -> pa.Table:
    """Browses in the week before an intended order, of what is wanted, and aimless ones."""
    rate = world.truths.aimless_browses_per_month / 30
    counts = rng.poisson(world.truths.browses_per_order, len(intents.day))
    ago = _BROWSE_DAYS * rng.beta(1, 5, counts.sum())
    customer, day, product, _ = _contacts(
        rng, world, people, intents, rate, counts, ago
    )
    n, us = len(day), world.calendar.us(day)
    kind = np.searchsorted(_BROWSE_KINDS, rng.random(n), side="right")
    product = np.where(kind == _SEARCH, -1, product)
    dwell = np.where(kind == _VIEW, np.round(rng.lognormal(3, 1, n)), np.nan)
    return pa.table(
        {
            "customer_id": columns.coded(customer, people.ids),
            "ts": columns.moments(us),
            "kind": columns.coded(kind, BROWSES.column("kind").kinds),
            "product_id": columns.coded(product, world.products.ids),
            "dwell_seconds": columns.numbers(dwell),
            "channel": columns.coded(rng.integers(2, size=n), CHANNELS[:2]),
            "known_at": world.known_at(rng, us),
        }
    )


def inquiries_table(
    rng: np.random.Generator, world: World, people: People, intents: Intents
) -> pa.Table:
    """Contacts at a base rate, and presale ones in the fortnight before intended orders.

    Answers come the slower and resolve the less, the worse the service.
    """
    truths = world.truths
    wanted = truths.presale_contacts * people.asks[intents.customer]
    counts = rng.poisson(wanted)
    # In (0, 14] days before: 1 - random is never 0.
    ago = _PRESALE_DAYS * (1 - rng.random(counts.sum()))
    rate = truths.inquiries_per_year / 365.25
    customer, day, product, before = _contacts(
        rng, world, people, intents, rate, counts, ago
    )
    n, us, quality = len(day), world.calendar.us(day), people.quality[customer]
    u = rng.random(n)
    kind = np.where(u < 0.7, _SERVICE, _PRESALE)
    kind[u < truths.complaint_share * 2 * (1 - quality)] = _COMPLAINT
    kind[before] = _PRESALE
    typical = 60 * truths.response_minutes * np.exp(2 * (1 - 2 * quality))
    product = np.where(kind == _SERVICE, -1, product)
    return pa.table(
        {
            "customer_id": columns.coded(customer, people.ids),
            "ts": columns.moments(us),
            "kind": columns.coded(kind, INQUIRIES.column("kind").kinds),
            "product_id": columns.coded(product, world.products.ids),
            "channel": columns.coded(rng.integers(3, size=n), _SERVICE_CHANNELS),
            "response_seconds": np.round(typical * rng.lognormal(0, 0.8, n)),
            "resolved": pa.array(rng.random(n) < 0.5 + 0.48 * quality),
            "known_at": world.known_at(rng, us),
        }
    )


def _contacts(
    rng: np.random.Generator,
    world: World,
    people: People,
    intents: Intents,
    rate: float,
    counts: Array,
    ago: Array,
) -> tuple[Array, Array, Array, Array]:
    """Contacts that no intent explains, and those before intended orders.

    Of the former there are ``rate`` a day, mean over customers, whose own rates
    differ; of the latter ``counts`` per intent, each ``ago`` shop days before its order.

    Returns:
        Customer, shop day, product, and whether an intent explains the contact.
    """
    length = people.until - people.since
    personal = rate * rng.gamma(2.0, 0.5, len(people))
    other = np.repeat(np.arange(len(people)), rng.poisson(personal * length))
    other_day = people.since[other] + rng.random(len(other)) * length[other]
    intent = np.repeat(np.arange(len(counts)), counts)
    before_day = intents.day[intent] - ago
    drawn = (before_day >= intents.since[intent]) & (before_day < intents.until[intent])
    intent, before_day = intent[drawn], before_day[drawn]
    customer = np.concatenate([other, intents.customer[intent]])
    day = np.concatenate([other_day, before_day])
    any_product = world.products.at(rng.random(len(other)))
    product = np.concatenate([any_product, intents.product[intent]])
    before = np.arange(len(day)) >= len(other)
    return customer, day, world.products.on_sale(product, day), before
