from __future__ import annotations

import math
import os
import resource
import struct
from collections.abc import Iterator
from itertools import count
from pathlib import Path

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from features.contracts import SettingError
from features.history import Longs
from features.spool import (
    PART_SHIFT,
    Memory,
    Spool,
    codes_within,
    floats_of_words,
    in_order,
    put_floats,
)

ANY = st.floats() | st.sampled_from([0.0, -0.0, math.nan, math.inf, -math.inf, 5e-324])
WORD = st.integers(-(2**63), 2**63 - 1)
SMALL = st.integers(-2, 2)

NUMBERS = count()


def words_of_floats(values: list[float]) -> Longs:
    words = np.full((len(values), 2), 7, np.int64)
    put_floats(np.array(values, np.float64), words, 1)
    assert (words[:, 0] == 7).all()
    return words[:, 1].copy()


@settings(deadline=None)
@given(st.lists(ANY))
def test_floats_come_back_but_for_the_sign_of_zero_and_of_nan(
    values: list[float],
) -> None:
    found = floats_of_words(words_of_floats(values)).tolist()
    for given_value, value in zip(values, found, strict=True):
        expected = math.nan if math.isnan(given_value) else given_value + 0.0
        assert struct.pack("d", value) == struct.pack("d", expected)


@settings(deadline=None)
@given(ANY, ANY)
def test_words_of_floats_have_their_order_and_nan_comes_last(
    one: float, other: float
) -> None:
    left, right = words_of_floats([one, other]).tolist()
    by = [(math.isnan(x), 0.0 if math.isnan(x) else x) for x in (one, other)]
    assert (left < right, left == right) == (by[0] < by[1], by[0] == by[1])


def test_every_nan_is_one_word() -> None:
    bits = np.array([0x7FF8 << 48, 0xFFF8 << 48, 0x7FF0 << 48 | 1], np.uint64)
    assert len(set(words_of_floats(bits.view(np.float64).tolist()))) == 1


def rows_of(rows: list[tuple[int, ...]]) -> Longs:
    return np.array(rows, np.int64).reshape(-1, 4)


def spool_of(
    batches: list[list[tuple[int, ...]]], folder: Path, *, n_parts: int, free: int
) -> Spool:
    spool = Spool(folder / f"rows{next(NUMBERS)}", 4, n_parts, Memory(free))
    for batch in batches:
        spool.add(rows_of(batch))
    return spool


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("spool")


ROWS = st.lists(st.tuples(WORD, SMALL, SMALL, WORD), max_size=12)
BATCHES = st.lists(ROWS, max_size=6)


@settings(deadline=None)
@given(BATCHES, st.integers(1, 7), st.integers(0, 700))
def test_rows_come_back_by_part_in_the_order_they_came_from_memory_and_disk(
    folder: Path, batches: list[list[tuple[int, ...]]], n_parts: int, free: int
) -> None:
    spool = spool_of(batches, folder, n_parts=n_parts, free=free)
    every = [row for batch in batches for row in batch]
    for part in range(n_parts):
        expected = [
            row for row in every if (row[0] % 2**64 >> PART_SHIFT) % n_parts == part
        ]
        found = spool.part(part)
        assert found.shape == (len(expected), 4)
        assert [tuple(row) for row in found.tolist()] == expected
    assert spool.rows == len(every)
    moments = [max(row[1], row[2]) for row in every]
    assert spool.known[0] == min(moments, default=np.iinfo(np.int64).max)


def test_the_first_batch_that_does_not_fit_sends_all_later_ones_to_disk(
    folder: Path,
) -> None:
    # A row is 32 bytes: room for two, then three, then one that would fit.
    batches = [[(i << PART_SHIFT, i, i, i) for i in range(n)] for n in (2, 3, 1)]
    spool = spool_of(batches, folder, n_parts=2, free=64 + 32)
    assert [len(batch) for batch in spool.held] == [2]
    assert spool.path.stat().st_size == 4 * 32
    assert spool.memory.free == 0
    assert spool.part(0)[:, 3].tolist() == [0, 0, 2, 0]
    assert spool.part(1)[:, 3].tolist() == [1, 1]


