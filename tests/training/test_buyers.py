from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from training.buyers import BestBuyers, Buyers, BuyersOfPart

NOBODY = np.zeros(9, dtype=np.bool_)


def kept(
    pairs: list[tuple[int, int, float]],
    limit: int,
    chunk: int = 100,
    refused: Any = NOBODY,
    products: int = 4,
) -> Buyers:
    best = BestBuyers(products, limit)
    part = BuyersOfPart(best, 0, refused)
    for start in range(0, len(pairs), chunk):
        some = pairs[start : start + chunk]
        part.add(
            np.array([c for c, _, _ in some], np.int32),
            np.array([p for _, p, _ in some], np.int32),
            np.array([v for _, _, v in some], np.float32),
        )
    return best.sorted()


def test_the_best_of_every_product_by_hand():
    found = kept([(0, 2, 0.1), (0, 0, 0.5), (1, 2, 0.3), (2, 2, 0.2), (3, 0, 0.5)], 2)
    assert found.offsets.tolist() == [0, 2, 2, 4, 4]
    assert found.customer.tolist() == [0, 3, 1, 2]
    assert found.probability.tolist() == np.float32([0.5, 0.5, 0.3, 0.2]).tolist()


def test_ties_at_the_limit_go_to_the_lower_customer_whoever_came_first():
    assert kept([(5, 0, 0.5), (3, 0, 0.5), (4, 0, 0.5)], 2).customer.tolist() == [3, 4]


def test_who_refused_takes_nobodys_place():
    refused = NOBODY.copy()
    refused[0] = True
    found = kept([(0, 0, 0.9), (1, 0, 0.5), (2, 0, 0.4)], 2, refused=refused)
    assert found.customer.tolist() == [1, 2]


def test_a_durable_that_lasts_is_offered_to_nobody_who_has_it():
    best = BestBuyers(1, 5)
    one = np.array([1, 2], np.int32)
    chance = np.array([0.9, 0.1], np.float32)
    BuyersOfPart(best, 0, NOBODY).add(
        one, np.zeros(2, np.int32), chance, np.array([True, False])
    )
    assert best.sorted().customer.tolist() == [2]


def test_customers_of_a_later_part_are_numbered_on_and_then_by_their_rows():
    best, product = BestBuyers(1, 5), np.zeros(2, np.int32)
    one, chance = np.array([0, 1], np.int32), np.array([0.5, 0.5], np.float32)
    for first, refused in ((0, [False, False]), (2, [True, False])):
        BuyersOfPart(best, first, np.array(refused)).add(one, product, chance)
    assert best.sorted().customer.tolist() == [0, 1, 3]
    # By id customer 3 comes first, then 1, 2 and 0.
    found = best.sorted().renumbered(np.array([3, 1, 2, 0]))
    assert found.customer.tolist() == [0, 1, 3]
    assert found.offsets.tolist() == [0, 3]


def test_no_candidates_are_no_buyers():
    assert kept([], 3).offsets.tolist() == [0] * 5
    assert len(kept([], 3)) == 0


def test_a_limit_below_one_is_refused():
    with pytest.raises(ValueError, match="limit: expected at least 1, got 0"):
        BestBuyers(3, 0)


@given(st.data())
def test_the_pass_equals_a_sort_of_all_pairs(data):
    # Few probabilities, so that many tie.
    chances = data.draw(
        st.dictionaries(
            st.tuples(st.integers(0, 8), st.integers(0, 3)),
            st.sampled_from([0.0, 0.1, 0.25, 0.5, 1.0]),
        )
    )
    pairs = [(c, p, v) for (c, p), v in chances.items()]
    limit = data.draw(st.integers(1, 10))
    refused = np.array(data.draw(st.lists(st.booleans(), min_size=9, max_size=9)))
    found = kept(pairs, limit, data.draw(st.integers(1, 40)), refused)
    for product in range(4):
        allowed = [(v, c) for c, p, v in pairs if p == product and not refused[c]]
        expected = sorted(allowed, key=lambda pair: (-pair[0], pair[1]))[:limit]
        low, high = found.offsets[product : product + 2]
        assert found.customer[low:high].tolist() == [c for _, c in expected]
        shown = np.float32([v for v, _ in expected])
        assert (found.probability[low:high] == shown).all()
    assert found.offsets[-1] == len(found)
