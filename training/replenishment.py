"""When a customer will need a product group again: a distribution, not a date.

P(the next purchase of the group falls within H days) starts from a log-normal
around a personal cycle (``rhythm``), as of the cutoff: it moves on while a customer
is overdue. Boosted trees over (customer, group, cutoff, horizon) add what habits do
besides: they end, they speed up, they follow the customer's visits. The horizon is a
feature on which the trees may only rise, so the curve never decreases; dates,
probability and alerts are read from the same curve. A shop too young to learn from
has the log-normal.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from scipy.special import logit

from features.config import ReplenishmentConfig
from features.history import Bools, Floats, History
from features.snapshot import DAY_US, Snapshot, from_us, to_us
from training.boosting import (
    Boosters,
    dataset,
    fit_boosters,
    load_boosters,
    mean_score,
    save_boosters,
)
from training.calibration import Platt, fit_platt
from training.due_rows import Learned, Rows, Usual, learn, rows_at
from training.encoding import Encoding
from training.habit_rows import COLUMNS
from training.habits import Habits, sort_habits
from training.hazard import days_until, hazard_at
from training.propensity import NEVER, threshold_for
from training.split import CALIBRATION_CUTOFFS, past_cutoffs, with_calibration

MIN_GAPS = 3
"""Fewer completed cycles than this say too little: abstain."""

MAX_SPREAD = 4.0
"""Abstain where the upper decile of the wait is this often the cycle.

