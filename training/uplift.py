"""Uplift: who buys *because* of the contact, and how much more is spent.

Learned from past campaigns with a random holdout. Learners are compared on the
latest of these campaigns, fitted on the ones before. The doubly robust one is taken
unless another has certainly the larger Qini coefficient, and is fitted again on all;
it learns the extra spend, too (``uplift_spend``). What the rankings are worth, and
whether that is certain, is part of the answer.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from features.config import UpliftConfig
from features.history import Bools, Floats
from features.snapshot import DAY_US
from training.encoding import Encoding, encoding_of
from training.holdout import Contacts, joined
from training.uplift_evidence import Evidence, Trial, judge, too_few
from training.uplift_learners import (
    LEARNERS,
    REFERENCE,
    Arms,
    Learner,
    Matrix,
    fit_learners,
    load_learner,
    save_learner,
)
from training.uplift_spend import SpendScores


@dataclass(frozen=True)
class Uplift:
    """A fitted model and what is known of its worth.

    Attributes:
        learner: None where no campaign had a holdout large enough to learn from.
        of_spend: of the extra spend; None where the other is.
        encoding: of its features.
        horizon_days: uplift is of P(a purchase within so many days).
        evidence: figures of the held-out evaluation, and a sentence.
    """

    learner: Learner | None
    of_spend: Learner | None
    encoding: Encoding
    horizon_days: int
    evidence: Evidence

    def predict(self, features: pa.Table) -> pa.Table:
        """Uplift and extra spend of every row of features.

        Returns:
            One row per row, in the same order: ``customer_id``; ``uplift``: P(a
            purchase within the horizon) if contacted less that if left alone, -1 to
            1; ``expected_extra_spend``: spend within the horizon if contacted less
            that if left alone, net of returns, shop currency, below 0 where a contact
            costs spend. Both null for everyone where nothing was fitted, and as
            uncertain as ``evidence.enough`` and ``evidence.spend`` say.
        """
        matrix = self.encoding.matrix(features)
        found = {
            name: pa.nulls(len(matrix), pa.float64())
            if learner is None
            else pa.array(learner.uplift(matrix))
            for name, learner in (
                ("uplift", self.learner),
                ("expected_extra_spend", self.of_spend),
            )
        }
        return pa.table({"customer_id": features.column("customer_id"), **found})


def fit(
    contacts: Contacts,
    features: pa.Table,
    horizon_days: int,
    config: UpliftConfig,
    seed: int,
) -> Uplift:
    """Compare the learners, choose one, fit it on all contacts.

    Args:
        contacts: of ``holdout.contacts_of``, same horizon.
        features: rows of ``assemble``, those at ``contacts.cutoffs`` among them.
        horizon_days: length of the label window.
        config: sizes and trees.
        seed: of folds, trees and bootstrap draws.
    """
    contacts, features = joined(contacts, features)
    encoding = encoding_of(features)
    if not _fittable(contacts, config):
        evidence = too_few(contacts, config)
        return Uplift(None, None, encoding, horizon_days, evidence)
    arms = arms_of(contacts, encoding.matrix(features), encoding, config)
    early, late = split(contacts, horizon_days, config, seed)
    if not all(_fittable(contacts.take(part), config) for part in (early, late)):
        evidence = too_few(contacts, config, REFERENCE)
    else:
        evidence = _compared(contacts, arms, early, late, config, seed)
    name = evidence.learner or REFERENCE
    (learner,) = fit_learners(arms, (name,), config, seed)
    of_spend = _fit_spend(arms, contacts, config, seed)
    return Uplift(learner, of_spend, encoding, horizon_days, evidence)


def _compared(
    contacts: Contacts,
    arms: Arms,
    early: Bools,
    late: Bools,
    config: UpliftConfig,
    seed: int,
) -> Evidence:
    """Fit all learners on one part, measure on the other, keep the best."""
    candidates = fit_learners(arms.take(early), LEARNERS, config, seed)
    test = arms.take(late)
    # The same two models for all, so that all are measured on the same scores.
    without, contacted = candidates[0].outcomes(test.matrix)
    scores = {learner.name: learner.uplift(test.matrix) for learner in candidates}
    money = _fit_spend(arms.take(early), contacts.take(early), config, seed)
    trial = Trial(
        contacts,
        contacts.take(early),
        contacts.take(late),
        test.share_treated,
        without,
        contacted,
        SpendScores(*money.outcomes(test.matrix), money.uplift(test.matrix)),
    )
    return judge(trial, scores, config, seed)


def _fit_spend(
    arms: Arms, contacts: Contacts, config: UpliftConfig, seed: int
) -> Learner:
    """The learner of extra spend; arms and contacts are the same rows."""
    money = replace(arms, outcome=contacts.spend, is_money=True)
    (learner,) = fit_learners(money, (REFERENCE,), config, seed)
    return learner


def split(
    contacts: Contacts, horizon_days: int, config: UpliftConfig, seed: int
) -> tuple[Bools, Bools]:
    """Masks of contacts to learn from and to measure on.

    The latest campaigns are measured on; those are learned from whose label windows
    ended before. Where no such campaign is left, random customers are measured on.
    """
    moments, rows = np.unique(contacts.cutoff, return_counts=True)
    share = np.cumsum(rows[::-1])[::-1] / len(contacts)
    first = moments[np.flatnonzero(share >= config.evaluated_share)[-1]]
    early = contacts.moment + horizon_days * DAY_US <= first
    late = contacts.cutoff >= first
    if _fittable(contacts.take(early), config):
        return early, late
    random = np.random.default_rng(seed)
    drawn = random.random(int(contacts.customer.max()) + 1) < config.evaluated_share
    return ~drawn[contacts.customer], drawn[contacts.customer]


def _fittable(contacts: Contacts, config: UpliftConfig) -> bool:
    return min(contacts.customers_by_arm()) >= config.min_customers


def arms_of(
    contacts: Contacts, matrix: Matrix, encoding: Encoding, config: UpliftConfig
) -> Arms:
    """Contacts and their features as the learners read them, row by row."""
    return Arms(
        matrix=matrix,
        customer=contacts.customer,
        treated=contacts.treated,
        outcome=contacts.bought,
        share_treated=_share(contacts, config),
        categorical=tuple(encoding.categorical),
    )


def _share(contacts: Contacts, config: UpliftConfig) -> Floats:
    return np.clip(contacts.share_treated(), config.clip, 1 - config.clip)


def save(model: Uplift, folder: Path) -> dict[str, Any]:
    """Write the trees as text to ``folder``; return the rest, ready for JSON."""
    return {
        "learner": model.learner and save_learner(model.learner, folder, "uplift"),
        "of_spend": model.of_spend
        and save_learner(model.of_spend, folder, "extra_spend"),
        **model.encoding.as_json(),
        "horizon_days": model.horizon_days,
        "evidence": model.evidence.as_json(),
    }


def load(folder: Path, rest: dict[str, Any]) -> Uplift:
    """The model that ``save`` wrote; scores are equal to the bit."""
    learner, of_spend = rest["learner"], rest["of_spend"]
    return Uplift(
        learner and load_learner(folder, learner, "uplift"),
        of_spend and load_learner(folder, of_spend, "extra_spend"),
        Encoding.from_json(rest),
        rest["horizon_days"],
        Evidence.from_json(rest["evidence"]),
    )
