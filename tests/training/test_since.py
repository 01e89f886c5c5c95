from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from training.since import (
    ASKED,
    BOUGHT,
    CARTED,
    FAVOURED,
    RETURNED,
    VIEWED,
    Fresh,
    Since,
    since_of,
)

WEIGHTS = np.array([0, 0, 0.1, 0.5, 0.5, 0.3])

Event = tuple[int, int, int, float]


def summed(*events: Event) -> Since:
    """Events of kind, product, time and pieces."""
    kind, product, ts, quantity = zip(*events, strict=True)
    fresh = Fresh(
        np.array(kind, np.int8),
        np.array(product, np.int32),
        np.array(ts, np.int64),
        np.array(quantity, np.float32),
    )
    return since_of(fresh, WEIGHTS)


def test_events_are_summed_by_product() -> None:
    since = summed(
        (VIEWED, 7, 30, 1),
        (BOUGHT, 4, 10, 2),
        (BOUGHT, 4, 50, 1),
        (CARTED, 7, 20, 1),
        (ASKED, 9, 5, 1),
    )
    assert since.product.tolist() == [4, 7, 9]
    assert since.orders.tolist() == [2, 0, 0]
    assert since.bought_us.tolist() == [50, 0, 0]
    assert np.allclose(since.interest, [0, 0.6, 0.3])
    assert since.shown_us.tolist() == [0, 30, 5]
    assert since.shown.tolist() == [-1, VIEWED, ASKED]


def test_two_lines_of_one_moment_are_one_order() -> None:
    assert summed((BOUGHT, 4, 10, 2), (BOUGHT, 4, 10, 1)).orders.tolist() == [1]


def test_a_return_undoes_a_purchase_but_for_the_pieces_that_are_kept() -> None:
    back = summed((BOUGHT, 4, 10, 2), (RETURNED, 4, 20, 2))
    assert (back.orders.tolist(), back.bought_us.tolist()) == ([0], [0])
    part = summed((BOUGHT, 4, 10, 2), (RETURNED, 4, 20, 1))
    assert (part.orders.tolist(), part.bought_us.tolist()) == ([1], [10])


def test_a_return_of_what_was_bought_earlier_is_no_purchase() -> None:
    assert summed((RETURNED, 4, 20, 1)).orders.tolist() == [0]


events = st.lists(
    st.tuples(
        st.sampled_from([BOUGHT, RETURNED, VIEWED, CARTED, FAVOURED, ASKED]),
        st.integers(0, 3),
        st.integers(0, 4),
        st.sampled_from([0.0, 1.0, 2.0]),
    ),
    min_size=1,
    max_size=12,
)


@given(events, st.randoms())
def test_the_order_of_events_does_not_matter(drawn: list[Event], random) -> None:
    shuffled = drawn.copy()
    random.shuffle(shuffled)
    one, other = summed(*drawn), summed(*shuffled)
    for name in ("product", "orders", "bought_us", "interest", "shown_us", "shown"):
        assert np.array_equal(getattr(one, name), getattr(other, name)), name
