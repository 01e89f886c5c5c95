"""The ALS factors of a build as a model of their own, in arrays and JSON, no pickle.

A build fits ALS at its cutoff; its bundle holds no factors. What was published has the
products' factors, and these are kept: who is asked about need not be known to it, for a
customer's factors are solved for from what they bought.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from features.history import Array
from training.fold_in import FoldIn
from training.fresh_basis import FreshBasis
from training.generators.generator import columns_of

if TYPE_CHECKING:
    import pandas as pd

SLOTS = 10
"""Products for each customer; ``params={"n": …}`` asks for another number."""

_FACTS = "als.json"


def save(basis: FreshBasis, product_ids: Sequence[str], folder: Path) -> None:
    """Write the factors to a folder.

    Args:
        basis: of a build.
        product_ids: of every product code.
        folder: new or empty.
    """
    folder.mkdir(parents=True, exist_ok=True)
    np.save(folder / "factors.npy", basis.factors, allow_pickle=False)
    np.save(folder / "gram.npy", basis.gram, allow_pickle=False)
    facts = {
        "products": [product_ids[code] for code in basis.items.tolist()],
        "alpha": basis.alpha,
        "regularization": basis.regularization,
    }
    (folder / _FACTS).write_text(json.dumps(facts))


@dataclass(frozen=True)
class AlsFrame:
    """Purchases in, products out; what MLflow opens.

    Attributes:
        products: ids, in the order of the factors.
        fold: solves for a customer.
    """

    products: Array
    fold: FoldIn

    @classmethod
    def load(cls, folder: Path) -> AlsFrame:
        """What ``save`` wrote."""
        facts: dict[str, Any] = json.loads((folder / _FACTS).read_text())
        items = np.arange(len(facts["products"]), dtype=np.int32)
        fold = FoldIn(
            items,
            np.load(folder / "factors.npy", allow_pickle=False),
            columns_of(items, len(items)),
            np.load(folder / "gram.npy", allow_pickle=False),
            facts["alpha"],
            facts["regularization"],
        )
        return cls(np.array(facts["products"], dtype=object), fold)

    def predict(
        self, frame: pd.DataFrame, params: dict[str, Any] | None = None
    ) -> pd.DataFrame:
        """The best products of each customer, bought ones allowed.

        Args:
            frame: ``customer_id``, ``product_id``; a row for each time it was bought.
                A product without factors is passed over.
            params: ``n``: products for each, ``SLOTS`` if not given.

        Returns:
            ``customer_id``, ``product_id``, ``rank`` (1-based), ``score``; customers in
            the order of the frame. Who bought none of the products has no row.
        """
        import pandas as pd

        slots = int((params or {}).get("n", SLOTS))
        place = {product: at for at, product in enumerate(self.products)}
        parts: list[pd.DataFrame] = []
        for customer, rows in frame.groupby("customer_id", sort=False):
            bought = [place[p] for p in rows["product_id"] if p in place]
            if not bought:
                continue
            columns, counts = np.unique(np.array(bought, np.int32), return_counts=True)
            _, own = self.fold.moved(columns, np.zeros(len(columns)), counts)
            score = self.fold.factors.astype(np.float64) @ own
            best = np.argsort(-score, kind="stable")[:slots]
            parts.append(
                pd.DataFrame(
                    {
                        "customer_id": customer,
                        "product_id": self.products[best],
                        "rank": np.arange(1, len(best) + 1),
                        "score": score[best],
                    }
                )
            )
        names = ["customer_id", "product_id", "rank", "score"]
        return pd.concat(parts) if parts else pd.DataFrame(columns=names)


def _load_pyfunc(data_path: str) -> AlsFrame:  # pyright: ignore[reportUnusedFunction]
    """Entry point by which MLflow opens the factors, without pickle."""
    return AlsFrame.load(Path(data_path))
