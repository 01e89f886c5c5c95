"""Pictures of the lists, as SVG to be set into the page."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from statsmodels.stats.proportion import proportion_confint

from training.drawing import COLOURS, FAINT, INK, RULE, TEXT, blank, name_axes, svg
from training.findings import plain
from training.match_quality import Match
from training.metrics import MODEL, Interval, K

_TITLES = {"again": "bought before", "new": "never bought"}
_LANES: dict[str, dict[str, Any]] = {
    "again": {"color": COLOURS["ours"], "marker": "o"},
    "new": {"color": "#d9822b", "marker": "s"},
}
_TICKS = (0.001, 0.01, 0.1, 1.0)
_LEAST = 20
"""Pairs of a bin that is drawn; the share of fewer is mostly luck."""


def recalls(lanes: Mapping[str, Mapping[str, Interval]]) -> str | None:
    """Recall of every method with its interval, a panel for each lane.

    Args:
        lanes: by lane and method; methods of the first lane name the lines, the best
            first.
    """
    first = next(iter(lanes.values()))
    names = sorted(first, key=lambda name: -first[name].value)
    if not any(one.value == one.value for one in first.values()):
        return None
    figure, axis = blank(left=0.36, right=0.64)
    axes = [axis, figure.add_axes((0.69, 0.17, 0.285, 0.8))]
    for panel, (lane, methods) in zip(axes, lanes.items(), strict=True):
        for place, name in enumerate(names):
            if name in methods:
                _dot(panel, place, methods[name], name == MODEL)
        panel.set_ylim(len(names) - 0.4, -0.6)
        ends = [one.high for one in methods.values() if one.high == one.high]
        panel.set_xlim(0, 1.1 * max([*ends, 0.001]))
        panel.locator_params(axis="x", nbins=3)
        panel.grid(visible=False, axis="y")
        panel.tick_params(length=0, labelsize=TEXT - 1, labelcolor=FAINT)
        panel.set_xlabel(f"recall@{K}, {lane}", fontsize=TEXT - 1, color=INK)
    axes[1].spines[["top", "right"]].set_visible(False)
    axes[1].spines[["left", "bottom"]].set_color(RULE)
    axes[1].grid(visible=True, axis="x", color="#edf1f3", linewidth=0.8)
    axes[1].set_yticks([])
    axis.set_yticks(range(len(names)), [plain(name)[:28] for name in names])
    for label, name in zip(axis.get_yticklabels(), names, strict=True):
        label.set(color=INK, fontsize=TEXT - 2)
        label.set_fontweight("bold" if name == MODEL else "normal")
    return svg(figure, "recall of every method, with intervals")


def _dot(axis: Any, place: int, one: Interval, ours: bool) -> None:
    colour = COLOURS["ours"] if ours else "#77848d"
    axis.plot([one.low, one.high], [place] * 2, color=colour, linewidth=1.8)
    axis.plot(one.value, place, "o", color=colour, ms=6 if ours else 4.5)


def matches(found: Mapping[str, Match]) -> str | None:
    """Share bought by match, both on logarithmic scales; None without such pairs.

    The whiskers are 95 % intervals by Wilson (1927), as if no two pairs were of the
    same customer.
    """
    drawn = {
        lane: [b for b in found[lane].bins if b.pairs >= _LEAST and b.bought > 0]
        for lane in _LANES
    }
    if not any(drawn.values()):
        return None
    figure, axis = blank()
    axis.plot([1e-4, 1], [1e-4, 1], color=RULE, linewidth=1, label="as promised")
    for lane, bins in drawn.items():
        axis.plot(
            [one.promised for one in bins],
            [one.bought for one in bins],
            label=f"{lane}: {_TITLES[lane]}",
            linewidth=1.8,
            markersize=4.5,
            **_LANES[lane],
        )
        for one in bins:
            ends = proportion_confint(
                round(one.bought * one.pairs), one.pairs, method="wilson"
            )
            axis.plot(
                [one.promised] * 2, ends, color=_LANES[lane]["color"], linewidth=1.1
            )
    low = 0.7 * min(min(b.promised, b.bought) for bins in drawn.values() for b in bins)
    axis.set_xscale("log")
    axis.set_yscale("log")
    for limit, ticks in (
        (axis.set_xlim, axis.set_xticks),
        (axis.set_ylim, axis.set_yticks),
    ):
        shown = [tick for tick in _TICKS if tick >= low]
        ticks(shown, [f"{tick:.1%}".replace(".0%", "%") for tick in shown])
        ticks([], minor=True)
        limit(low, 1.2)
    name_axes(axis, "promised: mean match of the pairs", "bought")
    axis.legend(loc="upper left", fontsize=TEXT - 1, labelcolor=INK, frameon=False)
    return svg(figure, "share bought by match, in both lanes")
