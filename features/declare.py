"""The vocabulary of a feature: one line declares it, one kernel fills it.

An aggregate reads a customer's rows before a cutoff, in order of time.
``Rows`` says which ones, its methods say what is computed of them. ``windows``
are days back from the cutoff, half-open: ``[cutoff - window, cutoff)``; None is
all history and leaves no mark in the name.

Names read quantity, statistic, window, unit: ``orders_count_90d``,
``spend_sum_90d``, ``days_since_last_order``.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

Windows = tuple[int | None, ...]

NO_DATA = "the dimension has no data"
NO_EVENT = "no such event in the window, or the dimension has no data"
TOO_FEW = "too few events in the window, or the dimension has no data"
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
class Attribute(Feature):
    """A feature read from the profile row in force; ``is_text`` if no number."""

    is_text: bool = False


_OF_NUMBERS = {
    "sum": (Statistic.TOTAL, NO_DATA),
    "mean": (Statistic.MEAN, NO_EVENT),
    "share": (Statistic.MEAN, NO_EVENT),
    "spread": (Statistic.SPREAD, TOO_FEW),
    "max": (Statistic.GREATEST, NO_EVENT),
    "last": (Statistic.LAST, NO_EVENT),
}
_OF_GAPS = {
    "mean": Statistic.GAP_MEAN,
    "spread": Statistic.GAP_SPREAD,
    "median": Statistic.GAP_MEDIAN,
    "max": Statistic.GAP_GREATEST,
    "last": Statistic.GAP_LAST,
}


@dataclass(frozen=True)
class Rows:
    """Which rows count.

    Attributes:
        where: a boolean column: only rows where it is true; empty: all rows.
        per: a code column: only the first of the rows with the same code, so
            that ``per="order"`` turns order lines into orders; empty: each row.
    """

    where: str = ""
    per: str = ""

    def _each(
        self,
        name: str,
        statistic: Statistic,
        unit: str,
        null: str,
        *,
        windows: Windows = (None,),
        column: str = "",
        parameter: float = 0.0,
    ) -> tuple[Aggregate, ...]:
        """One feature per window, the window written into the name."""
        return tuple(
            Aggregate(
                name=name if days is None else f"{name}_{days}d",
                unit=unit,
                null=null,
                window_days=days,
                statistic=statistic,
                column=column,
                where=self.where,
                per=self.per,
                parameter=parameter,
            )
            for days in windows
        )

    def count(self, what: str, *windows: int | None) -> tuple[Aggregate, ...]:
        """How many; 0 for a customer without, once the dimension has data."""
        return self._each(
            f"{what}_count", Statistic.COUNT, what, NO_DATA, windows=windows or (None,)
        )

    def age(self, what: str) -> tuple[Aggregate, ...]:
        """Days from the last of them to the cutoff."""
        name = f"days_since_last_{what}"
        return self._each(name, Statistic.AGE_LAST, "days", NO_EVENT)

    def age_of_first(self, what: str) -> tuple[Aggregate, ...]:
        """Days from the first of them to the cutoff."""
        name = f"days_since_first_{what}"
        return self._each(name, Statistic.AGE_FIRST, "days", NO_EVENT)

    def decayed(
        self, what: str, *half_lives: int, column: str = "", unit: str = ""
    ) -> tuple[Aggregate, ...]:
        """Sum of ``0.5 ** (age / half-life)``, weighted by ``column`` if given."""
        return tuple(
            feature
            for days in half_lives
            for feature in self._each(
                f"{what}_decay_h{days}d",
                Statistic.DECAY,
                unit or what,
                NO_DATA,
                column=column,
                parameter=float(days),
            )
        )

    def active(self, what: str, every: int, *windows: int) -> tuple[Aggregate, ...]:
        """In how many of the periods of ``every`` days before the cutoff."""
        return self._each(
            f"{what}_active",
            Statistic.PERIODS,
            f"periods of {every} days",
            NO_DATA,
            windows=windows,
            parameter=float(every),
        )

    def number(
        self,
        what: str,
        statistic: str,
        column: str,
        unit: str,
        *,
        windows: Windows = (None,),
    ) -> tuple[Aggregate, ...]:
        """``sum``, ``mean``, ``spread``, ``max`` or ``last`` of a number.

        Nulls are left out. Spread is the sample standard deviation. ``share``
        is the mean of a flag.
        """
        code, null = _OF_NUMBERS[statistic]
        name = f"{what}_{statistic}"
        return self._each(name, code, unit, null, windows=windows, column=column)

    def share(self, what: str, flag: str) -> tuple[Aggregate, ...]:
        """Share of those for which the flag is true, of those where it is known."""
        return self.number(what, "share", flag, "share")

    def distinct(
        self, what: str, code: str, *windows: int | None
    ) -> tuple[Aggregate, ...]:
        """How many different codes; unknown ones are left out."""
        return self._each(
            f"{what}_distinct",
            Statistic.DISTINCT,
            what,
            NO_DATA,
            windows=windows or (None,),
            column=code,
        )

    def top_share(
        self, what: str, code: str, *windows: int | None
    ) -> tuple[Aggregate, ...]:
        """Share of the most frequent code among those where it is known."""
        return self._each(
            f"{what}_top_share",
            Statistic.TOP_SHARE,
            "share",
            NO_EVENT,
            windows=windows or (None,),
            column=code,
        )

    def gaps(
        self, what: str, *statistics: str, windows: Windows = (None,)
    ) -> tuple[Aggregate, ...]:
        """Statistics of the days from one to the next, both in the window."""
        return tuple(
            feature
            for statistic in statistics
            for feature in self._each(
                f"{what}_gap_{statistic}",
                _OF_GAPS[statistic],
                "days",
                TOO_FEW,
                windows=windows,
            )
        )


ALL = Rows()


def ratio(
    name: str,
    top: str,
    under: str,
    *,
    times: float = 1.0,
    complement: bool = False,
    unit: str = "ratio",
    days: int | None = None,
) -> Ratio:
    """``times * top / under``, or one minus it; null where undefined."""
    return Ratio(
        name=name,
        unit=unit,
        null=UNDEFINED,
        window_days=days,
        top=top,
        under=under,
        times=times,
        complement=complement,
    )
