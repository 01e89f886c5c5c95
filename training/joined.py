"""What is said of customers who come part by part, put in one in the order of their ids.

A part is on disk as soon as it is said, and so is the whole: each part is in the order
of ids itself, so they are merged some customers at a time. In memory are a part, some
customers of the whole, and what is small: the id and the place of each customer, and
the distinct reasons.
"""

from __future__ import annotations

from collections.abc import Generator, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numba import njit

from features.customer_rows import CustomerRows, GrowingRows, stored, together
from features.history import Ints, Longs
from features.mapped import Mapped
from training.handed import Shared, finished, of_rows, rows_of, shared_of
from training.predictions import OfCustomers

PIECE = 10_000
"""Customers who are put in order at once."""


class Joined:
    """Takes in parts and gives the whole.

    Args:
        files: of an empty folder with room for twice what is said.
    """

    def __init__(self, files: Mapped) -> None:
        self._files = files
        self._parts: list[dict[str, CustomerRows]] = []
        self._ids: list[pa.ChunkedArray] = []
        self._reasons = Words()
        self._shared: Shared | None = None

    def add(self, said: OfCustomers) -> None:
        """Put a part on disk; no customer may be in two."""
        self._shared = self._shared or shared_of(said)
        self._ids.append(said.customers["customer_id"])
        rows = rows_of(said, self._reasons.codes_of)
        self._parts.append(stored(self._files, f"part{len(self._parts)}", rows))

    def whole(self) -> OfCustomers:
        """All parts in one, mapped and ordered by customer id.

        Raises:
            ValueError: there are no parts.
        """
        if self._shared is None:
            raise ValueError("parts: expected at least one, got none")
        reasons = FirstMet(len(self._reasons.texts))
        files = {name: GrowingRows(self._files, name) for name in self._parts[0]}
        for bounds, order in _pieces(self._ids):
            for name, file in files.items():
                slices = [
                    part[name].between(first, end)
                    for part, (first, end) in zip(self._parts, bounds, strict=True)
                ]
                rows = together(slices, order)
                done = file.customers, file.rows
                file.add(finished(name, rows, *done, reasons.codes_of))
            self._files.let_go()
        texts = self._reasons.texts.take(pa.array(reasons.order))
        return of_rows(
            {name: file.read() for name, file in files.items()}, texts, self._shared
        )


def _pieces(
    parts: Sequence[pa.ChunkedArray],
) -> Generator[tuple[list[tuple[int, int]], Longs]]:
    """Some customers after the other, by id.

    Args:
        parts: ids of their customers, ascending within each.

    Yields:
        Which customers of each part they are, and the places of these, one part after
        the other, in the order of ids.
    """
    sizes = [len(ids) for ids in parts]
    # Objects, which are compared by code point as everywhere.
    ids = np.concatenate([ids.to_numpy(zero_copy_only=False) for ids in parts])
    order = np.argsort(ids.astype(object), kind="stable")
    del ids
    part_of = np.repeat(np.arange(len(parts)), sizes)
    done = np.zeros(len(parts), np.int64)
    for low in range(0, max(len(order), 1), PIECE):
        now = order[low : low + PIECE]
        ends = done + np.bincount(part_of[now], minlength=len(parts))
        yield list(zip(done.tolist(), ends.tolist(), strict=True)), _ranks(now)
        done = ends


def _ranks(values: Longs) -> Longs:
    """How many of the others, all distinct, are smaller; ``[value]``."""
    ranks = np.empty(len(values), np.int64)
    ranks[np.argsort(values)] = np.arange(len(values))
    return ranks


class Words:
    """Distinct texts with their codes, as they come."""

    def __init__(self) -> None:
        self.texts: pa.Array = pa.array([], pa.string())

    def codes_of(self, texts: pa.Array) -> Ints:
        """The code of each text, ``[text]``; new ones get the next codes."""
        options = pc.SetLookupOptions(self.texts)
        found = pc.call_function("index_in", [texts], options)
        is_new = np.asarray(found.is_null())
        codes = np.array(found.fill_null(-1), dtype=np.int32)
        codes[is_new] = len(self.texts) + np.arange(is_new.sum())
        self.texts = pa.concat_arrays([self.texts, texts.filter(pa.array(is_new))])
        return codes


class FirstMet:
    """Codes in the order in which they are first met, whatever they were before.

    Args:
        size: how many codes there are.
    """

    def __init__(self, size: int) -> None:
        self._codes = np.full(size, -1, np.int32)
        self._met = 0

    def codes_of(self, before: Ints) -> Ints:
        """The new code of each old one."""
        after = np.empty_like(before)
        self._met = _number(before, self._codes, self._met, after)
        return after

    @property
    def order(self) -> Longs:
        """The old codes that were met, by the new ones."""
        met = np.flatnonzero(self._codes >= 0)
        return met[np.argsort(self._codes[met])]


@njit(cache=True)  # pyright: ignore[reportUntypedFunctionDecorator]
def _number(before: Any, codes: Any, met: Any, after: Any) -> Any:
    for row in range(len(before)):
        code = before[row]
        if codes[code] < 0:
            codes[code] = met
            met += 1
        after[row] = codes[code]
    return met
