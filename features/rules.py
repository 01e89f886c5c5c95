"""What makes a row bad by itself: the contract's rules, as SQL."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from features.columns import CALLED, is_unreadable
from features.contracts import Column
from features.sources import Source
from features.sql import quoted

UNREADABLE = "__unreadable"
"""Column of ``read_TABLE``: the first value of CSV that cannot be read, or null."""

_RULES: Mapping[str, tuple[tuple[str, str], ...]] = {
    "feedback": (
        (
            "kind = 'nps' AND score NOT BETWEEN 0 AND 10",
            "score: not from 0 to 10, the scale of nps",
        ),
    ),
    "campaigns": (("ends_at < starts_at", "ends_at: before starts_at"),),
    "promotions": (("ends_at < starts_at", "ends_at: before starts_at"),),
    "picks": (("rank <> floor(rank)", "rank: not a whole number"),),
}
"""What columns must keep together, or by more than their type: SQL of a bad row,
and its reason. A row that was known before it happened is good: it is read once both
moments lie before the cutoff."""

_PLAUSIBLE = ("ts", "joined_at", "birthday")
_YEARS = (1900, 2199)
"""Years of moments that happened. Of other times an end of the calendar may mean
"always" or "never"."""


def unreadable_reason(source: Source, found: Mapping[str, str]) -> str:
    """SQL: the first value of a row of CSV that cannot be read, or null."""
    cases = " ".join(
        f"WHEN {is_unreadable(c)} THEN '{c.name}: expected {CALLED[c.dtype]}, got text'"
        for c in source.table.columns
        if source.is_csv and c.name in found and c.dtype not in ("text", "id")
    )
    return f"CASE {cases} END" if cases else "NULL::VARCHAR"


def reason(source: Source, found: Mapping[str, str]) -> str:
    """SQL: why a row is bad by itself, or null."""
    table = source.table
    cases = [(f"{UNREADABLE} IS NOT NULL", UNREADABLE)]
    for column in table.columns:
        is_text = not source.is_csv and found.get(column.name) == "VARCHAR"
        cases += [
            (condition, quoted(f"{column.name}: {reason}"))
            for condition, reason in _faults(column, is_text=is_text)
        ]
    rules = _RULES.get(table.name, ())
    cases += [(condition, quoted(reason)) for condition, reason in rules]
    whens = " ".join(f"WHEN {condition} THEN {reason}" for condition, reason in cases)
    return f"CASE {whens} END"


def _faults(column: Column, *, is_text: bool) -> Iterator[tuple[str, str]]:
    """SQL of a bad value, and what is bad about it.

    Args:
        column: the contract's column.
        is_text: its values come as texts that nobody has trimmed.
    """
    name = column.name
    if column.required:
        yield f"{name} IS NULL", "missing"
    if column.dtype == "id" and is_text:
        # Cheaper than to trim, and an id with blanks is a second customer.
        blanks = f"prefix({name}, ' ') OR suffix({name}, ' ')"
        yield f"{name} = '' OR {blanks}", "empty or with blanks around it"
    if column.kinds:
        kinds = ", ".join(quoted(kind) for kind in column.kinds)
        yield f"{name} NOT IN ({kinds})", f"not one of {', '.join(column.kinds)}"
    if column.dtype in ("number", "time"):
        yield f"NOT isfinite({name})", f"not a finite {CALLED[column.dtype]}"
    if name in _PLAUSIBLE:
        low, high = _YEARS
        yield f"{name} < TIMESTAMP '{low}-01-01'", f"before {low}"
        yield f"{name} >= TIMESTAMP '{high + 1}-01-01'", f"after {high}"
    if column.low is not None:
        yield f"{name} < {column.low}", f"below {column.low:g}"
    if column.high is not None:
        yield f"{name} > {column.high}", f"above {column.high:g}"
