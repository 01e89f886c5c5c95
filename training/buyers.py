"""The reverse direction: the likeliest customers of every product, in one pass.

Candidates come customer by customer, a chunk at a time; of each product the best
are kept in a heap that never grows past its limit. So memory is bounded by
products times limit, whatever the number of pairs that were scored, and nothing is
scored a second time. Heaps start small and double, as most products are wanted by few.
"""

from __future__ import annotations

from dataclasses import dataclass
from threading import Lock
from typing import Any

import numpy as np
from numba import njit

from features.history import Bools, Ints, Longs
from features.pairs import Singles

_FIRST_ROOM = 8
"""Customers that a heap holds before it grows."""

_SORTED_AT_ONCE = 1_000
"""Products whose customers are put in order at once."""


@dataclass(frozen=True)
class Buyers:
    """The likeliest customers of every product, best first within a product.

    Attributes:
        offsets: those of product ``i`` are ``offsets[i]:offsets[i + 1]``, shape
            ``[product + 1]``.
        customer: codes, ascending among equal probabilities, ``[pair]``.
        probability: P(the customer buys the product within the horizon), ``[pair]``.
    """

    offsets: Longs
    customer: Ints
    probability: Singles

    def __len__(self) -> int:
        return len(self.customer)

    def renumbered(self, number: Longs) -> Buyers:
        """The same by rows of another table of the same customers.

        Args:
            number: the present number of the customer of every row, ``[row]``.
        """
        row_of = np.empty(int(number.max(initial=-1)) + 1, dtype=np.int32)
        row_of[number] = np.arange(len(number), dtype=np.int32)
        customer = row_of[self.customer]
        probability = self.probability.copy()
        for low in range(0, len(self.offsets) - 1, _SORTED_AT_ONCE):
            bounds = self.offsets[low : low + _SORTED_AT_ONCE + 1]
            rows = slice(bounds[0], bounds[-1])
            product = np.repeat(np.arange(len(bounds) - 1), np.diff(bounds))
            by = np.lexsort((customer[rows], -probability[rows], product))
            customer[rows], probability[rows] = (
                customer[rows][by],
                probability[rows][by],
            )
        return Buyers(self.offsets, customer, probability)


class BestBuyers:
    """Keeps the best customers of every product while candidates stream by.

    The order of two customers is total (probability, then code), so what is kept
    does not depend on the order or the size of the chunks.

    Args:
        n_products: number of product codes.
        limit: customers kept per product, at least 1.

    Raises:
        ValueError: ``limit`` is below 1.
    """

    def __init__(self, n_products: int, limit: int) -> None:
        if limit < 1:
            raise ValueError(f"limit: expected at least 1, got {limit}")
        self._limit = limit
        # All heaps stand in two long arrays, each with some room to grow.
        self._probability = np.empty(0, dtype=np.float32)
        self._customer = np.empty(0, dtype=np.int32)
        self._start = np.zeros(n_products, dtype=np.int64)
        self._room = np.zeros(n_products, dtype=np.int64)
        self._size = np.zeros(n_products, dtype=np.int64)
        self._used = 0
        self._lock = Lock()

    def add(
        self,
        customer: Ints,
        product: Ints,
        probability: Singles,
        skip: Bools,
    ) -> None:
        """Take in some candidates, each customer and product at most once in all.

        Args:
            customer: codes, ``[candidate]``.
            product: codes, ``[candidate]``.
            probability: of a purchase, ``[candidate]``.
            skip: those that are never kept, ``[candidate]``.
        """
        rows = (customer, product, probability, skip)
        # Chunks of customers are scored side by side, and meet here.
        with self._lock:
            done = 0
            while done < len(customer):
                done, self._used = _keep_best(
                    done,
                    *rows,
                    (self._probability, self._customer),
                    (self._start, self._room, self._size),
                    self._used,
                    self._limit,
                )
                if done < len(customer):
                    self._make_room()

    def _make_room(self) -> None:
        """Longer arrays, without what heaps left behind when they moved."""
        bounds = np.concatenate(([0], np.cumsum(self._room)))
        self._used = int(bounds[-1])
        length = 2 * self._used + max(self._limit, _FIRST_ROOM)
        probability, customer = self._probability, self._customer
        self._probability = np.empty(length, dtype=np.float32)
        self._customer = np.empty(length, dtype=np.int32)
        new = (self._probability, self._customer)
        _move((probability, customer), new, self._start, bounds[:-1], self._size)
        self._start = bounds[:-1]

    def sorted(self) -> Buyers:
        """What was kept so far."""
        offsets = np.zeros(len(self._size) + 1, dtype=np.int64)
        np.cumsum(self._size, out=offsets[1:])
        customer = np.empty(offsets[-1], dtype=np.int32)
        probability = np.empty(offsets[-1], dtype=np.float32)
        heaps = (self._probability, self._customer)
        _sort(heaps, self._start, offsets, customer, probability)
        return Buyers(offsets, customer, probability)


