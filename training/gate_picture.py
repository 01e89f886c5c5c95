"""The gate's comparisons as one picture: every gain with its interval, by cutoff."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from features.scratch import whole
from training.drawing import FAINT, INK
from training.gate import CHAMPION, Contest, Evidence

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def draw(evidence: Evidence, file: Path) -> None:
    """Write a PNG; above 0 the challenger is better, and it says by what certainty.

    Args:
        evidence: with at least one contest.
        file: where to.
    """
    # Late, and without pyplot: no window system, no global state.
    from matplotlib.figure import Figure

    measures = list(dict.fromkeys(one.measure for one in evidence.contests))
    rows = max(
        sum(one.measure == measure for one in evidence.contests) for measure in measures
    )
    figure = Figure(figsize=(6 * len(measures), 1.6 + 0.5 * rows), layout="tight")
    axes = figure.subplots(1, len(measures), squeeze=False).ravel()
    for axis, measure in zip(axes, measures, strict=True):
        _panel(axis, [one for one in evidence.contests if one.measure == measure])
        axis.set_title(f"gain in {measure}", loc="left", color=INK)
    days = ", ".join(f"{cutoff:%Y-%m-%d}" for cutoff in evidence.cutoffs)
    figure.supxlabel(f"95 % paired intervals at {days}", fontsize=9, color=FAINT)
    with whole(file) as place:
        figure.savefig(place, format="png", dpi=110, metadata={"Software": None})


def _panel(axis: Axes, contests: list[Contest]) -> None:
    names: list[str] = []
    for row, contest in enumerate(contests):
        names.append(contest.rival or CHAMPION)
        known = [gain for gain in contest.gains if gain.value == gain.value]
        for at, gain in enumerate(known):
            height = row + 0.25 * (at - (len(known) - 1) / 2)
            colour = "#2a7f62" if gain.low > 0 else "#b3541e" if gain.high < 0 else INK
            axis.plot([gain.low, gain.high], [height] * 2, color=colour)
            axis.plot([gain.value], [height], "o", color=colour, markersize=4)
    axis.axvline(0, color=FAINT, linewidth=1)
    axis.set_yticks(range(len(names)), [f"over {name}" for name in names])
    axis.invert_yaxis()
