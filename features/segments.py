"""Segments: the groups of customers that the shop itself tells apart.

By the channel they buy in (a store, the web), or by what their profile says.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import scipy.sparse as sp

from features.contracts import SegmentBy
from features.history import Floats, History, Ints, Longs
from features.pairs import SLOW_DAYS
from features.profile import in_force
from features.snapshot import DAY_US

Words = tuple[str, ...]


@dataclass(frozen=True)
class SegmentCounts:
    """What is bought in every segment; groups of customers add up.

    Attributes:
        words: text of each segment, ascending, shape ``[segment]``.
        size: by channel its purchased lines, else its customers, ``[segment]``.
        sold: purchased lines of the last days, sparse ``[segment, product]``.
        shop: the same of everyone, of no known segment too, ``[product]``.
    """

    words: Words
    size: Longs
    sold: sp.csr_matrix
    shop: Floats

    def __add__(self, other: SegmentCounts) -> SegmentCounts:
        """Of both groups of customers together; no customer may be in both."""
        words = tuple(sorted({*self.words, *other.words}))
        both = [part.spread(words) for part in (self, other)]
        return SegmentCounts(
            words,
            both[0].size + both[1].size,
            sp.csr_matrix(both[0].sold + both[1].sold),
            self.shop + other.shop,
        )

    def spread(self, words: Words) -> SegmentCounts:
        """The same, with a row for each of the words; zeros where none was counted."""
        place = {word: row for row, word in enumerate(words)}
        rows = np.array([place[word] for word in self.words], np.int64)
        size = np.zeros(len(words), dtype=np.int64)
        size[rows] = self.size
        columns = np.arange(len(rows))
        moved = sp.csr_matrix(
            (np.ones(len(rows)), (rows, columns)), (len(words), len(rows))
        )
        return SegmentCounts(words, size, sp.csr_matrix(moved @ self.sold), self.shop)

    def largest(self, most: int) -> SegmentCounts:
        """The largest segments that are not empty, the largest first."""
        order = np.argsort(-self.size, kind="stable")[:most]
        order = order[self.size[order] > 0]
        words = tuple(self.words[row] for row in order)
        sold = sp.csr_matrix(self.sold[order])
        return SegmentCounts(words, self.size[order], sold, self.shop)


def segment_counts(
    history: History, cutoff_us: int, by: SegmentBy, days: int
) -> SegmentCounts:
    """Segments of a history's customers, as known at a cutoff.

    Args:
        history: rows at or after the cutoff, or known later, are not read.
        cutoff_us: microseconds since 1970-01-01.
        by: the channel of the purchases, or a column of ``customers``.
        days: of ``sold``.
    """
    events = history.purchases
    rows = np.flatnonzero(events.before(cutoff_us) & events.bought)
    if by == "channel":
        words, of_row = events.words["channel"], events.columns["channel"][rows]
        size = np.bincount(of_row[of_row >= 0], minlength=len(words))
    else:
        words, of_customer = _profile(history, cutoff_us, by)
        of_row = of_customer[events.customer[rows]]
        size = np.bincount(of_customer[of_customer >= 0], minlength=len(words))
    late = events.ts[rows] >= cutoff_us - days * DAY_US
    product, of_row = events.columns["product"][rows[late]], of_row[late]
    shop = np.bincount(product, minlength=len(history.products)).astype(np.float64)
    product, of_row = product[of_row >= 0], of_row[of_row >= 0]
    sold = sp.csr_matrix(
        (np.ones(len(product)), (of_row, product)),
        shape=(len(words), len(history.products)),
    )
    return SegmentCounts(words, size.astype(np.int64), sold, shop)


def belongs_at(
    history: History, cutoff_us: int, by: SegmentBy, words: Words
) -> sp.csr_matrix:
    """How far every customer is of each segment, as known at a cutoff.

    Args:
        history: as of ``segment_counts``.
        cutoff_us: microseconds since 1970-01-01.
        by: the same.
        words: the segments that count, shape ``[segment]``.

    Returns:
        Sparse ``[customer code, segment]``: the share of a customer's (decayed) lines
        by channel, or 1 for the one of the profile. A row without an entry: not
        known, or of none of these segments.
    """
    n = len(history.customers)
    place = {word: column for column, word in enumerate(words)}

    def columns(known: Words, code: Ints) -> Ints:
        # One entry more: code -1 is no segment.
        return np.array([*(place.get(word, -1) for word in known), -1], np.int32)[code]

    if by != "channel":
        segment = columns(*_profile(history, cutoff_us, by))
        who = np.flatnonzero(segment >= 0)
        ones = np.ones(len(who), dtype=np.float32)
        return sp.csr_matrix((ones, (who, segment[who])), (n, len(words)))
    events = history.purchases
    rows = np.flatnonzero(events.before(cutoff_us) & events.bought)
    segment = columns(events.words["channel"], events.columns["channel"][rows])
    rows, segment = rows[segment >= 0], segment[segment >= 0]
    age: Floats = (cutoff_us - events.ts[rows]) / DAY_US
    mass = sp.csr_matrix(
        (2.0 ** (-age / SLOW_DAYS), (events.customer[rows], segment)), (n, len(words))
    )
    total = np.asarray(mass.sum(axis=1)).ravel()
    scale = sp.diags(1 / np.where(total > 0, total, 1.0))
    return sp.csr_matrix(scale @ mass, dtype=np.float32)


def _profile(history: History, cutoff_us: int, by: str) -> tuple[Words, Ints]:
    """Texts of a column of the profile, ascending; the code of every customer, -1: none."""
    n = len(history.customers)
    profiles = history.profiles
    if profiles is None or by not in profiles.column_names or by in history.wordy:
        return (), np.full(n, -1, dtype=np.int32)
    row = in_force(profiles, np.array([cutoff_us]), n)[:, 0]
    column = profiles.column(by).combine_chunks().cast(pa.string())
    text = column.take(pa.array(row, pa.int64(), mask=row < 0))
    words = tuple(
        sorted(word for word in text.unique().to_pylist() if word is not None)
    )
    found = {word: code for code, word in enumerate(words)}
    code = np.array([found.get(word, -1) for word in text.to_pylist()], np.int32)
    return words, code
