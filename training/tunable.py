"""What can be tuned: which settings, in which range, and what a build with them scores.

A fold is a build at a past cutoff: it sees only what was known then, learns by the
build's own functions, and is scored on the label window after it. Scores are proper
(they are best for the true probability or mean) and are taken of what the product
says, after calibration: settings whose only fault is one that calibration mends are
not to be punished for it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime

import numpy as np
import pyarrow as pa
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)
from sklearn.metrics import log_loss

from features.assemble import assemble
from features.config import Config, TreesConfig
from features.contracts import ContractError
from features.history import History
from features.snapshot import DAY_US, to_us
from training import build, churn, spend
from training.btyd import fit_baseline, net_spend, past_orders
from training.split import scored_cutoffs

_STEPS = (7, 14, 28)
_MOST_CUTOFFS = 30
_LEAST_FOLDS = 3


@dataclass(frozen=True)
class Fold:
    """A build at a past cutoff, and what happened after it.

    Attributes:
        cutoff: of the build.
        known: purchases as known at the cutoff, codes as in ``history``.
        history: as known at the moment of tuning; gives the truth.
        features: rows of ``assemble`` at every cutoff that any settings ask for.
    """

    cutoff: datetime
    known: History
    history: History
    features: pa.Table

    def rows(self, config: Config) -> pa.Table:
        """What ``build.build_features`` would give at the cutoff."""
        cutoffs = [*build.training_cutoffs(self.known, config), self.cutoff]
        us = self.features.column("cutoff").cast(pa.int64()).to_numpy()
        return self.features.filter(pa.array(np.isin(us, [to_us(c) for c in cutoffs])))


@dataclass(frozen=True)
class Tunable:
    """A model whose settings can be searched.

    Attributes:
        name: of its section in the configuration.
        measure: what is averaged over the folds; less is better.
        window_days: length of the label window.
        score: the measure of a build with these settings on a fold; None where
            there is nothing to learn from.
        space: by setting, its range.
    """

    name: str
    measure: str
    window_days: Callable[[Config], int]
    score: Callable[[Fold, Config], float | None]
    space: Mapping[str, BaseDistribution]

    def settings(self, config: Config) -> dict[str, int | float]:
        """The present value of every setting of the space."""
        section = self.section(config)
        return {name: getattr(section, name) for name in self.space}

    def section(self, config: Config) -> TreesConfig:
        """This model's part of the configuration."""
        return getattr(config, self.name)

    def around(self, config: Config) -> dict[str, BaseDistribution]:
        """The space, widened where needed to hold the present settings."""
        present = self.settings(config)
        return {
            name: _holding(kind, present[name]) for name, kind in self.space.items()
        }

    def with_settings(
        self, config: Config, settings: Mapping[str, int | float], seeds: int
    ) -> Config:
        """The configuration with other settings, and so many boosters per fit."""
        changed = {**settings, "seeds": seeds}
        section = self.section(config).model_copy(update=changed)
        return config.model_copy(update={self.name: section})


def folds_of(history: History, config: Config, model: Tunable) -> tuple[Fold, ...]:
    """The latest folds, ascending; the features of all of them are made once.

    Args:
        history: known before the build's cutoff; no later label is in it.
        config: how many folds.
        model: one tree of it must be possible in a fold.

    Raises:
        ContractError: too little history for three folds.
    """
    days = model.window_days(config)
    n = config.tune.folds + config.tune.held_back
    cutoffs = scored_cutoffs(history.until, days, n)
    first = history.purchases.ts[history.purchases.bought].min()
    known = [_as_known(history, c) for c in cutoffs if to_us(c) > first]
    steps = {*_STEPS, config.propensity.step_days}
    asked = {h.until for h in known}
    for one in known:
        for step in steps:
            asked |= _asked(one, config, step)
    folds: list[Fold] = []
    if known:
        features = assemble(history, sorted(asked))
        folds = [Fold(one.until, one, history, features) for one in known]
    least = model.with_settings(config, {"trees": 1}, 1)
    folds = [fold for fold in folds if _is_possible(fold, least, model)]
    if len(folds) < _LEAST_FOLDS:
        raise ContractError(
            f"tune: expected history for {_LEAST_FOLDS} past builds of {model.name} "
            f"with label windows of {days} days, got {len(folds)}; choose a later "
            "cutoff or a shorter horizon"
        )
    return tuple(folds)


def _as_known(history: History, cutoff: datetime) -> History:
    """The purchases that a build at the cutoff would have read."""
    lines = history.purchases
    return replace(
        history, until=cutoff, purchases=lines.take(lines.before(to_us(cutoff)))
    )


def _asked(known: History, config: Config, step_days: int) -> set[datetime]:
    """Cutoffs that a build learns from with this step."""
    most = max(_MOST_CUTOFFS, config.propensity.max_cutoffs)
    changed = {"step_days": step_days, "max_cutoffs": most}
    section = config.propensity.model_copy(update=changed)
    with suppress(ContractError):  # so long a step needs more history
        return set(
            build.training_cutoffs(
                known, config.model_copy(update={"propensity": section})
            )
        )
    return set()


