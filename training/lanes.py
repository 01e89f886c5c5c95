"""One lane's model: LightGBM over candidates, calibrated to a probability.

The trees learn from all bought candidates and a share of the others, so their
raw score is off by a constant; a logistic curve fitted on a later cutoff, with
all candidates, puts that right (Platt 1999). It is strictly rising: it never
makes two scores tie.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import lightgbm as lgb
import numpy as np
from scipy.special import expit, logit

from features.config import RecommendConfig
from features.contracts import ContractError
from features.history import Bools, Floats, Longs
from features.pairs import Singles
from training.rows import COLUMNS

FEW_BOUGHT = 50
"""With fewer bought candidates to learn from, one feature is the score."""

UNKNOWN = 0.001
"""Probability of an offer where there was no candidate to calibrate on."""

FLAT = 1e-3
"""Smallest slope of a calibration curve: a better score never means less."""


@dataclass(frozen=True)
class LaneModel:
    """A fitted lane.

    Attributes:
        booster: None where too few candidates were bought to learn from: then
            the raw score is the log of the column ``instead``.
        columns: columns of the feature matrix that it reads.
        instead: index into ``columns``.
        slope, intercept: log odds = intercept + slope * raw score.
    """

    booster: lgb.Booster | None
    columns: Longs
    instead: int
    slope: float
    intercept: float

    def score(self, rows: Singles, threads: int) -> Floats:
        """Calibrated log odds of feature rows, ``[row]``: comparable across lanes."""
        return self.intercept + self.slope * self.raw(rows, threads)

    def raw(self, rows: Singles, threads: int) -> Floats:
        """What the trees say, not yet calibrated, ``[row]``."""
        if not len(rows):
            return np.zeros(0)
        if self.booster is None:
            return np.log(np.nan_to_num(rows[:, self.columns[self.instead]]) + 0.1)
        picked = np.ascontiguousarray(rows[:, self.columns])
        raw = self.booster.predict(picked, raw_score=True, num_threads=threads)
        return np.asarray(raw, dtype=np.float64)

    def to_files(self, folder: Path, name: str) -> None:
        """Write ``NAME.json`` and, if there are trees, ``NAME.txt``."""
        facts = {
            "columns": [COLUMNS[i] for i in self.columns],
            "instead": COLUMNS[self.columns[self.instead]],
            "slope": self.slope,
            "intercept": self.intercept,
            "trees": self.booster is not None,
        }
        (folder / f"{name}.json").write_text(json.dumps(facts, indent=1))
        if self.booster is not None:
            (folder / f"{name}.txt").write_text(self.booster.model_to_string())

    @staticmethod
    def from_files(folder: Path, name: str) -> LaneModel:
        """Read what ``to_files`` wrote.

        Raises:
            ContractError: the model was written for other features.
        """
        facts = json.loads((folder / f"{name}.json").read_text())
        missing = sorted(set(facts["columns"]) - set(COLUMNS))
        if missing:
            raise ContractError(
                f"{folder / name}.json: expected features of this version, "
                f"got {missing[0]!r}; train again"
            )
        trees = (folder / f"{name}.txt").read_text() if facts["trees"] else None
        columns = np.array([COLUMNS.index(c) for c in facts["columns"]])
        return LaneModel(
            booster=lgb.Booster(model_str=trees) if trees else None,
            columns=columns,
            instead=facts["columns"].index(facts["instead"]),
            slope=facts["slope"],
            intercept=facts["intercept"],
        )


@dataclass(frozen=True)
class Examples:
    """Candidates of past cutoffs with what came of them.

    Attributes:
        rows: features, ``[row, len(COLUMNS)]``.
        bought: label, ``[row]``.
    """

    rows: Singles
    bought: Bools


def join(parts: Sequence[Examples]) -> Examples:
    """All parts in one; without any part, no rows."""
    if not parts:
        return Examples(
            np.zeros((0, len(COLUMNS)), np.float32), np.zeros(0, dtype=np.bool_)
        )
    return Examples(
        np.concatenate([part.rows for part in parts]),
        np.concatenate([part.bought for part in parts]),
    )


def fit_trees(
    examples: Examples, columns: Longs, config: RecommendConfig, seed: int
) -> lgb.Booster | None:
    """Trees on sampled candidates; None if fewer than ``FEW_BOUGHT`` were bought."""
    if examples.bought.sum() < FEW_BOUGHT or examples.bought.all():
        return None
    data = lgb.Dataset(
        np.ascontiguousarray(examples.rows[:, columns]),
        label=examples.bought.astype(np.float32),
        feature_name=[COLUMNS[i] for i in columns],
        params={"max_bin": 63, "bin_construct_sample_cnt": 50_000, "verbose": -1},
    )
    settings = {
        "objective": "binary",
        "num_leaves": config.leaves,
        "learning_rate": config.learning_rate,
        "min_data_in_leaf": 50,
        "feature_fraction": 0.5,
        "lambda_l2": 5.0,
        "max_bin": 63,
        "seed": seed,
        "deterministic": True,
        "force_row_wise": True,
        "num_threads": config.threads,
        "verbose": -1,
    }
    return lgb.train(settings, data, num_boost_round=config.trees)


def fit_curve(score: Floats, bought: Bools) -> tuple[float, float]:
    """Slope and intercept of the logistic curve through scores, by Newton steps.

    With Platt's targets, so that a lane without any purchase has a finite
    curve. The slope is kept positive: a better score never means less.
    """
    if not len(score):
        return FLAT, float(logit(UNKNOWN))
    positives = int(bought.sum())
    high = (positives + 1) / (positives + 2)
    low = 1 / (len(score) - positives + 2)
    target = np.where(bought, high, low)
    center, scale = float(score.mean()), float(score.std()) or 1.0
    x = (score - center) / scale
    at = np.array([float(logit(target.mean())), 0.0])
    loss = _loss(at, x, target)
    for _ in range(100):
        p = expit(at[0] + at[1] * x)
        w, miss = p * (1 - p), target - p
        rise = np.array([miss.sum(), (miss * x).sum()])
        cross = (w * x).sum()
        bend = np.array([[w.sum(), cross], [cross, (w * x * x).sum()]])
        step: Floats = np.linalg.solve(bend + 1e-6 * np.eye(2), rise).astype(np.float64)
        # A full Newton step may overshoot where few were bought: halve it.
        while (tried := _loss(at + step, x, target)) > loss and np.abs(step).max() > 0:
            step *= 0.5
        at, gain, loss = at + step, loss - tried, tried
        if gain < 1e-9 * abs(loss):
            break
    intercept, slope = float(at[0]), float(at[1])
    slope = max(slope, FLAT)
    return slope / scale, intercept - slope * center / scale


def _loss(at: Floats, x: Floats, target: Floats) -> float:
    """Log loss of the curve: ``log(1 + exp(z)) - target z``."""
    z = at[0] + at[1] * x
    return float((np.logaddexp(0, z) - target * z).sum())
