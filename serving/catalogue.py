"""The shop's range: what products are, and the order in which they fill lists."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from features.history import ALWAYS
from serving.texts import SortedIds, Texts

Weight = Literal["probability", "value", "margin"]
"""What a list is ordered by: the probability of a purchase, times the price,
times the price and the margin rate."""


@dataclass(frozen=True)
class Order:
    """An order of all products by popularity and what a purchase is worth.

    Attributes:
        rows: int32 ``[product]``, every product once, best first.
        place: int32 ``[product]``, the place of a product in it.
        each: float64 ``[product]``, what one purchase is worth: 1, the price
            or the margin; 0 where that is unknown.
        worth: float64 ``[product]``, ``each`` times the probability of the
            cold-start list; 0 where that is unknown.
    """

    rows: npt.NDArray[np.int32]
    place: npt.NDArray[np.int32]
    each: npt.NDArray[np.float64]
    worth: npt.NDArray[np.float64]


@dataclass(frozen=True)
class Catalogue:
    """Products, and the order in which they fill short lists.

    Attributes:
        ids: the product of an id.
        names: product ids, ascending; as objects, as each answer holds many.
        available: bool ``[product]``.
        category, subcategory, brand: int32 codes ``[product]``; -1: unknown.
        categories: code of each category.
        price, margin_rate: float64 ``[product]``; NaN: unknown.
        arrived: microseconds ``[product]``, see ``PRODUCTS``; the smallest
            integer: unknown.
        fill_order: int32 ``[product]``, every product once: those of the
            cold-start list, best first, then the rest by id.
        fill_place: int32 ``[product]``, the place of a product in it.
        scored: number of products of the cold-start list.
        score, probability: float32 ``[scored]``, in fill order.
        reasons: text for each of them, in fill order.
    """

    ids: SortedIds
    names: tuple[str, ...]
    available: npt.NDArray[np.bool_]
    category: npt.NDArray[np.int32]
    subcategory: npt.NDArray[np.int32]
    brand: npt.NDArray[np.int32]
    categories: Mapping[str, int]
    price: npt.NDArray[np.float64]
    margin_rate: npt.NDArray[np.float64]
    arrived: npt.NDArray[np.int64]
    fill_order: npt.NDArray[np.int32]
    fill_place: npt.NDArray[np.int32]
    scored: int
    score: npt.NDArray[np.float32]
    probability: npt.NDArray[np.float32]
    reasons: Texts

    @cached_property
    def levels(self) -> tuple[npt.NDArray[np.int32], ...]:
        """Codes by which products are alike, of the levels that the shop knows."""
        levels = (self.category, self.subcategory, self.brand)
        return tuple(level for level in levels if (level >= 0).any())

    @cached_property
    def orders(self) -> Mapping[Weight, Order]:
        """The order of each weight; worked out once, when first asked for."""
        chance = np.zeros(len(self.names))
        chance[self.fill_order[: self.scored]] = self.probability
        ones, price = np.ones(chance.size), np.nan_to_num(self.price)
        margin = np.nan_to_num(self.price * self.margin_rate)
        return {
            "probability": Order(self.fill_order, self.fill_place, ones, chance),
            "value": _order(self.fill_order, price, chance),
            "margin": _order(self.fill_order, margin, chance),
        }


def _order(
    popular: npt.NDArray[np.int32],
    each: npt.NDArray[np.float64],
    chance: npt.NDArray[np.float64],
) -> Order:
    worth = each * chance
    rows = popular[np.argsort(-worth[popular], kind="stable")]
    return Order(rows, _places(rows), each, worth)


def _places(order: npt.NDArray[np.int32]) -> npt.NDArray[np.int32]:
    place = np.empty_like(order)
    place[order] = np.arange(order.size, dtype=np.int32)
    return place


def catalogue_of(products: pa.Table, popular: pa.Table) -> Catalogue:
    """The catalogue from the tables ``PRODUCTS`` and ``COLD_START``."""
    category, categories = _codes(products, "category")
    first = _numpy(popular, "product")
    rest = np.setdiff1d(np.arange(len(products), dtype=np.int32), first)
    order = np.concatenate([first, rest]).astype(np.int32)
    arrived = products["arrived_at"].cast(pa.int64()).fill_null(ALWAYS)
    ids = products["product_id"].combine_chunks()
    return Catalogue(
        ids=SortedIds(ids),
        names=tuple(ids.to_pylist()),
        available=np.asarray(products["available"].fill_null(True).to_numpy()),
        category=category,
        subcategory=_codes(products, "subcategory")[0],
        brand=_codes(products, "brand")[0],
        categories=categories,
        price=_numpy(products, "price"),
        margin_rate=_numpy(products, "margin_rate"),
        arrived=np.asarray(arrived.to_numpy()),
        fill_order=order,
        fill_place=_places(order),
        scored=len(popular),
        score=_numpy(popular, "score"),
        probability=_numpy(popular, "probability"),
        reasons=Texts(popular["reason"].combine_chunks()),
    )


def _numpy(table: pa.Table, name: str) -> npt.NDArray[Any]:
    return np.asarray(table[name].to_numpy())


def _codes(table: pa.Table, name: str) -> tuple[npt.NDArray[np.int32], dict[str, int]]:
    encoded = table[name].combine_chunks().dictionary_encode()
    words = encoded.dictionary.to_pylist()
    codes = encoded.indices.fill_null(-1).to_numpy(zero_copy_only=False)
    return codes, {word: code for code, word in enumerate(words)}
