"""A report as JSON: every figure with its interval, undefined ones null."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from datetime import datetime
from typing import Any

from serving.experiments.analyze import Analysis, Answer
from serving.experiments.decide import Decision
from serving.experiments.effect import Estimate
from serving.experiments.measures import measure
from serving.experiments.novelty import Novelty
from serving.experiments.plan import Plan, asked_json
from serving.experiments.ratio import RatioCheck
from serving.experiments.report import FIFTH, Report, answer_of, trend_measure
from serving.experiments.segments import Segments
from serving.experiments.verdict import Money

_OF_ESTIMATE = (
    "customers_control",
    "customers_arm",
    "mean_control",
    "mean_arm",
    "effect",
    "low",
    "high",
    "uplift",
    "uplift_low",
    "uplift_high",
    "p_value",
    "confidence",
)


def definitions(plan: Plan) -> list[tuple[str, str]]:
    """What the words of a report mean."""
    days = plan.asked.window_days
    return [
        (
            "compared",
            "All customers whom the hash drew, whatever they saw (intention to treat), "
            f"once their {days} days from the assignment on are over. Overrides and "
            "exclusions are not among them.",
        ),
        (
            "exposure, click",
            "A product in a slot that a customer really saw. A click counts for the "
            "last exposure of its product at or before it, once for each. Those that "
            "name another arm than the customer's are counted apart.",
        ),
        (
            "purchase",
            "A line of the table purchases, or an event of /v1/events whose order and "
            "product the table lacks. Returns are taken off the purchase.",
        ),
        (
            "interval, p",
            "95 %; of a verdict 1 - alpha of its design. Where earlier purchases or the predicted "
            "propensity explain a measure, they are taken out of it (CUPED). p of the "
            "primary measure is corrected for the number of arms, of the others for "
            "all of them (Holm), of segments by Benjamini and Hochberg.",
        ),
        (
            "look",
            "A moment fixed before the start, as a number of customers. Looking at the "
            "report in between decides nothing.",
        ),
        (
            "late",
            "Happened in a customer's window, and known only after the moment of the "
            "report, or of the look that decides: in no figure of it, so that the same "
            "question has the same answer for ever.",
        ),
        (
            "sample ratio",
            "Whether the arms are as large as the draw says; below p = 0.001 customers "
            "are missing in a way that chance does not explain, and nothing is decided. "
            "Whether all arms saw something alike is shown beside it and decides "
            "nothing.",
        ),
        (
            "money a year",
            "Effect on revenue per customer (largest values cut) times margin times "
            "customers reached in a year. Return: that less the cost, over the cost.",
        ),
    ]


def told(found: Report) -> dict[str, Any]:
    """The report as an object for JSON."""
    plan = found.plan
    answers: Sequence[Answer] = ()
    if found.analysis is not None:
        answers = (*found.analysis.primary, *found.analysis.secondary)
    return {
        "experiment": plan.asked.name,
        "owner": plan.asked.owner,
        "as_of": _moment(found.as_of),
        "created_at": _moment(found.moments.created),
        "started_at": _moment(found.moments.started),
        "stopped_at": _moment(found.moments.stopped),
        "primary": plan.asked.primary,
        "control": plan.control,
        "window_days": plan.asked.window_days,
        "verdicts": [_decision(one) for one in found.decisions],
        "money": [money_of(found, arm) for arm in plan.treatments],
        "customers": [
            {
                "arm": arm,
                "assigned": found.counts.assigned.get(arm, 0),
                "analysed": found.counts.analysed.get(arm, 0),
            }
            for arm in plan.arms
        ],
        "sample_ratio": {
            "assigned": _check(found.sizes),
            "with_exposures": None if found.seen is None else _check(found.seen),
            "warning": _warning(found.seen),
        },
        "apart": {**found.apart, "several_arms": found.counts.crossed},
        "late": dict(found.late),
        "measures": [_answer(one, plan.asked.primary) for one in answers],
        "beside_holdout": _beside(found.beside_holdout),
        "over_time": [_trend(one) for one in found.trends],
        "over_time_measure": trend_measure(measure(plan.asked.primary)).name,
        "segments": [
            {**_segments(one), "column": _column(plan, one.column)}
            for one in _of(found.analysis)
        ],
        "picks": [
            {"arm": arm, **vars(picks)} for arm, picks in sorted(plan.picks.items())
        ],
        "design": None if plan.design is None else json.loads(plan.design),
        "plan": asked_json(plan.asked),
        "definitions": [{"word": w, "means": m} for w, m in definitions(plan)],
    }


def money_of(found: Report, arm: str) -> dict[str, Any]:
    """Margin a year with its interval, and the return on its cost; null: unknown."""
    wanted = found.plan.asked.money
    none = dict.fromkeys(
        ("margin", "low", "high", "cost", "roi", "roi_low", "roi_high")
    )
    if wanted is None or found.analysis is None:
        return {"arm": arm, **none}
    one = answer_of(
        (*found.analysis.primary, *found.analysis.secondary), "revenue", arm
    )
    worth = one and Money(one.best, wanted.margin_rate, wanted.yearly_reach).a_year()
    if not worth:
        return {"arm": arm, **none}
    cost = wanted.yearly_cost
    roi = [(value - cost) / cost if cost else None for value in worth]
    named = zip(("roi", "roi_low", "roi_high"), roi, strict=True)
    figures = dict(zip(("margin", "low", "high"), worth, strict=True))
    return {"arm": arm, **figures, "cost": cost, **dict(named)}


def _decision(one: Decision) -> dict[str, Any]:
    return {
        "arm": one.arm,
        "outcome": one.verdict.outcome,
        "sentence": one.verdict.sentence,
        "more_days": one.verdict.more_days,
        "rests_on": one.rests_on,
        "is_final": one.is_final,
        "came_late": dict(one.late) or None,
        "estimate": None if one.estimate is None else _estimate(one.estimate),
    }


def _answer(one: Answer, primary: str) -> dict[str, Any]:
    return {
        "measure": one.measure.name,
        "label": one.measure.label,
        "unit": one.measure.unit,
        "better": one.measure.better,
        "is_primary": one.measure.name == primary,
        "arm": one.plain.arm,
        **_estimate(one.best),
        "p_corrected": one.p_adjusted,
        "covariates": list(one.best.covariates),
        "kept_variance": one.best.kept,
    }


def _beside(found: Analysis | None) -> list[dict[str, Any]]:
    if found is None:
        return []
    answers = (*found.primary, *found.secondary)
    return [_answer(one, "repurchase_rate") for one in answers]


def _trend(one: Novelty) -> dict[str, Any]:
    return {
        "arm": one.arm,
        "measure": one.measure,
        "days": [
            {"day": day, "effect": e.effect, "low": e.low, "high": e.high}
            for day, e in one.days
        ],
        "slope": one.slope,
        "slope_low": one.low,
        "slope_high": one.high,
        "p_value": one.p_value,
    }


def _of(found: Analysis | None) -> tuple[Segments, ...]:
    return () if found is None else found.segments


def _column(plan: Plan, column: str) -> str:
    """What makes the segments, in words."""
    if column == FIFTH:
        return "fifth of the predicted propensity, 1 the lowest"
    return ", ".join(plan.asked.strata)


def _segments(one: Segments) -> dict[str, Any]:
    return {
        "column": one.column,
        "arm": one.arm,
        "measure": one.measure,
        "p_differ": one.p_differ,
        "left_out": one.left_out,
        "weighed": {
            name: _finite(getattr(one, name))
            for name in ("effect", "low", "high", "p_value")
        },
        "segments": [
            {
                "segment": part.value,
                **_estimate(part.estimate),
                "p_corrected": part.p_adjusted,
            }
            for part in one.segments
        ],
    }


def _check(one: RatioCheck) -> dict[str, Any]:
    return {
        "counts": one.counts,
        "expected_shares": one.expected,
        "p_value": one.p_value,
        "p_anytime": one.p_anytime,
        "valid": one.valid,
    }


def _warning(seen: RatioCheck | None) -> str | None:
    """What unlike exposures may mean; None: they are alike, or not known."""
    if seen is None or seen.valid:
        return None
    return (
        "Some arms showed something to fewer of their customers than others. Picks for "
        "few customers or sold-out products explain it; otherwise look for exposures "
        "that were not sent. All who were drawn are compared all the same."
    )


def _estimate(one: Estimate) -> dict[str, Any]:
    return {name: _finite(getattr(one, name)) for name in _OF_ESTIMATE}


def _finite(value: Any) -> Any:
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _moment(moment: datetime | None) -> str | None:
    return None if moment is None else f"{moment.isoformat()}Z"
