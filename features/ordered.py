"""Rows of words, as a spool hands them out, in the order that the kernel walks."""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit

from features.history import Ints, Longs


def in_order(words: Longs, customer: Ints, n_customers: int) -> tuple[Longs, Longs]:
    """The rows of known customers, by customer, then by every word after the key.

    Args:
        words: shape ``[row, word]``: the key, ``ts``, all else.
        customer: code of every row; -1: the row is left out.
        n_customers: codes are below it.

    Returns:
        The words after the key, each as a column: shape ``[word, row]``; and where
        the rows of each customer start, shape ``[customer + 1]``.
    """
    return _in_order(words, customer, n_customers)


def codes_within(keys: Longs, offsets: Longs) -> Ints:
    """Codes from 0 on for the keys of each customer, in order of appearance."""
    return _codes_within(keys, offsets)


@njit(cache=True, nogil=True)  # pyright: ignore[reportUntypedFunctionDecorator]
def _is_less(words: Any, a: int, b: int) -> Any:
    """By all words after ``ts``."""
    for j in range(2, words.shape[1]):
        if words[a, j] != words[b, j]:
            return words[a, j] < words[b, j]
    return False


@njit(cache=True, nogil=True)  # pyright: ignore[reportUntypedFunctionDecorator]
def _sort(words: Any, rows: Any, times: Any, scratch: Any) -> None:
    """Merge sort; blocks of 16 by insertion, which is fast on ordered rows.

    ``times`` are those of ``rows`` and move with them: only of rows of one time
    the words are looked up. ``scratch`` is ``[2, row]``.
    """
    n = len(rows)
    for low in range(0, n, 16):
        for i in range(low + 1, min(low + 16, n)):
            row, time, j = rows[i], times[i], i - 1
            while j >= low and (
                time < times[j] or (time == times[j] and _is_less(words, row, rows[j]))
            ):
                rows[j + 1], times[j + 1] = rows[j], times[j]
                j -= 1
            rows[j + 1], times[j + 1] = row, time
    width = 16
    while width < n:
        for low in range(0, n - width, 2 * width):
            middle, high = low + width, min(low + 2 * width, n)
            time, last = times[middle], times[middle - 1]
            if time > last or (
                time == last and not _is_less(words, rows[middle], rows[middle - 1])
            ):
                continue
            scratch[0, low:middle] = rows[low:middle]
            scratch[1, low:middle] = times[low:middle]
            left, right = low, middle
            for to in range(low, high):
                if left == middle:
                    break
                if right < high and (
                    times[right] < scratch[1, left]
                    or (
                        times[right] == scratch[1, left]
                        and _is_less(words, rows[right], scratch[0, left])
                    )
                ):
                    rows[to], times[to] = rows[right], times[right]
                    right += 1
                else:
                    rows[to], times[to] = scratch[0, left], scratch[1, left]
                    left += 1
        width *= 2


@njit(cache=True, nogil=True)  # pyright: ignore[reportUntypedFunctionDecorator]
def _in_order(words: Any, customer: Any, n_customers: int) -> Any:
    offsets = np.zeros(n_customers + 1, np.int64)
    for i in range(len(customer)):
        if customer[i] >= 0:
            offsets[customer[i] + 1] += 1
    offsets = np.cumsum(offsets)
    ends = offsets[:-1].copy()
    # First those of a customer together, so that a sort stays in the cache.
    n, n_words = offsets[-1], words.shape[1]
    placed = np.empty((n, n_words), np.int64)
    for i in range(len(customer)):
        if customer[i] >= 0:
            at = ends[customer[i]]
            ends[customer[i]] += 1
            for j in range(n_words):
                placed[at, j] = words[i, j]
    longest = np.int64(0)
    for c in range(n_customers):
        longest = max(longest, offsets[c + 1] - offsets[c])
    rows, times = np.empty(longest, np.int64), np.empty(longest, np.int64)
    scratch = np.empty((2, longest), np.int64)
    out = np.empty((n_words - 1, n), np.int64)
    for c in range(n_customers):
        a, size = offsets[c], offsets[c + 1] - offsets[c]
        for i in range(size):
            rows[i], times[i] = i, placed[a + i, 1]
        _sort(placed[a : a + size], rows[:size], times[:size], scratch)
        for i in range(size):
            for j in range(n_words - 1):
                out[j, a + i] = placed[a + rows[i], j + 1]
    return out, offsets


@njit(cache=True, nogil=True)  # pyright: ignore[reportUntypedFunctionDecorator]
def _codes_within(keys: Any, offsets: Any) -> Any:
    codes = np.empty(len(keys), np.int32)
    longest = 1
    for c in range(len(offsets) - 1):
        longest = max(longest, offsets[c + 1] - offsets[c])
    n_slots = 2
    while n_slots < 2 * longest:
        n_slots *= 2
    slots = np.empty(n_slots, np.int64)
    held = np.empty(n_slots, np.int32)
    owner = np.full(n_slots, -1, np.int64)
    for c in range(len(offsets) - 1):
        n = 0
        for i in range(offsets[c], offsets[c + 1]):
            # Most often the line before is of the same order.
            if i > offsets[c] and keys[i] == keys[i - 1]:
                codes[i] = codes[i - 1]
                continue
            at = keys[i] & (n_slots - 1)
            while owner[at] == c and slots[at] != keys[i]:
                at = (at + 1) & (n_slots - 1)
            if owner[at] != c:
                owner[at], slots[at], held[at] = c, keys[i], n
                n += 1
            codes[i] = held[at]
    return codes
