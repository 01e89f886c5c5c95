"""Months, quarters and weeks: half-open, between midnights of the shop's calendar."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

import numpy as np
import numpy.typing as npt

from features.contracts import SettingError
from features.snapshot import to_us
from serving.insight.kpis import KINDS, Kind

YEAR: dict[Kind, int] = {"month": 12, "quarter": 4, "week": 52}
"""Periods from one to the same of the year before; weeks start on the same weekday."""

_FORMS: dict[Kind, str] = {
    "month": r"(\d{4})-(\d{2})",
    "quarter": r"(\d{4})-Q([1-4])",
    "week": r"(\d{4})-W(\d{2})",
}
_MONTHS: dict[Kind, int] = {"month": 1, "quarter": 3}


def first_day(kind: Kind, day: date) -> date:
    """The first day of the period that a day lies in; weeks begin on Monday."""
    if kind == "week":
        return day - timedelta(days=day.weekday())
    size = _MONTHS[kind]
    return date(day.year, (day.month - 1) // size * size + 1, 1)


def moved(kind: Kind, first: date, count: int) -> date:
    """The first day of the period so many periods later; earlier, if below 0."""
    if kind == "week":
        return first + timedelta(weeks=count)
    month = first.year * 12 + first.month - 1 + _MONTHS[kind] * count
    return date(month // 12, month % 12 + 1, 1)


def name_of(kind: Kind, first: date) -> str:
    """``2017-10``, ``2017-Q4`` or ``2017-W42``, the week by ISO 8601."""
    if kind == "week":
        year, week, _ = first.isocalendar()
        return f"{year:04d}-W{week:02d}"
    if kind == "quarter":
        return f"{first.year:04d}-Q{first.month // 3 + 1}"
    return f"{first.year:04d}-{first.month:02d}"


def parse_period(text: str) -> tuple[Kind, date | None]:
    """A kind of period and the first day of one; None: its kind alone was named.

    Raises:
        SettingError: the text is neither.
    """
    for kind in KINDS:
        if text == kind:
            return kind, None
        found = re.fullmatch(_FORMS[kind], text, re.ASCII)
        if not found:
            continue
        year, part = int(found[1]), int(found[2])
        try:
            if kind == "week":
                return kind, date.fromisocalendar(year, part, 1)
            return kind, date(year, (part - 1) * _MONTHS[kind] + 1, 1)
        except ValueError:
            break
    raise SettingError(
        f"period: expected 2017-10, 2017-Q4 or 2017-W42, or month, quarter or week for "
        f"the latest complete one, got {text!r:.40}"
    )


@dataclass(frozen=True)
class Periods:
    """Periods of one kind that follow each other, the last holding the cutoff's eve.

    Attributes:
        kind: of all.
        days: the first day of each, and the day after the last.
        starts: the midnights that begin ``days``, naive UTC.
        cutoff: nothing later is known.
        timezone: whose midnights they are.
    """

    kind: Kind
    days: tuple[date, ...]
    starts: tuple[datetime, ...]
    cutoff: datetime
    timezone: str

    def __len__(self) -> int:
        return len(self.days) - 1

    @property
    def names(self) -> tuple[str, ...]:
        """The name of each."""
        return tuple(name_of(self.kind, day) for day in self.days[:-1])

    @property
    def complete(self) -> npt.NDArray[np.bool_]:
        """Whether each was over by the cutoff."""
        return np.array([end <= self.cutoff for end in self.starts[1:]], dtype=np.bool_)

    def find(self, at: npt.NDArray[np.int64]) -> npt.NDArray[np.int32]:
        """The period of each moment; -1: the one before all, -2: earlier still.

        Args:
            at: microseconds since 1970-01-01 UTC, before the cutoff.
        """
        before = _midnight(moved(self.kind, self.days[0], -1), self.timezone)
        edges = [to_us(start) for start in (before, *self.starts[:-1])]
        return (np.searchsorted(edges, at, side="right") - 2).astype(np.int32)


def _midnight(day: date, timezone: str) -> datetime:
    """The midnight that begins a day somewhere, as naive UTC."""
    there = datetime.combine(day, time(), ZoneInfo(timezone))
    return there.astimezone(UTC).replace(tzinfo=None)


def periods_of(
    kind: Kind, first: datetime, cutoff: datetime, most: int, timezone: str = "UTC"
) -> Periods:
    """The latest periods from the one of ``first`` to the one before the cutoff.

    Args:
        kind: of all.
        first: a moment before the cutoff.
        cutoff: the last period begins before it.
        most: how many at most.
        timezone: whose midnights count; ``first`` and ``cutoff`` are naive UTC.
    """
    zone = ZoneInfo(timezone)
    eve = cutoff - timedelta(microseconds=1)
    low, last = (
        first_day(kind, moment.replace(tzinfo=UTC).astimezone(zone).date())
        for moment in (first, eve)
    )
    days = [moved(kind, last, 1), last]
    while days[-1] > low and len(days) <= most:
        days.append(moved(kind, days[-1], -1))
    days.reverse()
    return periods_from(kind, days, cutoff, timezone)


def periods_from(
    kind: Kind, days: list[date], cutoff: datetime, timezone: str
) -> Periods:
    """Periods by their first days and the day after the last."""
    starts = tuple(_midnight(day, timezone) for day in days)
    return Periods(kind, tuple(days), starts, cutoff, timezone)
