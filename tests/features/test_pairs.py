from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import numpy as np
import pytest

from features.history import History
from features.pairs import Pairs, lines, pairs_at, visits_at
from features.shelf import Shelf, counts_at, shelf_of
from features.snapshot import to_us

ReadHistory = Callable[..., History]
CUTOFF = datetime(2024, 3, 1)
US = timedelta(microseconds=1)


def line(customer: str, product: str, ts: datetime, **more: Any) -> dict[str, Any]:
    row = {
        "customer_id": customer,
        "product_id": product,
        "ts": ts,
        "order_id": f"{customer} {ts}",
        "quantity": 1.0,
        "amount": 2.0,
        "list_amount": 4.0,
    }
    return row | more


# a buys milk 60, 30 and 15 days before the cutoff, twice in the last order;
# b buys bread once, and returns it.
ROWS = [
    line("a", "milk", CUTOFF - timedelta(days=60)),
    line("a", "milk", CUTOFF - timedelta(days=30), quantity=2.0),
    line("a", "milk", CUTOFF - timedelta(days=15)),
    line("a", "milk", CUTOFF - timedelta(days=15), amount=3.0),
    line("b", "bread", CUTOFF - timedelta(days=1)),
    line("b", "bread", CUTOFF - timedelta(hours=1), quantity=-1.0, amount=-2.0),
]
PRODUCTS = [
    {"product_id": "bread", "name": "Bread", "category": "bakery"},
    {"product_id": "milk", "name": "Milk", "category": "dairy"},
]


def read(read_history: ReadHistory, rows: list[dict[str, Any]], **tables: Any) -> Any:
    return read_history({"purchases": rows, "products": PRODUCTS} | tables, CUTOFF)


def test_counts_gaps_and_decay_by_hand(read_history: ReadHistory) -> None:
    history = read(read_history, ROWS)
    pairs = pairs_at(lines(history, [None])[0], to_us(CUTOFF))
    assert pairs.customer.tolist() == [0, 1]
    assert history.products.ids[pairs.item].tolist() == ["milk", "bread"]
    assert pairs.orders.tolist() == [3, 1]
    assert pairs.quantity.tolist() == [5, 1]
    assert pairs.spend.tolist() == [9, 2]
    # Gaps of 30 and 15 days: mean 22.5, spread 7.5.
    assert pairs.gap_mean[0] == 22.5
    assert pairs.gap_spread[0] == 7.5
    assert pairs.last_gap[0] == 15
    assert np.isnan([pairs.gap_mean[1], pairs.gap_spread[1], pairs.last_gap[1]]).all()
    assert pairs.slow[0] == pytest.approx(2**-1 + 2**-0.5 + 2**-0.25)
    assert pairs.fast[0] == pytest.approx(2**-4 + 2**-2 + 2**-1)
    assert pairs.last_us[0] == to_us(CUTOFF - timedelta(days=15))
    assert pairs.first_us[0] == to_us(CUTOFF - timedelta(days=60))


@pytest.mark.parametrize(("column", "orders"), [("ts", 1), ("known_at", 1)])
def test_the_cutoff_is_excluded_to_the_microsecond(
    read_history: ReadHistory, column: str, orders: int
) -> None:
    early = {"ts": CUTOFF - timedelta(days=2), "known_at": CUTOFF - US}
    rows = [
        line("a", "milk", **early | {column: CUTOFF - US}),
        line("a", "milk", **early | {column: CUTOFF, "order_id": "late"}),
        line("a", "milk", CUTOFF - timedelta(days=9), order_id="only known later"),
    ]
    rows[2]["known_at"] = CUTOFF
    # Read a day later, so that the cutoff is drawn by the kernel alone.
    again = [line("z", "milk", CUTOFF - timedelta(days=d)) for d in (3, 4)]
    history = read_history({"purchases": rows + again}, CUTOFF + timedelta(days=1))
    pairs = pairs_at(lines(history, [None])[0], to_us(CUTOFF))
    assert pairs.orders.tolist() == [orders, 2]
    assert np.diff(visits_at(history, to_us(CUTOFF)).offsets).tolist() == [orders, 2]


