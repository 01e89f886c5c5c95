from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import numpy as np
import scipy.sparse as sp

from features.history import History
from features.segments import SegmentCounts, belongs_at, segment_counts
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


def of(history: History, by: Any, most: int = 8) -> tuple[SegmentCounts, Any]:
    """The largest segments, and who belongs to them."""
    counts = segment_counts(history, to_us(CUTOFF), by, 28).largest(most)
    return counts, belongs_at(history, to_us(CUTOFF), by, counts.words)


def test_a_customer_belongs_to_channels_by_recent_lines(
    read_history: ReadHistory,
) -> None:
    rows = [line("a", 60, "web"), line("a", 120, "shop"), line("b", 5, "shop")]
    rows += [line("c", 5, None), line("a", 0, "shop"), line("b", 6, "shop")]
    history = read_history({"purchases": rows}, CUTOFF + DAY)
    found, belongs = of(history, "channel")
    # The line at the cutoff does not count; a's older line weighs half.
    assert found.words == ("shop", "web")
    assert found.size.tolist() == [3, 1]
    expected = np.array([[1 / 3, 2 / 3], [1, 0], [0, 0]], np.float32)
    assert np.allclose(belongs.toarray(), expected)
    # Of the last 28 days: two lines of b, none of a.
    assert found.sold.toarray().tolist() == [[2.0], [0.0]]


def test_small_channels_stand_for_no_segment(read_history: ReadHistory) -> None:
    rows = [line("a", 5, "web"), line("b", 5, "shop"), line("b", 6, "shop")]
    history = read_history({"purchases": rows}, CUTOFF)
    found, belongs = of(history, "channel", most=1)
    assert found.words == ("shop",)
    assert belongs.toarray().tolist() == [[0.0], [1.0]]
    assert found.sold.toarray().tolist() == [[2.0]]


def test_the_profile_in_force_tells_the_segment(read_history: ReadHistory) -> None:
    rows = [line("a", 5, None), line("b", 5, None), line("b", 6, None)]
    profiles = [
        {"customer_id": "a", "valid_from": CUTOFF - 9 * DAY, "segment": "young"},
        {"customer_id": "a", "valid_from": CUTOFF + DAY, "segment": "old"},
        {"customer_id": "b", "valid_from": CUTOFF, "segment": "old"},
    ]
    history = read_history({"purchases": rows, "customers": profiles}, CUTOFF + 9 * DAY)
    found, belongs = of(history, "segment")
    assert found.words == ("young",)
    assert belongs.toarray().tolist() == [[1.0], [0.0]]
    assert found.sold.toarray().tolist() == [[1.0]]


def test_without_the_table_nobody_belongs_anywhere(read_history: ReadHistory) -> None:
    history = read_history(
        {"purchases": [line("a", 5, None), line("a", 6, None)]}, CUTOFF
    )
    for by in ("region", "channel"):
        found, belongs = of(history, by)
        assert found.words == ()
        assert belongs.nnz == 0


def test_groups_of_customers_add_up() -> None:
    one = SegmentCounts(
        ("shop", "web"),
        np.array([3, 1]),
        sp.csr_matrix([[2, 0], [0, 1]]),
        np.array([2.0, 1.0]),
    )
    other = SegmentCounts(
        ("app", "web"),
        np.array([1, 4]),
        sp.csr_matrix([[5, 0], [1, 1]]),
        np.array([6.0, 3.0]),
    )
    both = one + other
    assert both.words == ("app", "shop", "web")
    assert both.size.tolist() == [1, 3, 5]
    assert both.sold.toarray().tolist() == [[5, 0], [2, 0], [1, 2]]
    assert both.shop.tolist() == [8, 4]
    assert both.largest(2).words == ("web", "shop")
