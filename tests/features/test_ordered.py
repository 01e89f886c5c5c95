from __future__ import annotations

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from features.ordered import codes_within, in_order

WORD = st.integers(-(2**63), 2**63 - 1)
SMALL = st.integers(-2, 2)


def check_order(rows: list[tuple[int, ...]], customer: list[int], n: int) -> None:
    words = np.array(rows, np.int64).reshape(-1, 4)
    codes = np.array(customer, np.int32)
    found, offsets = in_order(words, codes, n)
    expected = [
        sorted(row[1:] for row, c in zip(rows, customer, strict=True) if c == code)
        for code in range(n)
    ]
    sizes = [len(one) for one in expected]
    assert offsets.tolist() == np.concatenate(([0], np.cumsum(sizes))).tolist()
    assert found.shape == (3, sum(sizes))
    assert [tuple(row) for row in found.T.tolist()] == [
        row for one in expected for row in one
    ]


# Few different values, so that many rows tie in their first words.
TIED = st.tuples(WORD, SMALL, SMALL, st.integers(0, 1) | WORD)


@settings(deadline=None)
@given(st.lists(st.tuples(st.integers(-1, 3), TIED), max_size=150))
@example([])
def test_rows_are_in_the_order_of_a_sort(
    drawn: list[tuple[int, tuple[int, ...]]],
) -> None:
    check_order([row for _, row in drawn], [c for c, _ in drawn], 4)


@pytest.mark.parametrize("n", [15, 16, 17, 31, 32, 33, 48, 1000, 1025, 3000])
@pytest.mark.parametrize("shape", ["random", "ascending", "descending", "tied", "runs"])
def test_a_customer_of_many_rows_is_in_the_order_of_a_sort(n: int, shape: str) -> None:
    rng = np.random.default_rng(n)
    at = np.arange(n)
    ts = {
        "random": rng.integers(-(2**62), 2**62, n),
        "ascending": at,
        "descending": -at,
        "tied": np.zeros(n, np.int64),
        "runs": at % 97,
    }[shape]
    rest = rng.integers(0, 3, (n, 2)) if shape == "tied" else rng.integers(0, n, (n, 2))
    rows = [tuple(row) for row in np.column_stack([at, ts, rest]).tolist()]
    check_order(rows, (at % 13 == 0).astype(int).tolist(), 2)
    check_order(rows, [0] * n, 1)


KEY = WORD | st.integers(-3, 3).map(lambda k: k << 40)


@settings(deadline=None)
@given(st.lists(st.lists(KEY, max_size=40), max_size=6))
def test_codes_within_equal_a_dict_of_each_customer(customers: list[list[int]]) -> None:
    expected: list[int] = []
    for keys in customers:
        codes: dict[int, int] = {}
        expected += [codes.setdefault(key, len(codes)) for key in keys]
    flat = np.array([key for keys in customers for key in keys], np.int64)
    offsets = np.cumsum([0, *map(len, customers)], dtype=np.int64)
    assert codes_within(flat, offsets).tolist() == expected


def test_codes_within_hold_for_a_customer_of_many_keys_after_a_small_one() -> None:
    many = np.arange(5000, dtype=np.int64) << 20
    keys = np.concatenate([[5], many, many[::-1], [many[7]]])
    offsets = np.array([0, 1, 10_001, 10_002])
    expected = [0, *range(5000), *reversed(range(5000)), 0]
    assert codes_within(keys, offsets).tolist() == expected
