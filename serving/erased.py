"""Customers who were erased, in the memory of a process.

A thread reads new tombstones about every second and makes of the served version
one in which they are found nowhere; who asks gets that one.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from serving.auth import away
from serving.published import Published
from serving.rounds import in_rounds
from serving.state.database import StateAwayError
from serving.state.tombstones import Tombstones, encoded, tombstone
from serving.texts import Texts

_CHUNK = 65_536

logger = logging.getLogger("repurchase.serving")


@dataclass(frozen=True)
class _View:
    """A version, and the same without some customers."""

    source: Published
    hashes: int
    seen: Published


class Erased:
    """The tombstones in force.

    Args:
        load: reads those set after a place; raises ``StateAwayError``.
    """

    def __init__(self, load: Callable[[int], Tombstones]) -> None:
        self._load = load
        self._salt = b""
        self._hashes: frozenset[bytes] = frozenset()
        self._last: int | None = None
        self._view: _View | None = None
        self._marks: tuple[Published, npt.NDArray[np.uint64]] | None = None
        self._busy = threading.Lock()
        self._is_followed = False

    @property
    def count(self) -> int:
        """How many are known to be erased; it only grows."""
        return len(self._hashes)

    def has(self, customer_id: str) -> bool:
        """Whether a customer was erased."""
        if not self._hashes:
            return False
        return tombstone(self._salt, encoded(customer_id)) in self._hashes

    def seen(self, published: Published) -> Published:
        """The version without those who were erased.

        While that of a new version is made, it is the one of the version before.

        Raises:
            ApiError: 503, it could never be read who was erased.
        """
        if self._last is None:
            raise away()
        if not self._hashes:
            return published
        view = self._view
        if view is None or not (
            self._is_followed or self._is_of(view, published, self._hashes)
        ):
            view = self._made(published)
        return view.seen

    def refresh(self, published: Published | None) -> None:
        """Reads new tombstones, and hides those customers in a version.

        Those known stay hidden while the database is away.
        """
        with self._busy:
            hashes = self._hashes
            try:
                found = self._load(self._last or 0)
                self._salt, self._last = found.salt, found.last
                hashes |= set(found.hashes)
            except StateAwayError as error:
                logger.error("tombstones: %s", error)
            if published is not None and hashes:
                self._view = self._made_of(published, hashes)
            self._hashes = hashes

    def follow(
        self, served: Callable[[], Published | None], every_seconds: float
    ) -> Callable[[], None]:
        """Refreshes now, and from now on in a thread; returns what ends that."""
        ends = in_rounds(lambda: self.refresh(served()), every_seconds, "tombstones")
        self._is_followed = True
        return ends

    @staticmethod
    def _is_of(view: _View, published: Published, hashes: frozenset[bytes]) -> bool:
        return view.source is published and view.hashes == len(hashes)

    def _made(self, published: Published) -> _View:
        with self._busy:
            self._view = self._made_of(published, self._hashes)
            return self._view

    def _made_of(self, published: Published, hashes: frozenset[bytes]) -> _View:
        view = self._view
        if view is not None and self._is_of(view, published, hashes):
            return view
        if self._marks is None or self._marks[0] is not published:
            self._marks = published, marks_of(published.customers, self._salt)
        rows = rows_of(published.customers, self._marks[1], self._salt, hashes)
        seen = published.without(rows) if rows.size else published
        return _View(published, len(hashes), seen)


def marks_of(ids: Texts, salt: bytes) -> npt.NDArray[np.uint64]:
    """The first eight bytes of everybody's tombstone, were they erased; ``[customer]``.

    A million take about a second, once for a version, and only where somebody was
    erased; a tombstone is found among them in a millisecond.
    """
    parts = [
        b"".join(
            tombstone(salt, ids.raw(row))[:8]
            for row in range(low, min(low + _CHUNK, len(ids)))
        )
        for low in range(0, len(ids), _CHUNK)
    ]
    return np.frombuffer(b"".join(parts), dtype=np.uint64)


def rows_of(
    ids: Texts, marks: npt.NDArray[np.uint64], salt: bytes, hashes: frozenset[bytes]
) -> npt.NDArray[np.int64]:
    """Rows of those who were erased, ascending."""
    wanted = np.frombuffer(b"".join(mark[:8] for mark in hashes), dtype=np.uint64)
    found = np.flatnonzero(np.isin(marks, wanted))
    sure = [row for row in found.tolist() if tombstone(salt, ids.raw(row)) in hashes]
    return np.array(sure, dtype=np.int64)
