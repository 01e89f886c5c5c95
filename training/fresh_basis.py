"""What a published version holds so that fresh events can be folded in."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.special import logit

from features.config import RecommendConfig
from features.history import Array, Bools, Floats, Ints
from features.pairs import Singles
from training.fold_in import FoldIn, gram_of
from training.fresh import FreshModel
from training.fresh_rows import Shop
from training.generators.generator import columns_of
from training.moment import Sorted
from training.rebuy import Rebuy, rebuy_at
from training.since import weights_of

if TYPE_CHECKING:
    # The service reads a basis, and needs no ALS for it.
    from training.generators.fitted import Generators


@dataclass(frozen=True)
class FreshBasis:
    """Of a build, at its cutoff.

    Attributes:
        model: what events change.
        weights: interest of an event by kind, ``[kind]``.
        alpha, regularization: of ALS.
        items: product codes with factors, ascending, ``[item]``.
        factors: ``[item, factor]``.
        gram: ``factors.T @ factors``.
        rebuy: ``[product]``.
    """

    model: FreshModel
    weights: Floats
    alpha: float
    regularization: float
    items: Ints
    factors: Singles
    gram: Floats
    rebuy: Rebuy

    def facts(self) -> dict[str, Any]:
        """What is no array of products, as JSON."""
        return {
            "model": self.model.to_json(),
            "weights": self.weights.tolist(),
            "alpha": self.alpha,
            "regularization": self.regularization,
        }

    @staticmethod
    def of(
        facts: Mapping[str, Any],
        items: Ints,
        factors: Singles,
        gram: Floats,
        rebuy: Rebuy,
    ) -> FreshBasis:
        """The same from ``facts`` and the arrays."""
        return FreshBasis(
            FreshModel.from_json(facts["model"]),
            np.array(facts["weights"]),
            facts["alpha"],
            facts["regularization"],
            items,
            factors,
            gram,
            rebuy,
        )


def basis_of(
    ordered: Sorted,
    generators: Generators,
    horizon_days: int,
    model: FreshModel,
    config: RecommendConfig,
) -> FreshBasis:
    """The basis at the generators' moment.

    Args:
        ordered: sorted lines; those at or after the moment are not read.
        generators: fitted at the moment.
        horizon_days: of the probabilities.
        model: fitted at the moment or before.
        config: of the recommender.
    """
    als = generators.als
    return FreshBasis(
        model,
        weights_of(config),
        config.als_alpha,
        config.als_regularization,
        als.items,
        als.factors,
        gram_of(als.factors),
        rebuy_at(ordered, generators.moment, horizon_days),
    )


def shop_of(
    basis: FreshBasis, popular: Floats, sellers: Ints, available: Bools, kind: Ints
) -> Shop:
    """The products of a basis with what the catalogue says of them; see ``Shop``."""
    fold = FoldIn(
        basis.items,
        basis.factors,
        columns_of(basis.items, len(available)),
        basis.gram,
        basis.alpha,
        basis.regularization,
    )
    return Shop(fold, basis.rebuy.log_odds, popular, sellers, available, kind)


def popular_log_odds(product: Ints, chance: Array, n_products: int) -> Floats:
    """Log odds that any customer buys a product, ``[product]``.

    Args:
        product: of the cold-start list.
        chance: of each.
        n_products: all others have half the least chance above 0.
    """
    every = np.zeros(n_products)
    every[product] = chance
    known = every[every > 0]
    least = float(known.min()) / 2 if known.size else 1e-6
    return logit(np.clip(every, least, 1 - 1e-6))
