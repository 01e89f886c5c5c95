"""The effect on each day of a customer's window: does it wear off?

A new list may draw clicks because it is new. We take the effect of every day since
the start of the customer's window and fit a straight line to them. The slope is a sum
over days of what each customer did, so its error comes from customers, who act on
several days, and not from days.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import ibis
import ibis.expr.types as ir
import numpy as np
import pandas as pd
from scipy import stats

from features.history import Floats
from serving.experiments.effect import Estimate, compare
from serving.experiments.measures import Measure
from serving.experiments.moments import Moments

DAILY_COLUMNS = ("exposures", "clicks", "orders", "revenue", "bought")
"""Columns of ``outcomes_daily`` that a measure may be made of."""


@dataclass(frozen=True)
class Novelty:
    """Effect by day of one arm beside control.

    Attributes:
        days: day of the window and its effect; days on which the measure is
            undefined are missing.
        slope: change of the effect per day, in the measure's unit; null: fewer than
            three days.
        low, high, p_value: of the slope, normal.
    """

    measure: str
    arm: str
    days: tuple[tuple[int, Estimate], ...]
    slope: float | None
    low: float | None
    high: float | None
    p_value: float | None


def by_day(
    daily: ir.Table,
    measure: Measure,
    customers: Mapping[str, int],
    names: tuple[str, str],
    days: int,
    confidence: float = 0.95,
) -> Novelty:
    """Effect of an arm beside control by day since the start of the window.

    Args:
        daily: see ``outcomes.build``; every customer has had all days.
        measure: of ``DAILY_COLUMNS``; amounts are not cut.
        customers: in the analysis, by arm, whether they did anything or not.
        names: of control and arm.
        days: length of the window.
        confidence: of the intervals.

    Raises:
        ValueError: the measure is not made of daily columns.
    """
    above, below = measure.numerator, measure.denominator
    wrong = {above, below or above} - set(DAILY_COLUMNS)
    if wrong:
        raise ValueError(f"{measure.name}: no daily column {sorted(wrong)}")
    plain = Measure(measure.name, measure.label, measure.kind, above, below)
    moments = _moments(daily, plain, customers)
    found: list[tuple[int, Estimate]] = []
    for day in range(days):
        sides = [
            moments.get((name, day), _zero(plain, customers[name])) for name in names
        ]
        estimate = compare(plain, sides[0], sides[1], names, confidence=confidence)
        if estimate.effect is not None:
            found.append((day, estimate))
    if len(found) < 3:
        return Novelty(measure.name, names[1], tuple(found), None, None, None, None)
    at = np.array([day for day, _ in found], dtype=np.float64)
    weight = (at - at.mean()) / ((at - at.mean()) ** 2).sum()
    slope = float(weight @ np.array([e.effect for _, e in found], dtype=np.float64))
    lines = {
        name: _lines(plain, moments, name, [day for day, _ in found], weight)
        for name in names
    }
    spread = sum(
        _variance(daily, plain, name, lines[name], customers[name]) / customers[name]
        for name in names
    )
    error = math.sqrt(spread)
    half = error * float(stats.norm.ppf((1 + confidence) / 2))
    p = 2 * float(stats.norm.sf(abs(slope) / error)) if error > 0 else None
    low, high = (slope - half, slope + half) if error > 0 else (None, None)
    return Novelty(measure.name, names[1], tuple(found), slope, low, high, p)


def _moments(
    daily: ir.Table, measure: Measure, customers: Mapping[str, int]
) -> dict[tuple[str, int], Moments]:
    """Moments of every arm and day; customers without a row count as 0."""
    columns = measure.columns
    values: dict[str, Any] = {c: daily[c].cast("float64") for c in columns}
    sums = {c: value.sum() for c, value in values.items()}
    squares = {
        f"{a}*{b}": (values[a] * values[b]).sum()
        for i, a in enumerate(columns)
        for b in columns[i:]
    }
    rows = daily.group_by(["arm", "day"]).aggregate(**sums, **squares).to_pyarrow()
    found: dict[tuple[str, int], Moments] = {}
    for row in rows.to_pylist():
        n = customers.get(row["arm"], 0)
        if n < 2:
            continue
        mean = np.array([row[c] for c in columns]) / n
        raw = np.array(
            [
                [
                    row[f"{a}*{b}"] if i <= j else row[f"{b}*{a}"]
                    for j, b in enumerate(columns)
                ]
                for i, a in enumerate(columns)
            ]
        )
        cov = (raw - n * np.outer(mean, mean)) / (n - 1)
        found[row["arm"], int(row["day"])] = Moments(columns, n, mean, cov)
    return found


def _zero(measure: Measure, n: int) -> Moments:
    k = len(measure.columns)
    return Moments(measure.columns, n, np.zeros(k), np.zeros((k, k)))


def _lines(
    measure: Measure,
    moments: Mapping[tuple[str, int], Moments],
    name: str,
    days: list[int],
    weight: Floats,
) -> pd.DataFrame:
    """Per day: factor of the numerator, and what each unit of the denominator takes off.

    The sum over days of ``times * numerator - takes * denominator`` is a customer's
    part in the slope, up to a constant.
    """
    rows: list[tuple[int, float, float]] = []
    for day, w in zip(days, weight, strict=True):
        at = moments.get((name, day))
        if measure.denominator is None or at is None:
            rows.append((day, float(w), 0.0))
            continue
        value, below = at.mean[0] / at.mean[1], at.mean[1]
        rows.append((day, float(w / below), float(w * value / below)))
    return pd.DataFrame(rows, columns=pd.Index(["day", "times", "takes"]))


def _variance(
    daily: ir.Table, measure: Measure, name: str, lines: pd.DataFrame, n: int
) -> float:
    """Variance of the customers' parts in the slope of one arm."""
    # Ibis types its columns too widely for arithmetic.
    joined: Any = daily.filter(daily["arm"] == name).join(ibis.memtable(lines), "day")
    part = joined[measure.numerator].cast("float64") * joined["times"]
    if measure.denominator is not None:
        part = part - joined[measure.denominator].cast("float64") * joined["takes"]
    each = joined.group_by("customer").aggregate(part=part.sum())
    row = each.aggregate(total=each["part"].sum(), squares=(each["part"] ** 2).sum())
    found = row.to_pyarrow().to_pylist()[0]
    total, squares = found["total"] or 0.0, found["squares"] or 0.0
    return max((squares - total**2 / n) / (n - 1), 0.0)
