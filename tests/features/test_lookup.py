from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from features.history import Longs
from features.lookup import Lookup, Met

WORD = st.integers(-(2**63), 2**63 - 1)
# Of few low bits, as the keys of one part of the customers.
ALIKE = st.integers(-(2**10), 2**10).map(lambda k: k << 44)


def longs(keys: list[int]) -> Longs:
    return np.array(keys, np.int64)


def first(met: Met, keys: Longs, ids: pa.StringArray) -> list[int]:
    return met.first(keys, ids, np.ones(len(keys), np.bool_)).tolist()


@settings(deadline=None)
@given(st.lists(WORD | ALIKE, unique=True), st.lists(WORD | ALIKE))
def test_codes_equal_a_dict(keys: list[int], others: list[int]) -> None:
    codes = {key: code for code, key in enumerate(keys)}
    asked = [*others, *reversed(keys), *others]
    found = Lookup.of(longs(keys)).find(longs(asked))
    assert found.tolist() == [codes.get(key, -1) for key in asked]
    assert found.dtype == np.int32


@pytest.mark.parametrize("n", [0, 1, 2, 3, 7, 8, 9, 1000, 4096])
def test_the_table_is_at_most_half_full(n: int) -> None:
    table = Lookup.of(np.arange(n, dtype=np.int64) << 33)
    assert (table.codes >= 0).sum() == n
    assert 2 * n <= len(table.keys) == len(table.codes)
    assert table.find(longs([-1, n << 33])).tolist() == [-1, -1]


@settings(deadline=None)
@given(st.lists(WORD, min_size=1, unique=True), st.data())
def test_a_key_that_stands_twice_is_an_error(keys: list[int], data: st.DataObject):
    twice = data.draw(st.permutations([*keys, data.draw(st.sampled_from(keys))]))
    with pytest.raises(ValueError, match="expected each one once, got one twice"):
        Lookup.of(longs(twice))


@settings(deadline=None)
@given(
    st.lists(st.lists(st.tuples(WORD | ALIKE, st.booleans()), max_size=30), max_size=6)
)
def test_a_key_is_new_the_first_time_it_is_wanted(
    batches: list[list[tuple[int, bool]]],
) -> None:
    met, seen = Met(), set[int]()
    for batch in batches:
        expected: list[int] = []
        for i, (key, is_wanted) in enumerate(batch):
            if is_wanted and key not in seen:
                expected.append(i)
                seen.add(key)
        keys = longs([key for key, _ in batch])
        wanted = np.array([is_wanted for _, is_wanted in batch], np.bool_)
        # Of a slice, too, the texts are its own.
        ids = pa.array(["before", *map(str, keys)]).slice(1)
        assert met.first(keys, ids, wanted).tolist() == expected
    assert met.size == len(seen)


def test_many_keys_are_met_while_the_set_grows() -> None:
    met, keys = Met(), np.arange(50_000, dtype=np.int64) << 33
    found = [
        len(first(met, some, pa.array(some).cast(pa.string())))
        for some in np.split(np.concatenate([keys, keys[::-1]]), 100)
    ]
    assert (sum(found[:50]), sum(found[50:]), met.size) == (50_000, 0, 50_000)


@pytest.mark.parametrize(
    "batches", [[["a", "b"]], [["a"], ["b"]], [["a", "a"], ["ab"]]]
)
def test_two_ids_of_one_hash_are_an_error(batches: list[list[str]]) -> None:
    met = Met()
    for ids in batches[:-1]:
        first(met, np.full(len(ids), 7, np.int64), pa.array(ids))
    with pytest.raises(ValueError, match="got two of one hash"):
        first(met, np.full(len(batches[-1]), 7, np.int64), pa.array(batches[-1]))
