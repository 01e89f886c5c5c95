"""The reverse direction: the likeliest customers of every product, in one pass.

Candidates come customer by customer, a chunk at a time; of each product the best
are kept in a heap that never grows past its limit. So memory is bounded by
products times limit, whatever the number of pairs that were scored, and nothing is
scored a second time. Memory that no candidate touches is never taken from the
system.
"""

from __future__ import annotations

from dataclasses import dataclass
from threading import Lock
from typing import Any

import numpy as np
from numba import njit

from features.history import Bools, Ints, Longs
from features.pairs import Singles


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


class BestBuyers:
    """Keeps the best customers of every product while candidates stream by.

    The order of two customers is total (probability, then code), so what is kept
    does not depend on the order or the size of the chunks.

    Args:
        n_products: number of product codes.
        limit: customers kept per product, at least 1.
        refused: customers who are never kept, by code, ``[customer]``.

    Raises:
        ValueError: ``limit`` is below 1.
    """

    def __init__(self, n_products: int, limit: int, refused: Bools) -> None:
        if limit < 1:
            raise ValueError(f"limit: expected at least 1, got {limit}")
        shape = (n_products, min(limit, max(len(refused), 1)))
        self._refused = refused
        # Untouched rows cost nothing: most products are nobody's candidate.
        self._probability = np.empty(shape, dtype=np.float32)
        self._customer = np.empty(shape, dtype=np.int32)
        self._size = np.zeros(n_products, dtype=np.int32)
        self._lock = Lock()

    def add(
        self,
        customer: Ints,
        product: Ints,
        probability: Singles,
        rests: Bools | None = None,
    ) -> None:
        """Take in some candidates, each customer and product at most once in all.

        Args:
            customer: codes, ``[candidate]``.
            product: codes, ``[candidate]``.
            probability: of a purchase, ``[candidate]``.
            rests: durables that the customer has already, ``[candidate]``; they
                are not offered, so the customer is none to offer them to.
        """
        skip = self._refused[customer]
        # Chunks of customers are scored side by side, and meet here.
        with self._lock:
            _keep_best(
                customer,
                product,
                probability,
                skip if rests is None else skip | rests,
                self._probability,
                self._customer,
                self._size,
            )

    def sorted(self) -> Buyers:
        """What was kept so far."""
        offsets = np.zeros(len(self._size) + 1, dtype=np.int64)
        np.cumsum(self._size, out=offsets[1:])
        customer = np.empty(offsets[-1], dtype=np.int32)
        probability = np.empty(offsets[-1], dtype=np.float32)
        _sort(self._probability, self._customer, offsets, customer, probability)
        return Buyers(offsets, customer, probability)


@njit(cache=True)  # pyright: ignore[reportUntypedFunctionDecorator]
def _keep_best(
    customer: Any,
    product: Any,
    probability: Any,
    skip: Any,
    heap: Any,
    who: Any,
    size: Any,
) -> None:
    """One heap per product, the worst of the kept on top."""
    limit = heap.shape[1]
    for row in range(len(customer)):
        if skip[row]:
            continue
        item, value, code = product[row], probability[row], customer[row]
        values, codes = heap[item], who[item]
        if size[item] < limit:
            _rise(values, codes, size[item], value, code)
            size[item] += 1
        elif _worse(values[0], codes[0], value, code):
            _sink(values, codes, value, code)


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
def _sort(heap: Any, who: Any, offsets: Any, customer: Any, probability: Any) -> None:
    for item in range(len(offsets) - 1):
        start, end = offsets[item], offsets[item + 1]
        values, codes = heap[item, : end - start], who[item, : end - start]
        by_code = np.argsort(codes)
        order = by_code[np.argsort(-values[by_code], kind="mergesort")]
        customer[start:end] = codes[order]
        probability[start:end] = values[order]
