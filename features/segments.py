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


@dataclass(frozen=True)
class Segments:
    """Who belongs where, as known at a cutoff.

    Attributes:
        words: text of each segment, shape ``[segment]``.
        belongs: sparse ``[customer code, segment]``: the share of a customer's
            (decayed) lines by channel, or 1 for the one of the profile. A row
            without an entry: not known, or a segment too small to stand alone.
        of_line: by channel only: the segment of each code of
            ``purchases.channel``, -1: none; shape ``[channel]``.
    """

    words: tuple[str, ...]
    belongs: sp.csr_matrix
    of_line: Ints | None

    def lines(self, history: History, rows: Longs, item: Ints, n: int) -> Floats:
        """Purchased lines by segment and item, ``[segment, n]``.

        Args:
            history: as at the cutoff.
            rows: of ``history.purchases``, shape ``[line]``.
            item: number of each line's item, below ``n``; same shape.
            n: number of items.
        """
        events = history.purchases
        if self.of_line is None:
            sparse = self.belongs.tocoo()
            segment_of = np.full(len(history.customers), -1, dtype=np.int64)
            segment_of[sparse.row] = sparse.col
            segment = segment_of[events.customer[rows]]
        else:
            segment = self.of_line[events.columns["channel"][rows]].astype(np.int64)
        known = segment >= 0
        size = len(self.words) * n
        counts = np.bincount(segment[known] * n + item[known], minlength=size)
        return counts.reshape(len(self.words), n).astype(np.float64)


def segments_at(history: History, cutoff_us: int, by: SegmentBy, most: int) -> Segments:
    """The segments at a cutoff.

    Args:
        history: rows at or after the cutoff, or known later, are not read.
        cutoff_us: microseconds since 1970-01-01.
        by: the channel of the purchases, or a column of ``customers``.
        most: so many segments at most, the largest.
    """
    if by == "channel":
        return _by_channel(history, cutoff_us, most)
    return _by_profile(history, cutoff_us, by, most)


def _by_channel(history: History, cutoff_us: int, most: int) -> Segments:
    events = history.purchases
    rows = np.flatnonzero(events.before(cutoff_us) & events.bought)
    code = events.columns["channel"][rows]
    words = events.words["channel"]
    # One entry more: code -1 is no channel.
    of_line = _largest(code, len(words), most)
    segment = of_line[code]
    rows, segment = rows[segment >= 0], segment[segment >= 0]
    age = (cutoff_us - events.ts[rows]) / DAY_US
    kept = np.flatnonzero(of_line[:-1] >= 0)
    names = [words[i] for i in kept[np.argsort(of_line[kept])]]
    shape = (len(history.customers), len(names))
    mass = sp.csr_matrix(
        (2.0 ** (-age / SLOW_DAYS), (events.customer[rows], segment)), shape
    )
    total = np.asarray(mass.sum(axis=1)).ravel()
    scale = sp.diags(1 / np.where(total > 0, total, 1.0))
    return Segments(
        tuple(names), sp.csr_matrix(scale @ mass, dtype=np.float32), of_line
    )


def _by_profile(history: History, cutoff_us: int, by: str, most: int) -> Segments:
    n = len(history.customers)
    profiles = history.profiles
    if profiles is None or by not in profiles.column_names or by in history.wordy:
        return Segments((), sp.csr_matrix((n, 0), dtype=np.float32), None)
    row = in_force(profiles, np.array([cutoff_us]), n)[:, 0]
    column = profiles.column(by).combine_chunks().cast(pa.string())
    text = column.take(pa.array(row, pa.int64(), mask=row < 0)).dictionary_encode()
    code = text.indices.fill_null(-1).to_numpy().astype(np.int32)
    words: list[str] = text.dictionary.to_pylist()
    segment_of = _largest(code, len(words), most)
    segment = segment_of[code]
    who = np.flatnonzero(segment >= 0)
    kept = np.flatnonzero(segment_of[:-1] >= 0)
    names = [words[i] for i in kept[np.argsort(segment_of[kept])]]
    ones = np.ones(len(who), dtype=np.float32)
    belongs = sp.csr_matrix((ones, (who, segment[who])), (n, len(names)))
    return Segments(tuple(names), belongs, None)


def _largest(code: Ints, n: int, most: int) -> Ints:
    """Segment of each code, the largest first; -1: none. The last entry is -1."""
    size = np.bincount(code[code >= 0], minlength=n)
    order = np.argsort(-size, kind="stable")[:most]
    order = order[size[order] > 0]
    segment = np.full(n + 1, -1, dtype=np.int32)
    segment[order] = np.arange(len(order), dtype=np.int32)
    return segment
