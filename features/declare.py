"""The vocabulary of a feature: one line declares it, one kernel fills it.

An aggregate reads a customer's rows before a cutoff, in order of time.
``Rows`` says which ones, its methods say what is computed of them. ``windows``
are days back from the cutoff, half-open: ``[cutoff - window, cutoff)``; None is
all history and leaves no mark in the name. ``of`` are words for the catalogue
where those of the name would not do.

Names read quantity, statistic, window, unit: ``orders_count_90d``,
``spend_sum_90d``, ``days_since_last_order``. The catalogue's ``meaning`` is
written from the declaration, in words for an aggregate and as a formula of
columns for an expression.
"""

from __future__ import annotations

from dataclasses import dataclass

from features.feature import (
    NO_DATA,
    NO_EVENT,
    NULL_PART,
    TOO_FEW,
    UNDEFINED,
    Aggregate,
    Difference,
    Ratio,
    Statistic,
)

Windows = tuple[int | None, ...]

_OF_NUMBERS = {
    "sum": (Statistic.TOTAL, NO_DATA),
    "mean": (Statistic.MEAN, NO_EVENT),
    "share": (Statistic.MEAN, NO_EVENT),
    "spread": (Statistic.SPREAD, TOO_FEW),
    "max": (Statistic.GREATEST, NO_EVENT),
    "last": (Statistic.LAST, NO_EVENT),
}
_OF_GROUPS = {
    "mean": (Statistic.GROUP_MEAN, NO_EVENT),
    "spread": (Statistic.GROUP_SPREAD, TOO_FEW),
    "max": (Statistic.GROUP_GREATEST, NO_EVENT),
}
_OF_GAPS = {
    "mean": Statistic.GAP_MEAN,
    "spread": Statistic.GAP_SPREAD,
    "median": Statistic.GAP_MEDIAN,
    "max": Statistic.GAP_GREATEST,
    "last": Statistic.GAP_LAST,
}
_SAID = {
    "sum": "total",
    "mean": "mean",
    "median": "median",
    "spread": "standard deviation of the",
    "max": "largest",
    "last": "last",
    "share": "share of",
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
        meaning: str,
        *,
        windows: Windows = (None,),
        column: str = "",
        weight: str = "",
        parameter: float = 0.0,
    ) -> tuple[Aggregate, ...]:
        """One feature per window, the window written into name and meaning."""
        return tuple(
            Aggregate(
                name=name if days is None else f"{name}_{days}d",
                unit=_words(unit),
                null=null,
                meaning=meaning + _when(days),
                window_days=days,
                statistic=statistic,
                column=column,
                weight=weight,
                where=self.where,
                per=self.per,
                parameter=parameter,
            )
            for days in windows
        )

    def count(
        self, what: str, *windows: int | None, of: str = ""
    ) -> tuple[Aggregate, ...]:
        """How many; 0 for a customer without, once the dimension has data."""
        said = of or _words(what)
        return self._each(
            f"{what}_count",
            Statistic.COUNT,
            said,
            NO_DATA,
            f"number of {said}",
            windows=windows or (None,),
        )

    def age(self, what: str, of: str = "") -> tuple[Aggregate, ...]:
        """Days from the last of them to the cutoff."""
        name = f"days_since_last_{what}"
        meaning = f"days from the last {of or _words(what)} to the cutoff"
        return self._each(name, Statistic.AGE_LAST, "days", NO_EVENT, meaning)

    def age_of_first(self, what: str) -> tuple[Aggregate, ...]:
        """Days from the first of them to the cutoff."""
        name = f"days_since_first_{what}"
        meaning = f"days from the first {_words(what)} to the cutoff"
        return self._each(name, Statistic.AGE_FIRST, "days", NO_EVENT, meaning)

    def decayed(
        self,
        what: str,
        *half_lives: int,
        column: str = "",
        unit: str = "",
        of: str = "",
    ) -> tuple[Aggregate, ...]:
        """Sum of ``0.5 ** (age / half-life)``, weighted by ``column`` if given."""
        said = of or f"number of {_words(what)}"
        return tuple(
            feature
            for days in half_lives
            for feature in self._each(
                f"{what}_decay_h{days}d",
                Statistic.DECAY,
                unit or what,
                NO_DATA,
                f"{said}, each times 0.5 ** (its age in days / {days})",
                column=column,
                parameter=float(days),
            )
        )

    def active(
        self, what: str, every: int, *windows: int, of: str = "event"
    ) -> tuple[Aggregate, ...]:
        """In how many of the periods of ``every`` days before the cutoff."""
        return self._each(
            f"{what}_active",
            Statistic.PERIODS,
            f"periods of {every} days",
            NO_DATA,
            f"number of {_words(what)}, counted back from the cutoff, with an {of}",
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
        meaning: str = "",
    ) -> tuple[Aggregate, ...]:
        """``sum``, ``mean``, ``spread``, ``max`` or ``last`` of a number.

        Nulls are left out. Spread is the sample standard deviation. ``share``
        is the mean of a flag.
        """
        code, null = _OF_NUMBERS[statistic]
        return self._each(
            f"{what}_{statistic}",
            code,
            unit,
            null,
            meaning or f"{_SAID[statistic]} {_words(what)}",
            windows=windows,
            column=column,
        )

    def share(
        self, what: str, flag: str, *windows: int | None, meaning: str = ""
    ) -> tuple[Aggregate, ...]:
        """Share of those for which the flag is true, of those where it is known."""
        said = meaning or f"share of {_words(what)} (of those that say)"
        return self.number(
            what, "share", flag, "share", windows=windows or (None,), meaning=said
        )

    def each(
        self,
        code: str,
        what: str,
        statistic: str,
        column: str,
        unit: str,
        *,
        windows: Windows = (None,),
    ) -> tuple[Aggregate, ...]:
        """``mean``, ``spread`` or ``max`` over codes of the sum of a number.

        ``each("order", "order_amount", "max", "amount", ...)`` is the amount of
        the largest order. Rows with an unknown code or number are left out.
        """
        operation, null = _OF_GROUPS[statistic]
        return self._each(
            f"{what}_{statistic}",
            operation,
            unit,
            null,
            f"{_SAID[statistic]} {_words(what)} (total by {_words(code)})",
            windows=windows,
            column=code,
            weight=column,
        )

    def trailing(
        self, what: str, flag: str, *windows: int | None, of: str = ""
    ) -> tuple[Aggregate, ...]:
        """How many at the end of the rows, since the last with the flag true."""
        name, _, since = what.partition("_since_")
        return self._each(
            what,
            Statistic.TRAILING,
            of or name,
            NO_DATA,
            f"number of {of or _words(name)} since the {_words(since)}",
            windows=windows or (None,),
            column=flag,
        )

    def distinct(
        self, what: str, code: str, *windows: int | None
    ) -> tuple[Aggregate, ...]:
        """How many different codes; unknown ones are left out."""
        return self._each(
            f"{what}_distinct",
            Statistic.DISTINCT,
            what,
            NO_DATA,
            f"number of different {_words(what)}",
            windows=windows or (None,),
            column=code,
        )

    def top_share(
        self, what: str, code: str, *windows: int | None, of: str = ""
    ) -> tuple[Aggregate, ...]:
        """Share of the most frequent code among those where it is known."""
        return self._each(
            f"{what}_top_share",
            Statistic.TOP_SHARE,
            "share",
            NO_EVENT,
            f"share of the most frequent {of or _words(what)}",
            windows=windows or (None,),
            column=code,
        )

    def gaps(
        self, what: str, *statistics: str, windows: Windows = (None,), of: str = ""
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
                f"{_SAID[statistic]} gap between {of or _words(what)}",
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
    note: str = "",
) -> Ratio:
    """``times * top / under``, or one minus it; null where undefined.

    ``note`` is what a reader has to know beside the formula.
    """
    factor = "" if times == 1 else f"{times:.4g} * "
    return Ratio(
        name=name,
        unit=unit,
        null=UNDEFINED,
        meaning=f"{'1 - ' if complement else ''}{factor}{top} / {under}"
        + (f": {note}" if note else ""),
        window_days=days,
        top=top,
        under=under,
        times=times,
        complement=complement,
    )


def difference(
    name: str, top: str, minus: str, unit: str, *, days: int | None = None
) -> Difference:
    """``top - minus``; null where one of them is."""
    return Difference(
        name=name,
        unit=unit,
        null=NULL_PART,
        meaning=f"{top} - {minus}",
        window_days=days,
        top=top,
        minus=minus,
    )


def _words(name: str) -> str:
    return name.replace("_", " ")


def _when(days: int | None) -> str:
    """The window in words."""
    return "" if days is None else f" in the last {days} days"
