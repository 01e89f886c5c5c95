"""Which features move the repurchase score, and by how much.

Exact tree contributions on log odds, as in ``explain``. They say what the model
uses, not what makes customers buy.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from features.assemble import FEATURES
from training.explain import contributions
from training.propensity import Propensity

TOP = 20


@dataclass(frozen=True)
class Weight:
    """One feature.

    Attributes:
        feature, dimension, meaning: as in the catalogue; a further column of
            ``customers`` is of the profile.
        moved: mean absolute contribution to the log odds, over the customers.
        share: of what all features moved; NaN if no feature moved any score.
    """

    feature: str
    dimension: str
    meaning: str
    moved: float
    share: float


@dataclass(frozen=True)
class Importance:
    """All features of a model.

    Attributes:
        customers: that were drawn.
        used: features that moved a score at all.
        top: the ``TOP`` that moved it most, the strongest first.
        dimensions: share of what all features moved, by dimension, descending.
    """

    customers: int
    used: int
    top: tuple[Weight, ...]
    dimensions: dict[str, float]


def importance(
    model: Propensity, rows: pa.Table, customers: int, seed: int
) -> Importance:
    """What moved the scores of some customers.

    Args:
        model: a fitted model.
        rows: of ``assemble`` at one cutoff.
        customers: drawn from them, at most.
        seed: of the draw.
    """
    n = min(customers, rows.num_rows)
    drawn = np.random.default_rng(seed).choice(rows.num_rows, n, replace=False)
    parts = contributions(model, rows.take(pa.array(np.sort(drawn))))
    moved = np.abs(parts).mean(axis=0)
    whole = float(moved.sum())
    catalogue = {feature.name: feature for feature in FEATURES}
    weights: list[Weight] = []
    for name, one in zip(model.encoding.columns, moved.tolist(), strict=True):
        feature = catalogue.get(name)
        weights.append(
            Weight(
                feature=name,
                dimension=feature.dimension if feature else "profile",
                meaning=feature.meaning if feature else name.replace("_", " "),
                moved=one,
                share=one / whole if whole else float("nan"),
            )
        )
    weights.sort(key=lambda weight: -weight.moved)
    return Importance(
        customers=n,
        used=sum(weight.moved > 0 for weight in weights),
        top=tuple(weight for weight in weights if weight.moved > 0)[:TOP],
        dimensions=_by_dimension(weights),
    )


def _by_dimension(weights: list[Weight]) -> dict[str, float]:
    total: dict[str, float] = {}
    for weight in weights:
        total[weight.dimension] = total.get(weight.dimension, 0.0) + weight.share
    return dict(sorted(total.items(), key=lambda item: -item[1]))
