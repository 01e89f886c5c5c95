"""What an experiment says of each treatment at the looks of its design.

A look reads what was known at its moment, and nothing that came later: it says the same
whenever it is asked.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

import duckdb
import ibis
from scipy import stats

from serving.experiments.analyze import Analysis, Question, analyze
from serving.experiments.design import Design
from serving.experiments.effect import Estimate
from serving.experiments.inputs import SOURCES
from serving.experiments.late import late
from serving.experiments.measures import measure
from serving.experiments.monitor import Monitored, monitor
from serving.experiments.outcome_sql import CUSTOMERS, Window, moment
from serving.experiments.outcomes import build
from serving.experiments.plan import Plan
from serving.experiments.ratio import RatioCheck
from serving.experiments.verdict import Money, Verdict, verdict

_TICK = timedelta(microseconds=1)

_SPENT = Verdict(
    "inconclusive",
    "Inconclusive: the last look came when earlier ones had spent all of alpha.",
    None,
)


@dataclass(frozen=True)
class Now:
    """What is known when somebody reads.

    Attributes:
        analysis: null: an arm has nobody whose window is over.
        check: of the sample ratio, of all who were drawn.
        money: by treatment.
        days: since the first assignment.
        is_over: stopped, and every window is over.
        erased: of those drawn, how many were erased since.
    """

    db: duckdb.DuckDBPyConnection
    plan: Plan
    design: Design | None
    as_of: datetime
    analysis: Analysis | None
    check: RatioCheck
    money: Mapping[str, Money | None]
    days: int
    is_over: bool
    erased: int = 0


@dataclass(frozen=True)
class Decision:
    """One treatment beside control.

    Attributes:
        estimate: the one that decides, with its interval; null: nobody was seen.
        rests_on: what its interval is, in words.
        is_final: whether more data change nothing any more.
        late: of a look, what happened in its windows and was known only after it, by
            kind; empty: not a look.
    """

    arm: str
    verdict: Verdict
    estimate: Estimate | None
    rests_on: str
    is_final: bool
    late: Mapping[str, int] = field(default_factory=dict[str, int])


@dataclass(frozen=True)
class _Look:
    """A registered look that has come.

    Attributes:
        place: from 0.
        at: nothing is read that happened or was known at or after it.
        last: the last one of the design.
    """

    place: int
    at: datetime
    last: bool
    found: Mapping[str, Estimate]


def decide(now: Now) -> tuple[Decision, ...]:
    """The decision on every treatment.

    Args:
        now: its connection loses the tables of the analysis: looks make their own.
    """
    if now.analysis is None:
        said = "Nothing can be said yet: an arm has nobody whose window is over."
        none = Verdict("inconclusive", said, None)
        return tuple(
            Decision(arm, none, None, "nothing", is_final=now.is_over)
            for arm in now.plan.treatments
        )
    present = {a.plain.arm: a.best for a in now.analysis.primary}
    if now.design is None:
        return tuple(_without_design(now, present[arm]) for arm in now.plan.treatments)
    looks = _looks(now, now.design)
    return tuple(
        _at_looks(now, now.design, looks, present[arm]) for arm in now.plan.treatments
    )


def _without_design(now: Now, estimate: Estimate) -> Decision:
    if now.is_over or not now.check.valid:
        estimate = _shared(estimate, len(now.plan.treatments))
        said = _said(now, estimate)
        rests = "the interval of one test at the end; no design was registered"
        return Decision(estimate.arm, said, estimate, rests, is_final=now.is_over)
    words = (
        "Still running. No design was registered, so there is no verdict before the "
        "experiment is stopped and the last window is over."
    )
    waiting = Verdict("inconclusive", words, None)
    rests = "the plain interval, which does not hold when looked at again and again"
    return Decision(estimate.arm, waiting, estimate, rests, is_final=False)


def _shared(estimate: Estimate, treatments: int) -> Estimate:
    """The estimate of one of several treatments, which share alpha (Bonferroni)."""
    if treatments == 1:
        return estimate
    errors = float(stats.norm.isf((1 - estimate.confidence) / 2 / treatments))
    p = estimate.p_value
    return estimate.widened(errors, None if p is None else min(1.0, p * treatments))


def _at_looks(
    now: Now, design: Design, looks: tuple[_Look, ...], present: Estimate
) -> Decision:
    """The first look that finds an effect decides, else the last one of the design."""
    arm, taken = present.arm, list[float]()
    for look in looks:
        planned = design.looks[look.place]
        seen = monitor(look.found[arm], design, taken, look=planned, last=look.last)
        taken.append(planned)
        if seen.crossed or look.last:
            rests = f"look {look.place + 1} of {len(design.looks)} of the design"
            missed = late(now.db, now.plan.asked.window_days, look.at, now.as_of)
            if seen.at_look is None:
                return Decision(arm, _SPENT, seen.always, rests, True, missed)
            said = _said(now, seen.at_look)
            return Decision(arm, said, seen.at_look, rests, True, missed)
    seen = monitor(present, design, taken, look=None)
    rests = "the always-valid interval, which holds at whatever moment one looks"
    if now.is_over or not now.check.valid:
        said = _said(now, seen.always)
        return Decision(arm, said, seen.always, rests, is_final=now.is_over)
    done = looks[-1].place + 1 if looks else 0
    waiting = Verdict("inconclusive", _running(now, design, done, seen), None)
    return Decision(arm, waiting, seen.always, rests, is_final=False)


def _said(now: Now, estimate: Estimate) -> Verdict:
    primary = measure(now.plan.asked.primary)
    money = now.money.get(estimate.arm)
    return verdict(primary, estimate, now.check, days=now.days, money=money)


def _running(now: Now, design: Design, done: int, seen: Monitored) -> str:
    """Where a running experiment stands."""
    counted = sum(now.analysis.customers.values()) if now.analysis else 0
    needed = _whole(design.looks[done] * _compared(now.plan, design))
    so_far = seen.always
    sized = "undefined"
    if so_far.uplift is not None and so_far.uplift_low is not None:
        high = so_far.uplift_high or 0.0
        sized = f"{so_far.uplift:+.1%} (always-valid interval {so_far.uplift_low:+.1%} to {high:+.1%})"
    return (
        f"Still running: {counted:,} customers have had their window; look {done + 1} of "
        f"{len(design.looks)} comes at {needed:,}. So far {so_far.arm} beside "
        f"{so_far.control}: {measure(design.primary).label} {sized}."
    )


def _whole(customers: float) -> int:
    """Customers, rounded up but for what shares leave of rounding."""
    return math.ceil(round(customers, 6))


def _compared(plan: Plan, design: Design) -> float:
    """Customers of the design without the holdouts."""
    shares = plan.split.shares
    return design.customers * (1 - sum(shares[arm] for arm in plan.holdouts))


def _looks(now: Now, design: Design) -> tuple[_Look, ...]:
    """The looks that have come, each on the data of its own moment.

    The last look of an experiment that is over comes although some of its customers
    were erased since.
    """
    days = now.plan.asked.window_days
    compared = (now.plan.control, *now.plan.treatments)
    names = ", ".join(f"'{arm}'" for arm in compared)
    over = now.as_of - timedelta(days=days)
    customers = _compared(now.plan, design)
    come: dict[datetime, int] = {}
    needed = [_whole(fraction * customers) for fraction in design.looks]
    if now.is_over:
        needed[-1] = min(needed[-1], _kept(now, needed[-1], sorted(compared)))
    for place, count in enumerate(needed):
        rows = now.db.execute(
            "SELECT assigned_at FROM assigned WHERE reason = 'hash' "
            f"AND arm IN ({names}) AND assigned_at < {moment(over)} "
            "ORDER BY assigned_at LIMIT 1 OFFSET ?",
            [count - 1],
        ).fetchall()
        if rows:
            # Customers who were assigned at once may fulfil several looks at once:
            # these are one, the last of them.
            come[rows[0][0]] = place
    found: list[_Look] = []
    for assigned_at, place in come.items():
        # Windows are half-open: a microsecond later, this one is over.
        at = assigned_at + timedelta(days=days) + _TICK
        estimates = _estimates(now, at)
        if estimates is not None:
            last = place == len(design.looks) - 1
            found.append(_Look(place, at, last, estimates))
    return tuple(found)


def _kept(now: Now, needed: int, arms: Sequence[str]) -> int:
    """Customers with whom an experiment that is over has its last look.

    An erasure takes a customer out of the count, and would otherwise take back a
    decision; so exactly those who were erased may be missing. Who stopped short of the
    plan has no last look: the moment was chosen, perhaps by what was seen, and only the
    always-valid interval holds then. Any tolerance would cost alpha: had 1, 2, 5 or
    10 % been forgiven, who looks ten times on that last stretch and stops at will finds
    an effect that is none in 5.8, 6.1, 6.8 or 7.7 % (a million simulated walks each).
    """
    kept = sum(now.analysis.customers[arm] for arm in arms) if now.analysis else 0
    return kept if kept + now.erased >= needed else needed


def _estimates(now: Now, as_of: datetime) -> dict[str, Estimate] | None:
    """The primary measure by treatment; None: an arm has nobody yet."""
    plan = now.plan
    counts = build(now.db, SOURCES, Window(as_of, plan.asked.window_days))
    arms = (plan.control, *plan.treatments)
    if any(counts.analysed.get(arm, 0) < 2 for arm in arms):
        return None
    rows = ibis.duckdb.from_connection(now.db).table(CUSTOMERS)
    primary = measure(plan.asked.primary)
    found = analyze(rows, Question(plan.control, plan.treatments, primary))
    return {answer.plain.arm: answer.best for answer in found.primary}
