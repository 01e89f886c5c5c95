"""The quality of the input as sentences, for a terminal, a page and a program.

The figures are finished (``features.scores``); here they are put in order.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from rich.console import Console
from rich.table import Table

from features.contracts import CUSTOMERS, TABLES, SettingError
from features.profile import UNDATED
from features.scores import ALLOWED_GAPS, Share, TableScore
from features.scratch import whole
from serving.problems import Problem, problems
from training.report import write_json

PARTS = ("completeness", "validity", "uniqueness", "freshness", "integrity")


@dataclass(frozen=True)
class Checkup:
    """The quality of all tables.

    Attributes:
        source: where the tables were read from, for people.
        moment: for freshness; None: it was not measured.
        minimum: share of correct records that every table must reach.
    """

    source: str
    moment: datetime | None
    minimum: float
    tables: tuple[TableScore, ...]

    @property
    def correct(self) -> Share:
        """Correct records over all tables."""
        return Share(
            sum(t.correct.numerator for t in self.tables),
            sum(t.correct.denominator for t in self.tables),
        )

    @property
    def score(self) -> float | None:
        """Mean of the tables' scores; None where no table has rows."""
        scores = [t.score for t in self.tables if t.score is not None]
        return sum(scores) / len(scores) if scores else None

    @property
    def below(self) -> tuple[TableScore, ...]:
        """Tables whose share of correct records is below the minimum."""
        return tuple(
            t
            for t in self.tables
            if t.correct.value is not None and t.correct.value < self.minimum
        )

    @property
    def absent(self) -> tuple[str, ...]:
        """Tables that are not there."""
        there = {t.table for t in self.tables}
        return tuple(t.name for t in TABLES if t.name not in there)

    @property
    def problems(self) -> tuple[Problem, ...]:
        """What to mend, worst first: by share of the table, then by count."""
        found = [p for table in self.tables for p in problems(table, self.moment)]
        return tuple(sorted(found, key=lambda p: (-p.share, -p.count, p.table, p.what)))


def show(console: Console, found: Checkup) -> None:
    """One table of scores, then what to mend, worst first."""
    scores = _table("table", "rows", "score", *PARTS, "correct records")
    for table in found.tables:
        scores.add_row(
            table.table,
            f"{table.rows:,}",
            percent(table.score),
            *(percent(table.parts[name].value) for name in PARTS),
            percent(table.correct.value),
            style="bold red" if table in found.below else None,
        )
    console.print(scores)
    problems = found.problems
    if problems:
        worst = _table("problem", "count", "of", "share", "what to do", left=(0, 4))
        for p in problems:
            worst.add_row(
                f"{p.table}: {p.what}",
                f"{p.count:,.0f}",
                f"{p.of:,.0f}",
                percent(p.share),
                p.do,
            )
        console.print(worst)
    for line in summary(found):
        console.print(line, highlight=False, markup=False, soft_wrap=True)


def summary(found: Checkup) -> list[str]:
    """The verdict, in sentences."""
    correct = found.correct
    lines = [
        f"Correct records: {correct.numerator:,.0f} of {correct.denominator:,.0f}, "
        f"{percent(correct.value)}: rows that keep the contract, repeat no other, and "
        "whose ids all lead to a row."
    ]
    if found.absent:
        lines.append(f"Not there, so nothing is known of: {', '.join(found.absent)}.")
    lines += [
        f"{UNDATED}."
        for table in found.tables
        if table.table == CUSTOMERS.name and "valid_from" in table.absent
    ]
    if found.moment is None:
        lines.append("Freshness needs a moment: give --cutoff DATE.")
    lines += [
        f"{table.table}: {percent(table.correct.value)} correct records, below the "
        f"minimum of {percent(found.minimum)} (quality.minimum_score)."
        for table in found.below
    ]
    if not found.below:
        lines.append(f"Every table reaches the minimum of {percent(found.minimum)}.")
    return lines


def percent(share: float | None) -> str:
    """One decimal, never rounded up to all or down to nothing."""
    if share is None:
        return "n/a"
    if 0.9995 <= share < 1:
        return ">99.9%"
    if 0 < share < 0.0005:
        return "<0.1%"
    return f"{share:.1%}"


def figures(found: Checkup) -> dict[str, Any]:
    """Everything, as JSON takes it."""
    return {
        "source": found.source,
        "moment": found.moment.isoformat() if found.moment else None,
        "minimum_score": found.minimum,
        "passed": not found.below,
        "score": found.score,
        "correct": _share(found.correct),
        "absent": list(found.absent),
        "problems": [{**vars(p), "share": p.share} for p in found.problems],
        "tables": [
            {
                "table": t.table,
                "file": t.file,
                "rows": t.rows,
                "score": t.score,
                "correct": _share(t.correct),
                "parts": {name: _share(share) for name, share in t.parts.items()},
                "columns": {name: _share(share) for name, share in t.columns.items()},
                "references": {n: _share(share) for n, share in t.references.items()},
                "reasons": dict(t.reasons),
                "absent": list(t.absent),
                "newest": t.newest.isoformat() if t.newest else None,
                "known_before_they_happened": t.early,
            }
            for t in found.tables
        ],
    }


def write(found: Checkup, file: Path) -> tuple[Path, Path]:
    """Write a page that needs no other file, and the figures beside it.

    Args:
        found: what to write.
        file: of the page or of the figures; the other gets the same name with
            the other suffix.

    Returns:
        The page and the figures.

    Raises:
        SettingError: the folder cannot be written.
    """
    page, numbers = file.with_suffix(".html"), file.with_suffix(".json")
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    text = environment.get_template("checkup.html.j2").render(
        found=found,
        summary=summary(found),
        percent=percent,
        parts=PARTS,
        gaps=ALLOWED_GAPS,
    )
    try:
        page.parent.mkdir(parents=True, exist_ok=True)
        with whole(page) as place:
            place.write_text(text, encoding="utf-8")
        write_json(figures(found), numbers)
    except OSError as error:
        raise SettingError(
            f"--out: expected a file that can be written, got {file} "
            f"({error.strerror}); choose another one"
        ) from None
    return page, numbers


def _share(share: Share) -> dict[str, float | None]:
    return {
        "value": share.value,
        "numerator": share.numerator,
        "denominator": share.denominator,
    }


def _table(*names: str, left: Sequence[int] = (0,)) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim")
    for place, name in enumerate(names):
        table.add_column(name, justify="left" if place in left else "right")
    return table
