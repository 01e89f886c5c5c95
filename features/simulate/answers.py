"""Feedback, and what campaigns and customers did to one another."""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from features.contracts import FEEDBACK, TOUCHES
from features.simulate import columns
from features.simulate.columns import Array
from features.simulate.customers import People
from features.simulate.orders import Orders
from features.simulate.plans import EVENT
from features.simulate.world import World

_NPS, _CSAT, _CES, _RATING, _RETURN, _REFERRAL, _SUGGESTION, _SHARE = range(8)
_TOLD = np.array([_NPS, _CSAT, _CES, _RATING, _REFERRAL, _SUGGESTION, _SHARE])
_TOLD_BOUNDS = (0.2, 0.4, 0.5, 0.8, 0.86, 0.93)
_SCALES = np.array([(0, 10), (1, 5), (1, 7), (1, 5)], np.float64)
_SENT, _OPENED, _CLICKED, _REDEEMED, _ATTENDED, _HELD_OUT = range(6)
_OPENS, _CLICKS, _ATTENDS = 0.35, 0.3, 0.3
_CHANNELS = ("email", "sms", "push")


def feedback_table(
    rng: np.random.Generator,
    world: World,
    people: People,
    orders: Orders,
    returned: tuple[Array, Array, Array],
) -> pa.Table:
    """Answers some days after orders, and a row per return.

    ``returned`` holds customer, product and time (us) of each return.
    """
    told = np.flatnonzero(rng.random(len(orders.day)) < world.truths.feedback_per_order)
    us = orders.us[told] + columns.seconds(86_400 * rng.uniform(0.5, 5, len(told)))
    told, us = told[us < world.calendar.end_us], us[us < world.calendar.end_us]
    kind = _TOLD[np.searchsorted(_TOLD_BOUNDS, rng.random(len(told)), side="right")]
    customer = orders.customer[told]
    about = (kind == _RATING) | (kind == _SHARE)
    product = np.where(about, orders.first_product[told], -1)
    back, back_product, back_us = returned
    customer = np.concatenate([customer, back])
    us = np.concatenate([us, back_us])
    kind = np.concatenate([kind, np.full(len(back), _RETURN)])
    score = _scores(rng, kind, people.quality[customer])
    product = np.concatenate([product, back_product])
    return pa.table(
        {
            "customer_id": columns.coded(customer, people.ids),
            "ts": columns.moments(us),
            "kind": columns.coded(kind, FEEDBACK.column("kind").kinds),
            "score": columns.numbers(score),
            "product_id": columns.coded(product, world.products.ids),
            "known_at": world.known_at(rng, us),
        }
    )


def _scores(rng: np.random.Generator, kind: Array, quality: Array) -> Array:
    """The better the service, the higher; NaN for kinds without a score."""
    level = 0.35 + 0.55 * quality + rng.normal(0, 0.18, len(kind))
    low, high = _SCALES[np.minimum(kind, _RATING)].T
    score = np.clip(np.round(low + level * (high - low)), low, high)
    return np.where(kind > _RATING, np.nan, score)


def touches_table(
    rng: np.random.Generator, world: World, people: People, orders: Orders
) -> pa.Table:
    """Who was contacted at the start or held out, and what the contacted did.

    The shop contacts also those who have dropped out; they do nothing.
    """
    row, campaign = np.nonzero(people.targeted)
    n, until, sent = len(row), people.until[row], world.campaigns.starts[campaign]
    alone = people.held_out[row, campaign]
    opened = sent + rng.exponential(0.5, n)
    clicked = opened + rng.uniform(0.001, 0.02, n)
    attended = sent + rng.uniform(1, 6, n)
    opens = ~alone & (opened < until) & (rng.random(n) < _OPENS)
    clicks = opens & (clicked < until) & (rng.random(n) < _CLICKS)
    attends = ~alone & (attended < until) & (rng.random(n) < _ATTENDS)
    attends &= world.campaigns.kind[campaign] == EVENT
    redeems = np.flatnonzero(orders.campaign >= 0)
    parts = (
        (row[~alone], campaign[~alone], sent[~alone], _SENT),
        (row[alone], campaign[alone], sent[alone], _HELD_OUT),
        (row[opens], campaign[opens], opened[opens], _OPENED),
        (row[clicks], campaign[clicks], clicked[clicks], _CLICKED),
        (row[attends], campaign[attends], attended[attends], _ATTENDED),
        (
            orders.customer[redeems],
            orders.campaign[redeems],
            orders.day[redeems],
            _REDEEMED,
        ),
    )
    return _touches(rng, world, people, parts)


def _touches(
    rng: np.random.Generator,
    world: World,
    people: People,
    parts: tuple[tuple[Array, Array, Array, int], ...],
) -> pa.Table:
    """Rows of all actions, each with its customers, campaigns and shop days."""
    customer = np.concatenate([part[0] for part in parts])
    campaign = np.concatenate([part[1] for part in parts])
    us = world.calendar.us(np.concatenate([part[2] for part in parts]))
    action = np.repeat([part[3] for part in parts], [len(part[0]) for part in parts])
    # A campaign reaches a customer on one channel.
    channel = (people.number[customer] + campaign) % len(_CHANNELS)
    channel[(action == _REDEEMED) | (action == _HELD_OUT)] = -1
    return pa.table(
        {
            "customer_id": columns.coded(customer, people.ids),
            "campaign_id": columns.coded(campaign, world.campaigns.ids),
            "ts": columns.moments(us),
            "action": columns.coded(action, TOUCHES.column("action").kinds),
            "channel": columns.coded(channel, _CHANNELS),
            "known_at": world.known_at(rng, us),
        }
    )
