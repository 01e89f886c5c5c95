"""What a declared feature is: one column of the wide table, as the catalogue has it.

``declare`` makes them, one line each; the kernel fills aggregates, and
expressions are computed of the columns it has filled.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

NO_DATA = "the dimension has no data"
NO_EVENT = "no such event in the window, or the dimension has no data"
TOO_FEW = "too few events in the window, or the dimension has no data"
UNDEFINED = "the divisor is zero, or a column is null"
NULL_PART = "one of the two columns is null"


class Statistic(IntEnum):
    """What the kernel computes; the numbers are its operation codes.

    Never renumber: give a new one a free number in its ten. Numba keeps compiled
    kernels beside ``kernel.py`` and does not see a change of this file, so a kernel
    of the old numbers would go on and fill columns with other statistics.
    """

    COUNT = 0
    DECAY = 1
    PERIODS = 2
    AGE_LAST = 3
    AGE_FIRST = 4
    TOTAL = 10
    MEAN = 11
    SPREAD = 12
    GREATEST = 13
    LAST = 14
    TRAILING = 15
    DISTINCT = 20
    TOP_SHARE = 21
    GROUP_MEAN = 22
    GROUP_SPREAD = 23
    GROUP_GREATEST = 24
    GAP_MEAN = 30
    GAP_SPREAD = 31
    GAP_MEDIAN = 32
    GAP_GREATEST = 33
    GAP_LAST = 34


@dataclass(frozen=True, kw_only=True)
class Feature:
    """One column of the wide table, as the catalogue shows it.

    Attributes:
        name: column name.
        dimension: one of the six.
        unit: unit of the value.
        null: what a null means.
        meaning: what the value says, for a reader of the catalogue.
        window_days: only events this recent count; None: all history, or not
            a matter of events.
    """

    name: str
    dimension: str = ""
    unit: str
    null: str
    meaning: str = ""
    window_days: int | None = None


@dataclass(frozen=True, kw_only=True)
class Aggregate(Feature):
    """A feature that the fold fills.

    Attributes:
        statistic: what is computed.
        column: number or code column it is computed from; empty: the rows.
        weight: number column that is summed by code.
        where, per: see ``Rows``.
        parameter: half-life of ``DECAY``, length of ``PERIODS``, in days.
    """

    statistic: Statistic
    column: str = ""
    weight: str = ""
    where: str = ""
    per: str = ""
    parameter: float = 0.0


@dataclass(frozen=True, kw_only=True)
class Ratio(Feature):
    """``times * top / under`` of two columns; ``1 -`` that if ``complement``."""

    top: str
    under: str
    times: float = 1.0
    complement: bool = False


@dataclass(frozen=True, kw_only=True)
class Difference(Feature):
    """``top - minus`` of two columns."""

    top: str
    minus: str


Expression = Ratio | Difference
"""A feature computed of columns of its dimension after the fold."""


@dataclass(frozen=True, kw_only=True)
class Attribute(Feature):
    """A feature read from the profile row in force; ``is_text`` if no number."""

    is_text: bool = False
