"""Browses, inquiries, feedback and campaign contacts of a chunk of customers."""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from features.contracts import BROWSES, FEEDBACK, INQUIRIES, TOUCHES
from features.simulate import columns
from features.simulate.columns import Array
from features.simulate.customers import CHANNELS, People
from features.simulate.orders import Orders
from features.simulate.plans import EVENT
from features.simulate.world import World

_VIEW, _SEARCH, _CART, _FAVOURITE = range(4)
_PRESALE, _SERVICE, _COMPLAINT = range(3)
_NPS, _CSAT, _CES, _RATING, _RETURN, _REFERRAL, _SUGGESTION, _SHARE = range(8)
_SENT, _OPENED, _CLICKED, _REDEEMED, _ATTENDED, _HELD_OUT = range(6)
_SERVICE_CHANNELS = ("chat", "phone", "email")
_TOUCH_CHANNELS = ("email", "sms", "push")
_BEFORE_DAYS = 14.0

_OPENS, _CLICKS, _ATTENDS = 0.35, 0.3, 0.3
_SCALES = np.array([(0, 10), (1, 5), (1, 7), (1, 5)], np.float64)


def browses_table(
    rng: np.random.Generator,
    world: World,
    people: People,
    orders: Orders,
) -> pa.Table:
    """Browses in the week before orders, of what is bought, and aimless ones."""
    before = np.repeat(
        np.arange(len(orders.day)),
        rng.poisson(world.truths.browses_per_order, len(orders.day)),
    )
    ago = np.minimum(rng.exponential(1.0, len(before)), 7)
    aimless, aimless_day = _aimless(
        rng, world.truths.aimless_browses_per_month / 30, people
    )
    customer = np.concatenate([orders.customer[before], aimless])
    day = np.concatenate([orders.day[before] - ago, aimless_day])
    any_product = world.products.at(rng.random(len(aimless)))
    product = np.concatenate([orders.first_product[before], any_product])
    kept = day >= people.since[customer]
    customer, day, product = customer[kept], day[kept], product[kept]
    n = len(day)
    kind = np.searchsorted((0.72, 0.86, 0.95), rng.random(n), side="right")
    product = world.products.on_sale(product, day)
    dwell = np.round(rng.lognormal(3, 1, n))
    us = world.calendar.us(day)
    return pa.table(
        {
            "customer_id": columns.coded(customer, people.ids),
            "ts": columns.moments(us),
            "kind": columns.coded(kind, BROWSES.column("kind").kinds),
            "product_id": columns.coded(
                np.where(kind == _SEARCH, -1, product), world.products.ids
            ),
            "dwell_seconds": columns.numbers(np.where(kind == _VIEW, dwell, np.nan)),
            "channel": columns.coded(rng.integers(2, size=n), CHANNELS[:2]),
            "known_at": world.known_at(rng, us),
        }
    )


def _aimless(
    rng: np.random.Generator, rate: float, people: People
) -> tuple[Array, Array]:
    """Row and shop day of events that no order explains; rates differ twofold."""
    length = people.until - people.since
    personal = rate * rng.gamma(2.0, 0.5, len(people))
    row = np.repeat(np.arange(len(people)), rng.poisson(personal * length))
    return row, people.since[row] + rng.random(len(row)) * length[row]


def inquiries_table(
    rng: np.random.Generator,
    world: World,
    people: People,
    orders: Orders,
) -> pa.Table:
    """Contacts at a base rate, and presale ones in the fortnight before orders.

    Answers come the slower and resolve the less, the worse the service.
    """
    other, other_day = _aimless(rng, world.truths.inquiries_per_year / 365.25, people)
    wanted = world.truths.presale_contacts * people.asks[orders.customer]
    before = np.repeat(np.arange(len(orders.day)), rng.poisson(wanted))
    # In (0, 14] days before: 1 - random is never 0.
    ago = _BEFORE_DAYS * (1 - rng.random(len(before)))
    customer = np.concatenate([other, orders.customer[before]])
    day = np.concatenate([other_day, orders.day[before] - ago])
    any_product = world.products.at(rng.random(len(other)))
    product = np.concatenate([any_product, orders.first_product[before]])
    asked = np.arange(len(day)) >= len(other)
    kept = day >= people.since[customer]
    customer, day, product = customer[kept], day[kept], product[kept]
    n, quality = len(day), people.quality[customer]
    u = rng.random(n)
    complains = u < np.minimum(world.truths.complaint_share * 2 * (1 - quality), 1)
    kind = np.where(complains, _COMPLAINT, np.where(u < 0.7, _SERVICE, _PRESALE))
    kind = np.where(asked[kept], _PRESALE, kind)
    seconds = (
        60 * world.truths.response_minutes * rng.lognormal(2 * (1 - 2 * quality), 0.8)
    )
    product = world.products.on_sale(product, day)
    us = world.calendar.us(day)
    return pa.table(
        {
            "customer_id": columns.coded(customer, people.ids),
            "ts": columns.moments(us),
            "kind": columns.coded(kind, INQUIRIES.column("kind").kinds),
            "product_id": columns.coded(
                np.where(kind == _SERVICE, -1, product), world.products.ids
            ),
            "channel": columns.coded(rng.integers(3, size=n), _SERVICE_CHANNELS),
            "response_seconds": columns.numbers(np.round(seconds)),
            "resolved": pa.array(rng.random(n) < 0.5 + 0.48 * quality),
            "known_at": world.known_at(rng, us),
        }
    )


