from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from features.snapshot import DAY_US
from training.service_life import DURABLE_DAYS, service_life

NOW = 20_000 * DAY_US
NONE = float("nan")

# Drip and press are machines that last a year, cups have no service life, beans are
# used up in a month. The stove has no subcategory.
DAYS = np.array([365.0, 365.0, NONE, 30.0, 30.0, 365.0])
KINDS = np.array([0, 0, 0, 1, 1, -1], dtype=np.int32)
DRIP, PRESS, CUPS, BEANS, DARK, STOVE = range(6)


def resting(*bought: tuple[int, float], days=DAYS, kinds=KINDS) -> list[int]:
    """Products that rest after purchases so many days ago."""
    lives = service_life(days, kinds)
    assert lives is not None
    product = np.array([row for row, _ in bought], dtype=np.int32)
    last = np.array([NOW - round(ago * DAY_US) for _, ago in bought], dtype=np.int64)
    return sorted(lives.resting(product, last, NOW).tolist())


def test_a_shop_without_service_lives_has_no_rule():
    assert service_life(np.full(3, NONE), np.zeros(3, np.int32)) is None
    used_up = np.array([NONE, 0.0, 30.0, DURABLE_DAYS - 1])
    assert service_life(used_up, np.zeros(4, np.int32)) is None


def test_a_durable_rests_until_its_service_life_is_over():
    assert resting((STOVE, 364)) == [STOVE]
    assert resting((STOVE, 365 - 1 / DAY_US)) == [STOVE]
    assert resting((STOVE, 365)) == []
    assert resting((STOVE, 366)) == []


def test_a_durable_keeps_its_kind_back():
    assert resting((DRIP, 100)) == [DRIP, PRESS]
    assert resting((DRIP, 365)) == []


def test_what_is_not_durable_is_offered_always():
    assert resting((CUPS, 1)) == []
    assert CUPS not in resting((DRIP, 1), (CUPS, 1))


def test_the_kind_waits_for_as_long_as_the_bought_one_lasts():
    days = DAYS.copy()
    days[DRIP] = 200
    assert resting((DRIP, 199), days=days) == [DRIP, PRESS]
    assert resting((DRIP, 200), days=days) == []
    # The other one, which lasts longer, was bought earlier.
    assert resting((DRIP, 200), (PRESS, 364), days=days) == [DRIP, PRESS]


def test_a_pack_that_is_used_up_is_not_kept_back():
    assert resting((BEANS, 1), (STOVE, 1)) == [STOVE]


@pytest.mark.parametrize(
    ("life", "kept"), [(DURABLE_DAYS - 1, []), (DURABLE_DAYS, [BEANS, DARK])]
)
def test_a_durable_lasts_for_a_quarter_of_a_year_or_more(life, kept):
    days = DAYS.copy()
    days[[BEANS, DARK]] = life
    assert resting((BEANS, 1), days=days) == kept


def test_an_endless_service_life_is_no_overflow():
    days = DAYS.copy()
    days[STOVE] = 1e300
    assert resting((STOVE, 19_999), days=days) == [STOVE]


purchases = st.lists(
    st.tuples(st.integers(0, 2), st.integers(0, 5), st.integers(0, 400)),
    max_size=12,
    unique_by=lambda row: row[:2],
)


@settings(max_examples=60, deadline=None)
@given(purchases)
def test_all_customers_at_once_are_each_by_itself(rows):
    lives = service_life(DAYS, KINDS)
    assert lives is not None
    customer, product = (a.ravel().astype(np.int32) for a in np.mgrid[0:3, 0:6])
    columns = [np.array(column, dtype=np.int64) for column in zip(*rows, strict=True)]
    buyer, bought, ago = columns or [np.zeros(0, np.int64)] * 3
    last = NOW - ago * DAY_US
    found = lives.rests(
        customer, product, (buyer, bought.astype(np.int32), last), NOW
    ).reshape(3, 6)
    for one in range(3):
        mine = [(p, float(days)) for c, p, days in rows if c == one]
        assert np.flatnonzero(found[one]).tolist() == resting(*mine)
