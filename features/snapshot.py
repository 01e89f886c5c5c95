"""A cutoff and a horizon: the only notion of "now" inside a build.

Windows are half-open. Features read rows with ``ts < cutoff`` and
``known_at < cutoff``; labels read rows in ``[cutoff, cutoff + horizon)``.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import numpy as np
import numpy.typing as npt

from features.contracts import SettingError

DAY_US = 86_400_000_000
"""Microseconds in a day, the unit of every time array in this project."""

EPOCH = datetime(1970, 1, 1)


def parse_cutoff(text: str | datetime) -> datetime:
    """A naive UTC timestamp from ISO text; a bare date means its midnight.

    Raises:
        SettingError: the text is no ISO date or timestamp.
    """
    if isinstance(text, datetime):
        moment = text
    else:
        try:
            moment = datetime.fromisoformat(text)
        except ValueError:
            raise SettingError(
                f"cutoff: expected an ISO date such as 2017-10-15, got {text!r}"
            ) from None
    return moment.astimezone(UTC).replace(tzinfo=None) if moment.tzinfo else moment


def to_us(moment: datetime) -> int:
    """Microseconds since 1970-01-01 of a naive UTC timestamp, exactly."""
    return (moment - EPOCH) // timedelta(microseconds=1)


def from_us(us: int) -> datetime:
    """The naive UTC timestamp of ``us`` microseconds since 1970-01-01."""
    return EPOCH + timedelta(microseconds=int(us))


@dataclass(frozen=True, order=True)
class Snapshot:
    """One cutoff with its label window ``[cutoff, cutoff + horizon_days)``.

    Raises:
        SettingError: the horizon is shorter than a day.
    """

    cutoff: datetime
    horizon_days: int

    def __post_init__(self) -> None:
        if self.horizon_days < 1:
            raise SettingError(
                f"horizon_days: expected at least 1 day, got {self.horizon_days}"
            )

    @property
    def cutoff_us(self) -> int:
        """The cutoff in microseconds since 1970-01-01."""
        return to_us(self.cutoff)

    @property
    def label_end(self) -> datetime:
        """First moment after the label window."""
        return self.cutoff + timedelta(days=self.horizon_days)

    @property
    def label_end_us(self) -> int:
        """``label_end`` in microseconds since 1970-01-01."""
        return to_us(self.label_end)

    def earlier(self, days: int) -> Snapshot:
        """The snapshot with the same horizon, ``days`` days before."""
        return Snapshot(self.cutoff - timedelta(days=days), self.horizon_days)


def cutoff_array(cutoffs: Iterable[datetime]) -> npt.NDArray[np.int64]:
    """Cutoffs as ascending microseconds since 1970-01-01, shape ``[cutoff]``.

    Raises:
        ValueError: no cutoff, or not strictly ascending.
    """
    array = np.array([to_us(cutoff) for cutoff in cutoffs], dtype=np.int64)
    if array.size == 0 or (np.diff(array) <= 0).any():
        raise ValueError("cutoffs: expected at least one, strictly ascending")
    return array
