"""Rows of customers in parts, put in one."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st

from features.customer_rows import CustomerRows, GrowingRows, stored, together
from features.mapped import Mapped

A = CustomerRows(
    np.array([0, 2, 2]),
    {"x": np.array([10, 11], np.int8)},
    pa.table({"t": ["a", "b"]}),
)
B = CustomerRows(
    np.array([0, 1]), {"x": np.array([20_000], np.int16)}, pa.table({"t": ["c"]})
)


def test_customers_are_put_in_the_order_asked_for_with_their_rows() -> None:
    # The third of all, who has one row; the second, who has none; the first.
    found = together([A, B], np.array([2, 1, 0]))
    assert found.offsets.tolist() == [0, 1, 1, 3]
    assert found.arrays["x"].tolist() == [20_000, 10, 11]
    assert found.arrays["x"].dtype == np.int16
    assert found.table is not None
    assert found.table["t"].to_pylist() == ["c", "a", "b"]


def test_a_type_is_the_widest_of_all_parts_even_of_those_without_a_row() -> None:
    found = together([A, B.between(0, 0)], np.array([0, 1]))
    assert found.arrays["x"].dtype == np.int16


def test_rows_of_several_kinds_are_read_back_from_one_file(tmp_path: Path) -> None:
    none = A.between(0, 0)
    rows = {"a": A, "none": none, "b": B, "plain": CustomerRows(A.offsets, A.arrays)}
    found = stored(Mapped(tmp_path), "part", rows)
    assert [file.name for file in tmp_path.iterdir()] == ["part"]
    for kind, one in rows.items():
        assert found[kind].offsets.tolist() == one.offsets.tolist()
        assert found[kind].arrays["x"].tolist() == one.arrays["x"].tolist()
        assert found[kind].arrays["x"].dtype == one.arrays["x"].dtype
        assert found[kind].table == one.table


def test_rows_of_customers_who_follow_are_added(tmp_path: Path) -> None:
    growing = GrowingRows(Mapped(tmp_path), "rows")
    for one in (A, A.between(1, 1), A):
        growing.add(one)
    assert (growing.customers, growing.rows) == (4, 4)
    found = growing.read()
    assert found.offsets.tolist() == [0, 2, 2, 4, 4]
    assert found.arrays["x"].tolist() == [10, 11, 10, 11]
    assert found.table is not None
    assert found.table["t"].to_pylist() == ["a", "b", "a", "b"]


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 2)), max_size=12))
def test_cut_into_parts_and_put_together_nothing_changes(
    drawn: list[tuple[int, int]],
) -> None:
    sizes = np.array([size for size, _ in drawn], np.int64)
    part = np.array([part for _, part in drawn], np.int64)
    offsets = np.append(0, np.cumsum(sizes)).astype(np.int64)
    values = np.arange(offsets[-1])
    owner = np.repeat(np.arange(len(sizes)), sizes)
    parts = [
        CustomerRows(
            np.append(0, np.cumsum(sizes[part == n])).astype(np.int64),
            {"x": values[part[owner] == n]},
        )
        for n in range(3)
    ]
    order = np.empty(len(sizes), np.int64)
    order[np.argsort(part, kind="stable")] = np.arange(len(sizes))
    whole = together(parts, order)
    assert whole.offsets.tolist() == offsets.tolist()
    assert whole.arrays["x"].tolist() == values.tolist()