def test_lines_of_one_order_are_one_visit(read_history: ReadHistory) -> None:
    visits = visits_at(read(read_history, ROWS), to_us(CUTOFF))
    assert np.diff(visits.offsets).tolist() == [3, 1]
    assert visits.lines.tolist() == [1, 1, 2, 1]
    assert visits.spend.tolist() == [2, 2, 5, 2]


def test_groups_join_their_products(read_history: ReadHistory) -> None:
    rows = [*ROWS, line("a", "bread", CUTOFF - timedelta(days=10))]
    history = read(read_history, rows)
    together, milk = np.array([0, 0], np.int32), np.array([-1, 0], np.int32)
    one, other = lines(history, [together, milk])
    assert pairs_at(one, to_us(CUTOFF)).orders.tolist() == [4, 1]
    assert pairs_at(other, to_us(CUTOFF)).orders.tolist() == [3]


def test_orders_of_the_same_moment_are_told_apart_in_a_group(
    read_history: ReadHistory,
) -> None:
    at = CUTOFF - timedelta(days=3)
    rows = [
        line("a", product, at, order_id=order)
        for product, order in (("bread", "o1"), ("bread", "o2"), ("milk", "o1"))
    ]
    history = read(read_history, rows)
    (group,) = lines(history, [np.array([0, 0], np.int32)])
    assert pairs_at(group, to_us(CUTOFF)).orders.tolist() == [2]


def test_row_order_does_not_matter(read_history: ReadHistory) -> None:
    one = pairs_at(lines(read(read_history, ROWS), [None])[0], to_us(CUTOFF))
    other = pairs_at(lines(read(read_history, ROWS[::-1]), [None])[0], to_us(CUTOFF))
    assert one.slow.tolist() == other.slow.tolist()
    assert one.spend.tolist() == other.spend.tolist()


def shelf_of_all(history: History, pairs: Pairs) -> Shelf:
    counts = counts_at(history, pairs, to_us(CUTOFF), 14)
    return shelf_of(counts, history, to_us(CUTOFF), 14)


def test_shelf_counts_prices_and_repeats(read_history: ReadHistory) -> None:
    history = read(read_history, ROWS)
    pairs = pairs_at(lines(history, [None])[0], to_us(CUTOFF))
    shelf = shelf_of_all(history, pairs)
    assert shelf.lines_28d.tolist() == [1, 2]  # bread, milk
    assert shelf.lines_84d.tolist() == [1, 4]
    assert shelf.trend.tolist() == [3, 1.5]
    assert shelf.repeat_rate.tolist() == [0, 1]
    assert shelf.orders_per_buyer.tolist() == [1, 3]
    assert shelf.price.tolist() == [2, 2.25]
    assert shelf.discount.tolist() == [0.5, 1 - 5 / 8]
    assert shelf.days_since_first.tolist() == [1, 60]
    assert np.isnan(shelf.gap[0])
    assert shelf.gap[1] == 22.5


@pytest.mark.parametrize(
    ("starts", "ends", "known_at", "reach", "days"),
    [
        (14, 20, -1 * US, 0.0, 0),  # starts after the horizon
        (13, 20, -1 * US, 0.5, 1),
        (13, 20, 0 * US, 0.0, 0),  # not known before the cutoff
        (-5, 0, -9 * timedelta(days=1), 0.0, 0),  # over at the cutoff
        (-5, 2, -9 * timedelta(days=1), 0.5, 2),
        (1, 8, -1 * US, 0.5, 7),
    ],
)
def test_a_plan_counts_when_known_and_within_the_horizon(
    read_history: ReadHistory,
    starts: int,
    ends: int,
    known_at: timedelta,
    reach: float,
    days: float,
) -> None:
    plan = {
        "product_id": "milk",
        "starts_at": CUTOFF + timedelta(days=starts),
        "ends_at": CUTOFF + timedelta(days=ends),
        "kind": "mailer",
        "reach": 0.5,
        "known_at": CUTOFF + known_at,
    }
    tables = {"purchases": ROWS, "products": PRODUCTS, "promotions": [plan]}
    history = read_history(tables, CUTOFF + timedelta(days=30))
    pairs = pairs_at(lines(history, [None])[0], to_us(CUTOFF))
    shelf = shelf_of_all(history, pairs)
    assert shelf.mailer.tolist() == [0, reach]
    assert shelf.mailer_days.tolist() == [0, days * reach]
    assert shelf.display.tolist() == shelf.display_days.tolist() == [0, 0]