def test_a_file_that_has_become_shorter_is_an_error_that_names_it(
    folder: Path,
) -> None:
    spool = spool_of([[(1, 1, 1, 1), (2, 2, 2, 2)]], folder, n_parts=1, free=0)
    assert spool.part(0)[:, 0].tolist() == [1, 2]
    os.truncate(spool.path, 2 * 32 - 1)
    with pytest.raises(OSError, match="fewer rows than were written") as told:
        spool.part(0)
    assert told.value.filename == str(spool.path)


def test_memory_is_shared_by_the_spools_of_a_reader(folder: Path) -> None:
    memory = Memory(64)
    one, other = (Spool(folder / name, 4, 1, memory) for name in ("one", "other"))
    one.add(rows_of([(1, 1, 1, 1)]))
    other.add(rows_of([(2, 2, 2, 2), (3, 3, 3, 3)]))
    assert (len(one.held), len(other.held)) == (1, 0)
    assert other.part(0)[:, 0].tolist() == [2, 3]


def digest(batches: list[list[tuple[int, ...]]], n_parts: int = 3) -> list[int]:
    spool = Spool(Path("never"), 4, n_parts, Memory(10**6))
    for batch in batches:
        spool.add(rows_of(batch))
    return spool.digest.tolist()


@settings(deadline=None)
@given(BATCHES, st.data())
def test_digest_does_not_depend_on_order_batches_or_parts(
    batches: list[list[tuple[int, ...]]], data: st.DataObject
) -> None:
    rows = [row for batch in batches for row in batch]
    shuffled = data.draw(st.permutations(rows))
    at = data.draw(st.integers(0, len(rows)))
    expected = digest(batches)
    assert digest([shuffled[:at], shuffled[at:]], n_parts=5) == expected


@settings(deadline=None)
@given(ROWS.filter(bool), st.data())
def test_digest_changes_with_any_cell_a_row_more_and_a_row_less(
    rows: list[tuple[int, ...]], data: st.DataObject
) -> None:
    before = digest([rows])
    at = data.draw(st.integers(0, len(rows) - 1))
    cell = data.draw(st.integers(0, 3))
    other = data.draw(WORD.filter(lambda w: w != rows[at][cell]))
    row = (*rows[at][:cell], other, *rows[at][cell + 1 :])
    assert digest([[*rows[:at], row, *rows[at + 1 :]]]) != before
    assert digest([[*rows, rows[at]]]) != before
    assert digest([[*rows[:at], *rows[at + 1 :]]]) != before


def test_digest_tells_rows_that_swap_cells() -> None:
    rows, swapped = [(1, 2, 3, 4), (5, 6, 7, 8)], [(1, 2, 3, 8), (5, 6, 7, 4)]
    assert digest([rows]) != digest([swapped])


@pytest.fixture
def small_files() -> Iterator[None]:
    """No file may become larger than 64 KB, as on a disk that is full."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (65_536, hard))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_a_full_disk_is_one_line(tmp_path: Path, small_files: None) -> None:
    spool = Spool(tmp_path / "browses", 4, 3, Memory(0))
    spool.add(np.ones((1000, 4), np.int64))
    with pytest.raises(SettingError) as told:
        for _ in range(5):
            spool.add(np.ones((1000, 4), np.int64))
    assert str(told.value) == (
        f"TMPDIR: expected room for the rows of browses, got file too large in {tmp_path}; "
        "free it, or name another folder"
    )


def check_order(rows: list[tuple[int, ...]], customer: list[int], n: int) -> None:
    words, codes = rows_of(rows), np.array(customer, np.int32)
    found, offsets = in_order(words, codes, n)
    expected = [
        sorted(row[1:] for row, c in zip(rows, customer, strict=True) if c == code)
        for code in range(n)
    ]
    sizes = [len(one) for one in expected]
    assert offsets.tolist() == np.concatenate(([0], np.cumsum(sizes))).tolist()
    assert [tuple(row[1:]) for row in found.tolist()] == [
        row for one in expected for row in one
    ]
    # Each row's key went with it.
    assert sorted(map(tuple, found.tolist())) == sorted(
        row for row, c in zip(rows, customer, strict=True) if c >= 0
    )


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
