"""Everything the weekly report says, as data: the page only draws it.

All of it comes from one published version, so that the report of a cutoff is the same
whenever it is made; the effect of campaigns is measured on the tables as known then.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

import numpy as np

from serving.audience import Ask, Goal, lines, rank
from serving.filters import AskError
from serving.insight.blocks import Kpis
from serving.insight.campaigns import Measured
from serving.insight.figures import Asked, asked, definitions, values_of
from serving.insight.figures import lines as kpi_lines
from serving.insight.health import DIMENSIONS, LEVELS
from serving.insight.kpis import KPIS
from serving.insight.migration import Migration
from serving.insight.portrait import MONTHLY, Insight, index_of
from serving.insight.tiers import ABC
from serving.published import Published
from serving.weekly.changes import change_of, movers_of

WEEKS = 26
"""Weeks of a curve."""

GOALS: tuple[Goal, ...] = ("replenish", "win_back", "repurchase")
MOVERS = 6


def weekly(
    published: Published,
    campaigns: tuple[Sequence[Measured], Sequence[Measured]],
    contacts: int,
) -> dict[str, Any]:
    """What the report says.

    Args:
        published: the version of the cutoff.
        campaigns: of ``campaigns.measure_all``.
        contacts: customers to name for each goal.

    Returns:
        ``week`` (which, and whether it is over), ``sales`` (change of net sales,
        its parts, groups that moved it), ``kpis`` (see ``insight.figures.lines``)
        with ``curve`` over ``WEEKS``, ``tiers``, ``health``, ``contacts``,
        ``campaigns`` and ``kinds``. Sections that the version knows nothing for are
        null. Money in shop currency.
    """
    found: dict[str, Any] = {
        "cutoff": published.cutoff.isoformat(),
        "version": published.version,
        "customers": len(published.curve),
        "week": None,
        "sales": None,
        "kpis": [],
        "tiers": _tiers(published.insight),
        "health": _health(published),
        "contacts": [_contacts(published, goal, contacts) for goal in GOALS],
        "campaigns": [one.figures() for one in campaigns[0]],
        "kinds": [one.figures() for one in campaigns[1]],
    }
    if published.kpis is not None:
        question = asked(published.kpis, "all", "week")
        found["week"] = question.period
        found["sales"] = sales_of(published.kpis, question)
        found["kpis"] = _kpis(published, question)
    return found


def sales_of(kpis: Kpis, question: Asked) -> dict[str, Any] | None:
    """The change of net sales to a period, see ``changes``; null: not defined."""
    change = change_of(question.block, question.at)
    if change is None:
        return None
    kind = question.block.kind
    movers = movers_of(kpis, kind, question.at, MOVERS)
    factors = {
        name: [float(v) if np.isfinite(v) else None for v in pair]
        for name, pair in change.factors.items()
    }
    return asdict(change) | {
        "factors": factors,
        "change": change.now - change.before,
        "movers": [asdict(one) | {"added": one.added} for one in movers],
    }


def _kpis(published: Published, question: Asked) -> list[dict[str, Any]]:
    if published.kpis is None:
        return []
    titles = {one["name"]: one["title"] for one in definitions(question)}
    by_name = {kpi.name: kpi for kpi in KPIS}
    block, at = question.block, question.at
    first = max(0, at + 1 - WEEKS)
    found: list[dict[str, Any]] = []
    for line in kpi_lines(published.kpis, question):
        if line["value"] is None:
            continue
        curve = values_of(by_name[line["name"]], block)[0, first : at + 1]
        found.append(
            line
            | {
                "title": titles[line["name"]],
                "weeks": list(block.periods.names[first : at + 1]),
                "curve": [float(v) if np.isfinite(v) else None for v in curve],
            }
        )
    return found


def _tiers(insight: Insight | None) -> dict[str, Any] | None:
    """A/B/C a month ago and now; None: not known of two months."""
    if insight is None or insight.tiers.shape[1] < 2:
        return None
    codes = insight.tiers[:, -2:, MONTHLY.index("abc")].astype(np.int64)
    n = len(ABC)
    codes[codes < 0] = n
    counts = np.bincount(codes[:, 0] * (n + 1) + codes[:, 1], minlength=(n + 1) ** 2)
    names = (*ABC, "none")
    moved = Migration(names, counts.reshape(n + 1, n + 1).astype(np.int64))
    up = sum(int(moved.counts[i, j]) for i in range(n) for j in range(i))
    down = sum(int(moved.counts[i, j]) for i in range(n) for j in range(i + 1, n))
    before, now = (one.isoformat() for one in insight.standards.months[-2:])
    return {
        "from": before,
        "to": now,
        "names": list(names),
        "counts": moved.counts.tolist(),
        "up": up,
        "down": down,
        "c_to_b": moved.rate("C", "B"),
    }


def _health(published: Published) -> dict[str, Any] | None:
    insight = published.insight
    if insight is None:
        return None
    scores = insight.scores
    level = insight.column("health_level")
    warned = insight.is_warned & published.consent
    loss = insight.figure("expected_loss")
    past = insight.standards.past
    months = [one.isoformat() for one in insight.standards.months]
    index = index_of(scores)
    return {
        "months": months,
        "index": [_mean(index[:, k]) for k in range(len(months))],
        "now": {n: _mean(scores[:, -1, i]) for i, n in enumerate(DIMENSIONS)},
        "before": {n: _mean(scores[:, -2, i]) for i, n in enumerate(DIMENSIONS)}
        if scores.shape[1] > 1
        else None,
        "levels": {n: int(np.sum(level == i)) for i, n in enumerate(LEVELS)},
        "warned": int(warned.sum()),
        "expected_loss": float(np.nansum(loss[warned])),
        "driver": past.drivers[0].name if past.drivers else None,
        "figures": past.facts()["figures"],
    }


def _mean(values: Any) -> float | None:
    known = values[~np.isnan(values)]
    return float(known.mean()) if len(known) else None


def _contacts(published: Published, goal: Goal, most: int) -> dict[str, Any]:
    """The best customers for a goal, and what all of them are worth.

    ``worth``: replenish and repurchase: purchases expected of those named; win back:
    spend at risk of them, shop currency.
    """
    try:
        ranking = rank(published, Ask(goal), most)
    except AskError as error:
        return {"goal": goal, "total": 0, "why_none": str(error), "lines": []}
    return {
        "goal": goal,
        "means": ranking.means,
        "total": ranking.total,
        "worth": float(np.sum(ranking.score)),
        "why_none": None,
        "lines": list(lines(published, ranking, offers=1)),
    }
