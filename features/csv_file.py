"""Reads CSV by its first line, with no guess at what the rows mean.

DuckDB's own detection takes a damaged file for one of another dialect, and reads
it wrongly without a word. Here the first line decides names and delimiter, and
every line after it must fit.
"""

from __future__ import annotations

import codecs
import csv
import re
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

from features.contracts import ContractError
from features.sql import path, quoted

DELIMITERS = (",", ";", "\t", "|")

_CHUNK = 1 << 20
_LONGEST_HEADER = 1 << 20
_UNNAMED = "__unnamed"


def reader(file: Path, table: str, ours: Iterable[str]) -> str:
    """SQL to select from: every column of the file, as text.

    Columns without a name, such as an index that was exported along, are left out.

    Args:
        file: UTF-8, with names in its first line that is not empty, quotes as in
            RFC 4180, and one of ``DELIMITERS``.
        table: for messages.
        ours: column names of the contract; they tell the delimiter.

    Raises:
        ContractError: not UTF-8, no names, or a name twice.
        OSError: the file cannot be read.
    """
    _reject_encoding(file, table)
    with file.open(encoding="utf-8-sig", newline=None) as lines:
        skipped, header = 0, lines.readline(_LONGEST_HEADER)
        while header and not header.strip():
            skipped, header = skipped + 1, lines.readline(_LONGEST_HEADER)
    delimiter, names = _names(header, {name.lower() for name in ours})
    if not names:
        raise ContractError(
            f"{table}: expected the names of columns in the first line, got none of "
            f"ours in {file.name}; write a header in the export"
        )
    twice = [
        n for n, count in Counter(n.lower() for n in names if n).items() if count > 1
    ]
    if twice:
        raise ContractError(
            *(
                f"{table}.{name}: expected one column of that name, got more than one "
                f"in {file.name}; rename or drop the others"
                for name in twice
            )
        )
    unnamed = [i for i, name in enumerate(names) if not name]
    names = [name or f"{_UNNAMED}{i}" for i, name in enumerate(names)]
    columns = ", ".join(f"{quoted(name)}: 'VARCHAR'" for name in names)
    rows = (
        f"read_csv({path(file)}, auto_detect = false, header = true, "
        f"skip = {skipped}, delim = {quoted(delimiter)}, quote = '\"', escape = '\"', "
        f"strict_mode = true, columns = {{{columns}}})"
    )
    if not unnamed:
        return rows
    left_out = ", ".join(f"{_UNNAMED}{i}" for i in unnamed)
    return f"(SELECT * EXCLUDE ({left_out}) FROM {rows})"


def explain(table: str, file: str, error: str) -> str | None:
    """What DuckDB says of a line of CSV, as one line of ours; None: nothing of it."""
    line = re.search(r"CSV Error on Line: (\d+)", error)
    if not line:
        return None
    where = f"in line {line[1]} of {file}"
    found = re.search(r"Expected Number of Columns: (\d+) Found: (\d+)", error)
    if found:
        return (
            f"{table}: expected {found[1]} values in every line, got {found[2]} {where}; "
            "the file is cut off, or a value with a delimiter needs quotes: export it again"
        )
    if "unterminated quote" in error:
        return (
            f"{table}: expected every quote to be closed, got an open one {where}; "
            "the file is cut off, or a quote within a value needs another one: export "
            "it again"
        )
    if "Maximum line size" in error:
        return (
            f"{table}: expected lines of up to 2 MB, got a longer one {where}; "
            "look for a quote that is not closed, and export it again"
        )
    return None


def _names(header: str, ours: set[str]) -> tuple[str, list[str]]:
    """The delimiter that gives most names of ours, and all names."""
    best: tuple[int, str, list[str]] = (0, ",", [])
    for delimiter in DELIMITERS:
        try:
            row = next(csv.reader([header], delimiter=delimiter, strict=True), [])
        except csv.Error:
            continue
        names = [name.strip() for name in row]
        known = sum(name.lower() in ours for name in names)
        if known > best[0]:
            best = known, delimiter, names
    return best[1], best[2]


def _reject_encoding(file: Path, table: str) -> None:
    # Before DuckDB sees it: of the columns that a query does not need it checks no
    # text, and in some versions it breaks down over what it finds there.
    decoder = codecs.getincrementaldecoder("utf-8")()
    lines_before = 0
    with file.open("rb") as chunks:
        while chunk := chunks.read(_CHUNK):
            try:
                decoder.decode(chunk)
                bad = chunk.find(b"\0")
            except UnicodeDecodeError as error:
                bad = min(error.start, len(chunk))
            if bad >= 0:
                line = lines_before + chunk.count(b"\n", 0, bad) + 1
                raise ContractError(
                    f"{table}: expected text in UTF-8, got something else in line {line} "
                    f"of {file.name}; export it as CSV in UTF-8"
                )
            lines_before += chunk.count(b"\n")
