"""Rows of the log in memory: which stay, which go."""

from __future__ import annotations

from itertools import count

import pytest

from serving.recent import Recent, is_fresh
from serving.state.log import LogRow

_BLANK = dict.fromkeys(LogRow._fields)


@pytest.fixture
def row():
    """Rows numbered as they are drawn."""
    numbers = count(1)

    def of(customer="anna", **more) -> LogRow:
        given = {"table": "browses", "kind": "view", "ts_us": 50, "received_us": 60}
        named = {"sequence": next(numbers), "customer_id": customer, **given, **more}
        return LogRow(**(_BLANK | named))

    return of


def test_rows_come_back_as_they_were(row):
    recent = Recent()
    look = row(product_id="p\n1", dwell_seconds=0.1)
    buy = row(table="purchases", kind=None, quantity=-1.0, amount=1e-7, order_id="ö")
    told = row(table="inquiries", resolved=False, ts_us=2**60, received_us=2**60 + 1)
    recent.add([look, buy, told, row("bert")])
    assert recent.of("anna") == [look, buy, told]
    assert recent.of("carl") is None
    assert recent.events == 4


def test_a_row_that_is_read_twice_counts_once(row):
    recent = Recent()
    rows = [row(), row()]
    recent.add(rows)
    recent.add([*rows, row()])
    assert recent.events == 3
    assert recent.sequence == 3


def test_it_holds_so_many_and_lets_the_quietest_customers_go(row):
    recent = Recent(max_events=4, max_per_customer=2)
    recent.add([row(name) for name in ("a", "a", "b", "c")])
    recent.add([row("a", kind="cart"), row("d")])
    # a: the latest two of three; b was quiet for longest when d came, and one too many.
    assert [one.kind for one in recent.of("a")] == ["view", "cart"]
    assert recent.of("b") is None
    assert recent.events == 4
    assert recent.dropped == 2


@pytest.mark.parametrize(
    ("ts", "received", "is_left"),
    [(99, 99, False), (99, 100, True), (100, 99, True), (100, 100, True)],
)
def test_a_version_has_seen_what_had_happened_and_was_received(
    row, ts, received, is_left
):
    one = row(ts_us=ts, received_us=received)
    assert is_fresh(one, 100) == is_left
    recent = Recent()
    recent.add([one, row("bert")])
    recent.drop_before(100)
    assert recent.of("anna") == ([one] if is_left else None)
    assert recent.events == is_left
