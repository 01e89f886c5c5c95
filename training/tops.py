"""The best items of rows of scores: of all, of the never bought, of the bought."""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit


@njit(cache=True, nogil=True)  # pyright: ignore[reportUntypedFunctionDecorator]
def top_items(scores: Any, n: int) -> Any:
    """Columns of the best ``n`` scores per row, best first, ties to the lower.

    Returns:
        int32, ``[row, n]``, -1 where fewer scores are finite.
    """
    best = np.full((scores.shape[0], n), -1, dtype=np.int32)
    for row in range(scores.shape[0]):
        _top(scores[row], n, best[row])
    return best


@njit(cache=True, nogil=True)  # pyright: ignore[reportUntypedFunctionDecorator]
def _top(scores: Any, n: int, best: Any) -> None:
    kept, worst = 0, -np.inf
    for column in range(len(scores)):
        value = scores[column]
        if not np.isfinite(value) or (kept == n and value <= worst):
            continue
        at = kept if kept < n else n - 1
        while at > 0 and scores[best[at - 1]] < value:
            best[at] = best[at - 1]
            at -= 1
        best[at] = column
        kept = min(kept + 1, n)
        worst = scores[best[kept - 1]]


@njit(cache=True, nogil=True)  # pyright: ignore[reportUntypedFunctionDecorator]
def top_unseen(
    scores: Any,
    items: Any,
    offsets: Any,
    bought: Any,
    customers: Any,
    pool: Any,
    n: int,
) -> Any:
    """``top_items`` of the pool without what the customer bought.

    ``items`` and each customer's ``bought`` ascend.
    """
    best = np.full((len(customers), n), -1, dtype=np.int32)
    left = np.empty(len(items), dtype=scores.dtype)
    for row in range(len(customers)):
        pair, end = offsets[customers[row]], offsets[customers[row] + 1]
        for column in range(len(items)):
            left[column] = scores[row, column]
            while pair < end and bought[pair] < items[column]:
                pair += 1
            if (pair < end and bought[pair] == items[column]) or not pool[
                items[column]
            ]:
                left[column] = -np.inf
        _top(left, n, best[row])
    return best


@njit(cache=True, nogil=True)  # pyright: ignore[reportUntypedFunctionDecorator]
def top_seen(
    scores: Any,
    items: Any,
    offsets: Any,
    bought: Any,
    customers: Any,
    pool: Any,
    n: int,
) -> Any:
    """``top_items`` of the pool, of what the customer bought only.

    ``items`` and each customer's ``bought`` ascend.
    """
    best = np.full((len(customers), n), -1, dtype=np.int32)
    left = np.empty(len(items), dtype=scores.dtype)
    for row in range(len(customers)):
        left[:] = -np.inf
        column = 0
        for pair in range(offsets[customers[row]], offsets[customers[row] + 1]):
            while column < len(items) and items[column] < bought[pair]:
                column += 1
            if column == len(items):
                break
            if items[column] == bought[pair] and pool[bought[pair]]:
                left[column] = scores[row, column]
        _top(left, n, best[row])
    return best
