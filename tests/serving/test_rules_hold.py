"""Properties of lists under any rules, on drawn shops, against plain Python."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from features.snapshot import DAY_US, to_us
from serving.publish import publish
from serving.published import Published
from serving.recommend import Lately, recommend, wishes
from serving.rules import Rules
from training.buyers import Buyers
from training.predictions import COLD_START, OFFERS, PRODUCTS, Predictions
from training.since import BOUGHT, RETURNED, VIEWED, Fresh

PRODUCTS_COUNT, CUSTOMERS = 30, 6
HOUR_US, NOW_DAYS = DAY_US // 24, 2

Since = Sequence[tuple[int, int, int]]
"""Fresh events: kind, product, hours after the cutoff; one piece each."""


@dataclass(frozen=True)
class Shop:
    """A published shop and the rows it was made from."""

    published: Published
    products: list[dict[str, Any]]
    bought: list[dict[int, int]]
    cutoff_us: int

    def passing(
        self, customer: int | None, wish: dict[str, Any], since: Since = ()
    ) -> list[int]:
        """Products that the filters and service lives leave, by definition."""
        mine, now_us = self.known(customer, since)
        rows = []
        for row, product in enumerate(self.products):
            lane = {"mixed": True, "again": row in mine, "new": row not in mine}
            categories = wish["categories"]
            if (
                lane[wish["lane"]]
                and (product["available"] or not wish["available_only"])
                and (not categories or product["category"] in categories)
                and product["product_id"] not in wish["without"]
                and not self.rests(row, mine, now_us)
            ):
                rows.append(row)
        return rows

    def known(self, customer: int | None, since: Since) -> tuple[dict[int, int], int]:
        """What a customer bought, when last, and the moment of the answer."""
        mine = {} if customer is None else dict(self.bought[customer])
        done = False
        for product in {product for _, product, _ in since}:
            own = [(kind, hour) for kind, other, hour in since if other == product]
            bought = [hour for kind, hour in own if kind == BOUGHT]
            if len(bought) > sum(kind == RETURNED for kind, _ in own):
                mine[product] = self.cutoff_us + max(bought) * HOUR_US
                done = True
            done |= any(kind == VIEWED for kind, _ in own)
        return mine, self.cutoff_us + (NOW_DAYS * DAY_US if done else 0)

    def rests(self, row: int, mine: dict[int, int], now_us: int) -> bool:
        """Whether the customer has this one, or one of its kind, still."""
        product = self.products[row]
        for other, last in mine.items():
            had = self.products[other]
            lasts = had["service_life_days"] or 0
            kin = (
                had["subcategory"] is not None
                and had["subcategory"] == product["subcategory"]
                and (product["service_life_days"] or 0) >= 90
            )
            lasting = lasts >= 90 and now_us - last < lasts * DAY_US
            if lasting and (other == row or kin):
                return True
        return False

    def arrived(self, row: int, days: int) -> bool:
        """Whether a product came within so many days before the cutoff."""
        moment = self.products[row]["arrived_at"]
        cutoff = self.published.cutoff
        return moment is not None and cutoff - timedelta(days=days) <= moment < cutoff


def draw_products(random: np.random.Generator, cutoff) -> list[dict[str, Any]]:
    def maybe(values):
        return values[int(random.integers(len(values)))]

    return [
        {
            "product_id": f"p{row:02d}",
            "name": None,
            "category": maybe([None, "a", "b", "c"]),
            "subcategory": maybe([None, "x", "y", "z"]),
            "brand": maybe([None, "m", "n"]),
            "price": maybe([None, 0.0, 1.0, 2.5, 40.0]),
            "margin_rate": maybe([None, -0.1, 0.2, 0.5]),
            "service_life_days": maybe([None, None, None, 89.0, 90.0, 200.0]),
            "arrived_at": maybe(
                [None, *(cutoff - timedelta(days=d) for d in range(9))]
            ),
            "available": bool(random.random() < 0.9),
        }
        for row in range(PRODUCTS_COUNT)
    ]


def draw_shop(
    base: Predictions, basis_for, lived_by, plain_of, seed: int
) -> tuple[Predictions, list, list]:
    random = np.random.default_rng(seed)
    products = draw_products(random, base.cutoff)
    cutoff_us = to_us(base.cutoff)
    bought: list[dict[int, int]] = []
    offers: list[dict[str, Any]] = []
    for customer in range(CUSTOMERS):
        rows = np.flatnonzero(random.random(PRODUCTS_COUNT) < customer / 10)
        days = random.choice([1, 19, 89, 90, 91, 199, 200, 201, 399], rows.size)
        mine = {
            int(r): cutoff_us - int(d) * DAY_US for r, d in zip(rows, days, strict=True)
        }
        bought.append(mine)
        offered = random.permutation(PRODUCTS_COUNT)[: int(random.integers(0, 25))]
        # Few values, so that scores tie.
        score = np.sort(random.integers(-6, 2, offered.size) / 2)[::-1]
        offers += [
            {
                "customer": customer,
                "product": int(row),
                "is_new": int(row) not in mine,
                "score": value,
                "probability": 1 / (1 + np.exp(-value)),
                "source": "als",
                "reason": "like yours",
            }
            for row, value in zip(offered, score, strict=True)
        ]
    order = [r for r in random.permutation(PRODUCTS_COUNT) if products[r]["available"]]
    popular = [
        {
            "product": int(row),
            "score": float(len(order) - place),
            "probability": (len(order) - place) / 100,
            "reason": "popular",
        }
        for place, row in enumerate(order)
    ]
    customers = pa.Table.from_pylist(
        [{"customer_id": f"c{row}"} for row in range(CUSTOMERS)],
        schema=base.customers.schema,
    )
    sizes = [len(mine) for mine in bought]
    range_ = pa.Table.from_pylist(products, schema=PRODUCTS)
    shop = replace(
        base,
        customers=customers,
        curve=base.curve[[0] * CUSTOMERS],
        products=range_,
        offers=pa.Table.from_pylist(offers, schema=OFFERS),
        cold_start=pa.Table.from_pylist(popular, schema=COLD_START),
        buyers=Buyers(
            np.zeros(len(products) + 1, np.int64),
            np.zeros(0, np.int32),
            np.zeros(0, np.float32),
        ),
        bought_offsets=np.cumsum([0, *sizes], dtype=np.int64),
        bought_products=np.array([r for m in bought for r in m], dtype=np.int32),
        last_bought=np.array([t for m in bought for t in m.values()], dtype=np.int64),
        bought_weight=np.ones(sum(sizes), dtype=np.float32),
        fresh=basis_for(PRODUCTS_COUNT),
        **plain_of(customers["customer_id"].to_pylist()),
        **lived_by(
            customers["customer_id"].to_pylist(),
            range_,
            [(row, 0, 1) for row in range(CUSTOMERS)],
        ),
    )
    return shop, products, bought


@pytest.fixture(scope="module")
def shop_of(small, basis_for, lived_by, plain_of):
    with TemporaryDirectory() as folder:

        @cache
        def of(seed: int) -> Shop:
            made, products, bought = draw_shop(
                small, basis_for, lived_by, plain_of, seed
            )
            workspace = Path(folder) / str(seed)
            publish(workspace, made, "m1")
            opened = Published.open(workspace)
            return Shop(opened, products, bought, to_us(made.cutoff))

        yield of


SEEDS = st.integers(0, 7)
CUSTOMER = st.one_of(st.none(), st.integers(0, CUSTOMERS - 1))
SINCE = st.lists(
    st.tuples(
        st.sampled_from([BOUGHT, RETURNED, VIEWED]),
        st.integers(0, PRODUCTS_COUNT - 1),
        st.integers(0, 24 * NOW_DAYS),
    ),
    max_size=6,
)
SHARE = st.sampled_from([0.0, 0.2, 0.25, 0.5, 0.8, 1.0])


@st.composite
def requests(draw, ruled: bool = True) -> tuple[int, dict[str, Any], Rules]:
    n = draw(st.integers(1, 35))
    wish = {
        "lane": draw(st.sampled_from(["mixed", "again", "new"])),
        "categories": draw(st.sampled_from([[], ["a"], ["a", "b"], ["d"]])),
        "without": draw(
            st.lists(st.integers(0, 31).map(lambda row: f"p{row:02d}"), max_size=8)
        ),
        "available_only": draw(st.booleans()),
    }
    if not ruled:
        return n, wish, Rules()
    share = draw(st.none() | SHARE) if wish["lane"] == "mixed" else None
    rules = Rules(
        max_per_category=draw(st.none() | st.integers(1, 4)),
        diversity=draw(st.sampled_from([0.0, 0.01, 0.3, 0.7, 1.0])),
        weight_by=draw(st.sampled_from(["probability", "value", "margin"])),
        min_new_arrivals=draw(st.integers(0, min(n, 6))),
        new_arrival_days=draw(st.integers(1, 9)),
        new_share=share,
    )
    return n, wish, rules


def answered(
    shop: Shop, customer, n: int, wish: dict[str, Any], rules: Rules, since: Since = ()
):
    lately = None
    if since:
        kind, product, hours = (np.array(column) for column in zip(*since, strict=True))
        ts = shop.cutoff_us + hours * HOUR_US
        events = Fresh(
            kind.astype(np.int8), product.astype(np.int32), ts, np.ones(len(ts))
        )
        lately = Lately(events, shop.cutoff_us + NOW_DAYS * DAY_US)
    ask = wishes(shop.published, n, **wish, rules=rules)
    items = recommend(shop.published, customer, ask, lately)
    names = {p["product_id"]: row for row, p in enumerate(shop.products)}
    return items, [names[item["product_id"]] for item in items]


def most(categories: list[str | None], cap: int | None) -> int:
    """How many products of these categories a cap lets pass."""
    if cap is None:
        return len(categories)
    return sum(
        count if name is None else min(count, cap)
        for name, count in Counter(categories).items()
    )


@settings(max_examples=500, deadline=None)
@given(SEEDS, CUSTOMER, requests(), st.just([]) | SINCE)
def test_rules_hold_and_the_list_is_as_long_as_it_can_be(
    shop_of, seed, customer, ask, since
):
    n, wish, rules = ask
    shop = shop_of(seed)
    items, rows = answered(shop, customer, n, wish, rules, since)
    passing = shop.passing(customer, wish, since)
    cap = rules.max_per_category

    assert len(set(rows)) == len(rows)
    assert set(rows) <= set(passing)
    categories = [shop.products[row]["category"] for row in passing]
    assert len(rows) == min(n, most(categories, cap))
    if cap is not None:
        shown = Counter(shop.products[row]["category"] for row in rows)
        assert all(count <= cap for name, count in shown.items() if name is not None)
    arrived = [row for row in passing if shop.arrived(row, rules.new_arrival_days)]
    could = most([shop.products[row]["category"] for row in arrived], cap)
    there = len(set(rows) & set(arrived))
    assert there >= min(rules.min_new_arrivals, could)

    assert [item["rank"] for item in items] == list(range(1, len(items) + 1))
    scores = [item["score"] for item in items if item["score"] is not None]
    assert scores == sorted(scores, reverse=True)
    assert all(np.isfinite(scores))
    assert answered(shop, customer, n, wish, rules, since[::-1])[0] == items


@settings(max_examples=200, deadline=None)
@given(SEEDS, CUSTOMER, st.integers(1, 35), SHARE, st.just([]) | SINCE)
def test_the_share_is_met_as_far_as_both_lanes_reach(
    shop_of, seed, customer, n, share, since
):
    shop, rules = shop_of(seed), Rules(new_share=share)
    wish = {"lane": "mixed", "categories": [], "without": [], "available_only": True}
    _, rows = answered(shop, customer, n, wish, rules, since)
    mine, _ = shop.known(customer, since)
    passing = shop.passing(customer, wish, since)
    again = sum(row in mine for row in passing)
    new = len(passing) - again
    slots = rules.new_slots(n)
    expected = min(new, max(slots, min(n, len(passing)) - again))
    assert sum(row not in mine for row in rows) == expected


@settings(max_examples=200, deadline=None)
@given(SEEDS, CUSTOMER, requests(ruled=False))
def test_rules_that_do_not_bind_are_the_list_without(shop_of, seed, customer, ask):
    n, wish, _ = ask
    shop = shop_of(seed)
    plain, rows = answered(shop, customer, n, wish, Rules())
    assert answered(shop, customer, n, wish, Rules(diversity=0.0))[0] == plain
    loose = Rules(max_per_category=PRODUCTS_COUNT)
    assert answered(shop, customer, n, wish, loose)[0] == plain
    met = sum(shop.arrived(row, 5) for row in rows)
    quota = Rules(min_new_arrivals=met, new_arrival_days=5)
    assert answered(shop, customer, n, wish, quota)[0] == plain


@settings(max_examples=150, deadline=None)
@given(SEEDS, st.integers(0, CUSTOMERS - 1), st.integers(1, 12), st.floats(0.01, 1))
def test_diversity_is_maximal_marginal_relevance(shop_of, seed, customer, n, dial):
    shop = shop_of(seed)
    offers = shop.published.offers
    start, stop = offers.offsets[customer : customer + 2]
    wish = {"lane": "mixed", "categories": [], "without": [], "available_only": True}
    passing = set(shop.passing(customer, wish))
    pool = [
        (int(p), float(chance))
        for p, chance in zip(
            offers.product[start:stop], offers.probability[start:stop], strict=True
        )
        if int(p) in passing
    ]
    chosen: list[int] = []
    best = max((chance for _, chance in pool), default=0)

    def gain(row: int, chance: float) -> float:
        alike = [
            sum(
                shop.products[row][level] is not None
                and shop.products[row][level] == shop.products[other][level]
                for level in ("category", "subcategory", "brand")
            )
            / 3
            for other in chosen
        ]
        return (1 - dial) * (chance / best) - dial * max(alike, default=0)

    while len(chosen) < n and len(chosen) < len(pool):
        left = [(row, chance) for row, chance in pool if row not in chosen]
        # max keeps the first of equals, which is the order of the build.
        chosen.append(max(left, key=lambda pair: gain(*pair))[0])
    _, rows = answered(shop, customer, n, wish, Rules(diversity=dial))
    assert rows[: len(chosen)] == chosen
