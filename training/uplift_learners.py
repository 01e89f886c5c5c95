"""Learners of uplift on LightGBM: T, X and doubly robust, with cross-fitting.

All three start from two models of the outcome, of those left alone and of those
contacted. They are fitted in folds of customers, and a contact's expected outcomes
come from the folds it is not in, so that no outcome explains itself.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from features.config import UpliftConfig
from features.history import Bools, Floats, Ints
from training.boosting import lgb
from training.uplift_metrics import effect_scores

Matrix = npt.NDArray[np.float32]

REFERENCE = "dr"
"""The learner that another must certainly beat."""

LEARNERS = ("t", "x", REFERENCE)
"""Names of the learners."""


@dataclass(frozen=True)
class Arms:
    """Training rows: ``[row, feature]`` and ``[row]``; see ``holdout.Contacts``."""

    matrix: Matrix
    customer: Ints
    treated: Bools
    outcome: Floats
    share_treated: Floats
    categorical: tuple[int, ...]
    is_money: bool = False
    """The outcome is spend; otherwise it is 0 or 1, and what is expected a probability."""

    def take(self, keep: Bools) -> Arms:
        """The rows of a mask."""
        return Arms(
            self.matrix[keep],
            self.customer[keep],
            self.treated[keep],
            self.outcome[keep],
            self.share_treated[keep],
            self.categorical,
            self.is_money,
        )


@dataclass(frozen=True)
class Outcomes:
    """Expected outcome without and with a contact: one booster per fold each."""

    without: tuple[lgb.Booster, ...]
    contacted: tuple[lgb.Booster, ...]
    is_money: bool

    def __call__(self, matrix: Matrix) -> tuple[Floats, Floats]:
        """P(a purchase), or spend, left alone and contacted, means over folds, ``[row]``."""
        return (
            _mean(self.without, matrix, self.is_money),
            _mean(self.contacted, matrix, self.is_money),
        )


@dataclass(frozen=True)
class Learner:
    """A fitted learner.

    Attributes:
        name: of ``LEARNERS``.
        outcomes: both models of the outcome.
        effects: boosters of the effect: none for T, of the held out and of the
            contacted for X, one for the doubly robust.
        share_treated: weight of X's first booster.
    """

    name: str
    outcomes: Outcomes
    effects: tuple[lgb.Booster, ...]
    share_treated: float

    def uplift(self, matrix: Matrix) -> Floats:
        """Rise by a contact, ``[row]``: of P(a purchase), -1 to 1, or of spend."""
        without, contacted = self.outcomes(matrix)
        if self.name == "t":
            return contacted - without
        wide = _wide(matrix, without)
        found = [np.asarray(booster.predict(wide)) for booster in self.effects]
        share = self.share_treated
        effect = (
            share * found[0] + (1 - share) * found[1] if len(found) > 1 else found[0]
        )
        return effect if self.outcomes.is_money else np.clip(effect, -1, 1)


def fit_learners(
    arms: Arms, names: tuple[str, ...], config: UpliftConfig, seed: int
) -> tuple[Learner, ...]:
    """Fit some learners on the same models of the outcome.

    Both arms need customers in every fold.

    Args:
        arms: training rows.
        names: of ``LEARNERS``.
        config: trees and folds.
        seed: of the folds and the trees.

    Source: T and X, Künzel et al. (2019), "Metalearners for estimating
    heterogeneous treatment effects", sections "T-learner" and "X-learner"; doubly
    robust, Kennedy (2020), "Towards optimal doubly robust estimation of
    heterogeneous causal effects", algorithm 1.
    """
    fold = np.random.default_rng(seed).permutation(arms.customer.max() + 1)
    fold = fold[arms.customer] % config.folds
    outcomes, without, contacted = _outcomes(arms, fold, config, seed)
    share = float(arms.treated.mean())
    # Who buys often anyway has most to gain or nothing: the trees may split on it.
    wide = _wide(arms.matrix, without)
    doubly = effect_scores(
        arms.outcome, arms.treated, arms.share_treated, without, contacted
    )
    everyone = np.ones(len(doubly), np.bool_)
    targets = {
        "t": (),
        "x": (
            (contacted - arms.outcome, ~arms.treated),
            (arms.outcome - without, arms.treated),
        ),
        "dr": ((doubly, everyone),),
    }
    return tuple(
        Learner(
            name,
            outcomes,
            tuple(
                _booster(wide[rows], target[rows], arms.categorical, config, seed, True)
                for target, rows in targets[name]
            ),
            share,
        )
        for name in names
    )


def _outcomes(
    arms: Arms, fold: npt.NDArray[np.int64], config: UpliftConfig, seed: int
) -> tuple[Outcomes, Floats, Floats]:
    """The models of both arms, and what they expect of the fold they have not seen."""
    boosters: list[list[lgb.Booster]] = [[], []]
    expected = np.empty((2, len(fold)))
    for k in range(config.folds):
        for arm, into in enumerate(boosters):
            rows = (fold != k) & (arms.treated == bool(arm))
            booster = _booster(
                arms.matrix[rows],
                arms.outcome[rows],
                arms.categorical,
                config,
                seed + k,
            )
            into.append(booster)
            unseen = arms.matrix[fold == k]
            expected[arm, fold == k] = _mean((booster,), unseen, arms.is_money)
    outcomes = Outcomes(tuple(boosters[0]), tuple(boosters[1]), arms.is_money)
    return outcomes, expected[0], expected[1]


def _mean(boosters: tuple[lgb.Booster, ...], matrix: Matrix, is_money: bool) -> Floats:
    expected = [np.asarray(booster.predict(matrix)) for booster in boosters]
    mean = np.mean(expected, axis=0)
    return mean if is_money else np.clip(mean, 0, 1)


def _wide(matrix: Matrix, without: Floats) -> Matrix:
    """The features, and what is expected without a contact."""
    return np.column_stack([matrix, without.astype(np.float32)])


def _booster(
    matrix: Matrix,
    target: Floats,
    categorical: tuple[int, ...],
    config: UpliftConfig,
    seed: int,
    of_effect: bool = False,
) -> lgb.Booster:
    """Least squares trees; those of the effect are smaller, as it is mostly noise."""
    data = lgb.Dataset(
        matrix,
        target,
        feature_name=[f"f{i}" for i in range(matrix.shape[1])],
        categorical_feature=list(categorical),
        free_raw_data=True,
    )
    parameters = {
        "objective": "regression",
        "learning_rate": config.learning_rate,
        "num_leaves": config.effect_leaves if of_effect else config.leaves,
        "min_child_samples": config.effect_min_rows if of_effect else config.min_rows,
        "feature_fraction": config.feature_share,
        "bagging_fraction": config.row_share,
        "bagging_freq": 1,
        "max_bin": 63,
        "lambda_l2": config.l2,
        "cat_smooth": 50.0,
        "max_cat_to_onehot": 8,
        "seed": seed,
        "deterministic": True,
        "force_row_wise": True,
        "num_threads": config.threads,
        "verbosity": -1,
    }
    rounds = config.effect_trees if of_effect else config.trees
    return lgb.train(parameters, data, rounds)


def save_learner(learner: Learner, folder: Path, name: str) -> dict[str, Any]:
    """Write the boosters as text to ``folder/NAME_…``; return the rest, ready for JSON."""
    groups = {
        "without": learner.outcomes.without,
        "contacted": learner.outcomes.contacted,
        "effect": learner.effects,
    }
    for group, boosters in groups.items():
        for number, booster in enumerate(boosters):
            file = folder / f"{name}_{group}_{number}.txt"
            file.write_text(booster.model_to_string())
    return {
        "name": learner.name,
        "share_treated": learner.share_treated,
        "is_money": learner.outcomes.is_money,
        "boosters": {group: len(boosters) for group, boosters in groups.items()},
    }


def load_learner(folder: Path, rest: dict[str, Any], name: str) -> Learner:
    """The learner that ``save_learner`` wrote; scores are equal to the bit."""
    without, contacted, effects = (
        tuple(
            lgb.Booster(model_str=(folder / f"{name}_{group}_{n}.txt").read_text())
            for n in range(rest["boosters"][group])
        )
        for group in ("without", "contacted", "effect")
    )
    outcomes = Outcomes(without, contacted, rest["is_money"])
    return Learner(rest["name"], outcomes, effects, rest["share_treated"])
