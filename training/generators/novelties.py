"""What is selling more than before, and what is new on the shelf."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from features.config import RecommendConfig
from features.history import ALWAYS, Ints
from features.pairs import Singles
from features.shelf import arrived_at
from features.snapshot import DAY_US
from training.moment import Moment


@dataclass(frozen=True)
class Trending:
    """Growth of sales, the same for everyone.

    Attributes:
        growth: standard deviations by which the last week's lines lie above a
            week's share of the last 84 days, as if sales were Poisson.
    """

    items: Ints
    growth: Singles
    name: str = "trending"

    def at(self, moment: Moment) -> Trending:  # noqa: ARG002
        """The same for everyone."""
        return self

    def scores(self, customers: Ints) -> Singles:
        """See ``Generator``."""
        return np.broadcast_to(self.growth, (len(customers), len(self.items))).copy()


def fit_trending(moment: Moment) -> Trending:
    """Products that sold more in the last week than usual."""
    shelf = moment.shelf
    usual = shelf.lines_84d / 12.0
    growth = (shelf.lines_7d - usual) / np.sqrt(np.maximum(usual, 1.0))
    items = np.flatnonzero(growth > 0).astype(np.int32)
    return Trending(items, growth[items].astype(np.float32))


@dataclass(frozen=True)
class Arrivals:
    """New products by what they sell a day since they came, the same for everyone."""

    items: Ints
    lines_per_day: Singles
    name: str = "new arrivals"

    def at(self, moment: Moment) -> Arrivals:  # noqa: ARG002
        """The same for everyone."""
        return self

    def scores(self, customers: Ints) -> Singles:
        """See ``Generator``."""
        shape = (len(customers), len(self.items))
        return np.broadcast_to(self.lines_per_day, shape).copy()


def fit_arrivals(moment: Moment, config: RecommendConfig) -> Arrivals:
    """Products that came within the last ``arrival_days``.

    A product came when it was launched, or else first sold. One that is launched
    but not sold yet is scored too, below those that sell; in the shop's own first
    days everything is first sold, and nothing is new.
    """
    history, shelf = moment.history, moment.shelf
    arrived = arrived_at(moment.counts, history.products)
    age = (moment.cutoff_us - arrived.astype(np.float64)) / DAY_US
    dated = history.products.launched > ALWAYS
    oldest = np.nanmax(shelf.days_since_first, initial=0.0)
    is_new = (age >= 0) & (age < config.arrival_days)
    is_new &= dated | (oldest >= 2 * config.arrival_days)
    items = np.flatnonzero(is_new).astype(np.int32)
    sold = np.where(np.isnan(shelf.days_since_first), 0.0, shelf.lines_84d)
    speed = sold[items] / np.maximum(age[items], 7.0)
    return Arrivals(items, speed.astype(np.float32))
