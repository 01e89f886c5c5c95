"""That the parts of a build's hand-over fit each other, before it is published."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from features.contracts import ContractError
from features.history import Bools
from features.mapped import Mapped
from serving.known import NUMBERS, PROFILES, rows_of
from training.buyers import Buyers
from training.predictions import HORIZONS, Predictions

AT_ONCE = 5_000_000
"""Rows that are looked at together."""


def check(predictions: Predictions, files: Mapped | None = None) -> None:
    """That the parts of a hand-over fit each other.

    Args:
        predictions: of a build.
        files: from which they are mapped; let go of on the way.

    Raises:
        ContractError: one line for each part that does not.
    """
    p = predictions
    customers, products = len(p.customers), len(p.products)
    customer = _numpy(p.offers["customer"])
    score = _numpy(p.offers["score"])
    bounds = p.bought_offsets
    rules = {
        "customers.customer_id: expected ascending, distinct ids": _ascends(
            p.customers["customer_id"]
        ),
        "products.product_id: expected ascending, distinct ids": _ascends(
            p.products["product_id"]
        ),
        f"curve: expected shape {(customers, HORIZONS.size)}, got {p.curve.shape}": (
            p.curve.shape == (customers, HORIZONS.size)
        ),
        "offers.customer: expected rows of customers, ascending": (
            _within(customer, customers) and _each(_rises, customer)
        ),
        "offers.score: expected best first within a customer": _each(
            _is_best_first, customer, score
        ),
        "offers: expected no nulls": (
            sum(column.null_count for column in p.offers.columns) == 0
        ),
        "offers.product: expected rows of products": _within(
            _numpy(p.offers["product"]), products
        ),
        "cold_start.product: expected distinct rows of products": (
            _within(_numpy(p.cold_start["product"]), products)
            and len(p.cold_start["product"].unique()) == len(p.cold_start)
        ),
        "cold_start.score: expected best first": bool(
            (np.diff(_numpy(p.cold_start["score"])) <= 0).all()
        ),
        "bought_offsets: expected customer + 1 ascending bounds": (
            bounds.shape == (customers + 1,)
            and bounds[0] == 0
            and bounds[-1] == p.bought_products.size
            and bool((np.diff(bounds) >= 0).all())
        ),
        "bought_products: expected rows of products": _within(
            p.bought_products, products
        ),
        "last_bought: expected one moment for each of bought_products": (
            p.last_bought.shape == p.bought_products.shape
        ),
        "bought_weight: expected one for each of bought_products": (
            p.bought_weight.shape == p.bought_products.shape
        ),
        **_known_rules(p),
        **_buyer_rules(p),
        **_fresh_rules(p),
        **_kept_rules(p),
    }
    if files is not None:
        files.let_go()
    broken = [f"{rule} in predictions" for rule, holds in rules.items() if not holds]
    if broken:
        raise ContractError(*broken)


def _buyer_rules(p: Predictions) -> dict[str, bool]:
    buyers, customers = p.buyers, len(p.customers)
    bounds, chance = buyers.offsets, buyers.probability
    whole = (
        bounds.shape == (len(p.products) + 1,)
        and bounds[0] == 0
        and bounds[-1] == buyers.customer.size == chance.size
        and bool((np.diff(bounds) >= 0).all())
    )
    known = _within(buyers.customer, customers)
    consent = _numpy(p.customers["consent"].fill_null(True))
    return {
        "buyers.offsets: expected product + 1 ascending bounds": whole,
        "buyers.customer: expected rows of customers": known,
        "buyers.probability: expected best first within a product, ties by customer": (
            whole and _best_first(buyers)
        ),
        "buyers.customer: expected nobody who refused consent": (
            not known or bool(consent[buyers.customer].all())
        ),
    }


def _known_rules(p: Predictions) -> dict[str, bool]:
    ids = p.customers["customer_id"]
    row = rows_of(p.replenishment["customer_id"], ids)
    said = {name: getattr(p, name) for name in (*NUMBERS, PROFILES)}
    return {
        f"{name}.customer_id: expected those of customers, in their order": (
            table["customer_id"].cast(pa.string()).equals(ids)
        )
        for name, table in said.items()
        if table is not None
    } | {
        "replenishment.customer_id: expected some of customers, in their order": (
            bool((row >= 0).all() and (np.diff(row) >= 0).all())
        )
    }


def _fresh_rules(p: Predictions) -> dict[str, bool]:
    fresh, size = p.fresh, len(p.products)
    items, factors, rebuy = fresh.items, fresh.factors, fresh.rebuy
    width = factors.shape[-1]
    return {
        "fresh.items: expected ascending, distinct rows of products": (
            _within(items, size) and bool((np.diff(items) > 0).all())
        ),
        "fresh.factors: expected one row of finite factors for each of items": (
            factors.shape == (items.size, width) and bool(np.isfinite(factors).all())
        ),
        "fresh.gram: expected factors x factors": fresh.gram.shape == (width, width),
        "fresh.rebuy: expected finite log odds and a gap for each of products": (
            rebuy.log_odds.shape == rebuy.gap_days.shape == (size,)
            and bool(np.isfinite(rebuy.log_odds).all())
        ),
    }


def _kept_rules(p: Predictions) -> dict[str, bool]:
    """What a later moment is answered from; see ``Kept``."""
    kept, customers, size = p.kept, len(p.customers), len(p.products)
    tables = kept.events
    bounds = {name: (e.offsets, len(e.ts)) for name, e in tables.items()}
    rows = 0 if kept.profiles is None else len(kept.profiles)
    bounds["profiles"] = kept.profile_offsets, rows
    products = (e.columns["product"] for e in tables.values() if "product" in e.columns)
    return {
        "launched: expected a moment of each of products": p.launched.shape == (size,),
        "kept: expected customer + 1 ascending bounds in every table": all(
            offsets.shape == (customers + 1,)
            and offsets[0] == 0
            and offsets[-1] == rows
            and bool((np.diff(offsets) >= 0).all())
            for offsets, rows in bounds.values()
        ),
        "kept: expected rows of products, or -1, in every table": all(
            _within(codes, size, unknown=True) for codes in products
        ),
        "kept.purchases: expected one of every customer": bool(
            (np.diff(tables["purchases"].offsets) > 0).all()
        ),
    }


def _each(holds: Callable[..., Bools], *columns: npt.NDArray[Any]) -> bool:
    """Whether something holds between each row and the next, block by block."""
    # Blocks share a row, so that no two neighbours are missed.
    return all(
        bool(holds(*(column[low : low + AT_ONCE + 1] for column in columns)).all())
        for low in range(0, len(columns[0]), AT_ONCE)
    )


def _rises(values: npt.NDArray[Any]) -> Bools:
    return np.diff(values) >= 0


def _is_best_first(customer: npt.NDArray[Any], score: npt.NDArray[Any]) -> Bools:
    return (np.diff(score) <= 0) | (np.diff(customer) != 0)


def _best_first(buyers: Buyers) -> bool:
    bounds = buyers.offsets
    last = np.zeros(len(buyers), dtype=np.bool_)
    last[bounds[1:][np.diff(bounds) > 0] - 1] = True
    return _each(_is_ordered, buyers.probability, buyers.customer, last)


def _is_ordered(
    probability: npt.NDArray[Any], customer: npt.NDArray[Any], last: Bools
) -> Bools:
    falls, rises = np.diff(probability), np.diff(customer)
    return (falls < 0) | ((falls == 0) & (rises > 0)) | last[:-1]


def _ascends(ids: pa.ChunkedArray) -> bool:
    # By code point, which is the order of UTF-8 bytes that the reader searches.
    if ids.null_count:
        return False
    return all(left < right for left, right in pairwise(ids.to_pylist()))


def _within(
    rows: npt.NDArray[np.integer[Any]], size: int, *, unknown: bool = False
) -> bool:
    lowest = -1 if unknown else 0
    return rows.size == 0 or bool(rows.min() >= lowest and rows.max() < size)


def _numpy(column: pa.ChunkedArray) -> npt.NDArray[Any]:
    return np.asarray(column.to_numpy())
