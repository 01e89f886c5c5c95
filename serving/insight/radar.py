"""The radar chart of a customer's health: a picture of finished figures."""

from __future__ import annotations

from collections.abc import Mapping
from io import BytesIO
from typing import Any

import numpy as np

from serving.insight.health import DIMENSIONS
from training.drawing import COLOURS, FAINT, INK, RULE, TEXT, svg

_SIZE = (4.6, 4.2)
_RINGS = (20, 40, 60, 80, 100)


def radar_svg(
    scores: Mapping[str, float | None],
    earlier: Mapping[str, float | None] | None = None,
) -> str:
    """The chart as an SVG element; equal figures give equal bytes.

    Args:
        scores: 0 to 100 by each of ``DIMENSIONS``; None: no data.
        earlier: the same some months ago, drawn behind it in grey.

    Raises:
        KeyError: a dimension is missing.
        ValueError: a score is below 0 or above 100.
    """
    known = [name for name in DIMENSIONS if scores[name] is not None]
    said = ", ".join(f"{_words(name)} {scores[name]:.0f}" for name in known)
    return svg(_figure(scores, earlier), f"Health: {said or 'no data'}")


def radar_png(
    scores: Mapping[str, float | None],
    earlier: Mapping[str, float | None] | None = None,
) -> bytes:
    """The chart as a PNG file; arguments and errors as of ``radar_svg``."""
    file = BytesIO()
    _figure(scores, earlier).savefig(file, format="png", dpi=144)
    return file.getvalue()


def _figure(
    scores: Mapping[str, float | None], earlier: Mapping[str, float | None] | None
) -> Any:
    # Late, and without pyplot: no window system, no global state.
    from matplotlib.figure import Figure

    figure = Figure(figsize=_SIZE)
    axis: Any = figure.add_axes((0.2, 0.14, 0.6, 0.7), polar=True)
    axis.set_theta_offset(np.pi / 2)
    axis.set_theta_direction(-1)
    axis.set_ylim(0, 100)
    axis.set_yticks(_RINGS, [str(ring) for ring in _RINGS])
    axis.tick_params(axis="y", labelsize=TEXT - 3, labelcolor=FAINT)
    axis.grid(color=RULE, linewidth=0.6)
    axis.spines["polar"].set_color(RULE)
    axis.set_xticks(_angles(), [_label(name, scores[name]) for name in DIMENSIONS])
    axis.tick_params(axis="x", labelsize=TEXT - 1, labelcolor=INK, pad=12)
    if earlier is not None:
        _draw(axis, earlier, FAINT, 0.0)
    _draw(axis, scores, COLOURS["ours"], 0.18)
    return figure


def _draw(
    axis: Any, scores: Mapping[str, float | None], colour: str, filled: float
) -> None:
    angles, values = [], []
    for angle, name in zip(_angles(), DIMENSIONS, strict=True):
        score = scores[name]
        if score is None:
            continue
        if not 0 <= score <= 100:
            raise ValueError(f"radar: expected {name} from 0 to 100, got {score}")
        angles.append(angle)
        values.append(score)
    if values:
        ring = [*angles, angles[0]], [*values, values[0]]
        axis.plot(*ring, color=colour, linewidth=1.8, marker="o", markersize=4)
        axis.fill(*ring, color=colour, alpha=filled)


def _angles() -> list[float]:
    return np.linspace(0, 2 * np.pi, len(DIMENSIONS), endpoint=False).tolist()


def _words(name: str) -> str:
    return name.replace("_", " ")


def _label(name: str, score: float | None) -> str:
    return _words(name).replace(" ", "\n", 1) + (
        "\nno data" if score is None else f"\n{score:.0f}"
    )
