"""What a part of the report is: a question, how to read it, the answer, figures.

The page shows all of it, Markdown all but the picture, whose figures are in tables.
"""

from __future__ import annotations

from dataclasses import dataclass

from training.findings import plain
from training.metrics import MODEL


@dataclass(frozen=True)
class Grid:
    """A table of texts; the first column names the line.

    Attributes:
        title: what it shows, or empty.
        head: titles of the columns.
        rows: as many texts as titles.
        ours: first texts of the lines that are set in bold.
        words: places of the columns that hold sentences.
    """

    title: str
    head: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    ours: frozenset[str] = frozenset({plain(MODEL)})
    words: frozenset[int] = frozenset()


@dataclass(frozen=True)
class Section:
    """One question about the scores or the offers.

    Attributes:
        question: that it answers.
        reading: how to read the picture or the table.
        answer: what it shows, in one sentence with a figure.
        picture: SVG; None: there is none, or it is not defined.
        grids: its tables; under a picture they are folded.
    """

    question: str
    reading: str
    answer: str
    picture: str | None
    grids: tuple[Grid, ...]


@dataclass(frozen=True)
class Part:
    """Sections under one title, and a note on all their figures."""

    title: str
    note: str
    sections: list[Section]


def number(value: float, form: str) -> str:
    """A number in a format of Python; "n/a" where it is undefined."""
    return format(value, form) if value == value else "n/a"
