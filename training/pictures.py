"""Curves as SVG to be set into a page: no file, no script, no fonts of their own.

Ours is the bold line in our colour; baselines are grey, each in its own dashes. The
same figures give the same bytes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from training.curves import Curve, Curves, Tenth
from training.drawing import (
    COLOURS,
    INK,
    RULE,
    TEXT,
    at_the_end,
    blank,
    name_axes,
    name_lines,
    ours_last,
    style_of,
    svg,
)
from training.findings import plain
from training.importance import Weight
from training.metrics import MODEL
from training.stability import Moment

_PERCENT = ([0, 0.25, 0.5, 0.75, 1], ["0%", "25%", "50%", "75%", "100%"])
MOST_BARS = 12
LIFT_FROM = 0.02
"""Share of customers from which lift is drawn; of fewer it is mostly luck."""


def curve(curves: Mapping[str, Curves], kind: str, base_rate: float) -> str | None:
    """``roc``, ``precision_recall``, ``gain`` or ``lift`` of every model.

    Args:
        curves: by model.
        kind: which of them.
        base_rate: share of all customers who bought.

    Returns:
        SVG; None where the curve is not defined.
    """
    found: dict[str, Curve | None] = {n: getattr(c, kind) for n, c in curves.items()}
    drawn = {name: one for name, one in found.items() if one is not None}
    if MODEL not in drawn:
        return None
    figure, axis = blank()
    _reference(axis, kind, base_rate)
    for name, one in ours_last(drawn):
        axis.plot(one.x, one.y, label=plain(name), **style_of(list(drawn), name))
    across, up, legend = {
        "roc": ("non-buyers above the line", "buyers above the line", "lower right"),
        "precision_recall": ("share of all buyers found", "of these, bought", ""),
        "gain": ("customers written to, best first", "buyers among them", ""),
        "lift": ("customers written to, best first", "times as many buyers", ""),
    }[kind]
    name_axes(axis, across, up)
    axis.set_xticks(*_PERCENT)
    axis.set_xlim(0, 1)
    if kind == "lift":
        _lift_limits(axis, drawn.values())
    else:
        axis.set_yticks(*_PERCENT)
        axis.set_ylim(0, 1.02)
    name_lines(axis, legend or ("lower right" if kind == "gain" else "lower left"))
    return svg(figure, f"{kind.replace('_', ' ')} of every model")


def reliability(curves: Mapping[str, Curves]) -> str | None:
    """Share who bought by promised probability, in ten groups; None without rows."""
    ours = curves[MODEL].tenths
    if not ours:
        return None
    figure, axis = blank()
    axis.plot([0, 1], [0, 1], color=RULE, linewidth=1, label="as promised")
    for name, one in ours_last(curves):
        x = [tenth.promised for tenth in one.tenths]
        y = [tenth.bought for tenth in one.tenths]
        axis.plot(x, y, label=plain(name), **style_of(list(curves), name))
    for tenth in ours:
        axis.plot(
            [tenth.promised] * 2,
            [tenth.low, tenth.high],
            color=COLOURS["ours"],
            linewidth=1.2,
        )
        axis.plot(tenth.promised, tenth.bought, "o", color=COLOURS["ours"], ms=4.5)
    name_axes(axis, "promised: mean probability of the group", "bought")
    axis.set_xticks(*_PERCENT)
    axis.set_yticks(*_PERCENT)
    axis.set_xlim(0, 1)
    axis.set_ylim(0, 1.02)
    name_lines(axis, "lower right")
    return svg(figure, "share who bought by promised probability")


def tenths(ours: Sequence[Tenth], theirs: Sequence[Tenth], rival: str) -> str | None:
    """Share who bought in each tenth of our score, and of a baseline's."""
    if not ours:
        return None
    figure, axis = blank()
    places = range(1, len(ours) + 1)
    axis.bar(places, [t.bought for t in ours], width=0.74, color=COLOURS["ours"])
    steps: dict[str, Any] = {"linestyle": "none", "zorder": 3}
    axis.plot(
        places,
        [t.promised for t in ours],
        marker="_",
        markersize=15,
        markeredgewidth=2.4,
        color="#f0a04b",
        label="promised by us",
        **steps,
    )
    axis.plot(
        range(1, len(theirs) + 1),
        [t.bought for t in theirs],
        marker="o",
        markersize=5,
        color="#cfd6db",
        markeredgecolor=INK,
        label=f"bought, tenths of {plain(rival)}",
        **steps,
    )
    name_axes(axis, "tenth of customers by score, highest first", "bought")
    axis.set_xticks(list(places))
    axis.set_yticks(*_PERCENT)
    axis.set_ylim(0, 1.3)
    name_lines(axis, "upper right")
    return svg(figure, "share who bought in each tenth of the score")


