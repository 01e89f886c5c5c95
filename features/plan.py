"""Declared features as the arrays that the kernel walks along."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from features.feature import Aggregate, Statistic
from features.history import Floats, Longs
from features.snapshot import DAY_US


class Steps(NamedTuple):
    """Declared features as arrays.

    ``streams`` is ``[stream, 2]``: positions of ``where`` and ``per``, -1: none.
    ``frames`` is ``[frame, 4]``: stream, window (microseconds, 0: all), and the
    features ``first:last`` of it. ``plan`` is ``[feature, 4]``: operation,
    column, second column (of distinct codes: the chain), row of the result; ordered
    by frame. ``parameters`` and ``empty`` (the value of no rows) are ``[feature]``.
    """

    streams: Longs
    frames: Longs
    plan: Longs
    parameters: Floats
    empty: Floats


@dataclass(frozen=True)
class Plan:
    """What to compute, made once by ``plan`` for any number of ``fold`` calls.

    Attributes:
        wheres, codes, values: the columns read, in the order of ``Input``.
        steps: for the kernel.
        reads_per: positions in ``codes`` of the ``per`` columns.
        n_chains: pairs of stream and code column whose distinct codes are counted, each
            once, whatever the windows.
    """

    wheres: tuple[str, ...]
    codes: tuple[str, ...]
    values: tuple[str, ...]
    steps: Steps
    reads_per: tuple[int, ...]
    n_chains: int


def _distinct(names: Sequence[str]) -> tuple[str, ...]:
    """Names without the empty one and repeats, in order of appearance."""
    return tuple(name for name in dict.fromkeys(names) if name)


_OF_CODES = range(Statistic.DISTINCT, Statistic.GAP_MEAN)
_ZERO = (
    Statistic.COUNT,
    Statistic.DECAY,
    Statistic.PERIODS,
    Statistic.TOTAL,
    Statistic.TRAILING,
    Statistic.DISTINCT,
)


def plan(declared: Sequence[Aggregate]) -> Plan:
    """The declared features, at least one, as the kernel reads them."""
    of_codes = [a.statistic in _OF_CODES for a in declared]
    numbers = [
        a.weight if c else a.column for a, c in zip(declared, of_codes, strict=True)
    ]
    coded = [a.column if c else "" for a, c in zip(declared, of_codes, strict=True)]
    wheres = _distinct([a.where for a in declared])
    codes = _distinct([a.per for a in declared] + coded)
    values = _distinct(numbers)
    streams = list(dict.fromkeys((a.where, a.per) for a in declared))
    windows = [
        (streams.index((a.where, a.per)), (a.window_days or 0) * DAY_US)
        for a in declared
    ]
    frames = sorted(set(windows))
    by_frame = sorted(range(len(declared)), key=lambda f: (frames.index(windows[f]), f))
    ends = np.cumsum([windows.count(frame) for frame in frames])

    def position(names: tuple[str, ...], name: str) -> int:
        return names.index(name) if name else -1

    rows: list[tuple[int, int, int, int]] = []
    chains: list[tuple[int, int]] = []
    for f in by_frame:
        number = position(values, numbers[f])
        code = position(codes, coded[f])
        column, second = (code, number) if of_codes[f] else (number, -1)
        if declared[f].statistic == Statistic.DISTINCT:
            chain = windows[f][0], code
            chains += [chain] if chain not in chains else []
            second = chains.index(chain)
        rows.append((int(declared[f].statistic), column, second, f))
    steps = Steps(
        streams=np.array(
            [(position(wheres, w), position(codes, p)) for w, p in streams], np.int64
        ),
        frames=np.array(
            [
                (*frame, end - windows.count(frame), end)
                for frame, end in zip(frames, ends, strict=True)
            ],
            np.int64,
        ),
        plan=np.array(rows, np.int64),
        parameters=np.array([declared[f].parameter for f in by_frame]),
        empty=np.array(
            [0.0 if declared[f].statistic in _ZERO else np.nan for f in by_frame]
        ),
    )
    pers = {codes.index(a.per) for a in declared if a.per}
    return Plan(wheres, codes, values, steps, tuple(sorted(pers)), len(chains))
