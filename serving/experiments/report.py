"""One experiment, read back: who won, by how much, how sure, what it is worth.

**Looks.** They are where the design put them, whenever somebody reads: the k-th look
is at the moment when so many customers had had their whole window. So whoever reads
often sees no more looks than whoever reads once. Before the next look the always-valid
interval is shown, and nothing is decided by it, unless the experiment was stopped early:
then it decides, because it holds at whatever moment one stops.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import accumulate
from typing import Any

import duckdb
import ibis

from serving.experiments import ratio
from serving.experiments.analyze import Analysis, Answer, Question, analyze
from serving.experiments.decide import Decision, Now, decide
from serving.experiments.design import Design, design_from_json
from serving.experiments.inputs import SOURCES
from serving.experiments.late import late
from serving.experiments.measures import (
    CLICK_RATE,
    MEASURES,
    ORDERS,
    REPURCHASE,
    REVENUE,
    Measure,
    measure,
)
from serving.experiments.novelty import DAILY_COLUMNS, Novelty, by_day
from serving.experiments.outcome_sql import CUSTOMERS, DAILY, Window, known, moment
from serving.experiments.outcomes import Counts, build, columns_of
from serving.experiments.plan import Plan
from serving.experiments.ratio import RatioCheck
from serving.experiments.verdict import Money

SEGMENTS = ("segment",)
FIFTH = "propensity_fifth"
"""Of those drawn, by the propensity predicted before their assignment."""


@dataclass(frozen=True)
class Moments:
    """When an experiment was what; None: not yet. Naive UTC."""

    created: datetime
    started: datetime | None
    stopped: datetime | None


@dataclass(frozen=True)
class Report:
    """What was found by ``as_of``.

    Attributes:
        counts: customers drawn, and those whose window is over.
        sizes: of all who were drawn; the whole test of the draw, day by day until
            the end. Only it makes an experiment invalid.
        seen: of those drawn by the moment, the ones with an exposure, of arms that
            show a list. It informs only: picks for a segment, or sold out, leave an
            arm with fewer exposures by right. Null: no exposures were logged, or
            fewer than two arms show a list.
        decisions: one for each treatment.
        analysis: null: an arm has nobody whose window is over.
        beside_holdout: repurchase, orders and revenue of all arms beside the first
            holdout; null: there is none, or nobody in it.
        trends: effect by day, of each treatment.
        apart: what is not compared, by name.
        late: what happened in the windows before ``as_of``, and was known only at or
            after it, by kind; in no figure.
    """

    plan: Plan
    moments: Moments
    as_of: datetime
    design: Design | None
    counts: Counts
    sizes: RatioCheck
    seen: RatioCheck | None
    decisions: tuple[Decision, ...]
    analysis: Analysis | None
    beside_holdout: Analysis | None
    trends: tuple[Novelty, ...]
    apart: Mapping[str, int]
    late: Mapping[str, int]


def report(
    db: duckdb.DuckDBPyConnection,
    plan: Plan,
    moments: Moments,
    as_of: datetime,
    erased: int = 0,
) -> Report:
    """Everything that is known of an experiment.

    Args:
        db: see ``inputs.opened``, of this experiment.
        plan: its own.
        moments: of the experiment.
        as_of: nothing is read that happened or was known at or after it.
        erased: of those drawn, how many were erased since.
    """
    design = None if plan.design is None else design_from_json(plan.design)
    window = Window(as_of, plan.asked.window_days, strata=SEGMENTS)
    counts = build(db, SOURCES, window)
    rows = _with_fifths(ibis.duckdb.from_connection(db).table(CUSTOMERS))
    analysis = _analysis(rows, plan, counts)
    trends = _trends(db, plan, counts) if analysis else ()
    holdout = _beside_holdout(rows, plan, counts)
    is_over = (
        moments.stopped is not None
        and moments.stopped <= as_of
        and sum(counts.assigned.values()) == sum(counts.analysed.values())
    )
    path = _path(db, as_of)
    sizes = ratio.check(counts.assigned, plan.split.shares, None, path, at_end=is_over)
    seen = _seen(db, plan, counts, as_of)
    money = {arm: _money(plan, analysis, arm) for arm in plan.treatments}
    # Last: each look makes the tables anew.
    now = Now(
        db,
        plan,
        design,
        as_of,
        analysis,
        sizes,
        money,
        days=_days(db, as_of),
        is_over=is_over,
        erased=erased,
    )
    return Report(
        plan,
        moments,
        as_of,
        design,
        counts,
        sizes,
        seen,
        decide(now),
        analysis,
        holdout,
        trends,
        _apart(db, as_of),
        late(db, plan.asked.window_days, as_of),
    )


def _analysis(
    rows: ibis.expr.types.Table, plan: Plan, counts: Counts
) -> Analysis | None:
    arms = (plan.control, *plan.treatments)
    # Two customers are the least that have a spread.
    if any(counts.analysed.get(arm, 0) < 2 for arm in arms):
        return None
    known = {SEGMENTS[0]: (SEGMENTS[0], 1), FIFTH: ("propensity", 5)}
    segments = tuple(c for c, needed in known.items() if _values(rows, *needed))
    primary = measure(plan.asked.primary)
    question = Question(plan.control, plan.treatments, primary, MEASURES, segments)
    return analyze(rows, question)


def _with_fifths(rows: ibis.expr.types.Table) -> ibis.expr.types.Table:
    """With the fifth of the predicted propensity, 1: the lowest; null: none known."""
    chance: Any = rows["propensity"]
    fifth = ibis.ntile(5).over(ibis.window(group_by=chance.isnull(), order_by=chance))
    return rows.mutate(**{FIFTH: chance.isnull().ifelse(None, fifth + 1)})


def _values(rows: ibis.expr.types.Table, column: str, least: int) -> bool:
    """Whether customers have so many different values of a column."""
    known = rows.filter(rows[column].notnull()).select(column).distinct()
    return int(known.limit(least).to_pyarrow().num_rows) == least


def _beside_holdout(
    rows: ibis.expr.types.Table, plan: Plan, counts: Counts
) -> Analysis | None:
    arms = (plan.control, *plan.treatments)
    if not plan.holdouts:
        return None
    holdout = plan.holdouts[0]
    if any(counts.analysed.get(arm, 0) < 2 for arm in (holdout, *arms)):
        return None
    return analyze(rows, Question(holdout, arms, REPURCHASE, (ORDERS, REVENUE)))


def trend_measure(primary: Measure) -> Measure:
    """What is shown by day: the primary measure, or the nearest that has days."""
    needed = {c for c in (primary.numerator, primary.denominator) if c}
    if needed <= set(DAILY_COLUMNS):
        return primary
    return CLICK_RATE if primary.name == "conversion" else REPURCHASE


def _trends(
    db: duckdb.DuckDBPyConnection, plan: Plan, counts: Counts
) -> tuple[Novelty, ...]:
    daily = ibis.duckdb.from_connection(db).table(DAILY)
    shown = trend_measure(measure(plan.asked.primary))
    return tuple(
        by_day(
            daily,
            shown,
            counts.analysed,
            (plan.control, arm),
            plan.asked.window_days,
        )
        for arm in plan.treatments
    )


def _path(db: duckdb.DuckDBPyConnection, as_of: datetime) -> list[Counter[str]]:
    """Customers drawn so far by arm, at the end of each day that drew some."""
    rows = db.execute(
        f"""SELECT arm, date_trunc('day', assigned_at) AS day,
            count(DISTINCT customer_id)
        FROM assigned WHERE reason = 'hash' AND assigned_at < {moment(as_of)}
        GROUP BY ALL ORDER BY day"""
    ).fetchall()
    days: dict[datetime, Counter[str]] = {}
    for arm, day, n in rows:
        days.setdefault(day, Counter())[str(arm)] = int(n)
    return list(accumulate(days.values()))


def _seen(
    db: duckdb.DuckDBPyConnection, plan: Plan, counts: Counts, as_of: datetime
) -> RatioCheck | None:
    """Of all who were drawn, those who saw something; see ``Report.seen``."""
    shares = plan.split.shares
    at = moment(as_of)
    rows = db.execute(
        # As in ``outcome_sql.shown``: from the assignment to the end of the window.
        f"""SELECT arm, count(DISTINCT customer_id)
        FROM assigned JOIN exposures AS e USING (customer_id)
        WHERE reason = 'hash' AND assigned_at < {at} AND e.ts < {at}
            AND e.ts >= assigned_at AND {_known(db, "exposures", at=as_of)}
            AND e.ts < assigned_at + INTERVAL {plan.asked.window_days} DAY
        GROUP BY arm"""
    ).fetchall()
    found = {str(arm): int(n) for arm, n in rows}
    showing = [arm for arm in shares if plan.arms[arm].show != "nothing"]
    if not found or len(showing) < 2:
        return None
    return ratio.check(
        {arm: found.get(arm, 0) for arm in showing},
        {arm: shares[arm] for arm in showing},
        {arm: counts.assigned.get(arm, 0) for arm in showing},
    )


def _days(db: duckdb.DuckDBPyConnection, as_of: datetime) -> int:
    """Whole days since the first assignment, at least 1."""
    found = db.execute("SELECT min(assigned_at) FROM assigned").fetchall()[0][0]
    return 1 if found is None else max((as_of - found) // timedelta(days=1), 1)


def answer_of(answers: Sequence[Answer], name: str, arm: str) -> Answer | None:
    """The answer on a measure of an arm; None: not asked."""
    for one in answers:
        if one.measure.name == name and one.plain.arm == arm:
            return one
    return None


def _money(plan: Plan, analysis: Analysis | None, arm: str) -> Money | None:
    wanted = plan.asked.money
    if wanted is None or analysis is None:
        return None
    answers = (*analysis.primary, *analysis.secondary)
    found = answer_of(answers, REVENUE.name, arm)
    if found is None:
        return None
    return Money(found.best, wanted.margin_rate, wanted.yearly_reach)


def _apart(db: duckdb.DuckDBPyConnection, as_of: datetime) -> dict[str, int]:
    """What is not compared."""
    at = moment(as_of)
    there = {
        name: _known(db, name, at=as_of)
        for name in ("exposures", "astray_exposures", "astray_clicks")
    }
    early = f"""SELECT count(DISTINCT event_id) FROM exposures AS e
        JOIN assigned AS a USING (customer_id) WHERE reason = 'hash'
        AND a.assigned_at < {at} AND e.ts < least(a.assigned_at, {at})
        AND {there["exposures"]}"""
    queries = {
        **{
            f"{kind}_of_another_arm": f"SELECT count(*) FROM astray_{kind} AS e "
            f"WHERE e.ts < {at} AND {there[f'astray_{kind}']}"
            for kind in ("exposures", "clicks")
        },
        "exposures_before_assignment": early,
        "overrides": "SELECT count(*) FROM assigned WHERE reason = 'override' "
        f"AND assigned_at < {at}",
    }
    return {name: int(db.execute(q).fetchall()[0][0]) for name, q in queries.items()}


def _known(db: duckdb.DuckDBPyConnection, name: str, at: datetime) -> str:
    """Condition on rows, called ``e``, of a view."""
    return known(columns_of(db, name), at, "e")
