from __future__ import annotations

import os
import resource
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import count
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from features.contracts import SettingError
from features.history import Longs
from features.spool import BUCKET_SHIFT, Memory, Spool

WORD = st.integers(-(2**63), 2**63 - 1)
SMALL = st.integers(-2, 2)

NUMBERS = count()


def rows_of(rows: list[tuple[int, ...]]) -> Longs:
    """As words, shape ``[word, row]``."""
    return np.ascontiguousarray(np.array(rows, np.int64).reshape(-1, 4).T)


def spool_of(
    batches: list[list[tuple[int, ...]]], folder: Path, *, n_buckets: int, free: int
) -> Spool:
    spool = Spool(folder / f"rows{next(NUMBERS)}", 4, Memory(free), n_buckets)
    for batch in batches:
        spool.add(rows_of(batch))
    return spool


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("spool")


ROWS = st.lists(st.tuples(WORD, SMALL, SMALL, WORD), max_size=12)
BATCHES = st.lists(ROWS, max_size=6)


def bucket(row: tuple[int, ...], n_buckets: int) -> int:
    return (row[0] % 2**64 >> BUCKET_SHIFT) % n_buckets


@settings(deadline=None)
@given(BATCHES, st.integers(1, 7), st.integers(0, 700), st.data())
def test_rows_of_buckets_come_back_batch_by_batch_from_memory_and_disk(
    folder: Path,
    batches: list[list[tuple[int, ...]]],
    n_buckets: int,
    free: int,
    data: st.DataObject,
) -> None:
    spool = spool_of(batches, folder, n_buckets=n_buckets, free=free)
    first = data.draw(st.integers(0, n_buckets))
    end = data.draw(st.integers(first, n_buckets))
    expected = [
        row
        for batch in batches
        for row in sorted(batch, key=lambda row: bucket(row, n_buckets))
        if first <= bucket(row, n_buckets) < end
    ]
    found = spool.part(first, end)
    assert found.shape == (len(expected), 4)
    assert [tuple(row) for row in found.tolist()] == expected
    every = [row for batch in batches for row in batch]
    assert spool.rows == len(every)
    moments = [max(row[1], row[2]) for row in every]
    assert spool.known == min(moments, default=np.iinfo(np.int64).max)


@pytest.mark.parametrize("free", [0, 3_000, 10**6])
def test_threads_lose_no_row(folder: Path, free: int) -> None:
    spool = Spool(folder / f"rows{next(NUMBERS)}", 4, Memory(free), 3)
    batches = [
        rows_of([(n << BUCKET_SHIFT, k, n, n) for n in range(50)]) for k in range(40)
    ]
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(spool.add, batches))
    found = np.concatenate([spool.part(b, b + 1) for b in range(3)])
    assert sorted(map(tuple, found.tolist())) == sorted(
        tuple(row) for batch in batches for row in batch.T.tolist()
    )


def test_the_first_batch_that_does_not_fit_sends_all_later_ones_to_disk(
    folder: Path,
) -> None:
    # A row is 32 bytes: room for two, then three, then one that would fit.
    batches = [[(i << BUCKET_SHIFT, i, i, i) for i in range(n)] for n in (2, 3, 1)]
    spool = spool_of(batches, folder, n_buckets=2, free=64 + 32)
    assert [len(batch) for batch in spool.held] == [2]
    assert spool.path.stat().st_size == 4 * 32
    assert spool.memory.free == 0
    assert spool.part(0, 1)[:, 3].tolist() == [0, 0, 2, 0]
    assert spool.part(1, 2)[:, 3].tolist() == [1, 1]


def test_a_file_that_has_become_shorter_is_an_error_that_names_it(
    folder: Path,
) -> None:
    spool = spool_of([[(1, 1, 1, 1), (2, 2, 2, 2)]], folder, n_buckets=1, free=0)
    assert spool.part(0, 1)[:, 0].tolist() == [1, 2]
    os.truncate(spool.path, 2 * 32 - 1)
    with pytest.raises(OSError, match="fewer rows than were written") as told:
        spool.part(0, 1)
    assert told.value.filename == str(spool.path)


def test_memory_is_shared_by_the_spools_of_a_reader(folder: Path) -> None:
    memory = Memory(64)
    one, other = (Spool(folder / name, 4, memory, 1) for name in ("one", "other"))
    one.add(rows_of([(1, 1, 1, 1)]))
    other.add(rows_of([(2, 2, 2, 2), (3, 3, 3, 3)]))
    assert (len(one.held), len(other.held)) == (1, 0)
    assert other.part(0, 1)[:, 0].tolist() == [2, 3]


def digest(batches: list[list[tuple[int, ...]]], n_buckets: int = 3) -> list[int]:
    spool = Spool(Path("never"), 4, Memory(10**6), n_buckets)
    for batch in batches:
        spool.add(rows_of(batch))
    return spool.digest.tolist()


@settings(deadline=None)
@given(BATCHES, st.data())
def test_digest_does_not_depend_on_order_batches_or_buckets(
    batches: list[list[tuple[int, ...]]], data: st.DataObject
) -> None:
    rows = [row for batch in batches for row in batch]
    shuffled = data.draw(st.permutations(rows))
    at = data.draw(st.integers(0, len(rows)))
    expected = digest(batches)
    assert digest([shuffled[:at], shuffled[at:]], n_buckets=5) == expected


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
    spool = Spool(tmp_path / "browses", 4, Memory(0), 3)
    spool.add(np.ones((4, 1000), np.int64))
    with pytest.raises(SettingError) as told:
        for _ in range(5):
            spool.add(np.ones((4, 1000), np.int64))
    assert str(told.value) == (
        f"TMPDIR: expected room for the rows of browses, got file too large in {tmp_path}; "
        "free it, or name another folder"
    )
