"""Boosted trees over (customer, cutoff, horizon) that start from the average customer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from features.config import PropensityConfig
from features.history import Floats
from features.snapshot import DAY_US, to_us
from training.boosting import (
    Boosters,
    Gathered,
    bin_seed,
    dataset,
    fit_boosters,
    load_boosters,
    save_boosters,
)
from training.encoding import Encoding
from training.marginal import marginal_odds
from training.predictions import HORIZONS
from training.walk import Nodes, nodes_of, scores


@dataclass(frozen=True)
class Trees:
    """Boosters and what they start from.

    Attributes:
        boosters: averaged on the log-odds scale; features are ``f0`` to ``fn`` in
            the order of the encoding, the last one is the horizon in days.
        start: log odds of a purchase within each of ``HORIZONS``, of the average
            customer; never decreases.
    """

    boosters: Boosters
    start: tuple[float, ...]

    def raw(self, matrix: npt.NDArray[np.float32], horizon: int) -> Floats:
        """Uncalibrated probability within the horizon, shape ``[row]``."""
        return self.raw_at(matrix, [horizon])[:, 0]

    def raw_at(
        self, matrix: npt.NDArray[np.float32], horizons: Sequence[int]
    ) -> Floats:
        """The same within each of several horizons, ascending; ``[row, horizon]``."""
        asked = np.array(horizons, np.float64)
        score = np.mean([scores(nodes, matrix, asked) for nodes in self._nodes], axis=0)
        odds = score + np.array([self.start[horizon - 1] for horizon in horizons])
        return 1 / (1 + np.exp(-odds))

    @cached_property
    def _nodes(self) -> list[Nodes]:
        return [nodes_of(booster.model_to_string()) for booster in self.boosters]


@dataclass(frozen=True)
class Rows:
    """Training rows: features, days to the next purchase, days observed, cutoff.

    Attributes:
        matrix: features of all rows, shared by the selections of ``at``.
        place: rows of the matrix that these are.
    """

    matrix: npt.NDArray[np.float32]
    place: npt.NDArray[np.int64]
    next_days: Floats
    mature: Floats
    cutoff: npt.NDArray[np.int64]

    def at(self, cutoffs: Sequence[datetime], mature_by: datetime) -> Rows:
        """Rows of these cutoffs, as observed up to a moment."""
        keep = np.isin(self.cutoff, [to_us(c) for c in cutoffs])
        mature = (to_us(mature_by) - self.cutoff[keep]) / DAY_US
        seen = np.where(self.next_days[keep] < mature, self.next_days[keep], np.inf)
        return Rows(self.matrix, self.place[keep], seen, mature, self.cutoff[keep])


def fit_trees(
    rows: Rows,
    encoding: Encoding,
    horizon_days: int,
    config: PropensityConfig,
    seed: int,
    n_boosters: int,
) -> Trees:
    """Boosters of following seeds on rows x (the horizon, and drawn ones that are mature)."""
    start = marginal_odds(rows.next_days, rows.mature)
    random = np.random.default_rng(seed)
    row, horizon = _horizons(rows.mature, horizon_days, config.drawn_horizons, random)
    matrix = Gathered(rows.matrix, rows.place[row], horizon)
    label = (rows.next_days[row] < horizon).astype(np.float32)
    # The stated horizon counts as much as all drawn ones together.
    weight = np.where(horizon == horizon_days, 1.0, config.drawn_weight)
    data = dataset(matrix, label, encoding, start=start[horizon - 1], weight=weight)
    more = {
        "monotone_constraints": [0] * (matrix.shape[1] - 1) + [1],
        "data_random_seed": bin_seed(seed),
    }
    boosters = fit_boosters(data, "binary", config, seed, n_boosters, more)
    return Trees(boosters, tuple(start.tolist()))


def _horizons(
    mature: Floats, always: int, drawn: int, random: np.random.Generator
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Row indices and horizons: the stated one, and drawn ones, log-uniform."""
    n = len(mature)
    row, horizon = [np.arange(n)], [np.full(n, always)]
    for _ in range(drawn):
        longest = np.minimum(mature, float(HORIZONS[-1]))
        days = np.exp(random.uniform(0.0, np.log(longest + 1))).astype(np.int64)
        row.append(np.arange(n))
        horizon.append(np.clip(days, 1, np.floor(longest).astype(np.int64)))
    rows, days = np.concatenate(row), np.concatenate(horizon)
    keep = days <= mature[rows]
    return rows[keep], days[keep]


def with_horizon(
    matrix: npt.NDArray[np.float32], horizon: int
) -> npt.NDArray[np.float32]:
    """The matrix that the trees read: features, then the horizon."""
    column = np.full((len(matrix), 1), horizon, dtype=np.float32)
    return np.hstack([matrix, column])


def save_trees(trees: Trees, folder: Path) -> dict[str, Any]:
    """Write the boosters as text to ``folder``; return the rest, ready for JSON."""
    n_boosters = save_boosters(trees.boosters, folder, "propensity")
    return {"boosters": n_boosters, "start": list(trees.start)}


def load_trees(folder: Path, rest: dict[str, Any]) -> Trees:
    """The trees that ``save_trees`` wrote; scores are equal to the bit."""
    boosters = load_boosters(folder, "propensity", rest["boosters"])
    return Trees(boosters, tuple(rest["start"]))
