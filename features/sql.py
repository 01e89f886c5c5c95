"""Texts, names and paths as SQL."""

from __future__ import annotations

import re
from pathlib import Path


def quoted(text: str) -> str:
    """The text as an SQL string."""
    return "'" + text.replace("'", "''") + "'"


def identifier(name: str) -> str:
    """Any column name, as SQL."""
    return '"' + name.replace('"', '""') + '"'


def path(file: Path) -> str:
    """The path as an SQL string in which DuckDB's readers look for no pattern."""
    return quoted(re.sub(r"([*?\[])", r"[\1]", str(file)))
