"""The vocabulary of a feature: one line declares it, one kernel fills it.

An aggregate reads one customer's events before a cutoff, in order of time:

- ``where`` names a boolean column: only rows where it is true;
- ``per`` names a code column: only the first of the rows with the same code,
  so that ``per="order"`` turns order lines into orders;
- ``windows`` are days back from the cutoff, half-open: ``[cutoff - window,
  cutoff)``. ``None`` is all history and leaves no mark in the name.

Names read quantity, statistic, window, unit: ``orders_count_90d``,
``spend_sum_90d``, ``days_since_last_order``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from enum import IntEnum

import numpy as np

from features.history import Array, Events, Floats, History

Windows = tuple[int | None, ...]

NO_DATA = "the dimension has no data"
NO_EVENT = "no such event in the window, or the dimension has no data"
NO_GAP = "fewer than two events in the window, or the dimension has no data"
NO_SPREAD = "fewer than two values in the window, or the dimension has no data"
UNDEFINED = "the divisor is zero or null"


class Statistic(IntEnum):
    """What the kernel computes; the numbers are its operation codes."""

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
    DISTINCT = 20
    TOP_SHARE = 21
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
        window_days: only events this recent count; None: all history, or not
            a matter of events.
    """

    name: str
    dimension: str = ""
    unit: str
    null: str
    window_days: int | None = None


@dataclass(frozen=True, kw_only=True)
class Aggregate(Feature):
    """A feature that the fold fills; see the module for ``where`` and ``per``.

    Attributes:
        statistic: what is computed.
        column: number or code column it is computed from; empty: the rows.
        parameter: half-life of ``DECAY``, length of ``PERIODS``, in days.
    """

    statistic: Statistic
    column: str = ""
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
class Attribute(Feature):
    """A feature read from the profile row in force; ``is_text`` if no number."""

    is_text: bool = False


@dataclass(frozen=True)
class Dimension:
    """One of the six: where its events come from, and its declared features.

    ``events`` returns None where the table is missing.
    """

    name: str
    events: Callable[[History], Events | None]
    aggregates: tuple[Aggregate, ...]
    ratios: tuple[Ratio, ...]

    @property
    def features(self) -> tuple[Feature, ...]:
        """All features in the order of their columns."""
        return (*self.aggregates, *self.ratios)


def dimension(
    name: str,
    events: Callable[[History], Events | None],
    aggregates: tuple[Aggregate, ...],
    ratios: tuple[Ratio, ...] = (),
) -> Dimension:
    """The dimension, with its name written into every feature."""
    return Dimension(
        name,
        events,
        tuple(replace(a, dimension=name) for a in aggregates),
        tuple(replace(r, dimension=name) for r in ratios),
    )


def _each(windows: Windows, name: str, feature: Aggregate) -> tuple[Aggregate, ...]:
    return tuple(
        replace(feature, name=name + (f"_{w}d" if w else ""), window_days=w)
        for w in windows
    )


def count(
    what: str, *, windows: Windows = (None,), where: str = "", per: str = ""
) -> tuple[Aggregate, ...]:
    """How many; 0 for a customer without, once the dimension has data."""
    feature = Aggregate(
        name="",
        unit=what,
        null=NO_DATA,
        statistic=Statistic.COUNT,
        where=where,
        per=per,
    )
    return _each(windows, f"{what}_count", feature)


def decayed(
    what: str,
    *,
    half_lives: tuple[int, ...],
    column: str = "",
    where: str = "",
    per: str = "",
    unit: str = "",
) -> tuple[Aggregate, ...]:
    """Sum of ``0.5 ** (age / half-life)``, weighted by ``column`` if given."""
    return tuple(
        Aggregate(
            name=f"{what}_decay_h{days}d",
            unit=unit or what,
            null=NO_DATA,
            statistic=Statistic.DECAY,
            column=column,
            where=where,
            per=per,
            parameter=float(days),
        )
        for days in half_lives
    )


def active(
    what: str,
    *,
    every: int,
    windows: Windows,
    where: str = "",
    per: str = "",
) -> tuple[Aggregate, ...]:
    """How many of the periods of ``every`` days before the cutoff have an event."""
    feature = Aggregate(
        name="",
        unit=f"periods of {every} days",
        null=NO_DATA,
        statistic=Statistic.PERIODS,
        where=where,
        per=per,
        parameter=float(every),
    )
    return _each(windows, f"{what}_active", feature)


def age(what: str, *, where: str = "", per: str = "") -> tuple[Aggregate, ...]:
    """Days from the last event to the cutoff."""
    return (
        Aggregate(
            name=f"days_since_last_{what}",
            unit="days",
            null=NO_EVENT,
            statistic=Statistic.AGE_LAST,
            where=where,
            per=per,
        ),
    )


