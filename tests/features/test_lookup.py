from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from features.history import Longs
from features.lookup import Lookup

WORD = st.integers(-(2**63), 2**63 - 1)
# Of few low bits, as the keys of one part of the customers.
ALIKE = st.integers(-(2**10), 2**10).map(lambda k: k << 44)


def longs(keys: list[int]) -> Longs:
    return np.array(keys, np.int64)


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
