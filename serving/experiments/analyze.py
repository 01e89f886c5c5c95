"""A finished or running experiment: every measure of every arm beside control.

The engine reads the customers once per question and returns moments; all else is
arithmetic on a handful of numbers.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

import ibis.expr.types as ir

from serving.experiments.effect import Estimate, compare
from serving.experiments.measures import Measure
from serving.experiments.moments import Moments, pooled, read_moments
from serving.experiments.multiplicity import holm
from serving.experiments.segments import Segments, by_segment

UNKNOWN = "unknown"
"""Segment of customers without a value."""


@dataclass(frozen=True)
class Question:
    """What is asked of the customer-level table.

    Attributes:
        control: name of its arm.
        arms: those compared with it.
        primary: the measure that decides, registered before the start.
        secondary: others; their claims are corrected for their number.
        segments: columns known before the assignment; the effect on the primary
            measure is shown by each.
        confidence: of all intervals.
        adjust: use the measures' covariates (CUPED).
    """

    control: str
    arms: tuple[str, ...]
    primary: Measure
    secondary: tuple[Measure, ...] = ()
    segments: tuple[str, ...] = ()
    confidence: float = 0.95
    adjust: bool = True

    @property
    def measures(self) -> tuple[Measure, ...]:
        """All of them, the primary first."""
        rest = (m for m in self.secondary if m.name != self.primary.name)
        return (self.primary, *rest)


@dataclass(frozen=True)
class Answer:
    """One measure of one arm.

    Attributes:
        plain: without covariates.
        adjusted: with them; null: none, or they do not vary.
        p_adjusted: Holm's over the arms for the primary measure, over all other
            measures and arms for the secondary; null: undefined.
    """

    measure: Measure
    plain: Estimate
    adjusted: Estimate | None
    p_adjusted: float | None

    @property
    def best(self) -> Estimate:
        """The one that counts: with covariates where there are any."""
        return self.plain if self.adjusted is None else self.adjusted


@dataclass(frozen=True)
class Analysis:
    """Answers, primary first, then by measure and arm in the order asked.

    Attributes:
        customers: by arm.
        segments: of the primary measure, by column and arm in the order asked.
        caps: where columns were cut, by the column as analysed.
    """

    customers: dict[str, int]
    primary: tuple[Answer, ...]
    secondary: tuple[Answer, ...]
    segments: tuple[Segments, ...]
    caps: dict[str, float]


def analyze(rows: ir.Table, question: Question) -> Analysis:
    """Compare the arms.

    Args:
        rows: one row per customer: ``arm``, the measures' columns without nulls,
            covariates (null: the mean takes their place, alike in all arms) and
            segment columns. Arms not asked for are left out.
        question: what is asked of it.

    Raises:
        ValueError: an arm has no customer, or a column is missing.
    """
    names = (question.control, *question.arms)
    arm: Any = rows["arm"]
    kept = rows.filter(arm.isin(list(names)))
    prepared, columns, caps = prepare(kept, question)
    moments = {arm: m for (arm,), m in read_moments(prepared, columns, ["arm"]).items()}
    if missing := [name for name in names if name not in moments]:
        raise ValueError(f"arms: expected customers in each, got none in {missing}")
    varying = varies(moments.values())
    answers = [
        _answer(m, moments, question, arm, varying)
        for m in question.measures
        for arm in question.arms
    ]
    k = len(question.arms)
    return Analysis(
        customers={name: moments[name].count for name in names},
        primary=_corrected(answers[:k]),
        secondary=_corrected(answers[k:]),
        segments=_segments(prepared, question, varying),
        caps=caps,
    )


def prepare(
    rows: ir.Table, question: Question
) -> tuple[ir.Table, tuple[str, ...], dict[str, float]]:
    """The customers with cut columns beside their own, and no null covariates.

    Args:
        rows: see ``analyze``; all of them count towards cuts and means.
        question: its measures say what is needed.

    Returns:
        The table; the columns whose moments are needed, covariates last; and where
        columns were cut.

    Raises:
        ValueError: a column of a measure or a segment is missing.
    """
    own = [c for m in question.measures for c in (m.numerator, m.denominator) if c]
    if missing := sorted({*own, *question.segments} - set(rows.columns)):
        raise ValueError(f"customers: expected columns {missing}; see outcomes.build")
    covariates = _covariates(rows, question)
    cut = {m.column: m for m in question.measures if m.winsorise is not None}
    # Ibis types its columns too widely for arithmetic.
    value: dict[str, Any] = {name: rows[m.numerator] for name, m in cut.items()}
    before: dict[str, Any] = {c: rows[c].cast("float64") for c in covariates}
    asked: dict[str, Any] = {
        name: value[name].quantile(m.winsorise, where=value[name] > 0)
        for name, m in cut.items()
    }
    asked |= {f"mean of {c}": column.mean() for c, column in before.items()}
    found = rows.aggregate(**asked).to_pyarrow().to_pylist()[0] if asked else {}
    # Nothing above 0: nothing to cut.
    caps = {name: float(found[name]) for name in cut if found[name] is not None}
    more: dict[str, Any] = {
        name: column.clip(upper=caps[name]) if name in caps else column
        for name, column in value.items()
    }
    for c, column in before.items():
        mean = found[f"mean of {c}"]
        more[c] = column.fill_null(0.0 if mean is None else mean)
    needed = (c for m in question.measures for c in m.columns)
    columns = tuple(dict.fromkeys((*needed, *covariates)))
    return (rows.mutate(**more) if more else rows), columns, caps


def _covariates(rows: ir.Table, question: Question) -> tuple[str, ...]:
    if not question.adjust:
        return ()
    wanted = (c for m in question.measures for c in m.covariates)
    return tuple(dict.fromkeys(c for c in wanted if c in rows.columns))


def varies(moments: Iterable[Moments]) -> tuple[str, ...]:
    """Columns that differ between customers at all."""
    every = pooled(moments)
    return tuple(c for i, c in enumerate(every.columns) if every.cov[i, i] > 0)


def _answer(
    measure: Measure,
    moments: Mapping[str, Moments],
    question: Question,
    arm: str,
    varying: Sequence[str],
) -> Answer:
    used = _used(measure, question, varying)
    names = (question.control, arm)
    plain, adjusted = (
        compare(
            measure,
            moments[question.control],
            moments[arm],
            names,
            confidence=question.confidence,
            covariates=covariates,
        )
        for covariates in ((), used)
    )
    return Answer(measure, plain, adjusted if used else None, None)


def _used(
    measure: Measure, question: Question, varying: Sequence[str]
) -> tuple[str, ...]:
    if not question.adjust:
        return ()
    return tuple(c for c in measure.covariates if c in varying)


def _corrected(answers: Sequence[Answer]) -> tuple[Answer, ...]:
    adjusted = holm([answer.best.p_value for answer in answers])
    return tuple(
        Answer(a.measure, a.plain, a.adjusted, p)
        for a, p in zip(answers, adjusted, strict=True)
    )


def _segments(
    rows: ir.Table, question: Question, varying: Sequence[str]
) -> tuple[Segments, ...]:
    primary = question.primary
    used = _used(primary, question, varying)
    found: list[Segments] = []
    for column in question.segments:
        text = cast(Any, rows[column]).cast("string")
        filled = rows.mutate(**{column: text.fill_null(UNKNOWN)})
        moments = read_moments(filled, (*primary.columns, *used), ["arm", column])
        found += [
            by_segment(
                column,
                primary,
                moments,
                (question.control, arm),
                question.confidence,
                used,
            )
            for arm in question.arms
        ]
    return tuple(found)
