"""That the parts of a build's hand-over fit each other, before it is published."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from features.contracts import EVENT_TABLES, ContractError
from serving.known import NUMBERS, PROFILES, rows_of
from training.buyers import Buyers
from training.predictions import HORIZONS, Predictions


def check(predictions: Predictions) -> None:
    """That the parts of a hand-over fit each other.

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
            _within(customer, customers) and bool((np.diff(customer) >= 0).all())
        ),
        "offers.score: expected best first within a customer": bool(
            ((np.diff(score) <= 0) | (np.diff(customer) != 0)).all()
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
        **_history_rules(p),
    }
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


def _history_rules(p: Predictions) -> dict[str, bool]:
    """What a later moment is answered from; see ``Kept``."""
    history, size = p.history, len(p.products)
    ids = p.customers["customer_id"].to_pylist()
    tables = {
        table.name: events
        for table in EVENT_TABLES
        if (events := history.events(table)) is not None
    }
    bounds = {name: events.offsets for name, events in tables.items()}
    products = (e.columns["product"] for e in tables.values() if "product" in e.columns)
    return {
        "history.customers: expected those of customers": (
            history.customers.tolist() == ids
        ),
        "history.products: expected those of products": (
            history.products.ids.tolist() == p.products["product_id"].to_pylist()
        ),
        "history: expected customer + 1 ascending bounds in every table": all(
            offsets.shape == (len(ids) + 1,)
            and offsets[0] == 0
            and offsets[-1] == len(tables[name])
            and bool((np.diff(offsets) >= 0).all())
            for name, offsets in bounds.items()
        ),
        "history: expected rows of products, or -1, in every table": all(
            _within(codes + 1, size + 1) for codes in products
        ),
        "history.purchases: expected one of every customer": bool(
            (np.diff(bounds["purchases"]) > 0).all()
        ),
    }


def _best_first(buyers: Buyers) -> bool:
    falls, rises = np.diff(buyers.probability), np.diff(buyers.customer)
    last = np.zeros(len(buyers), dtype=np.bool_)
    last[buyers.offsets[1:][np.diff(buyers.offsets) > 0] - 1] = True
    return bool(((falls < 0) | ((falls == 0) & (rises > 0)) | last[:-1]).all())


def _ascends(ids: pa.ChunkedArray) -> bool:
    # By code point, which is the order of UTF-8 bytes that the reader searches.
    if ids.null_count:
        return False
    return all(left < right for left, right in pairwise(ids.to_pylist()))


def _within(rows: npt.NDArray[np.integer[Any]], size: int) -> bool:
    return rows.size == 0 or bool(rows.min() >= 0 and rows.max() < size)


def _numpy(column: pa.ChunkedArray) -> npt.NDArray[Any]:
    return np.asarray(column.to_numpy())
