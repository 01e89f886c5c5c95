"""What is answered of KPIs: value, target, comparison and trend of a period.

Everything comes from sums that were published; nothing is read.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.special import stdtrit

from features.contracts import SettingError
from serving.insight.blocks import COLUMN, Block, Kpis
from serving.insight.kpis import BYS, KPIS, MEASURES, By, Kind, Kpi
from serving.insight.periods import YEAR, name_of, parse_period

Floats = npt.NDArray[np.float64]

LEAST_POINTS = 4
"""Values that a trend needs."""

_CONFIDENCE = 0.95


class KpiError(SettingError):
    """A question that cannot be answered.

    Attributes:
        field: by or period.
    """

    def __init__(self, field: str, said: str) -> None:
        super().__init__(f"{field}: {said}")
        self.field = field


@dataclass(frozen=True)
class Asked:
    """A grouping and a period.

    Attributes:
        at: the place of the period in the block.
    """

    block: Block
    at: int

    @property
    def period(self) -> dict[str, Any]:
        """What is said of the period."""
        periods = self.block.periods
        return {
            "name": periods.names[self.at],
            "kind": periods.kind,
            "starts_at": f"{periods.starts[self.at].isoformat()}Z",
            "ends_at": f"{periods.starts[self.at + 1].isoformat()}Z",
            "complete": bool(periods.complete[self.at]),
        }


def asked(kpis: Kpis, by: str, period: str) -> Asked:
    """The cells of a question.

    Args:
        kpis: as published.
        by: a grouping.
        period: as of ``parse_period``; a kind alone: its latest complete period, or
            the latest one where none is complete.

    Raises:
        KpiError: the grouping or the period is none of those published.
    """
    kinds: dict[By, dict[Kind, Block]] = {}
    for (name, kind), block in kpis.blocks.items():
        kinds.setdefault(name, {})[kind] = block
    chosen: By | None = next((name for name in kinds if name == by), None)
    if chosen is None:
        said = (
            f"expected one of {', '.join(b for b in BYS if b in kinds)}, got {by!r:.40}"
        )
        if by in BYS:
            said += "; it has too many groups"
        raise KpiError("by", said)
    try:
        kind, day = parse_period(period)
    except SettingError as error:
        raise KpiError("period", str(error).partition(": ")[2]) from None
    block = kinds[chosen][kind]
    periods = block.periods
    if day is None:
        over = np.flatnonzero(periods.complete)
        return Asked(block, int(over[-1]) if len(over) else len(periods) - 1)
    if day not in periods.days[:-1]:
        low, high = periods.names[0], periods.names[-1]
        raise KpiError("period", f"expected {low} to {high}, got {name_of(kind, day)}")
    return Asked(block, periods.days.index(day))


def lines(kpis: Kpis, question: Asked) -> Iterator[dict[str, Any]]:
    """One line for each KPI and group, in the order of ``KPIS``, then groups.

    ``numerator`` and ``denominator`` are null where they could not be measured;
    ``value`` besides where the denominator is 0. ``change`` is this value less the
    other one, ``relative`` that over the size of the other one.
    """
    block, at = question.block, question.at
    targets = kpis.config.targets.model_dump()
    for kpi in KPIS:
        if block.by not in kpi.by or block.kind not in kpi.kinds:
            continue
        values = values_of(kpi, block)
        slopes = _trends(values, block, at, kpis.config.trend_periods)
        for row, group in enumerate(block.groups):
            numerator, denominator = (
                _plain(block.cells[row, at, COLUMN[name]])
                for name in (kpi.numerator, kpi.denominator)
            )
            yield {
                "name": kpi.name,
                "group": group,
                "numerator": numerator,
                "denominator": denominator,
                "value": _plain(values[row, at]),
                "unit": kpi.unit,
                "better": better(kpi, kpis),
                "target": targets[kpi.name],
                "previous": _compared(values[row], block, at, 1),
                "year_before": _compared(values[row], block, at, YEAR[block.kind]),
                "trend": slopes[row],
            }


def better(kpi: Kpi, kpis: Kpis) -> str | None:
    """Which way is good; of effort it depends on how the question was put."""
    return kpis.config.effort_better if kpi.name == "ces" else kpi.better


def values_of(kpi: Kpi, block: Block) -> Floats:
    """Values, ``[group, period]``; NaN: undefined."""
    numerator = block.cells[:, :, COLUMN[kpi.numerator]]
    denominator = block.cells[:, :, COLUMN[kpi.denominator]]
    defined = np.where(denominator == 0, np.nan, denominator)
    return kpi.times * numerator / defined


def definitions(question: Asked) -> list[dict[str, Any]]:
    """What the KPIs of a grouping are, in words."""
    return [
        {
            "name": kpi.name,
            "title": kpi.title,
            "numerator": MEASURES[kpi.numerator],
            "denominator": MEASURES[kpi.denominator],
            "times": kpi.times,
            "null": kpi.null,
        }
        for kpi in KPIS
        if question.block.by in kpi.by and question.block.kind in kpi.kinds
    ]


def _compared(values: Floats, block: Block, at: int, back: int) -> dict[str, Any]:
    """The value so many periods before; null where there is none."""
    found: dict[str, Any] = {"period": None, "value": None}
    found |= {"change": None, "relative": None}
    if at < back:
        return found
    found["period"] = name_of(block.kind, block.periods.days[at - back])
    now, then = float(values[at]), float(values[at - back])
    found["value"] = _plain(then)
    found["change"] = _plain(now - then)
    found["relative"] = _plain((now - then) / abs(then)) if then else None
    return found


def _trends(
    values: Floats, block: Block, at: int, count: int
) -> list[dict[str, Any] | None]:
    """The slope a period over the latest complete periods; None: too few values."""
    over = np.flatnonzero(block.periods.complete[: at + 1])[-count:]
    slope, low, high, used = trend(values[:, over])
    return [
        None
        if np.isnan(slope[row])
        else {
            "slope": float(slope[row]),
            "low": float(low[row]),
            "high": float(high[row]),
            "periods": int(used[row]),
        }
        for row in range(len(values))
    ]


def trend(
    values: Floats,
) -> tuple[Floats, Floats, Floats, npt.NDArray[np.int64]]:
    """Least squares of each row on its place, with the 95 % interval of Student's t.

    Args:
        values: ``[row, period]``; NaN is left out.

    Returns:
        Slope a period, its bounds, and how many values it rests on, ``[row]``; NaN
        where they are fewer than ``LEAST_POINTS``. The interval takes the periods as
        independent: values that drift make it too narrow.
    """
    there = ~np.isnan(values)
    used = there.sum(axis=1)
    enough = used >= LEAST_POINTS
    n = np.where(enough, used, np.nan)
    x = np.where(there, np.arange(values.shape[1], dtype=np.float64), 0.0)
    y = np.where(there, values, 0.0)
    dx = np.where(there, x - (x.sum(axis=1) / n)[:, None], 0.0)
    dy = np.where(there, y - (y.sum(axis=1) / n)[:, None], 0.0)
    spread = np.where(enough, (dx**2).sum(axis=1), np.nan)
    slope = (dx * dy).sum(axis=1) / spread
    rest = np.maximum(((dy - slope[:, None] * dx) ** 2).sum(axis=1), 0.0)
    error = np.sqrt(rest / (n - 2) / spread)
    wide = stdtrit(n - 2, 0.5 + _CONFIDENCE / 2) * error
    return slope, slope - wide, slope + wide, used


def _plain(value: Any) -> float | None:
    """A number for JSON; NaN is null."""
    return float(value) if np.isfinite(value) else None