def age_of_first(what: str, *, where: str = "", per: str = "") -> tuple[Aggregate, ...]:
    """Days from the first event to the cutoff."""
    return tuple(
        replace(a, name=f"days_since_first_{what}", statistic=Statistic.AGE_FIRST)
        for a in age(what, where=where, per=per)
    )


_OF_NUMBERS = {
    "sum": (Statistic.TOTAL, NO_DATA),
    "mean": (Statistic.MEAN, NO_EVENT),
    "spread": (Statistic.SPREAD, NO_SPREAD),
    "max": (Statistic.GREATEST, NO_EVENT),
    "last": (Statistic.LAST, NO_EVENT),
    "share": (Statistic.MEAN, NO_EVENT),
}


def number(
    what: str,
    statistic: str,
    column: str,
    *,
    unit: str,
    windows: Windows = (None,),
    where: str = "",
    per: str = "",
) -> tuple[Aggregate, ...]:
    """``sum``, ``mean``, ``spread`` (sample standard deviation), ``max`` or ``last``.

    Null values are left out. ``share`` is the mean of a flag.
    """
    code, null = _OF_NUMBERS[statistic]
    feature = Aggregate(
        name="",
        unit=unit,
        null=null,
        statistic=code,
        column=column,
        where=where,
        per=per,
    )
    return _each(windows, f"{what}_{statistic}", feature)


def share(
    what: str,
    flag: str,
    *,
    windows: Windows = (None,),
    where: str = "",
    per: str = "",
) -> tuple[Aggregate, ...]:
    """Share of the events whose flag is true."""
    return number(
        what, "share", flag, unit="share", windows=windows, where=where, per=per
    )


def distinct(
    what: str,
    code: str,
    *,
    windows: Windows = (None,),
    where: str = "",
    per: str = "",
) -> tuple[Aggregate, ...]:
    """How many different codes; unknown ones are left out."""
    feature = Aggregate(
        name="",
        unit=what,
        null=NO_DATA,
        statistic=Statistic.DISTINCT,
        column=code,
        where=where,
        per=per,
    )
    return _each(windows, f"{what}_distinct", feature)


def top_share(
    what: str,
    code: str,
    *,
    windows: Windows = (None,),
    where: str = "",
    per: str = "",
) -> tuple[Aggregate, ...]:
    """Share of the most frequent code among the events with a known one."""
    feature = Aggregate(
        name="",
        unit="share",
        null=NO_EVENT,
        statistic=Statistic.TOP_SHARE,
        column=code,
        where=where,
        per=per,
    )
    return _each(windows, f"{what}_top_share", feature)


_OF_GAPS = {
    "mean": Statistic.GAP_MEAN,
    "spread": Statistic.GAP_SPREAD,
    "median": Statistic.GAP_MEDIAN,
    "max": Statistic.GAP_GREATEST,
    "last": Statistic.GAP_LAST,
}


def gaps(
    what: str,
    *statistics: str,
    windows: Windows = (None,),
    where: str = "",
    per: str = "",
) -> tuple[Aggregate, ...]:
    """Statistics of the days between one event and the next, both in the window."""
    return tuple(
        feature
        for statistic in statistics
        for feature in _each(
            windows,
            f"{what}_gap_{statistic}",
            Aggregate(
                name="",
                unit="days",
                # A spread needs two gaps, hence three events.
                null="too few events in the window, or the dimension has no data"
                if statistic == "spread"
                else NO_GAP,
                statistic=_OF_GAPS[statistic],
                where=where,
                per=per,
            ),
        )
    )


def ratio(
    name: str,
    top: str,
    under: str,
    *,
    times: float = 1.0,
    complement: bool = False,
    unit: str = "ratio",
    window_days: int | None = None,
) -> Ratio:
    """``times * top / under``, or one minus it; null where undefined."""
    return Ratio(
        name=name,
        unit=unit,
        null=UNDEFINED,
        window_days=window_days,
        top=top,
        under=under,
        times=times,
        complement=complement,
    )


def ratios(wide: Mapping[str, Floats], declared: tuple[Ratio, ...]) -> list[Floats]:
    """Every ratio over the columns of the wide table, NaN where undefined.

    Args:
        wide: columns by name, each of shape ``[row]``; a ratio may use the
            ratios before it.
        declared: what to compute, in order.
    """
    known = dict(wide)
    results: list[Floats] = []
    for line in declared:
        top, under = known[line.top], known[line.under]
        defined = np.where(under == 0, np.nan, under)
        value = line.times * top / defined
        known[line.name] = 1.0 - value if line.complement else value
        results.append(known[line.name])
    return results


def with_columns(events: Events, columns: Mapping[str, Array]) -> Events:
    """The same events with further columns."""
    return replace(events, columns={**events.columns, **columns})


def with_kinds(events: Events, column: str) -> Events:
    """The same events with one boolean column per word of a closed set."""
    codes = events.columns[column]
    words = enumerate(events.words[column])
    return with_columns(events, {word: codes == code for code, word in words})
