"""The evaluation as a picture and as one self-contained page."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from textwrap import fill
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined, select_autoescape

from features.scratch import whole
from training import list_sections as lists
from training import match_sections as matches
from training import score_sections as score
from training import trust_sections as trust
from training.details import Details
from training.drawing import COLOURS, FAINT, INK
from training.evaluate import Quality
from training.findings import (
    Panel,
    PickFigure,
    findings,
    headline,
    panels,
    plain,
)
from training.list_sections import certainty
from training.metrics import MODEL, Interval, K
from training.section import Part, Section, number

__all__ = ["PickFigure", "certainty", "draw", "headline", "write"]


def draw(qualities: Sequence[Quality], picks: Sequence[PickFigure], file: Path) -> None:
    """Write the comparisons as one PNG picture.

    Args:
        qualities: one per evaluation cutoff.
        picks: lists shown in past campaigns; empty: that panel is left out.
        file: where to.
    """
    # Late, and without pyplot: no window system, no global state.
    from matplotlib.figure import Figure
    from matplotlib.layout_engine import ConstrainedLayoutEngine

    drawn = panels(qualities, picks)
    rows = math.ceil(len(drawn) / 2)
    figure = Figure(
        figsize=(12, 0.8 + 3.5 * rows),
        layout=ConstrainedLayoutEngine(h_pad=0.2, w_pad=0.2),
    )
    axes = figure.subplots(rows, 2, squeeze=False).ravel()
    for axis in axes[len(drawn) :]:
        axis.set_axis_off()
    # Bars are equally thick in all panels.
    most = max(len(panel.bars) for panel in drawn)
    for axis, panel in zip(axes, drawn, strict=False):
        _draw(axis, panel, most)
    figure.suptitle(
        f"Beside the baselines, mean of the cutoffs {_cutoffs(qualities)}",
        fontsize=12,
        color=FAINT,
        x=0.01,
        ha="left",
    )
    with whole(file) as place:
        figure.savefig(
            place,
            format="png",
            dpi=130,
            facecolor="white",
            metadata={"Software": None},
        )


def write(
    qualities: Sequence[Quality],
    details: Details,
    picks: Sequence[PickFigure],
    campaigns: Sequence[Mapping[str, Any]],
    folder: Path,
) -> tuple[Path, Path]:
    """Write ``report.html``, and ``report.md`` with the same figures in tables.

    Neither needs another file or the network; the pictures are in the page.

    Args:
        qualities: one per evaluation cutoff.
        details: what lies behind the figures of propensity.
        picks: lists shown in past campaigns, ours first; may be empty.
        campaigns: one row per campaign, all with the same keys; may be empty.
        folder: where to; it exists.

    Returns:
        The page and the Markdown file.
    """
    told = {
        "findings": findings(qualities, picks),
        "panels": panels(qualities, picks),
        "parts": parts(qualities, details),
        "cutoffs": _cutoffs(qualities),
        "qualities": qualities,
        "picks": picks,
        "campaigns": campaigns,
        "colours": COLOURS,
        "model": MODEL,
        "figure": number,
        "interval": _interval,
        "plain": plain,
        "cell": _cell,
        "list_figures": lists.FIGURES,
        "k": K,
    }
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=select_autoescape(("html.j2",), default=False),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    files = folder / "report.html", folder / "report.md"
    for file in files:
        text = environment.get_template(f"{file.name}.j2").render(told)
        with whole(file) as place:
            place.write_text(text, encoding="utf-8")
    return files


def parts(qualities: Sequence[Quality], details: Details) -> list[Part]:
    """What lies below the first page: what is offered, then who buys again."""
    return [
        Part(
            "Behind the offers",
            "Means of the cutoffs, every method for the same customers and purchases.",
            offer_sections(qualities),
        ),
        Part(
            'Behind the score "who buys again"',
            "Customers of all cutoffs together: who had bought before two of them counts "
            "twice. In pictures ours is the bold line; grey lines are the baselines.",
            sections(details),
        ),
    ]


def offer_sections(qualities: Sequence[Quality]) -> list[Section]:
    """The lists and the match: first what a marketer asks, then finer points."""
    return [
        lists.methods(qualities),
        matches.match(qualities),
        lists.reach(qualities),
        lists.likeness(qualities),
        matches.list_groups(qualities),
    ]


def sections(details: Details) -> list[Section]:
    """What lies behind the score: first what a marketer asks, then finer points."""
    return [
        score.tenths(details),
        score.gain(details),
        trust.stability(details.stability),
        score.reliability(details),
        score.lift(details),
        score.roc(details),
        score.precision_recall(details),
        trust.importance(details.importance),
        trust.groups(details),
        trust.leaks(details.leaks),
    ]


def _cell(value: object) -> str:
    """A text from the data inside a table of Markdown, where it is no markup."""
    text = " ".join(str(value).split())
    return re.sub(r"([\\|`*_\[\]<>])", r"\\\1", text)


def _draw(axis: Any, panel: Panel, most: int) -> None:
    span = (panel.ceiling - panel.floor) or 1.0
    for place, bar in enumerate(panel.bars):
        axis.barh(
            place,
            bar.value - panel.floor,
            left=panel.floor,
            height=0.68,
            color=COLOURS[bar.whose],
        )
        end = bar.value
        if bar.interval:
            for colour, width in (("white", 4), (INK, 1.6)):
                axis.plot(
                    [bar.interval.low, bar.interval.high],
                    [place, place],
                    color=colour,
                    linewidth=width,
                    solid_capstyle="butt",
                )
            end = max(end, bar.interval.high)
        axis.text(
            end + 0.02 * span,
            place,
            bar.text,
            va="center",
            fontsize=12,
            color=INK,
            fontweight="bold" if bar.whose == "ours" else "normal",
        )
    axis.set_yticks(
        range(len(panel.bars)), [fill(bar.name, 24) for bar in panel.bars], fontsize=11
    )
    for label, bar in zip(axis.get_yticklabels(), panel.bars, strict=True):
        label.set(color=INK, fontweight="bold" if bar.whose == "ours" else "normal")
    axis.set_ylim(most - 0.5, -0.5)
    axis.set_xlim(panel.floor, panel.ceiling + 0.16 * span)
    axis.set_title(
        panel.question, fontsize=14, fontweight="bold", color=INK, loc="left", pad=26
    )
    axis.annotate(
        panel.figure,
        (0, 1),
        (0, 9),
        xycoords="axes fraction",
        textcoords="offset points",
        fontsize=11,
        color=FAINT,
    )
    axis.spines[["top", "right", "bottom"]].set_visible(False)
    axis.spines["left"].set(color="#aab4bb", bounds=(-0.5, len(panel.bars) - 0.5))
    axis.tick_params(length=0)
    axis.set_xticks([])


def _cutoffs(qualities: Sequence[Quality]) -> str:
    return " and ".join(f"{q.cutoff:%Y-%m-%d}" for q in qualities)


def _interval(interval: Interval | None, form: str) -> str:
    """``value (low to high)``; empty where there is nothing to say."""
    if interval is None:
        return ""
    low, high = number(interval.low, form), number(interval.high, form)
    return f"{number(interval.value, form)} ({low} to {high})"


def write_json(values: Any, file: Path) -> None:
    """Write figures as JSON, whole or not at all; an undefined one is null."""
    with whole(file) as place:
        place.write_text(json.dumps(_defined(values), indent=1, allow_nan=False))


def _defined(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _defined(inner) for name, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_defined(inner) for inner in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value