def feedback_table(
    rng: np.random.Generator,
    world: World,
    people: People,
    orders: Orders,
    returned: tuple[Array, Array, Array],
) -> pa.Table:
    """Answers after orders, scored by service quality, and a row per return."""
    told = np.flatnonzero(rng.random(len(orders.day)) < world.truths.feedback_per_order)
    us = (
        orders.us[told]
        + (rng.uniform(0.5, 5, len(told)) * 86_400).astype(np.int64) * 10**6
    )
    in_data = us < world.calendar.end_us
    told, us = told[in_data], us[in_data]
    n = len(told)
    kinds = np.array([_NPS, _CSAT, _CES, _RATING, _REFERRAL, _SUGGESTION, _SHARE])
    bounds = (0.2, 0.4, 0.5, 0.8, 0.86, 0.93)
    kind = kinds[np.searchsorted(bounds, rng.random(n), side="right")]
    customer = orders.customer[told]
    level = 0.35 + 0.55 * people.quality[customer] + rng.normal(0, 0.18, n)
    low, high = _SCALES[np.minimum(kind, _RATING)].T
    score = np.clip(np.round(low + level * (high - low)), low, high)
    score[kind > _RATING] = np.nan
    about = (kind == _RATING) | (kind == _SHARE)
    product = np.where(about, orders.first_product[told], -1)
    back, back_product, back_us = returned
    us = np.concatenate([us, back_us])
    return pa.table(
        {
            "customer_id": columns.coded(np.concatenate([customer, back]), people.ids),
            "ts": columns.moments(us),
            "kind": columns.coded(
                np.concatenate([kind, np.full(len(back), _RETURN)]),
                FEEDBACK.column("kind").kinds,
            ),
            "score": columns.numbers(
                np.concatenate([score, np.full(len(back), np.nan)])
            ),
            "product_id": columns.coded(
                np.concatenate([product, back_product]), world.products.ids
            ),
            "known_at": world.known_at(rng, us),
        }
    )


def touches_table(
    rng: np.random.Generator,
    world: World,
    people: People,
    orders: Orders,
) -> pa.Table:
    """Who was contacted or held out, and what they did; also after dropout sent."""
    row, campaign = np.nonzero(people.targeted)
    alone = people.held_out[row, campaign]
    day = world.campaigns.starts[campaign] + 0.4 * rng.random(len(row))
    here = ~alone & (day < people.until[row])
    opened_day = day + rng.exponential(0.5, len(row))
    opened = here & (rng.random(len(row)) < _OPENS) & (opened_day < people.until[row])
    clicked_day = opened_day + 0.002
    clicked = opened & (rng.random(len(row)) < _CLICKS)
    clicked &= clicked_day < people.until[row]
    came_day = world.campaigns.starts[campaign] + rng.uniform(1, 6, len(row))
    is_event = world.campaigns.kind[campaign] == EVENT
    came = here & is_event & (rng.random(len(row)) < _ATTENDS)
    came &= came_day < people.until[row]
    named = orders.campaign >= 0
    parts = (
        (row, campaign, day, np.where(alone, _HELD_OUT, _SENT)),
        *(
            (row[mask], campaign[mask], at[mask], np.full(int(mask.sum()), action))
            for mask, at, action in (
                (opened, opened_day, _OPENED),
                (clicked, clicked_day, _CLICKED),
                (came, came_day, _ATTENDED),
            )
        ),
        (
            orders.customer[named],
            orders.campaign[named],
            orders.day[named],
            np.full(int(named.sum()), _REDEEMED),
        ),
    )
    customer, campaign, day, action = (
        np.concatenate(list(column)) for column in zip(*parts, strict=True)
    )
    us = world.calendar.us(day)
    channel = (people.number[customer] + campaign) % len(_TOUCH_CHANNELS)
    channel = np.where((action == _REDEEMED) | (action == _HELD_OUT), -1, channel)
    return pa.table(
        {
            "customer_id": columns.coded(customer, people.ids),
            "campaign_id": columns.coded(campaign, world.campaigns.ids),
            "ts": columns.moments(us),
            "action": columns.coded(action, TOUCHES.column("action").kinds),
            "channel": columns.coded(channel, _TOUCH_CHANNELS),
            "known_at": world.known_at(rng, us),
        }
    )
