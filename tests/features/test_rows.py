from __future__ import annotations

import math
import struct

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from features.history import Longs
from features.rows import codes_of_words, floats_of_words, put_codes, put_floats

ANY = st.floats() | st.sampled_from([0.0, -0.0, math.nan, math.inf, -math.inf, 5e-324])


def words_of_floats(values: list[float]) -> Longs:
    words = np.empty(len(values), np.int64)
    put_floats(np.array(values, np.float64), words)
    return words


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


@settings(deadline=None)
@given(st.lists(st.tuples(st.integers(-1, 6), st.integers(-1, 2**31 - 2))))
def test_codes_of_one_word_come_back(drawn: list[tuple[int, int]]) -> None:
    small, large = np.array(drawn, np.int32).reshape(-1, 2).T
    words = np.zeros(len(drawn), np.int64)
    put_codes(small, words, 0)
    put_codes(large, words, 3)
    assert codes_of_words(words, 0, 3).tolist() == small.tolist()
    assert codes_of_words(words, 3, 32).tolist() == large.tolist()
