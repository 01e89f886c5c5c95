"""Events that go with another one, and since when that is known."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from features.followed import ANY_BEFORE, Span, after, followed, known_from, within
from features.history import Events, offsets_of
from features.snapshot import DAY_US

N_CUSTOMERS = 3
Row = tuple[int, int, int, int]
"""Customer, time, microseconds from the time to the moment it was known, key."""


def events(*rows: Row) -> Events:
    columns = np.array(sorted(rows), np.int64).reshape(-1, 4)
    customer = columns[:, 0].astype(np.int32)
    return Events(
        customer=customer,
        ts=columns[:, 1],
        known_at=columns[:, 1] + columns[:, 2],
        columns={"product": columns[:, 3].astype(np.int32)},
        words={},
        offsets=offsets_of(customer, N_CUSTOMERS),
    )


def moments(found: Events) -> list[tuple[int, int, int]]:
    arrays = (found.customer, found.ts, found.known_at)
    return list(zip(*(a.tolist() for a in arrays), strict=True))


MONTH = 30 * DAY_US


@pytest.mark.parametrize(
    ("gap", "goes"), [(-1, False), (0, True), (MONTH - 1, True), (MONTH, False)]
)
def test_afterwards_begins_at_the_moment_and_is_half_open(
    gap: int, *, goes: bool
) -> None:
    found = followed(events((0, 100, 0, 1)), events((0, 100 + gap, 0, 1)), within(30))
    assert moments(found) == ([(0, 100, 100 + gap)] if goes else [])


@pytest.mark.parametrize(
    ("gap", "goes"),
    [(-14 * DAY_US - 1, False), (-14 * DAY_US, True), (0, True), (1, False)],
)
def test_beforehand_ends_at_the_moment(gap: int, *, goes: bool) -> None:
    found = followed(events((0, 100, 0, 1)), events((0, 100 + gap, 0, 1)), after(14))
    assert moments(found) == ([(0, 100, 100)] if goes else [])


def test_an_event_does_not_come_before_itself() -> None:
    lines = events((0, 5, 0, 1), (0, 5, 0, 1), (0, 9, 0, 1), (1, 20, 0, 1))
    assert moments(followed(lines, lines, ANY_BEFORE, by="product")) == [(0, 9, 9)]


def test_both_must_be_of_one_customer_and_share_a_known_key() -> None:
    carts = events((0, 5, 0, 1), (0, 5, 0, 2), (0, 5, 0, -1), (1, 5, 0, 1))
    lines = events((0, 8, 0, 2), (0, 9, 0, -1), (2, 7, 0, 1))
    found = followed(carts, lines, within(30), by="product")
    assert moments(found) == [(0, 5, 8)]
    assert found.columns["product"].tolist() == [2]
    assert found.offsets.tolist() == [0, 1, 1, 1]


@pytest.mark.parametrize(
    ("late_cart", "late_line", "known"), [(0, 0, 8), (0, 90, 98), (90, 0, 95)]
)
def test_it_is_known_when_both_are_and_have_happened(
    late_cart: int, late_line: int, known: int
) -> None:
    found = followed(
        events((0, 5, late_cart, 1)), events((0, 8, late_line, 1)), within(30)
    )
    assert moments(found) == [(0, 5, known)]


def test_of_several_the_one_known_first_counts() -> None:
    lines = events((0, 2 * DAY_US, 9 * DAY_US, 1), (0, 3 * DAY_US, 0, 1))
    lines_known_in_turn = events((0, 2 * DAY_US, 0, 1), (0, 3 * DAY_US, 0, 1))
    cart = events((0, 0, 0, 1))
    found = followed(cart, lines, within(30))
    assert moments(found) == [(0, 0, 3 * DAY_US)]
    assert found.columns["days_apart"].tolist() == [3.0]
    found = followed(cart, lines_known_in_turn, within(30))
    assert found.columns["days_apart"].tolist() == [2.0]


def test_rows_are_in_order_of_the_moments_they_were_known() -> None:
    rows = events((0, 5, 0, 1), (0, 5, 0, 2), (1, 3, 0, 1))
    found = known_from(rows, np.array([9, 8, 7]))
    assert moments(found) == [(0, 5, 8), (0, 5, 9), (1, 3, 7)]
    assert found.columns["product"].tolist() == [2, 1, 1]


def test_of_several_known_before_the_event_was_the_one_that_came_first_counts() -> None:
    # The second line is known before the first; the cart after both, or between them.
    half = DAY_US // 2
    lines = events((0, half, 3 * half, 1), (0, 2 * half, 0, 1))
    found = followed(events((0, 0, 4 * half, 1)), lines, within(30))
    assert moments(found) == [(0, 0, 4 * half)]
    assert found.columns["days_apart"].tolist() == [0.5]
    found = followed(events((0, 0, 3 * half, 1)), lines, within(30))
    assert moments(found) == [(0, 0, 3 * half)]
    assert found.columns["days_apart"].tolist() == [1.0]


def test_many_that_became_known_in_reverse_order_are_told_apart() -> None:
    # Event i of n is known at 2 n - i; the last before row i is i - 1.
    n = 20_000
    rows = events(*((0, i, 2 * (n - i), 1) for i in range(n)))
    found = followed(rows, rows, ANY_BEFORE)
    assert found.ts.tolist() == list(range(1, n))
    assert found.known_at.tolist() == [2 * n - i + 1 for i in range(1, n)]
    assert set(found.columns["days_apart"].tolist()) == {1 / DAY_US}


ROWS = st.lists(
    st.tuples(
        st.integers(0, N_CUSTOMERS - 1),
        st.integers(0, 12),
        st.integers(-3, 12),
        st.integers(-1, 1),
    ),
    max_size=40,
)


@given(rows=ROWS, others=ROWS, least=st.integers(-6, 6), length=st.integers(1, 8))
def test_it_equals_every_pair_looked_at(
    rows: list[Row], others: list[Row], least: int, length: int
) -> None:
    expected: list[tuple[int, int, int, float]] = []
    in_order = events(*others)
    columns = (in_order.customer, in_order.ts, in_order.known_at)
    partners = list(
        zip(*(a.tolist() for a in (*columns, in_order.columns["product"])), strict=True)
    )
    for c, ts, late, key in rows:
        # Of those known first the one that comes first.
        both = [
            (max(ts, ts + late, other_ts, other_known), place, abs(other_ts - ts))
            for place, (other_c, other_ts, other_known, other_key) in enumerate(
                partners
            )
            if c == other_c and key == other_key >= 0
            if least <= other_ts - ts < least + length
        ]
        if both:
            moment, _, apart = min(both)
            expected.append((c, ts, moment, apart / DAY_US))
    span = Span(least, least + length)
    found = followed(events(*rows), in_order, span, by="product")
    apart = found.columns["days_apart"].tolist()
    made = [(*row, days) for row, days in zip(moments(found), apart, strict=True)]
    assert sorted(made) == sorted(expected)
    assert moments(found) == [row[:3] for row in sorted(expected)]


@given(rows=ROWS, others=ROWS, cutoff=st.integers(0, 15))
def test_what_is_seen_at_a_moment_does_not_depend_on_what_came_later(
    rows: list[Row], others: list[Row], cutoff: int
) -> None:
    def seen(a: list[Row], b: list[Row]) -> list[tuple[object, ...]]:
        found = followed(events(*a), events(*b), within(1), by="product")
        found = found.take(found.before(cutoff))
        return [*zip(moments(found), found.columns["days_apart"], strict=True)]

    def known(a: list[Row]) -> list[Row]:
        return [r for r in a if r[1] < cutoff and r[1] + r[2] < cutoff]

    assert seen(rows, others) == seen(known(rows), known(others))