def _is_possible(fold: Fold, config: Config, model: Tunable) -> bool:
    try:
        return model.score(fold, config) is not None
    except ContractError:
        return False


def _propensity_loss(fold: Fold, config: Config) -> float:
    """Log loss of the calibrated probability at the stated horizon."""
    features = fold.rows(config)
    model = build.fit_propensity(fold.known, features, config)
    rows = build.at_cutoff(features, fold.cutoff)
    days = build.next_purchase(fold.history, rows, [fold.cutoff])
    label = days < config.horizon_days
    chance = model.probability(rows, config.horizon_days)
    return float(log_loss(label, chance, labels=[False, True]))


def _spend_loss(fold: Fold, config: Config) -> float | None:
    """Tweedie deviance of power 1.5, whatever power the trees learn with: proper for a mean."""
    features = fold.rows(config)
    days = config.horizon_days
    model = spend.fit_spend(fold.known, features, days, config.spend, config.seed)
    if model is None:
        return None
    at, rows = to_us(fold.cutoff), build.at_cutoff(features, fold.cutoff)
    past = past_orders(fold.known, at)
    baseline = fit_baseline(past)
    expected = model.relative_spend(rows, past, baseline, days)
    expected *= model.level(rows, past, baseline, days)
    lines, who = fold.history.purchases, past.visits.customer
    spent = net_spend(lines, who, at, at + days * DAY_US)
    least = 1e-3 * expected.mean()
    if least <= 0:
        return None
    root = np.sqrt(np.maximum(expected, least))
    return float(np.mean(4 * (np.sqrt(spent) - root) ** 2 / root))


def _churn_loss(fold: Fold, config: Config) -> float | None:
    """Log loss of the calibrated risk of the customers with a norm."""
    features = fold.rows(config)
    model = churn.fit_churn(fold.known, features, config.churn, config.seed)
    if model is None:
        return None
    at, rows = to_us(fold.cutoff), build.at_cutoff(features, fold.cutoff)
    risk = model.predict(fold.known, rows, at).column("churn_risk")
    stated = risk.is_valid().to_numpy(zero_copy_only=False)
    who = rows.column("customer").to_numpy()
    norm = churn.norm_of(fold.known, who, at, config.churn)
    fell, _, _ = churn.declined(fold.history, who, norm, at, config.churn)
    if not stated.any():
        return None
    chance = risk.to_numpy(zero_copy_only=False)[stated]
    return float(log_loss(fell[stated], chance, labels=[False, True]))


def _holding(kind: BaseDistribution, present: int | float) -> BaseDistribution:
    """The range, wide enough for the present value."""
    if isinstance(kind, CategoricalDistribution):
        known = kind.choices
        return kind if present in known else CategoricalDistribution((*known, present))
    if not isinstance(kind, IntDistribution | FloatDistribution):
        raise TypeError(f"space: expected a range, got {kind!r}")
    low, high = min(kind.low, present), max(kind.high, present)
    log = kind.log and low > 0
    if isinstance(kind, IntDistribution):
        return IntDistribution(int(low), int(high), log=log)
    return FloatDistribution(low, high, log=log)


def _trees(leaves: int, rows: int) -> dict[str, BaseDistribution]:
    """Ranges of what all boosted trees have."""
    return {
        "trees": IntDistribution(40, 400, log=True),
        "learning_rate": FloatDistribution(0.015, 0.15, log=True),
        "leaves": IntDistribution(3, leaves, log=True),
        "min_rows_per_leaf": IntDistribution(10, rows, log=True),
        "feature_share": FloatDistribution(0.05, 0.8, log=True),
        "row_share": FloatDistribution(0.3, 1.0),
        "l2": FloatDistribution(0.5, 100.0, log=True),
    }


MODELS: Sequence[Tunable] = (
    Tunable(
        "propensity",
        "log loss",
        lambda config: config.horizon_days,
        _propensity_loss,
        {
            **_trees(leaves=40, rows=800),
            # At least one: other horizons than the stated one are learned from
            # drawn ones alone, and the score does not see them.
            "drawn_horizons": IntDistribution(1, 3),
            "drawn_weight": FloatDistribution(0.1, 1.0),
            "step_days": CategoricalDistribution(_STEPS),
            "max_cutoffs": IntDistribution(6, _MOST_CUTOFFS),
        },
    ),
    Tunable(
        "spend",
        "Tweedie deviance",
        lambda config: config.horizon_days,
        _spend_loss,
        {
            **_trees(leaves=40, rows=800),
            "variance_power": FloatDistribution(1.1, 1.9),
        },
    ),
    Tunable(
        "churn",
        "log loss",
        lambda config: config.churn.window_days,
        _churn_loss,
        _trees(leaves=20, rows=800),
    ),
)
