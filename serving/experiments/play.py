"""An experiment whose truth is an argument, in the tables that a report reads.

For lessons and for tests: customers with habits of their own are drawn by the hash of a
plan, are shown products, click and buy, and what an arm changes is known beforehand.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta

import duckdb
import numpy as np
import pyarrow as pa

from features.history import Array, Floats, Ints
from features.snapshot import DAY_US, to_us
from serving.experiments.assign import Split, arms_of
from serving.experiments.inputs import SOURCES

_BEFORE_DAYS = 90
_CLICK_RATE = 0.06
_OF_OFFERS = 0.3
"""Share of the lines that are of the products in the slots."""


@dataclass(frozen=True)
class Truth:
    """What is so.

    Attributes:
        customers: who come, evenly over ``arrival_days`` from the start on.
        orders_per_month: mean over customers; each has a rate of their own, the
            standard deviation of which is as large as its mean.
        slots: products that each sees in the window, of 100; holdouts see none.
        clicks: relative click rate by arm; 1 where an arm is not named.
        orders: relative order rate by arm from the assignment on, likewise.
        lost: share of an arm's customers whose assignment is lost, likewise 0.
    """

    customers: int = 6000
    arrival_days: int = 28
    orders_per_month: float = 1.0
    slots: int = 5
    clicks: Mapping[str, float] = field(default_factory=dict[str, float])
    orders: Mapping[str, float] = field(default_factory=dict[str, float])
    lost: Mapping[str, float] = field(default_factory=dict[str, float])


def play(
    db: duckdb.DuckDBPyConnection,
    split: Split,
    start: datetime,
    days: int,
    truth: Truth,
    seed: int,
) -> None:
    """Make the tables of ``inputs.SOURCES``, and those of what went astray, empty.

    Args:
        db: where the tables are made anew.
        split: how customers are drawn.
        start: of the experiment, naive UTC; purchases begin 90 days before it.
        days: everyone is watched so long after their assignment.
        truth: what is so.
        seed: equal arguments make equal tables.
    """
    random = np.random.default_rng(seed)
    n = truth.customers
    ids = np.array([f"c{i}" for i in range(n)])
    arm = arms_of(split, ids.tolist())
    at = np.sort(random.uniform(0, truth.arrival_days, n))
    habit = random.exponential(truth.orders_per_month / 30, n)
    names = [one.name for one in split.arms]

    def by_arm(values: Mapping[str, float], default: float) -> Floats:
        return np.array([values.get(name, default) for name in names])[arm]

    sees = ~np.array([one.holdout for one in split.arms])[arm]
    shown = np.repeat(np.flatnonzero(sees), truth.slots)
    product = random.integers(0, 100, len(shown))
    seen_at = at[shown] + random.uniform(0, days - 0.01, len(shown))
    chance = _CLICK_RATE * by_arm(truth.clicks, 1.0)[shown]
    pressed = random.random(len(shown)) < chance
    who_saw = {
        "event_id": np.array([f"e{i}" for i in range(len(shown))]),
        "customer_id": ids[shown],
        "product_id": _named(product),
    }
    who_pressed = {name: column[pressed] for name, column in who_saw.items()}
    kept = random.random(n) >= by_arm(truth.lost, 0.0)
    assigned = {
        "customer_id": ids[kept],
        "arm": np.array(names)[arm[kept]],
        "reason": np.full(kept.sum(), "hash"),
        "assigned_at": _moments(start, at[kept]),
    }
    lifted = habit * by_arm(truth.orders, 1.0)
    who, when = _bought(random, at, habit, lifted, days)
    tables: dict[str, pa.Table] = {
        SOURCES.assignments: _without_strata(pa.table(assigned)),
        SOURCES.purchases: _lines(random, ids, who, when, start),
        str(SOURCES.exposures): pa.table({**who_saw, "ts": _moments(start, seen_at)}),
        str(SOURCES.clicks): pa.table(
            {**who_pressed, "ts": _moments(start, seen_at[pressed] + 1e-4)}
        ),
    }
    for kind in (SOURCES.exposures, SOURCES.clicks):
        tables[f"astray_{kind}"] = tables[str(kind)].slice(0, 0)
    for name, table in tables.items():
        db.register("_played", table)
        db.execute(f"CREATE OR REPLACE TABLE {name} AS SELECT * FROM _played")
        db.unregister("_played")


def _bought(
    random: np.random.Generator, at: Floats, before: Floats, after: Floats, days: int
) -> tuple[Ints, Floats]:
    """Customer and day of every order: Poisson processes before and from then on."""
    n_before = random.poisson(before * (at + _BEFORE_DAYS))
    n_after = random.poisson(after * days)
    early, late = (np.repeat(np.arange(len(at)), n) for n in (n_before, n_after))
    when_early = random.uniform(-_BEFORE_DAYS, at[early])
    when_late = at[late] + random.uniform(0.02, days, len(late))
    who = np.concatenate([early, late]).astype(np.int32)
    return who, np.concatenate([when_early, when_late])


def _lines(
    random: np.random.Generator, ids: Array, who: Ints, when: Floats, start: datetime
) -> pa.Table:
    """One line for each order; amounts are log-normal."""
    n = len(who)
    of_offers = random.random(n) < _OF_OFFERS
    product = np.where(
        of_offers, random.integers(0, 100, n), random.integers(100, 1000, n)
    )
    return pa.table(
        {
            "customer_id": ids[who],
            "product_id": _named(product),
            "order_id": np.array([f"o{i}" for i in range(n)]),
            "ts": _moments(start, when),
            "quantity": np.ones(n),
            "amount": np.round(random.lognormal(3.0, 0.6, n), 2),
        }
    )


def _without_strata(assigned: pa.Table) -> pa.Table:
    """With the columns that are not known of anyone here."""
    n = len(assigned)
    return assigned.append_column("segment", pa.nulls(n, pa.string())).append_column(
        "propensity", pa.nulls(n, pa.float64())
    )


def _named(product: Array) -> Array:
    return np.char.add("p", product.astype(str))


def _moments(start: datetime, days: Floats) -> pa.Array:
    us = to_us(start) + (days * DAY_US).astype(np.int64)
    return pa.array(us).cast(pa.timestamp("us"))


def end_of(start: datetime, truth: Truth, days: int) -> datetime:
    """When the last customer has been watched for the whole window."""
    return start + timedelta(days=truth.arrival_days + days)
