"""Sums of one grouping by group and period, which grow with the groups."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from features.snapshot import to_us
from serving.insight.blocks import COLUMN, Block
from serving.insight.kpis import FROM_VALUE, MEASURES, By, Kind
from serving.insight.orders import CENTS, Codes
from serving.insight.periods import Periods
from serving.insight.visits import TOP, Visits, add_top

Floats = npt.NDArray[np.float64]

_DAY_SECONDS = 86_400.0
_UNITS = (
    dict.fromkeys(("net", "spend", "top5_spend", "earlier_spend", "lost_spend"), CENTS)
    | dict.fromkeys(("clv", "expected_spend"), 10_000.0)
    | dict.fromkeys(("response_seconds", "effort"), 1000.0)
    | {"gap_days": _DAY_SECONDS}
)
"""Sums are of whole numbers, so many to the unit of the measure."""


class Cells:
    """The sums. Code -1 is the group that is not known."""

    def __init__(self, by: By, periods: Periods) -> None:
        self.periods = periods
        self._by: By = by
        # Rows: the group that is not known, then the groups by code.
        self._sums = np.zeros((len(MEASURES), 1, len(periods)))
        self._top = np.zeros((len(periods), TOP))

    def add(self, code: Codes, period: Codes, sums: Mapping[str, Floats]) -> None:
        """Adds rows; those of no period are passed by.

        Args:
            code: of the group of each row.
            period: of each.
            sums: by measure, of each row, in whole numbers.
        """
        self._grow(int(code.max(initial=-1)))
        there = (period >= 0) & (period < len(self.periods))
        # Mostly all of them: then nothing need be copied.
        keep = slice(None) if bool(there.all()) else np.flatnonzero(there)
        cell = self._cell(code[keep], period[keep])
        for name, values in sums.items():
            of = self._sums[COLUMN[name]]
            of += np.bincount(cell, values[keep], minlength=of.size).reshape(of.shape)

    def add_visits(self, code: Codes, visits: Visits) -> None:
        """Adds visits of customers, who come no second time.

        Args:
            code: of the group of each visit.
            visits: one of a customer in a period and a group.
        """
        self.add(code, visits.period, visits.sums)
        self.add(code, visits.period + np.int32(1), visits.after)
        keep = np.flatnonzero(visits.period >= 0)
        cell = self._cell(code[keep], visits.period[keep])
        self._top = add_top(self._top, cell, visits.sums["spend"][keep])

    def block(
        self, kind: Kind, words: Mapping[str, int], since: Mapping[str, int | None]
    ) -> Block:
        """The sums in their units.

        Args:
            kind: of the periods.
            words: code of each group.
            since: by measure, when its table began; None: it is not there.
        """
        self._grow(len(words) - 1)
        top = self._top.sum(axis=1).reshape(self._sums.shape[1:])
        self._sums[COLUMN["top5_spend"]] = top
        units = np.array([_UNITS.get(name, 1.0) for name in MEASURES])
        cells = np.moveaxis(self._sums, 0, 2) / units
        names = sorted(words)
        # The unknown group comes last, and only where somebody is in it.
        is_used = self._by != "all" and bool(cells[0].any() or not names)
        rows = [words[name] + 1 for name in names] + [0] * is_used
        cells = cells[rows]
        for name, began in since.items():
            cells[:, _silent(self.periods, began), COLUMN[name]] = np.nan
        for name in FROM_VALUE:
            unknown = cells[:, :, COLUMN[name]]
            unknown[:, :-1] = np.nan
        _fill_cohorts(self._by, kind, cells, len(names))
        groups = (*names, *((None,) if is_used else ()))
        return Block(self._by, kind, groups, self.periods, cells)

    def _cell(self, code: Codes, period: Codes) -> npt.NDArray[np.int64]:
        return (code.astype(np.int64) + 1) * len(self.periods) + period

    def _grow(self, code: int) -> None:
        """Room for the group of a code."""
        more = code + 2 - self._sums.shape[1]
        if more > 0:
            size = len(self.periods)
            room = np.zeros((len(MEASURES), more, size))
            self._sums = np.concatenate([self._sums, room], axis=1)
            self._top = np.concatenate([self._top, np.zeros((more * size, TOP))])


Sized: TypeAlias = dict[tuple[By, Kind], Cells]
"""Cells of every grouping and kind of period."""


def _silent(periods: Periods, began: int | None) -> npt.NDArray[np.bool_]:
    """Periods that were over before the first row of a table."""
    if began is None:
        return np.ones(len(periods), dtype=np.bool_)
    return np.array([to_us(end) <= began for end in periods.starts[1:]], dtype=np.bool_)


def _fill_cohorts(by: By, kind: Kind, cells: Floats, cohorts: int) -> None:
    """How many a cohort is, from its month on: all of it ordered in that month."""
    size, buyers = COLUMN["cohort_customers"], COLUMN["cohort_buyers"]
    cells[:, :, [size, buyers]] = np.nan
    if by != "cohort" or kind != "month":
        return
    # Of those before the first month nobody knows how many they are.
    cells[:cohorts, :, buyers] = cells[:cohorts, :, COLUMN["buyers"]]
    cells[:cohorts, :, size] = 0.0
    for cohort in range(cohorts):
        cells[cohort, cohort:, size] = cells[cohort, cohort, buyers]
