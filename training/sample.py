"""What each propensity model promised to customers, and what they did.

The rows behind every figure of propensity: AUC, curves, reliability, groups.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from features.config import Config
from features.history import Array, Floats, History
from features.snapshot import Snapshot
from training.groups import groups_of
from training.metrics import MODEL
from training.propensity_quality import baseline_scores, figures


@dataclass(frozen=True)
class Sample:
    """Customers with a purchase before a cutoff, one row for each.

    Attributes:
        label: 1 if they bought in the label window, else 0; shape ``[row]``.
        scores: by model, ours first: P(a purchase in the label window), same shape.
        groups: by property, see ``groups.groups_of``; same shape.
    """

    label: Floats
    scores: dict[str, Floats]
    groups: dict[str, Array]

    def figures(self) -> dict[str, dict[str, float]]:
        """By model: AUC, Brier score, expected calibration error."""
        return {name: figures(self.label, one) for name, one in self.scores.items()}


def sample_of(
    rows: pa.Table,
    ours: Floats,
    bought_by: Collection[str],
    history: History,
    snapshot: Snapshot,
    config: Config,
) -> Sample:
    """Our scores and those of the baselines, beside what happened.

    Args:
        rows: of ``assemble`` at the cutoff.
        ours: P(a purchase in the label window), shape ``[row]``.
        bought_by: ids of customers who bought in the label window.
        history: known before the cutoff; the baselines learn from it alone.
        snapshot: the cutoff and the label window.
        config: cutoffs from which the baselines learn.
    """
    who = set(bought_by)
    ids: list[str] = rows.column("customer_id").to_pylist()
    return Sample(
        label=np.array([one in who for one in ids], dtype=np.float64),
        scores={MODEL: ours, **baseline_scores(history, snapshot, config)},
        groups=groups_of(rows),
    )


def pooled(samples: Sequence[Sample]) -> Sample:
    """The rows of several cutoffs together; a customer counts once at each.

    Args:
        samples: of the same models. A property that one of them lacks is not known
            of its customers.
    """
    properties = dict.fromkeys(name for one in samples for name in one.groups)
    return Sample(
        label=np.concatenate([one.label for one in samples]),
        scores={
            name: np.concatenate([one.scores[name] for one in samples])
            for name in samples[0].scores
        },
        groups={
            name: np.concatenate(
                [one.groups.get(name, np.full(len(one.label), None)) for one in samples]
            )
            for name in properties
        },
    )
