"""What is drawn once: the shop without its customers."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from features.simulate import columns, plans
from features.simulate import products as range_of
from features.simulate.calendar import Calendar, calendar_of
from features.simulate.columns import Array
from features.simulate.plans import Campaigns, Promotions
from features.simulate.products import Products
from features.simulate.truths import Truths


@dataclass(frozen=True)
class World:
    """The truths, and what was drawn from them.

    Attributes:
        tables: products, campaigns, promotions and picks, as in the contract.
    """

    truths: Truths
    calendar: Calendar
    products: Products
    promotions: Promotions
    campaigns: Campaigns
    tables: dict[str, pa.Table]

    def known_at(self, rng: np.random.Generator, us: Array) -> pa.Array:
        """The column ``known_at`` of events at ``us``."""
        return columns.known_at(rng, us, self.truths.late_share, self.truths.late_days)


def world_of(truths: Truths, seed: int) -> World:
    """Draw the world; the same truths and seed give the same world."""
    rng = np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(0,)))
    calendar = calendar_of(truths)
    products = range_of.products_of(rng, truths, calendar)
    promotions, promotions_table = plans.promotions_of(rng, truths, calendar, products)
    campaigns, campaigns_table = plans.campaigns_of(rng, truths, calendar)
    tables = {
        "products": range_of.products_table(rng, calendar, products),
        "campaigns": campaigns_table,
        "promotions": promotions_table,
        "picks": plans.picks_table(rng, truths, calendar, products, campaigns),
    }
    return World(truths, calendar, products, promotions, campaigns, tables)
