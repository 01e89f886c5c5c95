"""The id of every alert: the same in every version, and in every build.

A replenishment alert is of a customer, a product group and the last purchase of it:
who bought again gets a new one. A health alert is of a customer.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
from numba import njit
from pandas.util import hash_array

from features.history import Longs
from serving.known import due_offsets
from training.predictions import Predictions

Ids = npt.NDArray[np.uint64]

LETTERS = {"replenishment": "r", "health": "h"}
"""Begins the id of each kind."""

_KEY = "repurchase alert"


def replenishment_ids(p: Predictions) -> Ids:
    """Of each row of ``p.replenishment``, ``[pair]``."""
    offsets = due_offsets(p)
    customer = np.repeat(np.arange(len(p.customers)), np.diff(offsets))
    groups = p.replenishment["product_group"].combine_chunks().dictionary_encode()
    words = groups.dictionary
    group = np.asarray(groups.indices.to_numpy(zero_copy_only=False)).astype(np.int64)
    of_product = _group_of_products(p.products, words)
    last = _last_bought(
        customer, group, of_product, p.bought_offsets, p.bought_products, p.last_bought
    )
    named = _hashed(words)[group] if len(words) else np.empty(0, np.uint64)
    whose = _hashed(p.customers["customer_id"])[customer]
    return _mixed(_mixed(whose, named), last.astype(np.uint64))


def health_ids(p: Predictions) -> Ids:
    """Of each customer, ``[customer]``."""
    whose = _hashed(p.customers["customer_id"])
    return _mixed(whose, np.zeros(len(whose), np.uint64))


def spelt(kind: str, number: int) -> str:
    """An id as the API writes it."""
    return f"{LETTERS[kind]}-{number:016x}"


def read(text: str) -> tuple[str, int] | None:
    """Kind and number of an id; None: it is none."""
    letter, _, digits = text.partition("-")
    kinds = [kind for kind, own in LETTERS.items() if own == letter]
    is_number = len(digits) == 16 and set(digits) <= set("0123456789abcdef")
    return (kinds[0], int(digits, 16)) if kinds and is_number else None


def _group_of_products(products: pa.Table, words: pa.Array) -> Longs:
    """Code of the category, or of the product's own id where it has none; -1."""
    named = pc.call_function("coalesce", [products["category"], products["product_id"]])
    options = pc.SetLookupOptions(words)
    found = pc.call_function("index_in", [named.cast(pa.string())], options)
    return np.asarray(found.fill_null(-1).to_numpy()).astype(np.int64)


def _hashed(texts: pa.ChunkedArray | pa.Array) -> Ids:
    objects: Any = texts.to_numpy(zero_copy_only=False)
    found = hash_array(objects.astype(object), hash_key=_KEY)  # pyright: ignore[reportCallIssue]
    return np.asarray(found).astype(np.uint64)


def _mixed(left: Ids, right: Ids) -> Ids:
    """One number of two, evenly spread: the finish of SplitMix64.

    Source: Steele, Lea and Flood (2014), "Fast splittable pseudorandom number
    generators", figure 17.
    """
    z = left * np.uint64(0x9E3779B97F4A7C15) + right
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return z ^ (z >> np.uint64(31))


@njit(cache=True)  # pyright: ignore[reportUntypedFunctionDecorator]
def _last_bought(
    customer: Any, group: Any, of_product: Any, offsets: Any, products: Any, last: Any
) -> Any:
    """When each pair's group was last bought; 0: not among what was bought."""
    found = np.zeros(len(customer), np.int64)
    for pair in range(len(customer)):
        row = customer[pair]
        for at in range(offsets[row], offsets[row + 1]):
            if of_product[products[at]] == group[pair]:
                found[pair] = max(found[pair], last[at])
    return found
