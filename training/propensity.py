"""P(at least one purchase within H days), one LightGBM model for any H.

Rows are (customer, cutoff, horizon); the horizon is a feature on which the
score may only rise, so every customer's curve over H never decreases, and the
next purchase date is read from the same curve.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from features.config import PropensityConfig
from features.history import Floats
from features.snapshot import DAY_US, to_us
from training.calibration import Platt, fit_platt
from training.predictions import HORIZONS
from training.split import Fold

# Two waiting threads would otherwise spin and starve each other on a small box.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import lightgbm as lgb

KNOTS = np.array([1, 2, 3, 5, 7, 10, 14, 21, 28, 42, 60, 90, 120, 150, 180])
"""Horizons at which the model is asked; the curve between them is interpolated."""

_KEYS = ("customer", "customer_id", "cutoff")


@dataclass(frozen=True)
class Encoding:
    """How a feature table becomes a matrix: columns in order, words of texts.

    A word that was not seen when the model was fitted is missing, as a null.
    """

    columns: tuple[str, ...]
    words: dict[str, tuple[str, ...]]

    def matrix(self, table: pa.Table) -> npt.NDArray[np.float32]:
        """Shape ``[row, feature]``; NaN: null.

        Raises:
            ValueError: the table lacks a column of the model.
        """
        missing = [name for name in self.columns if name not in table.column_names]
        if missing:
            raise ValueError(
                f"features: expected the column {missing[0]}, got a table without it; "
                "build features and model with the same version"
            )
        matrix = np.empty((table.num_rows, len(self.columns)), dtype=np.float32)
        for place, name in enumerate(self.columns):
            column = table.column(name).combine_chunks()
            matrix[:, place] = (
                _codes(column, self.words[name])
                if name in self.words
                else column.cast(pa.float64()).fill_null(float("nan")).to_numpy()
            )
        return matrix


def encoding_of(table: pa.Table) -> Encoding:
    """The encoding of a table of ``assemble``; columns without any value are left out."""
    columns: list[str] = []
    words: dict[str, tuple[str, ...]] = {}
    for name in table.column_names:
        column = table.column(name).combine_chunks()
        if name in _KEYS or column.null_count == len(column):
            continue
        columns.append(name)
        if pa.types.is_dictionary(column.type):
            used: list[str] = column.cast(pa.string()).unique().drop_null().to_pylist()
            words[name] = tuple(sorted(used))
    return Encoding(tuple(columns), words)


@dataclass(frozen=True)
class Propensity:
    """A fitted model.

    Attributes:
        boosters: averaged on the log-odds scale; the last feature is the
            horizon in days.
        longest_horizon: beyond it the hazard goes on as over the last stretch.
        tag_threshold: smallest probability at which the stated precision was
            reached on the calibration window, at ``horizon_days``.
    """

    boosters: tuple[lgb.Booster, ...]
    encoding: Encoding
    calibration: Platt
    longest_horizon: int
    horizon_days: int
    tag_threshold: float

    def probability(self, features: pa.Table, horizon_days: int) -> Floats:
        """P(a purchase within the horizon), shape ``[row]``."""
        return self.curve(features)[:, horizon_days - 1].astype(np.float64)

    def curve(self, features: pa.Table) -> npt.NDArray[np.float32]:
        """P(a purchase within ``HORIZONS[j]`` days), shape ``[row, 180]``.

        Between knots the hazard is constant (linear in ``-log(1 - P)``).
        """
        matrix = self.encoding.matrix(features)
        knots = KNOTS[self.longest_horizon >= KNOTS]
        at_knots = np.column_stack(
            [self.calibration(_raw(self.boosters, matrix, int(h))) for h in knots]
        )
        hazard = -np.log1p(
            -np.clip(np.maximum.accumulate(at_knots, axis=1), 0, 1 - 1e-6)
        )
        return _interpolated(knots.astype(np.float64), hazard)


def fit(
    features: pa.Table,
    next_days: Floats,
    fold: Fold,
    horizon_days: int,
    until: datetime,
    config: PropensityConfig,
    seed: int,
) -> Propensity:
    """Fit, calibrate on later cutoffs, then fit again on all of them.

    Args:
        features: rows of ``assemble`` at the cutoffs of the fold.
        next_days: days to the next purchase of each row, infinite if none
            before ``until``, shape ``[row]``.
        fold: cutoffs to fit and to calibrate on.
        horizon_days: horizon of the tag.
        until: moment of the build: a label window must have ended by then.
        config: trees and their number.
        seed: of sampled horizons and of the trees.
    """
    encoding = encoding_of(features)
    matrix = encoding.matrix(features)
    cutoff = features.column("cutoff").cast(pa.int64()).to_numpy()
    mature = (to_us(until) - cutoff) / DAY_US
    rows = _Rows(matrix, next_days, mature, cutoff)

    early = rows.at(fold.fit, mature_by=fold.calibration[0])
    # Two numbers are calibrated: one booster is enough to learn them.
    boosters = _train(early, encoding, horizon_days, config, seed, n_boosters=1)
    late = rows.at(fold.calibration, mature_by=until)
    raw = _raw(boosters, late.matrix, horizon_days)
    label = (late.next_days < horizon_days).astype(np.float64)
    calibration = fit_platt(raw, label)
    threshold = threshold_for(calibration(raw), label, config.tag_precision)
    everything = rows.at((*fold.fit, *fold.calibration), mature_by=until)
    return Propensity(
        boosters=_train(everything, encoding, horizon_days, config, seed, config.seeds),
        encoding=encoding,
        calibration=calibration,
        longest_horizon=int(everything.mature.max()),
        horizon_days=horizon_days,
        tag_threshold=threshold,
    )


def threshold_for(probability: Floats, label: Floats, precision: float) -> float:
    """Smallest threshold at which the share of buyers above it is ``precision``.

    Returns:
        The threshold; the highest probability where no threshold is enough.
    """
    order = np.argsort(-probability, kind="stable")
    reached = np.cumsum(label[order]) / np.arange(1, len(order) + 1) >= precision
    last = int(np.flatnonzero(reached)[-1]) if reached.any() else 0
    return float(probability[order][last])


def next_dates(
    curve: npt.NDArray[np.float32], cutoff: datetime, share: float
) -> pa.Array:
    """When the curve reaches ``share``; null if not within 180 days."""
    reached = curve >= share
    day = np.argmax(reached, axis=1)
    us = to_us(cutoff) + HORIZONS[day].astype(np.int64) * DAY_US
    return pa.array(us, pa.timestamp("us"), mask=~reached.any(axis=1))


@dataclass(frozen=True)
class _Rows:
    """Training rows: features, days to the next purchase, days observed, cutoff."""

    matrix: npt.NDArray[np.float32]
    next_days: Floats
    mature: Floats
    cutoff: npt.NDArray[np.int64]

    def at(self, cutoffs: Sequence[datetime], mature_by: datetime) -> _Rows:
        """Rows of these cutoffs, as observed up to a moment."""
        keep = np.isin(self.cutoff, [to_us(c) for c in cutoffs])
        mature = (to_us(mature_by) - self.cutoff[keep]) / DAY_US
        seen = np.where(self.next_days[keep] < mature, self.next_days[keep], np.inf)
        return _Rows(self.matrix[keep], seen, mature, self.cutoff[keep])


def _train(
    rows: _Rows,
    encoding: Encoding,
    horizon_days: int,
    config: PropensityConfig,
    seed: int,
    n_boosters: int,
) -> tuple[lgb.Booster, ...]:
    """Boosters of following seeds on rows x (the horizon, and drawn ones that are mature)."""
    random = np.random.default_rng(seed)
    row, horizon = _horizons(rows.mature, horizon_days, config.drawn_horizons, random)
    matrix = np.column_stack([rows.matrix[row], horizon.astype(np.float32)])
    label = (rows.next_days[row] < horizon).astype(np.float32)
    # The stated horizon counts as much as all drawn ones together.
    weight = np.where(horizon == horizon_days, 1.0, config.drawn_weight)
    names = [*encoding.columns, "horizon_days"]
    data = lgb.Dataset(
        matrix,
        label,
        weight=weight,
        feature_name=names,
        categorical_feature=sorted(encoding.words),
        free_raw_data=True,
    )
    return tuple(
        lgb.train(_parameters(config, len(names), seed + k), data, config.trees)
        for k in range(n_boosters)
    )


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


def _parameters(config: PropensityConfig, n_features: int, seed: int) -> dict[str, Any]:
    return {
        "objective": "binary",
        "learning_rate": config.learning_rate,
        "num_leaves": config.leaves,
        "min_child_samples": config.min_rows_per_leaf,
        "feature_fraction": config.feature_share,
        "bagging_fraction": config.row_share,
        "bagging_freq": 1,
        "lambda_l2": config.l2,
        "cat_smooth": 50.0,
        "max_cat_to_onehot": 8,
        "monotone_constraints": [0] * (n_features - 1) + [1],
        "seed": seed,
        "deterministic": True,
        "force_row_wise": True,
        "num_threads": config.threads,
        "verbosity": -1,
    }


def _raw(
    boosters: Sequence[lgb.Booster], matrix: npt.NDArray[np.float32], horizon: int
) -> Floats:
    """Uncalibrated probability at one horizon, mean log odds of the boosters."""
    column = np.full((len(matrix), 1), horizon, dtype=np.float32)
    full = np.hstack([matrix, column])
    odds = np.mean(
        [np.asarray(b.predict(full, raw_score=True)) for b in boosters], axis=0
    )
    return 1 / (1 + np.exp(-odds))


def _interpolated(knots: Floats, hazard: Floats) -> npt.NDArray[np.float32]:
    """Cumulative hazard at all ``HORIZONS``, turned into probabilities."""
    days = HORIZONS.astype(np.float64)
    x = np.r_[0.0, knots]
    y = np.column_stack([np.zeros(len(hazard)), hazard])
    right = np.clip(np.searchsorted(x, days), 1, len(x) - 1)
    slope = (y[:, right] - y[:, right - 1]) / (x[right] - x[right - 1])
    cumulative = y[:, right - 1] + slope * (days - x[right - 1])
    return np.maximum.accumulate(-np.expm1(-cumulative), axis=1).astype(np.float32)


def _codes(column: pa.Array, words: tuple[str, ...]) -> Floats:
    """Texts as positions in ``words``; NaN for null and for unknown words."""
    coded = column.cast(pa.string()).dictionary_encode()
    position = {word: float(code) for code, word in enumerate(words)}
    found = [position.get(word, np.nan) for word in coded.dictionary.to_pylist()]
    return np.array([*found, np.nan])[coded.indices.fill_null(-1).to_numpy()]


def save(model: Propensity, folder: Path) -> dict[str, Any]:
    """Write the trees as text to ``folder``; return the rest, ready for JSON."""
    for number, booster in enumerate(model.boosters):
        (folder / f"propensity_{number}.txt").write_text(booster.model_to_string())
    return {
        "boosters": len(model.boosters),
        "columns": list(model.encoding.columns),
        "words": {name: list(words) for name, words in model.encoding.words.items()},
        "calibration": [model.calibration.slope, model.calibration.intercept],
        "longest_horizon": model.longest_horizon,
        "horizon_days": model.horizon_days,
        "tag_threshold": model.tag_threshold,
    }


def load(folder: Path, rest: dict[str, Any]) -> Propensity:
    """The model that ``save`` wrote; scores are equal to the bit."""
    return Propensity(
        boosters=tuple(
            lgb.Booster(model_str=(folder / f"propensity_{number}.txt").read_text())
            for number in range(rest["boosters"])
        ),
        encoding=Encoding(
            tuple(rest["columns"]),
            {name: tuple(words) for name, words in rest["words"].items()},
        ),
        calibration=Platt(*rest["calibration"]),
        longest_horizon=rest["longest_horizon"],
        horizon_days=rest["horizon_days"],
        tag_threshold=rest["tag_threshold"],
    )
