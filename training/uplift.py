"""Uplift: who buys *because* of the contact.

Learned from past campaigns with a random holdout. Learners are compared on the
latest of these campaigns, fitted on the ones before. The doubly robust one is taken
unless another has certainly the larger Qini coefficient, and is fitted again on all. What the ranking is worth, and whether that is certain, is part of the
answer.
"""

from __future__ import annotations

from dataclasses import dataclass
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


@dataclass(frozen=True)
class Uplift:
    """A fitted model and what is known of its worth.

    Attributes:
        learner: None where no campaign had a holdout large enough to learn from.
        encoding: of its features.
        horizon_days: uplift is of P(a purchase within so many days).
        evidence: figures of the held-out evaluation, and a sentence.
    """

    learner: Learner | None
    encoding: Encoding
    horizon_days: int
    evidence: Evidence

    def predict(self, features: pa.Table) -> pa.Table:
        """Uplift of every row of features.

        Returns:
            In the same order ``customer_id`` and ``uplift``: P(a purchase within
            the horizon) if contacted less that if left alone, -1 to 1; null for
            everyone where nothing was fitted. It is as uncertain as
            ``evidence.enough`` says.
        """
        uplift = (
            pa.nulls(features.num_rows, pa.float64())
            if self.learner is None
            else pa.array(self.learner.uplift(self.encoding.matrix(features)))
        )
        return pa.table(
            {"customer_id": features.column("customer_id"), "uplift": uplift}
        )


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
        return Uplift(None, encoding, horizon_days, too_few(contacts, config))
    arms = arms_of(contacts, encoding.matrix(features), encoding, config)
    early, late = split(contacts, horizon_days, config, seed)
    if not all(_fittable(contacts.take(part), config) for part in (early, late)):
        evidence = too_few(contacts, config, REFERENCE)
    else:
        evidence = _compared(contacts, arms, early, late, config, seed)
    name = evidence.learner or REFERENCE
    (learner,) = fit_learners(arms, (name,), config, seed)
    return Uplift(learner, encoding, horizon_days, evidence)


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
    trial = Trial(
        contacts,
        contacts.take(early),
        contacts.take(late),
        test.share_treated,
        without,
        contacted,
    )
    return judge(trial, scores, config, seed)


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
        "learner": model.learner and save_learner(model.learner, folder),
        **model.encoding.as_json(),
        "horizon_days": model.horizon_days,
        "evidence": model.evidence.as_json(),
    }


def load(folder: Path, rest: dict[str, Any]) -> Uplift:
    """The model that ``save`` wrote; scores are equal to the bit."""
    learner = rest["learner"] and load_learner(folder, rest["learner"])
    return Uplift(
        learner,
        Encoding.from_json(rest),
        rest["horizon_days"],
        Evidence.from_json(rest["evidence"]),
    )
