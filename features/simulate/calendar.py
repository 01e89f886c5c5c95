"""Two clocks: timestamps, and *shop days*, in which everything is drawn.

Shop days count from the Monday on or before the start, on a clock that runs
fast when people shop: an even flow of events in shop days follows the weekday
and the hour in timestamps. Both clocks agree at every week's end, so that
windows of whole weeks are the same on both.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

import numpy as np

from features.simulate.columns import Array
from features.simulate.truths import Truths
from features.snapshot import to_us

_WEEKDAYS = (0.9, 0.85, 0.9, 1.0, 1.3, 1.5, 0.55)
_HOURS = (
    *(0.1,) * 7,
    *(0.4, 0.8, 1.1, 1.3, 1.4, 1.3, 1.1, 1.0, 1.1),
    *(1.4, 1.8, 2.0, 1.9, 1.5, 1.0, 0.6, 0.2),
)
_OF_WEEK = np.outer(_WEEKDAYS, _HOURS).ravel()
_SHOPPED = np.concatenate([[0.0], np.cumsum(_OF_WEEK) / _OF_WEEK.sum()])
"""Share of the week's shopping that is over, hour by hour."""


@dataclass(frozen=True)
class Calendar:
    """Shop days and timestamps.

    Attributes:
        origin: the Monday midnight that is shop day 0.
        first, last: the span of the data in shop days, half-open.
    """

    origin: datetime
    first: float
    last: float

    def us(self, days: Array) -> Array:
        """Microseconds since 1970, whole seconds, of shop days."""
        week = np.floor(days / 7)
        hours = np.interp(days / 7 - week, _SHOPPED, np.arange(169))
        # Whole hours may fall short by a rounding error.
        seconds = np.floor((week * 168 + hours) * 3600 + 1e-6)
        return to_us(self.origin) + seconds.astype(np.int64) * 1_000_000

    @property
    def end_us(self) -> int:
        """The end of the data in microseconds since 1970."""
        return int(self.us(np.array(self.last)))


def calendar_of(truths: Truths) -> Calendar:
    """The calendar over the span of the data."""
    midnight = datetime(truths.start.year, truths.start.month, truths.start.day)
    origin = midnight - timedelta(days=midnight.weekday())

    def shop_day(moment: datetime) -> float:
        week, hours = divmod((moment - origin) / timedelta(hours=1), 168)
        return 7 * (week + float(np.interp(hours, np.arange(169), _SHOPPED)))

    return Calendar(origin, shop_day(truths.start), shop_day(truths.end))
