"""What a build says about every customer: the hand-over to serving.

``training.backtest`` fills it, ``serving.publish`` writes it to disk, the
files of ``repurchase backtest`` and the API read the same tables.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from datetime import datetime
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from features.history import Longs
from features.kept import Kept
from training.any_of import AnyOf
from training.buyers import Buyers
from training.fresh_basis import FreshBasis
from training.uplift_evidence import Evidence

if TYPE_CHECKING:
    from training.propensity import Propensity

LANES = ("mixed", "again", "new")
"""The three lists: both lanes merged, bought before, never bought."""

HORIZONS = np.arange(1, 181, dtype=np.int16)
"""Days for which every customer has a purchase probability."""

CUSTOMERS = pa.schema(
    [
        ("customer_id", pa.string()),
        # Median and 80 % interval of the next purchase date, from their own curve.
        # Null: not reached within 180 days.
        ("expected_next_at", pa.timestamp("us")),
        ("next_p10_at", pa.timestamp("us")),
        ("next_p90_at", pa.timestamp("us")),
        # The three strongest reasons for the score, in words, strongest first.
        ("reasons", pa.list_(pa.string())),
        # False: refused, as in force at the cutoff; true where nothing is known.
        ("consent", pa.bool_()),
    ]
)

PRODUCTS = pa.schema(
    [
        ("product_id", pa.string()),
        ("name", pa.string()),
        ("category", pa.string()),
        ("subcategory", pa.string()),
        ("brand", pa.string()),
        # The master's, else net paid per line of the last 84 days; null: no sale.
        ("price", pa.float64()),
        ("margin_rate", pa.float64()),  # share of the price; null: unknown
        ("service_life_days", pa.float64()),  # null: not durable
        # Launched, else first sold; null: neither is known.
        ("arrived_at", pa.timestamp("us")),
        ("available", pa.bool_()),
    ]
)

OFFERS = pa.schema(
    [
        ("customer", pa.int32()),  # row of ``customers``
        ("product", pa.int32()),  # row of ``products``
        ("is_new", pa.bool_()),  # never bought by this customer
        ("score", pa.float32()),  # the ranker's, comparable within a customer
        ("probability", pa.float32()),  # P(buys this product in the horizon)
        ("source", pa.dictionary(pa.int32(), pa.string())),  # strongest generator
        ("reason", pa.dictionary(pa.int32(), pa.string())),
    ]
)

COLD_START = pa.schema(
    [
        ("product", pa.int32()),
        ("score", pa.float32()),
        ("probability", pa.float32()),
        ("reason", pa.string()),
    ]
)


@dataclass(frozen=True)
class OfCustomers:
    """What ``Predictions`` say of some customers; rows of ``offers`` are theirs.

    Attributes:
        number: of each customer among those of all parts, ``[customer]``.
    """

    number: Longs
    customers: pa.Table
    curve: npt.NDArray[np.float32]
    offers: pa.Table
    bought_offsets: Longs
    bought_products: npt.NDArray[np.int32]
    last_bought: Longs
    bought_weight: npt.NDArray[np.float32]
    replenishment: pa.Table
    value: pa.Table
    churn: pa.Table | None
    uplift: pa.Table
    profiles: pa.Table
    kept: Kept

    def columns(self) -> dict[str, Any]:
        """All but ``number``, by name."""
        return {f.name: getattr(self, f.name) for f in fields(self)[1:]}


@dataclass(frozen=True)
class Predictions:
    """Scores of every customer with a purchase before the cutoff.

    Tables and arrays with rows of customers may be mapped from disk.

    Attributes:
        cutoff: only rows known before it were used.
        horizon_days: horizon of ``offers.probability`` and of the tag.
        customers: schema ``CUSTOMERS``, one row each, ordered by id.
        curve: P(at least one purchase within ``HORIZONS[j]`` days of the
            cutoff), float32, shape ``[customer, 180]``, rows never decrease.
        tag_threshold: "likely to repurchase" at or above it, at the horizon.
        products: schema ``PRODUCTS``, ordered by id.
        offers: schema ``OFFERS``, ordered by customer, then score (best
            first): scored candidates of both lanes.
        buyers: the likeliest customers of every product, as rows of ``customers``;
            nobody who refused consent, or has a durable of the kind that lasts.
        any_of: P(at least one of several products) from their own.
        cold_start: schema ``COLD_START``, best first: every available
            product, for customers without history and to fill short lists.
        bought_offsets: int64, shape ``[customer + 1]``: customer ``i`` bought
            ``bought_products[bought_offsets[i]:bought_offsets[i + 1]]``.
        bought_products: int32 rows of ``products``, ascending and distinct
            within a customer: everything bought before the cutoff, so that
            short lists are filled without calling a bought product new.
        last_bought: int64 microseconds since 1970-01-01, of the last purchase
            of each of ``bought_products``.
        bought_weight: float32, orders with each of ``bought_products``, halved per
            60 days of age (``pairs.SLOW_DAYS``).
        replenishment: rows of ``Replenishment.predict``.
        value: rows of ``value.predict_value``.
        churn: rows of ``Churn.predict``; None where no decline could be learned.
        uplift: rows of ``Uplift.predict``.
        profiles: ``customer_id`` and the texts of the row of ``customers`` in force
            at the cutoff, one row for each of ``customers``. Null: unknown, or a
            column with too many words (``features.profile``).
        uplift_evidence: what its rankings are worth, by uplift and by extra spend.
        fresh: what it takes to fold later events into the offers.
        kept: of the customers' histories, as read before the cutoff, for features of
            a later moment; its product codes are rows of ``products``.
        launched: of each of ``products``, microseconds; the smallest integer: unknown.
        propensity: the model of ``curve`` and of the reasons.
    """

    cutoff: datetime
    horizon_days: int
    customers: pa.Table
    curve: npt.NDArray[np.float32]
    tag_threshold: float
    products: pa.Table
    offers: pa.Table
    buyers: Buyers
    any_of: AnyOf
    cold_start: pa.Table
    bought_offsets: npt.NDArray[np.int64]
    bought_products: npt.NDArray[np.int32]
    last_bought: npt.NDArray[np.int64]
    bought_weight: npt.NDArray[np.float32]
    replenishment: pa.Table
    value: pa.Table
    churn: pa.Table | None
    uplift: pa.Table
    profiles: pa.Table
    uplift_evidence: Evidence
    fresh: FreshBasis
    kept: Kept
    launched: Longs
    propensity: Propensity
