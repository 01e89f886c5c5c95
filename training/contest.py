"""The challenger beside its rivals, paired row by row: what the gate is told."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pyarrow as pa

from features.history import Floats
from training import metrics
from training.calibration import expected_calibration_error
from training.details import closest
from training.gate import AUC, RECALL, Contest, Evidence
from training.leaks import Leaks
from training.metrics import MODEL, Interval
from training.proof import Proof, common, names_of, recall_of


def evidence(
    ours: Sequence[Proof],
    champions: Sequence[Proof] | None,
    skewed: tuple[str, ...],
    seed: int,
    *,
    same_data: bool,
    withdrawn: bool = False,
) -> Evidence:
    """All that the gate asks of a challenger.

    Args:
        ours: the challenger's proofs, by cutoff, ascending.
        champions: the champion's at the same cutoffs; None: there is no champion.
        skewed: see ``skew``.
        seed: of the bootstrap.
        same_data: see ``gate.Evidence``.
        withdrawn: see ``gate.Evidence``.
    """
    return Evidence(
        cutoffs=tuple(one.cutoff for one in ours),
        contests=(
            *(_scores(ours, name, seed) for name in names_of(ours, "scores")),
            *(_lists(ours, name, seed) for name in names_of(ours, "recall")),
            *(_champion(ours, champions, seed) if champions else ()),
        ),
        calibration={
            "propensity": tuple(
                expected_calibration_error(one.scores[MODEL], one.label) for one in ours
            ),
            "the match": tuple(one.match_error for one in ours),
        },
        leaks=Leaks(
            shuffled=tuple(auc for one in ours for auc in one.shuffled),
            strongest=closest([one.strongest for one in ours]),
        ),
        skewed=skewed,
        same_data=same_data,
        withdrawn=withdrawn,
    )


def _scores(ours: Sequence[Proof], rival: str, seed: int) -> Contest:
    gains = (
        metrics.auc_gain(one.label, one.scores[MODEL], one.scores[rival], seed)
        for one in ours
    )
    return Contest(AUC, rival, tuple(gains))


def _lists(ours: Sequence[Proof], rival: str, seed: int) -> Contest:
    gains = (_gain(one.recall[MODEL], one.recall[rival], seed) for one in ours)
    return Contest(RECALL, rival, tuple(gains))


def _champion(
    ours: Sequence[Proof], champions: Sequence[Proof], seed: int
) -> tuple[Contest, Contest]:
    """On the rows that both have, with the answers of today's data.

    What the champion had offered is held to them too: rows that came late since it was
    proved count for both.
    """
    aucs: list[Interval] = []
    recalls: list[Interval] = []
    for one, other in zip(ours, champions, strict=True):
        mine, theirs = common(one, other)
        score = one.scores[MODEL][mine], other.scores[MODEL][theirs]
        bought = one.bought.take(pa.array(mine))
        offered = other.offered.take(pa.array(theirs))
        recall = one.recall[MODEL][mine], recall_of(offered, bought)
        aucs.append(metrics.auc_gain(one.label[mine], *score, seed))
        recalls.append(_gain(*recall, seed))
    return Contest(AUC, None, tuple(aucs)), Contest(RECALL, None, tuple(recalls))


def _gain(ours: Floats, theirs: Floats, seed: int) -> Interval:
    """Mean difference with its paired interval, of those who have both."""
    difference = ours - theirs
    return metrics.bootstrap_interval(difference[~np.isnan(difference)], seed=seed)
