"""What a treatment did to those who got it, beside others who are like them.

Where chance drew who is left alone, the others are like them anyway. Where it did
not, they are made alike twice over: weighed by the odds of being treated, and held
against what is expected of each without treatment. The result is right if either of
the two models is (doubly robust), and where no others are alike, there is none.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from features.config import CampaignsConfig
from features.history import Bools, Floats, Ints
from training.boosting import Matrix, lgb


@dataclass(frozen=True)
class Compared:
    """Rows of the treated and of others.

    Attributes:
        matrix: what was known before, float32 ``[row, feature]``, NaN: null.
        categorical: positions of the features that hold codes of words.
        customer: codes; a customer has one row.
        treated: ``[row]``.
        outcomes: float64 ``[row, outcome]``; the first is 0 or 1.
        by_chance: who is treated was drawn, so nothing needs to be made alike.
    """

    matrix: Matrix
    categorical: tuple[int, ...]
    customer: Ints
    treated: Bools
    outcomes: Floats
    by_chance: bool


@dataclass(frozen=True)
class Overlap:
    """How far others are like the treated.

    Attributes:
        comparable: share of the treated whose like is found among the others.
        effective_others: of how many equally weighed customers the others have the
            precision.
        imbalance_before: what is expected without treatment of the treated less of
            the others, in standard deviations.
        imbalance: the same, the others weighed.
    """

    comparable: float
    effective_others: float
    imbalance_before: float
    imbalance: float


@dataclass(frozen=True)
class Effect:
    """Of the treatment on the treated that are comparable; all ``[outcome]`` but these.

    Attributes:
        treated, others: customers.
        with_it: means of the treated.
        effect: means of the treated less what they would have done without.
        naive: means of all treated less means of all others.
        customer: of each row of ``influence``.
        influence: ``[row, outcome, 2]``: how each row moves ``with_it`` and
            ``effect``; sums over rows are 0, sums of squares are variances.
        overlap: see there.
    """

    treated: int
    others: int
    with_it: Floats
    effect: Floats
    naive: Floats
    customer: Ints
    influence: Floats
    overlap: Overlap


def effect_on_treated(rows: Compared, config: CampaignsConfig, seed: int) -> Effect:
    """Doubly robust effect on the treated, cross-fitted.

    Args:
        rows: of both; each needs at least ``config.folds`` customers.
        config: trees, folds, and how sure a treatment may be for somebody's like to
            count as found.
        seed: of folds and trees.

    Source: Hahn (1998), "On the role of the propensity score", section 3, for the
    effect on the treated; weights that sum to the number of the treated as in Hájek
    (1971); cross-fitting as in Chernozhukov et al. (2018), "Double/debiased machine
    learning", definition 3.1.
    """
    chance, without = _expected(rows, config, seed)
    treated = rows.treated
    odds = np.where(treated, 1.0, chance / (1 - chance))
    like = chance <= 1 - config.clip
    inside = like if not rows.by_chance else np.ones(len(like), np.bool_)
    weight = np.where(inside, odds, 0.0)
    n = int(np.sum(treated & inside))
    scale = n / max(float(weight[~treated].sum()), 1e-300)
    weight[~treated] *= scale
    residual = rows.outcomes - without
    signed = np.where(treated, weight, -weight)[:, None] * residual
    effect = signed.sum(axis=0) / max(n, 1)
    ones = (treated & inside).astype(np.float64)[:, None]
    with_it = (ones * rows.outcomes).sum(axis=0) / max(n, 1)
    # Others: each around the mean of the weighed residuals, as the weights are scaled.
    rest = np.where(treated, 0.0, weight)[:, None]
    centre = (rest * residual).sum(axis=0) / max(n, 1)
    influence = np.stack(
        [
            ones * (rows.outcomes - with_it),
            ones * (residual - effect - centre) - rest * (residual - centre),
        ],
        axis=2,
    ) / max(n, 1)
    return Effect(
        treated=int(treated.sum()),
        others=int(np.sum(~treated)),
        with_it=with_it,
        effect=effect,
        naive=rows.outcomes[treated].mean(axis=0)
        - rows.outcomes[~treated].mean(axis=0),
        customer=rows.customer,
        influence=influence,
        overlap=_overlap(treated, inside, weight, without[:, 0]),
    )


def _overlap(treated: Bools, inside: Bools, weight: Floats, without: Floats) -> Overlap:
    there, others = treated & inside, ~treated
    spread = float(np.sqrt((without[treated].var() + without[others].var()) / 2))
    of_others = weight[others]
    total, squares = float(of_others.sum()), float((of_others**2).sum())
    weighed = float((of_others * without[others]).sum()) / total if total else np.nan
    mean = float(without[there].mean()) if there.any() else np.nan
    before = float(without[treated].mean() - without[others].mean())
    return Overlap(
        comparable=float(there.sum() / max(treated.sum(), 1)),
        effective_others=total**2 / squares if squares else 0.0,
        imbalance_before=before / spread if spread else 0.0,
        imbalance=(mean - weighed) / spread if spread else 0.0,
    )


def _expected(
    rows: Compared, config: CampaignsConfig, seed: int
) -> tuple[Floats, Floats]:
    """P(treated) ``[row]``, and outcomes without treatment ``[row, outcome]``.

    Each from models that have not seen the row.
    """
    n = len(rows.treated)
    # As equal as they can be within each group, so that no fold lacks one.
    order = np.random.default_rng(seed).permutation(n)
    order = order[np.argsort(rows.treated[order], kind="stable")]
    fold = np.empty(n, np.int64)
    fold[order] = np.arange(n) % config.folds
    chance = np.full(n, rows.treated.mean())
    without = np.empty(rows.outcomes.shape)
    for k in range(config.folds):
        learn, ask = fold != k, fold == k
        unseen = rows.matrix[ask]
        if not rows.by_chance:
            booster = _booster(rows, learn, rows.treated, config, seed, "binary")
            chance[ask] = np.asarray(booster.predict(unseen))
        for at in range(rows.outcomes.shape[1]):
            alone = learn & ~rows.treated
            booster = _booster(rows, alone, rows.outcomes[:, at], config, seed)
            without[ask, at] = np.asarray(booster.predict(unseen))
    return np.clip(chance, 1e-3, 1 - 1e-3), without


def _booster(
    rows: Compared,
    keep: Bools,
    target: Floats | Bools,
    config: CampaignsConfig,
    seed: int,
    objective: str = "regression",
) -> lgb.Booster:
    data = lgb.Dataset(
        rows.matrix[keep],
        target[keep].astype(np.float64),
        feature_name=[f"f{i}" for i in range(rows.matrix.shape[1])],
        categorical_feature=list(rows.categorical),
        free_raw_data=True,
    )
    parameters = {
        "objective": objective,
        "learning_rate": config.learning_rate,
        "num_leaves": config.leaves,
        "min_child_samples": config.min_rows,
        "feature_fraction": config.feature_share,
        "bagging_fraction": 0.8,
        "bagging_freq": 1,
        "max_bin": 63,
        "cat_smooth": 50.0,
        "seed": seed,
        "deterministic": True,
        "force_row_wise": True,
        "num_threads": config.threads,
        "verbosity": -1,
    }
    return lgb.train(parameters, data, config.trees)
