"""Pairs of customer and product group that a due date is given for, or learned from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import numpy as np

from features.history import Array, Floats
from features.pairs import Singles
from features.snapshot import DAY_US, to_us
from training.habit_rows import Rates, group_rates, habit_rows
from training.habits import Bought, Habits, bought_before, days_to_next
from training.rhythm import Cycles, Rhythm, cycles_of, rhythm_of


@dataclass(frozen=True)
class Rows:
    """Pairs of customer and group at a cutoff, shape ``[pair]``.

    Attributes:
        customer, group: codes.
        matrix: of ``habit_rows``, the group as known to the model, ``[pair, column]``.
        rhythm: the log-normal.
    """

    customer: Array
    group: Array
    matrix: Singles
    rhythm: Rhythm

    def take(self, keep: Array) -> Rows:
        """Some of the rows."""
        return Rows(
            self.customer[keep],
            self.group[keep],
            self.matrix[keep],
            self.rhythm.take(keep),
        )


@dataclass(frozen=True)
class Usual:
    """What is usual in every group, over many customers, as known at a cutoff."""

    cycles: Cycles
    rates: Rates


def usual_at(habits: Habits, cutoff_us: int) -> Usual:
    """What is usual among the customers of some lines.

    Args:
        habits: whatever came later is not read.
        cutoff_us: microseconds.
    """
    return _usual(bought_before(habits, cutoff_us), habits)


def _usual(bought: Bought, habits: Habits) -> Usual:
    cycles = cycles_of(bought, habits.life_days)
    return Usual(cycles, group_rates(bought, len(habits.life_days)))


def rows_at(
    habits: Habits, cutoff_us: int, groups: Sequence[str], usual: Usual | None = None
) -> Rows:
    """Pairs that a date can be given for, as known at the cutoff.

    Args:
        habits: whatever came later is not read.
        cutoff_us: microseconds.
        groups: words of the category "group"; others are missing.
        usual: at the same cutoff; None: as among these customers.
    """
    bought = bought_before(habits, cutoff_us)
    if usual is None:
        usual = _usual(bought, habits)
    rhythm = rhythm_of(bought, usual.cycles)
    has_life = habits.life_days[bought.group] > 0
    keep = np.flatnonzero((rhythm.gaps > 0) | has_life)
    matrix = habit_rows(bought, rhythm, usual.rates, habits.life_days, keep)
    code_of = {name: float(code) for code, name in enumerate(groups)}
    words = np.array([code_of.get(name, np.nan) for name in habits.names], np.float32)
    matrix[:, 0] = words[bought.group[keep]]
    return Rows(bought.customer[keep], bought.group[keep], matrix, rhythm.take(keep))


@dataclass(frozen=True)
class Learned:
    """Training rows, shape ``[row]``.

    Attributes:
        next_days: to the next purchase, infinite if none was seen.
        mature: days for which the row was observed.
        cutoff: microseconds.
    """

    rows: Rows
    next_days: Floats
    mature: Floats
    cutoff: Array

    def at(self, cutoffs_us: list[int], mature_by_us: int) -> Learned:
        """Rows of these cutoffs, as had happened up to a moment."""
        keep = np.flatnonzero(np.isin(self.cutoff, cutoffs_us))
        mature = (mature_by_us - self.cutoff[keep]) / DAY_US
        next_days = self.next_days[keep]
        seen = np.where(next_days < mature, next_days, np.inf)
        return Learned(self.rows.take(keep), seen, mature, self.cutoff[keep])


def learn(
    habits: Habits,
    cutoffs: Sequence[datetime],
    groups: Sequence[str],
    until_us: int,
    most: int,
    random: np.random.Generator,
) -> Learned:
    """Rows of all cutoffs, one below the other.

    Args:
        habits: of the customers to learn from.
        cutoffs: before the end.
        groups: words of the category "group".
        until_us: labels are what happened, and was known, before it.
        most: rows of a cutoff; of more it is drawn.
        random: of the draw.
    """
    found: list[Learned] = []
    for cutoff_us in map(to_us, cutoffs):
        rows = rows_at(habits, cutoff_us, groups)
        if len(rows.customer) > most:
            drawn = random.choice(len(rows.customer), most, replace=False)
            rows = rows.take(np.sort(drawn))
        next_days = days_to_next(habits, rows.customer, rows.group, cutoff_us, until_us)
        mature = np.full(len(next_days), (until_us - cutoff_us) / DAY_US)
        found.append(Learned(rows, next_days, mature, np.full(len(mature), cutoff_us)))

    def joined(parts: Sequence[Any], name: str) -> Array:
        return np.concatenate([getattr(part, name) for part in parts])

    rows = [one.rows for one in found]
    rhythms = [one.rhythm for one in rows]
    rhythm = (joined(rhythms, n) for n in ("gaps", "mu", "sigma", "passed_days"))
    return Learned(
        Rows(
            customer=joined(rows, "customer"),
            group=joined(rows, "group"),
            matrix=joined(rows, "matrix"),
            rhythm=Rhythm(*rhythm),
        ),
        *(joined(found, name) for name in ("next_days", "mature", "cutoff")),
    )