Of what grocery customers bought six times or more it keeps about half, whose dates
are out by a third less than those of the other half.
"""

MAX_OVERDUE = 3.0
"""Abstain past this many cycles without a purchase: the habit has ended."""

_MIN_GROUP_ROWS = 50
"""A group with fewer training rows is no word of its own to the trees."""

_KNOTS = np.array([1, 3, 7, 14, 28, 56, 112, 180])
"""Horizons at which the model is asked; between them the hazard is constant."""

_CHUNK = 250_000
_EDGE = 1e-6


@dataclass(frozen=True)
class Replenishment:
    """A fitted model.

    Attributes:
        boosters: averaged on the log-odds scale; none: too little history.
        groups: words of the category "group".
        start: turns the log-normal into the odds that the trees begin at.
        calibration: of the whole, on a later window.
        longest_horizon: beyond it the hazard goes on as over the last stretch.
        alert_days: an alert says "due in so many days" and is right if the group is
            bought in ``[cutoff, cutoff + 2 * alert_days + 1)``.
        alert_threshold: smallest probability at which the stated precision was
            reached on the calibration window; ``NEVER`` where none reached it.
    """

    boosters: Boosters
    groups: tuple[str, ...]
    start: Platt
    calibration: Platt
    longest_horizon: int
    alert_days: int
    alert_threshold: float

    def predict(
        self, history: History, snapshot: Snapshot, usual: Usual | None = None
    ) -> pa.Table:
        """Due dates of every group that a customer bought on two days or more.

        A group bought once counts too where its products' service life is known.

        Args:
            history: rows at or after the cutoff are not read.
            snapshot: the cutoff, and the horizon of ``probability``.
            usual: in the groups at the cutoff; None: as among these customers.

        Returns:
            Ordered by customer and group: ``customer_id``, ``product_group`` (the
            category; the product's id where it has none), ``due_at`` (median),
            ``due_p10``, ``due_p90``, ``probability`` (bought within the horizon),
            ``abstain`` (too few cycles, too wide a spread, or the habit has ended),
            ``probability_soon`` (bought in the alert's window) and ``alert`` (so
            likely that it is worth a message today, also where no date is given).
        """
        habits = sort_habits(history)
        rows = rows_at(habits, snapshot.cutoff_us, self.groups, usual)
        n = len(rows.customer)
        figures = np.empty((5, n))
        for at in range(0, n, _CHUNK):
            part = np.arange(at, min(at + _CHUNK, n))
            figures[:, part] = self._figures(rows.take(part), snapshot.horizon_days)
        low, median, high, probability, soon = figures
        cycle = rows.rhythm.cycle
        abstain = (
            (rows.rhythm.gaps < MIN_GAPS)
            | (high > MAX_SPREAD * cycle)
            | (rows.rhythm.passed_days > MAX_OVERDUE * cycle)
        )
        names = pa.array(habits.names[rows.group], pa.string())
        return pa.table(
            {
                "customer_id": pa.array(history.customers[rows.customer], pa.string()),
                "product_group": names,
                "due_at": _dates(snapshot, median),
                "due_p10": _dates(snapshot, low),
                "due_p90": _dates(snapshot, high),
                "probability": probability,
                "abstain": abstain,
                "probability_soon": soon,
                "alert": soon >= self.alert_threshold,
            }
        )

    def probability(self, rows: Rows, days: int) -> Floats:
        """P(the next purchase within ``days``), shape ``[pair]``."""
        return self.calibration(_probability(self.boosters, self.start, rows, days))

    def _figures(self, rows: Rows, horizon_days: int) -> Floats:
        """Waits at 10, 50 and 90 %, and both probabilities; shape ``[5, pair]``."""
        windows = (horizon_days, alert_window(self.alert_days))
        # What is said of a window is what the model says of it, not a line between.
        knots = np.unique([*_KNOTS, *windows])
        knots = knots[knots <= self.longest_horizon]
        at_knots = np.stack([self.probability(rows, int(days)) for days in knots])
        hazard = -np.log1p(
            -np.clip(np.maximum.accumulate(at_knots, axis=0), 0, 1 - _EDGE)
        )
        hazard = np.vstack([np.zeros((1, hazard.shape[1])), hazard])
        days = np.r_[0, knots].astype(np.float64)
        waits = [days_until(days, hazard, share) for share in (0.1, 0.5, 0.9)]
        within = [-np.expm1(-hazard_at(days, hazard, window)) for window in windows]
        return np.stack([*waits, *within])


def alert_window(days_ahead: int) -> int:
    """Days from now in which a purchase is met by an alert so many days ahead."""
    return 2 * days_ahead + 1


def fit_replenishment(
    history: History, horizon_days: int, config: ReplenishmentConfig, seed: int
) -> Replenishment:
    """Learn from past cutoffs whose window had ended before ``history.until``.

    Args:
        history: rows and labels; nothing at or after ``until`` is in it.
        horizon_days: horizon that counts most, beside the alert's.
        config: trees, cutoffs and alert.
        seed: of the drawn customers, horizons and trees.
    """
    until_us = to_us(history.until)
    windows = (alert_window(config.alert_days), horizon_days)
    lines = history.purchases
    first = from_us(int(lines.ts[lines.bought].min()))
    cutoffs = past_cutoffs(
        first + timedelta(days=config.history_days),
        history.until,
        max(windows),
        config.step_days,
        config.max_cutoffs,
    )
    try:
        fold = with_calibration(cutoffs, max(windows), CALIBRATION_CUTOFFS)
    except ValueError:
        return _log_normal(config)
    random = np.random.default_rng(seed)
    drawn = _drawn(len(history.customers), config.max_customers, random)
    habits = sort_habits(history, drawn)
    groups = _common(habits, len(cutoffs))
    # One kind of row for both fits: the early one sees less of what came later.
    most = max(config.max_rows // len(cutoffs), 1)
    learned = learn(habits, cutoffs, groups, until_us, most, random)
    early = learned.at([to_us(c) for c in fold.fit], to_us(fold.calibration[0]))
    late = learned.at([to_us(c) for c in fold.calibration], until_us)
    if not len(early.mature) or not len(late.mature):
        return _log_normal(config)  # nothing was bought twice yet
    start = _start(early, horizon_days)
    # Two numbers are calibrated: one booster is enough to learn them.
    trees = _fit(early, start, windows, groups, config, seed, 1)
    raw = [_probability(trees, start, late.rows, days) for days in windows]
    labels = [(late.next_days < days).astype(np.float64) for days in windows]
    calibration = fit_platt(np.concatenate(raw), np.concatenate(labels))
    start = _start(learned, horizon_days)
    return Replenishment(
        boosters=_fit(learned, start, windows, groups, config, seed, config.seeds),
        groups=groups,
        start=start,
        calibration=calibration,
        longest_horizon=int(learned.mature.max()),
        alert_days=config.alert_days,
        alert_threshold=threshold_for(
            calibration(raw[0]), labels[0], config.alert_precision
        ),
    )


def _log_normal(config: ReplenishmentConfig) -> Replenishment:
    """The model of a shop with too little history; it sends no alerts."""
    longest = int(_KNOTS[-1])
    return Replenishment((), (), Platt(), Platt(), longest, config.alert_days, NEVER)


def _drawn(n_customers: int, most: int, random: np.random.Generator) -> Bools:
    """Customers to learn from, shape ``[customer]``."""
    drawn = np.zeros(n_customers, np.bool_)
    drawn[random.permutation(n_customers)[:most]] = True
    return drawn


def _common(habits: Habits, n_cutoffs: int) -> tuple[str, ...]:
    """Groups with enough pairs to be words of their own."""
    n_groups = len(habits.names)
    pairs = np.unique(habits.customer.astype(np.int64) * n_groups + habits.group)
    rows = np.bincount(pairs % n_groups, minlength=n_groups) * n_cutoffs
    return tuple(habits.names[rows >= _MIN_GROUP_ROWS].tolist())


def _start(learned: Learned, days: int) -> Platt:
    keep = learned.mature >= days
    label = (learned.next_days[keep] < days).astype(np.float64)
    return fit_platt(learned.rows.rhythm.within(days)[keep], label)


def _fit(
    learned: Learned,
    start: Platt,
    windows: tuple[int, ...],
    groups: tuple[str, ...],
    config: ReplenishmentConfig,
    seed: int,
    n_boosters: int,
) -> Boosters:
    """Boosters on rows, each with one of the windows or a drawn horizon."""
    n = len(learned.mature)
    random = np.random.default_rng(seed)
    # One horizon a row: more rows say more than more horizons of the same ones.
    longest = np.minimum(learned.mature, float(_KNOTS[-1]))
    drawn = np.exp(random.uniform(0.0, np.log(longest + 1))).astype(np.int64)
    drawn = np.clip(drawn, 1, np.maximum(np.floor(longest), 1).astype(np.int64))
    which = random.integers(0, len(windows) + 1, n)
    horizon = np.select([which == k for k in range(len(windows))], windows, drawn)
    encoding = Encoding((*COLUMNS, "horizon"), {"group": groups})
    matrix = np.column_stack([learned.rows.matrix, horizon.astype(np.float32)])
    label = (learned.next_days < horizon).astype(np.float32)
    within = learned.rows.rhythm.within(horizon)
    odds = logit(np.clip(start(within), _EDGE, 1 - _EDGE))
    data = dataset(matrix, label, encoding, start=odds)
    more = {"monotone_constraints": [0] * len(COLUMNS) + [1]}
    return fit_boosters(data, "binary", config, seed, n_boosters, more)


def _probability(boosters: Boosters, start: Platt, rows: Rows, days: int) -> Floats:
    """Before calibration, shape ``[pair]``."""
    odds = logit(np.clip(start(rows.rhythm.within(days)), _EDGE, 1 - _EDGE))
    if boosters:
        column = np.full((len(odds), 1), days, np.float32)
        odds += mean_score(boosters, np.hstack([rows.matrix, column]))
    return 1 / (1 + np.exp(-odds))


def save(model: Replenishment, folder: Path) -> dict[str, Any]:
    """Write the boosters as text to ``folder``; return the rest, ready for JSON."""
    return {
        "boosters": save_boosters(model.boosters, folder, "replenishment"),
        "groups": list(model.groups),
        "start": [model.start.slope, model.start.intercept],
        "calibration": [model.calibration.slope, model.calibration.intercept],
        "longest_horizon": model.longest_horizon,
        "alert_days": model.alert_days,
        "alert_threshold": model.alert_threshold,
    }


def load(folder: Path, rest: dict[str, Any]) -> Replenishment:
    """The model that ``save`` wrote; predictions are equal to the bit."""
    return Replenishment(
        boosters=load_boosters(folder, "replenishment", rest["boosters"]),
        groups=tuple(rest["groups"]),
        start=Platt(*rest["start"]),
        calibration=Platt(*rest["calibration"]),
        longest_horizon=rest["longest_horizon"],
        alert_days=rest["alert_days"],
        alert_threshold=rest["alert_threshold"],
    )


def _dates(snapshot: Snapshot, wait_days: Floats) -> pa.Array:
    # Beyond ten years a date says nothing and would overflow later arithmetic.
    wait = (np.minimum(wait_days, 3650.0) * DAY_US).astype(np.int64)
    return pa.array(snapshot.cutoff_us + wait, pa.timestamp("us"))
