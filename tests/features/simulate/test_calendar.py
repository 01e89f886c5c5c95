"""When the simulated people shop."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from features.simulate import Truths
from features.simulate.calendar import calendar_of


def test_both_clocks_agree_at_every_monday_and_keep_a_fortnight(few: Truths) -> None:
    calendar = calendar_of(few)
    mondays = calendar.us(np.arange(0, 700, 7.0))
    week = 7 * 86_400_000_000
    assert set(np.diff(mondays)) == {week}
    days = np.random.default_rng(0).uniform(14, 300, 1000)
    apart = calendar.us(days) - calendar.us(days - 14)
    # Each is rounded down to its second.
    assert np.abs(apart - 2 * week).max() <= 1_000_000


def test_span_is_the_arguments(few: Truths) -> None:
    calendar = calendar_of(few)
    edges = calendar.us(np.array([calendar.first, calendar.last]))
    expected = np.array([few.start, few.end], "datetime64[us]").astype(np.int64)
    assert list(edges) == list(expected)


def test_people_shop_on_saturdays_and_in_the_afternoon(drawn: Any) -> None:
    days = drawn.ask(
        "SELECT count(*) FROM purchases GROUP BY isodow(ts) ORDER BY isodow(ts)"
    )
    counts = np.array([row[0] for row in days])
    assert counts.argmax() == 5
    assert counts.argmin() == 6
    night = drawn.one("SELECT avg((hour(ts) < 7)::int) FROM purchases")
    assert night == pytest.approx(0.7 / 20.2, abs=0.01)


@pytest.mark.parametrize("table", ["purchases", "browses", "inquiries", "feedback"])
def test_events_lie_in_the_span_between_joining_and_the_end(
    few: Truths, drawn: Any, table: str
) -> None:
    low, high, early = drawn.ask(
        f"SELECT min(ts), max(ts), count(*) FILTER (WHERE ts < active_from) "
        f"FROM {table} JOIN true_customers USING (customer_id)",
    )[0]
    assert low >= few.start
    assert high < few.end
    assert early == 0
