from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import numpy as np

from features.history import History
from features.snapshot import to_us
from training.fresh_basis import popular_log_odds
from training.fresh_window import fresh_between
from training.since import ASKED, BOUGHT, CARTED, RETURNED, VIEWED

ReadHistory = Callable[..., History]
START, END = datetime(2024, 3, 1), datetime(2024, 3, 8)
TICK = timedelta(microseconds=1)


def line(ts: datetime, quantity: float = 1.0, **more: Any) -> dict[str, Any]:
    return {
        "customer_id": "a",
        "product_id": "tea",
        "ts": ts,
        "order_id": f"{ts}",
        "quantity": quantity,
        "amount": quantity,
        **more,
    }


def look(ts: datetime, kind: str = "view", product: str | None = "tea") -> Any:
    return {"customer_id": "a", "product_id": product, "ts": ts, "kind": kind}


def between(history: History) -> list[tuple[int, float]]:
    events = fresh_between(history, to_us(START), to_us(END)).of(0)
    return sorted(zip(events.kind.tolist(), events.quantity.tolist(), strict=True))


def test_the_delay_is_half_open(read_history: ReadHistory) -> None:
    rows = [
        line(START - TICK, 1),
        line(START, 2),
        line(END - TICK, 3),
        line(END, 4),
        line(START + TICK, 5, known_at=END),
    ]
    rows = [{"known_at": row["ts"], **row} for row in rows]
    history = read_history({"purchases": rows}, END + timedelta(days=1))
    assert between(history) == [(BOUGHT, 2.0), (BOUGHT, 3.0)]


def test_events_of_all_tables_have_their_kinds(read_history: ReadHistory) -> None:
    day = timedelta(days=1)
    tables = {
        # A shop has a customer with two orders.
        "purchases": [line(START - day), line(START), line(START + day, -2)],
        "browses": [
            look(START),
            look(START, "search"),
            look(START, "cart"),
            look(START, "view", None),
        ],
        "inquiries": [look(START, "presale"), look(START, "complaint")],
    }
    assert between(read_history(tables, END)) == [
        (BOUGHT, 1.0),
        (RETURNED, 2.0),
        (VIEWED, 1.0),
        (VIEWED, 1.0),
        (CARTED, 1.0),
        (ASKED, 1.0),
    ]


def test_what_nobody_bought_lately_has_half_the_least_chance() -> None:
    odds = popular_log_odds(np.array([2, 0]), np.array([0.2, 0.0]), 3)
    assert np.allclose(1 / (1 + np.exp(-odds)), [0.1, 0.1, 0.2])
