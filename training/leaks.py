"""Is the score too good to be true? Two checks that need no second data set.

**Shuffled answers.** The same fit, but every training row gets the whole answer of
another one (days to the next purchase, so that the labels
of all horizons move together). What is learned then says nothing of anybody, so the
AUC on the true answers of the evaluation cutoff is 0.5, give or take what a random
score has by luck; several shuffles say how much that is. It finds answers that
reach a score by another way than the labels it is given: through starting values,
a calibration or an evaluation that sees them. It cannot find a feature that holds
the answer, for once the labels are shuffled that feature is of no use either; nor
rows of the evaluation cutoff among the training rows, whose labels are shuffled too.

**The strongest feature.** A feature that holds the answer, such as a count that
looks past the cutoff, ranks customers nearly without an error by itself. The limit
is half of the ranking errors (1 - AUC) of the best baseline. It cannot find an
answer that is spread over many features, one that is a text, or one so faint that
an honest feature could be as good.

Neither replaces ``tests/leakage``, where rows at and after the cutoff are appended,
altered and deleted, and every feature must stay as it is.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from scipy import stats

from features.config import Config
from features.history import Floats, History
from features.snapshot import DAY_US, to_us
from training import build, metrics
from training.encoding import Encoding, encoding_of
from training.metrics import MODEL, Interval
from training.trees import Rows, fit_trees

CONFIDENCE = 0.99
"""Of the interval of the shuffled AUC: one false alarm in two hundred."""


@dataclass(frozen=True)
class Strongest:
    """The feature that ranks best by itself.

    Attributes:
        feature: its name; None: there is none, or one class only.
        auc: of it alone, whether high values or low ones buy; NaN: none.
        limit: from which on it is too good; NaN: one class only.
    """

    feature: str | None
    auc: float
    limit: float

    @property
    def is_alarm(self) -> bool:
        """Whether it ranks better than an honest feature would."""
        return self.auc > self.limit


@dataclass(frozen=True)
class Leaks:
    """Both checks.

    Attributes:
        shuffled: AUC of each fit on shuffled answers, over all evaluation cutoffs.
        strongest: of the evaluation cutoff where it came closest to its limit.
    """

    shuffled: tuple[float, ...]
    strongest: Strongest

    @property
    def interval(self) -> Interval:
        """Mean shuffled AUC, with a 99 % interval by Student's t over the fits."""
        return interval_of(self.shuffled)

    @property
    def is_alarm(self) -> bool:
        """Whether shuffled answers were predicted better than by chance."""
        return self.interval.low > 0.5


def interval_of(aucs: Sequence[float]) -> Interval:
    """Mean of independent fits, by Student's t; NaN with fewer than two defined."""
    known = np.array([one for one in aucs if one == one])
    if len(known) < 2:
        return Interval(float("nan"), float("nan"), float("nan"))
    mean = float(known.mean())
    width = stats.t.ppf((1 + CONFIDENCE) / 2, len(known) - 1) * stats.sem(known)
    return Interval(mean, mean - float(width), mean + float(width))


def shuffled_aucs(
    history: History, features: pa.Table, label: Floats, config: Config
) -> tuple[float, ...]:
    """AUC at ``history.until`` of models that learned from shuffled answers.

    Args:
        history: known before the cutoff.
        features: rows of ``build_features``.
        label: true answers at the cutoff, shape ``[row of the cutoff]``.
        config: the fit; one booster, and the stated horizon only, as no other is
            scored.
    """
    cutoffs = build.training_cutoffs(history, config)
    us = features.column("cutoff").cast(pa.int64()).to_numpy()
    until = to_us(history.until)
    past = features.filter(pa.array(us < until))
    encoding, cutoff = encoding_of(past), us[us < until]
    next_days = build.next_purchase(history, past, cutoffs)
    matrix = encoding.matrix(past)
    scored = encoding.matrix(build.at_cutoff(features, history.until))
    settings = config.propensity.model_copy(update={"drawn_horizons": 0})
    found: list[float] = []
    for n in range(config.evaluation.permutations):
        seed = config.seed + n
        rows = Rows(
            matrix,
            np.arange(len(matrix)),
            shuffled(next_days, seed),
            (until - cutoff) / DAY_US,
            cutoff,
        )
        trees = fit_trees(rows, encoding, config.horizon_days, settings, seed, 1)
        found.append(metrics.auc(label, trees.raw(scored, config.horizon_days)))
    return tuple(found)


def shuffled(next_days: Floats, seed: int) -> Floats:
    """The answers of all rows, dealt out anew.

    Not within each cutoff: in a shop that grows a cutoff's share of buyers would stay,
    and what grows with time, such as tenure, would learn it.

    Args:
        next_days: days to the next purchase, shape ``[row]``.
        seed: of the order.
    """
    return np.random.default_rng(seed).permutation(next_days)


def strongest(
    matrix: npt.NDArray[np.float32],
    encoding: Encoding,
    label: Floats,
    scores: Mapping[str, Floats],
) -> Strongest:
    """The feature that ranks best by itself, and the limit it is held to.

    Args:
        matrix: of the encoding at the cutoff, shape ``[row, feature]``; a null
            counts as the lowest value or as the highest, whichever ranks better.
        encoding: texts, whose codes have no order, are left out.
        label: 0 or 1, shape ``[row]``.
        scores: of the model and its baselines, same shape.
    """
    if not 0 < label.sum() < len(label):
        return Strongest(None, float("nan"), float("nan"))
    best = max(metrics.auc(label, s) for name, s in scores.items() if name != MODEL)
    texts = set(encoding.categorical)
    alone = {
        name: _auc_alone(label, matrix[:, place].astype(np.float64))
        for place, name in enumerate(encoding.columns)
        if place not in texts
    }
    if not alone:
        return Strongest(None, float("nan"), 1 - (1 - best) / 2)
    name = max(alone, key=lambda one: alone[one])
    return Strongest(name, alone[name], 1 - (1 - best) / 2)


def _auc_alone(label: Floats, values: Floats) -> float:
    once = np.ones((1, len(label)))
    nulls = (-1e300, 1e300) if np.isnan(values).any() else (0.0,)
    filled = (np.where(np.isnan(values), null, values) for null in nulls)
    either = [float(metrics.weighted_auc(label, one, once)[0]) for one in filled]
    return max(max(auc, 1 - auc) for auc in either)
