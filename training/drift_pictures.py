"""Pictures of the drift report, as SVG to be set into its page."""

from __future__ import annotations

from collections.abc import Sequence

from training.curves import Tenth
from training.drawing import (
    COLOURS,
    INK,
    RULE,
    TEXT,
    blank,
    name_axes,
    name_lines,
    svg,
)
from training.drift import DRIFTED, Shift

BAD = "#a5301f"
_MOST = 12
_SHARES = ([0, 0.25, 0.5, 0.75, 1], ["0%", "25%", "50%", "75%", "100%"])


def features(shifts: Sequence[Shift], limit: float) -> str | None:
    """Stability index of the features that moved most; None without features."""
    drawn = [one for one in shifts if one.distance.index > 0][:_MOST]
    if not drawn:
        return None
    figure, axis = blank(left=0.46)
    places = range(len(drawn))
    colours = [BAD if one.verdict == DRIFTED else COLOURS["kin"] for one in drawn]
    axis.barh(places, [one.distance.index for one in drawn], 0.7, color=colours)
    axis.axvline(limit, color=INK, linewidth=1.2, linestyle=(0, (3, 2)))
    axis.set_yticks(list(places), [one.name for one in drawn], fontsize=TEXT - 2)
    axis.set_ylim(len(drawn) - 0.4, -0.6)
    axis.grid(visible=False, axis="y")
    name_axes(axis, "stability index; dashed: the limit", "")
    return svg(figure, "features that moved most")


def scores(then: Sequence[float], now: Sequence[float]) -> str | None:
    """Share of customers by tenth of the score at the model's cutoff, and now."""
    if not then or not now:
        return None
    pairs = list(zip(_inner(then), _inner(now), strict=True))
    figure, axis = blank()
    places = range(1, len(pairs) + 1)
    axis.bar(
        [place - 0.2 for place in places],
        [a for a, _ in pairs],
        0.4,
        color=COLOURS["theirs"],
        label="at the model's cutoff",
    )
    axis.bar(
        [place + 0.2 for place in places],
        [b for _, b in pairs],
        0.4,
        color=COLOURS["ours"],
        label="now",
    )
    axis.set_xticks(list(places))
    axis.set_ylim(0, 1.25 * max(max(pair) for pair in pairs))
    axis.yaxis.set_major_formatter(lambda value, _: f"{value:.0%}")
    name_axes(axis, "tenth of the score when trained, lowest first", "customers")
    name_lines(axis, "upper left")
    return svg(figure, "scores when the model was trained, and now")


def _inner(shares: Sequence[float]) -> list[float]:
    """Without the bin of nulls; what is beyond an end belongs to the end."""
    below, *between, beyond = shares[1:]
    if not between:
        return [below, beyond]
    between[0] += below
    between[-1] += beyond
    return between


def calibration(tenths: Sequence[Tenth]) -> str:
    """Share who bought by promised probability, in ten groups, with intervals."""
    figure, axis = blank()
    axis.plot([0, 1], [0, 1], color=RULE, linewidth=1, label="as promised")
    x, y = [t.promised for t in tenths], [t.bought for t in tenths]
    axis.plot(x, y, color=COLOURS["ours"], linewidth=2.2, label="what happened")
    for one in tenths:
        axis.plot([one.promised] * 2, [one.low, one.high], color=COLOURS["ours"])
        axis.plot(one.promised, one.bought, "o", color=COLOURS["ours"], ms=4.5)
    axis.set_xticks(*_SHARES)
    axis.set_yticks(*_SHARES)
    axis.set_xlim(0, 1)
    axis.set_ylim(0, 1.02)
    name_axes(axis, "promised: mean probability of the group", "bought")
    name_lines(axis, "upper left")
    return svg(figure, "what happened by promised probability")
