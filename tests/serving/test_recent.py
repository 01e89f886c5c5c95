from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from features.snapshot import DAY_US, to_us
from serving.publish import publish
from serving.published import Published
from serving.recent import Recent, Row
from training.since import ASKED, BOUGHT, CARTED, FAVOURED, RETURNED, VIEWED


@pytest.fixture
def row(published):
    """Rows of the log, numbered as they are drawn; an hour after the cutoff."""
    count = iter(range(1, 10_000))

    def of(table="browses", kind="view", customer="anna", product="p1", **more) -> Row:
        drawn = {"ts_us": published.cutoff_us + DAY_US // 24, "quantity": None, **more}
        return Row(next(count), table, customer, product, kind, **drawn)

    return of


def kinds(recent: Recent, customer: str = "anna") -> list[tuple[int, int, float]]:
    events = recent.of(customer)
    columns = (events.kind, events.product, events.quantity)
    return list(zip(*(column.tolist() for column in columns), strict=True))


def test_rows_become_events_of_their_customer(published, row):
    recent = Recent(published)
    recent.add(
        [
            row("purchases", None, quantity=3.0),
            row("purchases", None, quantity=-2.0),
            row(kind="search", product="p8"),
            row(kind="cart"),
            row(kind="favourite"),
            row("inquiries", "presale"),
            row(customer="bert"),
        ]
    )
    assert kinds(recent) == [
        (BOUGHT, 0, 3.0),
        (RETURNED, 0, 2.0),
        (VIEWED, 7, 1.0),
        (CARTED, 0, 1.0),
        (FAVOURED, 0, 1.0),
        (ASKED, 0, 1.0),
    ]
    assert kinds(recent, "bert") == [(VIEWED, 0, 1.0)]
    assert recent.of("carl") is None
    assert recent.events == 7


def test_rows_that_say_nothing_of_offers_are_passed_over(published, row):
    recent = Recent(published)
    recent.add(
        [
            row("inquiries", "complaint"),
            row("feedback", "rating"),
            row("touches", None),
            row(product=None),
            row(product="p99"),
            row(ts_us=published.cutoff_us - 1),
        ]
    )
    assert recent.events == 0
    assert recent.unknown == 1


def test_a_row_that_is_read_twice_counts_once(published, row):
    recent = Recent(published)
    rows = [row(), row()]
    recent.add(rows)
    recent.add([*rows, row()])
    assert recent.events == 3
    assert recent.sequence == 3


def test_it_holds_so_many_and_lets_the_quietest_customers_go(published, row):
    recent = Recent(published, max_events=4, max_per_customer=2)
    recent.add([row(customer=name) for name in ("a", "a", "b", "c")])
    recent.add([row(customer="a", kind="cart"), row(customer="d")])
    # a: the latest two of three; b was quiet for longest when d came, and one too many.
    assert kinds(recent, "a") == [(VIEWED, 0, 1.0), (CARTED, 0, 1.0)]
    assert recent.of("b") is None
    assert recent.events == 4
    assert recent.dropped == 2


def test_a_new_version_drops_what_it_has_seen(tmp_path, published, predictions, row):
    recent = Recent(published)
    late = published.cutoff_us + DAY_US
    recent.add([row(), row(ts_us=late, product="p3"), row(customer="bert")])
    recent.add([row(ts_us=late, product="p1")])
    # The next version has other products in front: rows move.
    products = predictions.products.to_pylist()
    names = ["p0", "p05", "p2", "p3", "p4", "p5", "p6", "p7"]
    for product, name in zip(products, names, strict=True):
        product["product_id"] = name
    moved = predictions.products.from_pylist(
        products, schema=predictions.products.schema
    )
    later = replace(
        predictions, products=moved, cutoff=predictions.cutoff + timedelta(days=1)
    )
    publish(tmp_path, later, "m2")
    recent.take_up(Published.open(tmp_path))
    # p1 is gone, p3 has another row, and bert's look is part of the version.
    assert kinds(recent) == [(VIEWED, 3, 1.0)]
    assert recent.of("bert") is None
    assert recent.events == 1
    assert recent.of("anna").ts.tolist() == [to_us(later.cutoff)]
    recent.forget("anna")
    recent.take_up(published)
    assert recent.events == 0


def test_a_customer_can_be_forgotten(published, row):
    recent = Recent(published)
    recent.add([row(), row(), row(customer="bert")])
    recent.forget("anna")
    recent.forget("nobody")
    assert recent.of("anna") is None
    assert recent.events == 1
