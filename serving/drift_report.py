"""What drift found, for a terminal, a page and a program."""

from __future__ import annotations

from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup
from rich.console import Console
from rich.table import Table

from features.drift_config import DriftConfig
from features.scratch import whole
from serving.drifting import REPORT, Drift, Matured
from training import drift_pictures
from training.drift import APPEARED, DRIFTED, SEEN, USUAL, Shift
from training.metrics import Interval
from training.report import write_json

_SHOWN = 12


def show(console: Console, found: Drift) -> None:
    """Features that moved, promises beside what happened, and the verdict."""
    moved = told(found)
    if moved:
        table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim")
        for name in (
            "moved",
            "index",
            "distance",
            "p",
            "known then",
            "now",
            "which is",
        ):
            table.add_column(name, justify="left" if name in _LEFT else "right")
        for one in moved[:_SHOWN]:
            table.add_row(
                one.name,
                f"{one.distance.index:.2f}",
                f"{one.distance.gap:.2f}",
                chance(one.p),
                f"{one.known_then:.0%}",
                f"{one.known_now:.0%}",
                which(one),
                style="bold red" if one.verdict == DRIFTED else None,
            )
        console.print(table)
    for line in summary(found):
        console.print(line, highlight=False, markup=False, soft_wrap=True)


_LEFT = ("moved", "which is")


def told(found: Drift) -> tuple[Shift, ...]:
    """Features past their limits, the alarming ones first, and the score if it is."""
    shifts = found.shifts
    moved = [*shifts.of(DRIFTED), *shifts.of(SEEN, USUAL), *shifts.of(APPEARED)]
    if shifts.score is not None and shifts.score.verdict in (DRIFTED, SEEN, USUAL):
        moved.insert(0, shifts.score)
    return tuple(moved)


def which(one: Shift) -> str:
    """A verdict with its day."""
    return f"{one.verdict} {one.like:%Y-%m-%d}" if one.like else one.verdict


def chance(p: float) -> str:
    """A p-value, short; empty: not tested."""
    if p != p:
        return ""
    return "<.001" if p < 0.001 else f"{p:.3f}"


def summary(found: Drift) -> list[str]:
    """The verdict, in sentences."""
    score, shifts = found.shifts.score, found.shifts
    lines = [
        f"{found.model}, trained as of {found.trained:%Y-%m-%d}, beside "
        f"{found.customers:,} customers as of {found.now:%Y-%m-%d}.",
        f"Features: {len(shifts.features)} compared, {found.drifted} spread as the model "
        f"has never seen, {len(shifts.of(SEEN, USUAL))} moved as it has seen, "
        f"{len(shifts.of(APPEARED))} appeared since.",
    ]
    if score is not None:
        lines.append(
            f"Scores: stability index {score.distance.index:.3f}, distance "
            f"{score.distance.gap:.3f}; {which(score)}."
        )
    lines.append(promises(found))
    lines += [f"ALARM {alarm}" for alarm in found.alarms] or ["No alarm."]
    return lines


def promises(found: Drift) -> str:
    """What became of published probabilities."""
    matured = found.matured
    if matured is None:
        if found.matures is None:
            return "Promises: not matured; nothing was published that can be compared."
        return f"Promises: not matured; the first label window ends {found.matures:%Y-%m-%d}."
    said = matured.figures
    return (
        f"Promises of {matured.cutoff:%Y-%m-%d}, {found.horizon_days} days: "
        f"{said.promised:.1%} promised, {said.bought:.1%} of {said.customers:,} bought; "
        + "; ".join(f"{name} {text}" for name, text, _ in figures(matured))
        + "."
    )


def figures(matured: Matured) -> list[tuple[str, str, str]]:
    """Name, what was realised with its interval, and what the evaluation had."""
    said, expected = matured.figures, matured.expected
    rows: list[tuple[str, Interval, str]] = [
        ("calibration error", said.ece, "ece"),
        ("bought less promised", said.gap, ""),
        ("slope", said.slope, ""),
        ("AUC", said.auc, "auc"),
        ("Brier", said.brier, "brier"),
    ]
    return [
        (name, _interval(one), f"{expected[key]:.3f}" if key in expected else "")
        for name, one, key in rows
    ]


def _interval(one: Interval) -> str:
    if one.value != one.value:
        return "not defined"
    return f"{one.value:.3f} ({one.low:.3f} to {one.high:.3f})"


def write(found: Drift, limits: DriftConfig, folder: Path) -> tuple[Path, Path]:
    """A page that needs no other file, and the figures beside it.

    Returns:
        The page and the figures.
    """
    page, numbers = folder / "drift.html", folder / REPORT
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    shifts, matured = found.shifts, found.matured
    pictures = [
        (
            "Which features moved?",
            "Red: spread as the model has never seen. Light: as on a day, or as usual.",
            drift_pictures.features(shifts.features, limits.stability_index),
        ),
        (
            "Did the scores move?",
            "Tenths of the customers by the model's probability when it was trained.",
            drift_pictures.scores(shifts.score_then, shifts.score_now),
        ),
        (
            "Did promises come true?",
            promises(found)
            if matured is None
            else "Ten groups by promise; 95% intervals.",
            drift_pictures.calibration(matured.figures.tenths) if matured else None,
        ),
    ]
    text = environment.get_template("drift.html.j2").render(
        found=found,
        limits=limits,
        summary=[line for line in summary(found) if "ALARM" not in line],
        moved=told(found),
        which=which,
        chance=chance,
        bad=DRIFTED,
        figures=figures(matured) if matured else [],
        pictures=[(a, b, Markup(c) if c else None) for a, b, c in pictures],  # noqa: S704
    )
    folder.mkdir(parents=True, exist_ok=True)
    with whole(page) as place:
        place.write_text(text, encoding="utf-8")
    write_json(found.to_json(), numbers)
    return page, numbers