def stability(moments: Sequence[Moment]) -> str | None:
    """AUC of every model at every cutoff; None with fewer than two."""
    names = list(moments[0].models) if moments else []
    auc = {name: [m.models[name]["auc"] for m in moments] for name in names}
    known = [value for values in auc.values() for value in values if value == value]
    if len(moments) < 2 or not known:
        return None
    figure, axis = blank(right=0.66)
    days = [(m.cutoff - moments[0].cutoff).total_seconds() / 86_400 for m in moments]
    for name, values in ours_last(auc):
        style = style_of(names, name)
        axis.plot(days, values, marker="o", markersize=3.5, **style)
    low, high = min(known), max(known)
    room = max(0.3 * (high - low), 0.02)
    axis.set_ylim(max(0.0, low - room), min(1.0, high + room))
    at_the_end(axis, {n: v[-1] for n, v in auc.items() if v[-1] == v[-1]}, names)
    months = [f"{m.cutoff:%d %b}".lstrip("0") for m in moments]
    every = -(-len(days) // 6)
    axis.set_xticks(days[::every], months[::every], rotation=35, ha="right")
    name_axes(axis, "cutoff", "AUC")
    return svg(figure, "AUC of every model at every cutoff")


def weights(top: Sequence[Weight]) -> str | None:
    """Share of all movement of the strongest features; None if nothing moves."""
    drawn = top[:MOST_BARS]
    if not drawn:
        return None
    figure, axis = blank(left=0.42)
    places = range(len(drawn))
    axis.barh(places, [w.share for w in drawn], height=0.7, color=COLOURS["ours"])
    for place, weight in zip(places, drawn, strict=True):
        axis.annotate(
            f"{weight.share:.1%}",
            (weight.share, place),
            (4, 0),
            textcoords="offset points",
            va="center",
            fontsize=TEXT - 1,
            color=INK,
        )
    axis.set_yticks(places, [w.feature[:24] for w in drawn])
    axis.set_ylim(len(drawn) - 0.4, -0.6)
    axis.set_xlim(0, 1.25 * drawn[0].share)
    axis.set_xticks([])
    axis.grid(visible=False)
    axis.set_xlabel("share of all pushes", fontsize=TEXT, color=INK)
    return svg(figure, "the features that move the score most")


def _reference(axis: Any, kind: str, base_rate: float) -> None:
    """What chance alone would reach, and for gain also what is possible at best."""
    chance = {
        "roc": ([0, 1], [0, 1]),
        "gain": ([0, 1], [0, 1]),
        "lift": ([0, 1], [1, 1]),
        "precision_recall": ([0, 1], [base_rate, base_rate]),
    }[kind]
    axis.plot(*chance, color=RULE, linewidth=1, label="chance")
    if kind == "gain":
        best = [0, base_rate, 1], [0, 1, 1]
        axis.plot(*best, color=RULE, linewidth=1, linestyle=":", label="at best")


def _lift_limits(axis: Any, drawn: Any) -> None:
    top = max(
        y for one in drawn for x, y in zip(one.x, one.y, strict=True) if x >= LIFT_FROM
    )
    axis.set_xlim(LIFT_FROM, 1)
    axis.set_ylim(max(0.0, 1 - 0.9 * (top - 1)), 1 + 1.08 * (top - 1))
