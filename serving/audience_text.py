"""Lines of an audience as CSV and JSON, a few at a time, in bounded memory."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Iterator
from itertools import islice

from pydantic_core import to_json

from serving.audience import Line

_AT_ONCE = 1000

COLUMNS = (
    "customer_id",
    "rank",
    "score",
    "product_group",
    "due_at",
    "alert",
    "churn_risk",
)
"""Of CSV; then ``product_id_1``, ``probability_1``, ``reason_1`` and so on."""

_OF_PRODUCT = ("product_id", "probability", "reason")


def as_csv(lines: Iterable[Line], offers: int) -> Iterator[bytes]:
    """CSV with a header; null is empty, flags are true and false.

    Args:
        lines: in order.
        offers: products a line at most; lines with fewer are filled up.
    """
    numbered = (f"{name}_{at}" for at in range(1, offers + 1) for name in _OF_PRODUCT)
    yield _rows([[*COLUMNS, *numbered]])
    left = iter(lines)
    while some := list(islice(left, _AT_ONCE)):
        yield _rows([_row(line, offers) for line in some])


def _row(line: Line, offers: int) -> list[object]:
    alert = line["alert"]
    row: list[object] = [
        line["customer_id"],
        line["rank"],
        line["score"],
        line["product_group"],
        line["due_at"],
        None if alert is None else str(alert).lower(),
        line["churn_risk"],
    ]
    for offer in line["products"]:
        row += (offer["product_id"], offer["probability"], offer["reason"])
    return row + [None] * (len(COLUMNS) + len(_OF_PRODUCT) * offers - len(row))


def _rows(rows: Iterable[Iterable[object]]) -> bytes:
    text = io.StringIO(newline="")
    csv.writer(text, lineterminator="\n").writerows(rows)
    return text.getvalue().encode()


def as_json(lines: Iterable[Line]) -> Iterator[bytes]:
    """A JSON array, a line each."""
    left, before = iter(lines), b"[\n"
    while some := list(islice(left, _AT_ONCE)):
        yield before + b",\n".join(to_json(line) for line in some)
        before = b",\n"
    yield b"[]\n" if before == b"[\n" else b"\n]\n"
