from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import numpy as np
import pytest

from features.history import History
from features.interest import interest_at
from features.snapshot import to_us

ReadHistory = Callable[..., History]
CUTOFF = datetime(2024, 3, 1)
DAY = timedelta(days=1)
MICRO = timedelta(microseconds=1)


def bought(customer: str, product: str, order: str = "") -> dict[str, Any]:
    return {
        "customer_id": customer,
        "product_id": product,
        "ts": CUTOFF - 30 * DAY,
        "order_id": order or customer,
        "quantity": 1.0,
        "amount": 1.0,
    }


def event(kind: str, product: str | None, ts: datetime, **more: Any) -> dict[str, Any]:
    return {"customer_id": "a", "kind": kind, "product_id": product, "ts": ts, **more}


PURCHASES = [bought("a", "milk"), bought("b", "tea"), bought("b", "rye", "b2")]


def test_looks_carts_and_questions_halve_in_fifteen_days(
    read_history: ReadHistory,
) -> None:
    browses = [
        event("view", "tea", CUTOFF - 15 * DAY),
        event("search", "tea", CUTOFF - 30 * DAY),
        event("cart", "rye", CUTOFF - 15 * DAY),
        event("favourite", "rye", CUTOFF - 15 * DAY),
        event("view", None, CUTOFF - DAY),
    ]
    inquiries = [
        event("presale", "tea", CUTOFF - 15 * DAY),
        event("complaint", "milk", CUTOFF - DAY),
    ]
    history = read_history(
        {"purchases": PURCHASES, "browses": browses, "inquiries": inquiries}, CUTOFF
    )
    found = interest_at(history, to_us(CUTOFF))
    ids = history.products.ids
    assert history.customers[found.customer].tolist() == ["a", "a"]
    assert ids[found.item].tolist() == ["rye", "tea"]
    assert found.views.tolist() == [0.0, 0.75]
    assert found.carts.tolist() == [1.0, 0.0]
    assert found.inquiries.tolist() == [0.0, 0.5]
    assert found.last_us.tolist() == [to_us(CUTOFF - 15 * DAY)] * 2
    assert found.offsets.tolist() == [0, 2, 2]


@pytest.mark.parametrize(
    ("ts", "known_at", "counts"),
    [
        (CUTOFF - MICRO, None, True),
        (CUTOFF, None, False),
        (CUTOFF - DAY, CUTOFF, False),
        (CUTOFF - DAY, CUTOFF - MICRO, True),
    ],
)
def test_only_what_was_known_before_the_cutoff_counts(
    read_history: ReadHistory, ts: datetime, known_at: datetime | None, counts: bool
) -> None:
    browses = [event("view", "tea", ts, known_at=known_at or ts)]
    later = CUTOFF + 30 * DAY
    history = read_history({"purchases": PURCHASES, "browses": browses}, later)
    assert len(interest_at(history, to_us(CUTOFF))) == counts


def test_without_browsing_there_is_no_row(read_history: ReadHistory) -> None:
    history = read_history({"purchases": PURCHASES}, CUTOFF)
    found = interest_at(history, to_us(CUTOFF))
    assert len(found) == 0
    assert found.offsets.tolist() == [0, 0, 0]
    assert found.views.dtype == np.float32