@dataclass(frozen=True)
class BuyersOfPart:
    """Takes in the candidates of a part of the customers.

    Attributes:
        best: of all parts.
        first: number of the part's first customer among those of all parts.
        refused: customers of the part who are never kept, by code, ``[customer]``.
    """

    best: BestBuyers
    first: int
    refused: Bools

    def add(
        self,
        customer: Ints,
        product: Ints,
        probability: Singles,
        rests: Bools | None = None,
    ) -> None:
        """See ``BestBuyers.add``.

        Args:
            customer: codes within the part, ``[candidate]``.
            product: codes, ``[candidate]``.
            probability: of a purchase, ``[candidate]``.
            rests: durables that the customer has already, ``[candidate]``; they
                are not offered, so the customer is none to offer them to.
        """
        skip = self.refused[customer]
        number = (customer + self.first).astype(np.int32)
        self.best.add(
            number, product, probability, skip if rests is None else skip | rests
        )


@njit(cache=True)  # pyright: ignore[reportUntypedFunctionDecorator]
def _keep_best(
    first: Any,
    customer: Any,
    product: Any,
    probability: Any,
    skip: Any,
    heaps: Any,
    where: Any,
    used: Any,
    limit: Any,
) -> Any:
    """Take in rows from ``first`` on; the worst of a heap stands on top.

    Returns:
        The row that found no more room, or their number; what is used now.
    """
    start, room, size = where
    for row in range(first, len(customer)):
        if skip[row]:
            continue
        item, value, code = product[row], probability[row], customer[row]
        if size[item] == room[item] and room[item] < limit:
            more = min(max(2 * room[item], _FIRST_ROOM), limit)
            if used + more > len(heaps[0]):
                return row, used
            low, n = start[item], size[item]
            heaps[0][used : used + n] = heaps[0][low : low + n]
            heaps[1][used : used + n] = heaps[1][low : low + n]
            start[item], room[item], used = used, more, used + more
        values = heaps[0][start[item] : start[item] + room[item]]
        codes = heaps[1][start[item] : start[item] + room[item]]
        if size[item] < room[item]:
            _rise(values, codes, size[item], value, code)
            size[item] += 1
        elif _worse(values[0], codes[0], value, code):
            _sink(values, codes, value, code)
    return len(customer), used


@njit(cache=True)  # pyright: ignore[reportUntypedFunctionDecorator]
def _move(old: Any, new: Any, start: Any, target: Any, size: Any) -> None:
    for item in range(len(start)):
        low, to, n = start[item], target[item], size[item]
        new[0][to : to + n] = old[0][low : low + n]
        new[1][to : to + n] = old[1][low : low + n]


@njit(cache=True)  # pyright: ignore[reportUntypedFunctionDecorator]
def _worse(value: Any, code: Any, other_value: Any, other_code: Any) -> Any:
    """Whether the first comes behind the other: ties go to the lower code."""
    return value < other_value or (value == other_value and code > other_code)


@njit(cache=True)  # pyright: ignore[reportUntypedFunctionDecorator]
def _rise(values: Any, codes: Any, at: Any, value: Any, code: Any) -> None:
    """Put one in at the end of a heap."""
    while at > 0:
        above = (at - 1) // 2
        if not _worse(value, code, values[above], codes[above]):
            break
        values[at], codes[at] = values[above], codes[above]
        at = above
    values[at], codes[at] = value, code


@njit(cache=True)  # pyright: ignore[reportUntypedFunctionDecorator]
def _sink(values: Any, codes: Any, value: Any, code: Any) -> None:
    """Put one in for the worst of a full heap."""
    at, n = 0, len(values)
    while 2 * at + 1 < n:
        below = 2 * at + 1
        if below + 1 < n and _worse(
            values[below + 1], codes[below + 1], values[below], codes[below]
        ):
            below += 1
        if not _worse(values[below], codes[below], value, code):
            break
        values[at], codes[at] = values[below], codes[below]
        at = below
    values[at], codes[at] = value, code


@njit(cache=True)  # pyright: ignore[reportUntypedFunctionDecorator]
def _sort(heaps: Any, start: Any, offsets: Any, customer: Any, chance: Any) -> None:
    for item in range(len(start)):
        low, end = offsets[item], offsets[item + 1]
        values = heaps[0][start[item] : start[item] + end - low]
        codes = heaps[1][start[item] : start[item] + end - low]
        by_code = np.argsort(codes)
        order = by_code[np.argsort(-values[by_code], kind="mergesort")]
        customer[low:end] = codes[order]
        chance[low:end] = values[order]
