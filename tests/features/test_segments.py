from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import numpy as np

from features.history import History
from features.segments import segments_at
from features.snapshot import to_us

ReadHistory = Callable[..., History]
CUTOFF = datetime(2024, 3, 1)
DAY = timedelta(days=1)


def line(customer: str, days: float, channel: str | None) -> dict[str, Any]:
    return {
        "customer_id": customer,
        "product_id": "milk",
        "ts": CUTOFF - days * DAY,
        "order_id": f"{customer} {days}",
        "quantity": 1.0,
        "amount": 1.0,
        "channel": channel,
    }


def test_a_customer_belongs_to_channels_by_recent_lines(
    read_history: ReadHistory,
) -> None:
    rows = [line("a", 60, "web"), line("a", 120, "shop"), line("b", 5, "shop")]
    rows += [line("c", 5, None), line("a", 0, "shop"), line("b", 6, "shop")]
    history = read_history({"purchases": rows}, CUTOFF + DAY)
    found = segments_at(history, to_us(CUTOFF), "channel", 8)
    # The line at the cutoff does not count; a's older line weighs half.
    assert found.words == ("shop", "web")
    expected = np.array([[1 / 3, 2 / 3], [1, 0], [0, 0]], np.float32)
    assert np.allclose(found.belongs.toarray(), expected)


def test_small_channels_stand_for_no_segment(read_history: ReadHistory) -> None:
    rows = [line("a", 5, "web"), line("b", 5, "shop"), line("b", 6, "shop")]
    history = read_history({"purchases": rows}, CUTOFF)
    found = segments_at(history, to_us(CUTOFF), "channel", 1)
    assert found.words == ("shop",)
    assert found.belongs.toarray().tolist() == [[0.0], [1.0]]
    counts = found.lines(history, np.arange(3), np.zeros(3, np.int32), 1)
    assert counts.tolist() == [[2.0]]


def test_the_profile_in_force_tells_the_segment(read_history: ReadHistory) -> None:
    rows = [line("a", 5, None), line("b", 5, None), line("b", 6, None)]
    profiles = [
        {"customer_id": "a", "valid_from": CUTOFF - 9 * DAY, "segment": "young"},
        {"customer_id": "a", "valid_from": CUTOFF + DAY, "segment": "old"},
        {"customer_id": "b", "valid_from": CUTOFF, "segment": "old"},
    ]
    history = read_history({"purchases": rows, "customers": profiles}, CUTOFF + 9 * DAY)
    found = segments_at(history, to_us(CUTOFF), "segment", 8)
    assert found.words == ("young",)
    assert found.belongs.toarray().tolist() == [[1.0], [0.0]]
    counts = found.lines(history, np.arange(3), np.zeros(3, np.int32), 1)
    assert counts.tolist() == [[1.0]]


def test_without_the_table_nobody_belongs_anywhere(read_history: ReadHistory) -> None:
    history = read_history(
        {"purchases": [line("a", 5, None), line("a", 6, None)]}, CUTOFF
    )
    for by in ("region", "channel"):
        found = segments_at(history, to_us(CUTOFF), by, 8)
        assert found.words == ()
        assert found.belongs.nnz == 0
