"""How the pictures of the report look: colours, lines, names beside them, SVG."""

from __future__ import annotations

import html
import re
from collections.abc import Mapping, Sequence
from io import StringIO
from typing import Any

from training.findings import Whose, plain
from training.metrics import MODEL

# Ours, ours under a handicap, and all others; the page uses the same colours.
COLOURS: dict[Whose, str] = {"ours": "#14527d", "kin": "#7fa9c6", "theirs": "#cbd3d9"}
INK, FAINT, RULE = "#1d2b36", "#5b6a75", "#aab4bb"

DASHES: tuple[tuple[str, Any], ...] = (
    ("#46535d", (0, (5, 1.5))),
    ("#77848d", (0, (5, 1.5, 1, 1.5))),
    ("#96a2aa", (0, (1.2, 1.2))),
)
"""Colour and dashes of the baselines, in their order; again from the first after."""

_SIZE = (4.7, 3.5)
TEXT = 10


def blank(left: float = 0.135, right: float = 0.945) -> tuple[Any, Any]:
    """An empty figure with its axis; the margins are shares of its width."""
    # Late, and without pyplot: no window system, no global state.
    from matplotlib.figure import Figure

    figure = Figure(figsize=_SIZE)
    axis = figure.add_axes((left, 0.17, right - left, 0.8))
    axis.spines[["top", "right"]].set_visible(False)
    axis.spines[["left", "bottom"]].set_color(RULE)
    axis.tick_params(length=0, labelsize=TEXT - 1, labelcolor=FAINT)
    axis.grid(visible=True, color="#edf1f3", linewidth=0.8)
    axis.set_axisbelow(True)
    return figure, axis


def name_axes(axis: Any, across: str, up: str) -> None:
    """Titles of both axes."""
    axis.set_xlabel(across, fontsize=TEXT, color=INK)
    axis.set_ylabel(up, fontsize=TEXT, color=INK)


def name_lines(axis: Any, place: str) -> None:
    """Names of the lines, ours first."""
    handles, labels = axis.get_legend_handles_labels()
    axis.legend(
        handles[::-1],
        labels[::-1],
        loc=place,
        fontsize=TEXT - 1,
        labelcolor=INK,
        frameon=False,
        handlelength=2.6,
    )


def style_of(names: Sequence[str], name: str) -> dict[str, Any]:
    """Bold for ours; for a baseline grey, in the dashes of its place."""
    if name == MODEL:
        return {"color": COLOURS["ours"], "linewidth": 2.6, "zorder": 3}
    rivals = [one for one in names if one != MODEL]
    colour, dashes = DASHES[rivals.index(name) % len(DASHES)]
    return {"color": colour, "linestyle": dashes, "linewidth": 1.5}


def ours_last(values: Mapping[str, Any]) -> list[tuple[str, Any]]:
    """Baselines from the last to the first, then ours on top of them."""
    backwards = list(values.items())[::-1]
    return sorted(backwards, key=lambda item: item[0] == MODEL)


def at_the_end(axis: Any, last: Mapping[str, float], names: Sequence[str]) -> None:
    """Each line's name beside its end; names that would touch are moved apart."""
    bottom, top = axis.get_ylim()
    wanted = sorted(last, key=lambda name: last[name])
    heights = spread([last[name] for name in wanted], 0.075 * (top - bottom))
    for name, height in zip(wanted, heights, strict=True):
        axis.annotate(
            _short(plain(name)),
            (1.02, (height - bottom) / (top - bottom)),
            xycoords="axes fraction",
            va="center",
            fontsize=TEXT - 1,
            color=COLOURS["ours"] if name == MODEL else style_of(names, name)["color"],
            fontweight="bold" if name == MODEL else "normal",
        )


def _short(name: str) -> str:
    return name.replace("recency-frequency logistic", "recency-frequency")


def spread(heights: Sequence[float], gap: float) -> list[float]:
    """Ascending heights, moved as little as needed to be ``gap`` apart.

    Each run of neighbours that touch is spread around the mean of its heights.
    """
    runs: list[list[float]] = []
    for height in heights:
        runs.append([height])
        while len(runs) > 1 and _ends(runs[-1], gap)[0] - _ends(runs[-2], gap)[1] < gap:
            last = runs.pop()
            runs[-1] = runs[-1] + last
    return [_ends(run, gap)[0] + i * gap for run in runs for i in range(len(run))]


def _ends(run: Sequence[float], gap: float) -> tuple[float, float]:
    middle, half = sum(run) / len(run), (len(run) - 1) * gap / 2
    return middle - half, middle + half


def svg(figure: Any, title: str) -> str:
    """The drawing as an element of a page, which gives it its font."""
    from matplotlib import rc_context

    text = StringIO()
    with rc_context({"svg.hashsalt": "repurchase", "svg.fonttype": "none"}):
        figure.savefig(text, format="svg", metadata={"Date": None, "Creator": None})
    drawn = text.getvalue()[text.getvalue().index("<svg") :]
    for pattern, instead in (
        (r"(?s)<metadata>.*?</metadata>|<style .*?</style>", ""),
        (r' xmlns(:\w+)?="[^"]*"', ""),
        # Ids that nothing refers to would stand in a page many times.
        (r' id="[\w.]+_\d+"', ""),
        (r"font-family: [^;\"]*;? ?", ""),
        (r"(font: (?:\w+ )*[\d.]+px) [^;\"]*", r"\1 inherit"),
        (r"\s*\n\s*", "\n"),
    ):
        drawn = re.sub(pattern, instead, drawn)
    said = html.escape(title, quote=True)
    sized = re.sub(r'(<svg )[^>]*?(viewBox="[^"]*")[^>]*>', r"\1\2>", drawn, count=1)
    return sized.replace("<svg ", f'<svg role="img" aria-label="{said}" ', 1).strip()
