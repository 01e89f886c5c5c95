from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import numpy as np
import pytest

from features.config import RecommendConfig
from features.history import History
from training.generators.fitted import (
    ALS,
    ARRIVALS,
    CATEGORY,
    CO_PURCHASE,
    LOOKED_AT,
    NEIGHBOURS,
    POPULARITY,
    SEGMENT,
    TRENDING,
    fit_generators,
)
from training.moment import moment_at, sort_history
from training.offers import Scored, scored_of
from training.reasons import group_words, offer_reasons

ReadHistory = Callable[..., History]
CUTOFF = datetime(2024, 3, 1)
DAY = timedelta(days=1)


def line(customer: str, product: str, days: float) -> dict[str, Any]:
    return {
        "customer_id": customer,
        "product_id": product,
        "ts": CUTOFF - days * DAY,
        "order_id": f"{customer} {days}",
        "quantity": 1.0,
        "amount": 1.0,
    }


# a: milk every 12 days, bread twice, soap once. b and c: milk and tea; d: milk.
ROWS = [
    *(line("a", "milk", days) for days in (35, 23, 11)),
    *(line("a", "bread", days) for days in (40, 20)),
    line("a", "soap", 0.5),
    *(line(c, p, 9) for c in "bc" for p in ("milk", "tea")),
    line("d", "milk", 8),
]
PRODUCTS = [
    {"product_id": p, "name": p.title(), "category": "c", "subcategory": s}
    for p, s in (
        ("milk", "Dairy"),
        ("tea", "Dairy"),
        ("bread", "Bakery"),
        ("rye", "Bakery"),
    )
]


OWN_MILK = (
    np.zeros(1, np.int32),
    np.zeros(1, np.int32),
    np.zeros(1, np.bool_),
    np.ones(1, np.float32),
    np.ones(1, np.float32),
    np.zeros(1, np.int8),
    np.zeros(1, np.int64),
)
"""The only customer's only product, as ``offers.Parts``."""


@pytest.fixture
def reason(read_history: ReadHistory) -> Callable[..., str]:
    mailer = {
        "product_id": "milk",
        "starts_at": CUTOFF + DAY,
        "ends_at": CUTOFF + 8 * DAY,
        "kind": "mailer",
        "reach": 0.5,
        "known_at": CUTOFF - DAY,
    }
    small = mailer | {"product_id": "bread", "reach": 0.49}
    looks = [
        {"customer_id": "a", "product_id": p, "ts": CUTOFF - days * DAY, "kind": kind}
        for p, days, kind in (
            ("tea", 5, "cart"),
            ("tea", 2, "view"),
            ("rye", 3, "view"),
        )
    ]
    tables = {
        "purchases": ROWS,
        "products": PRODUCTS,
        "promotions": [mailer, small],
        "browses": looks,
    }
    moment = moment_at(sort_history(read_history(tables, CUTOFF)), CUTOFF, 14)
    ids = moment.history.products.ids.tolist()
    bought = moment.pairs["product"]
    generators = fit_generators(moment, RecommendConfig(), 0)

    def of(
        product: str,
        source: int = 0,
        anchor: str = "",
        segments: tuple[str, ...] = (),
    ) -> str:
        code = ids.index(product)
        words = [*(segments or group_words(moment))] if source != CO_PURCHASE else ids
        pair = np.flatnonzero((bought.customer == 0) & (bought.item == code))
        one = np.ones(1)
        scored = Scored(
            customer=np.zeros(1, np.int32),
            product=np.array([code], np.int32),
            is_new=np.array([not len(pair)]),
            score=one.astype(np.float32),
            probability=one.astype(np.float32),
            source=np.array([source], np.int8),
            pair=np.array([pair[0] if len(pair) else -1]),
            anchor=np.array([words.index(anchor) if anchor else -1], np.int32),
            segments=segments,
            moment=moment,
            generators=generators,
        )
        return offer_reasons(scored, 14)[0].as_py()

    return of


def test_rhythm_of_a_regular_product_and_its_mailer(reason: Callable[..., str]) -> None:
    expected = (
        "buys it about every 12 days, last bought 11 days ago, due on Saturday, 2 March"
    )
    assert reason("milk") == expected + "; in a mailer within the next 14 days"


@pytest.mark.parametrize(
    ("last", "due"),
    [
        (12.0, "12 days ago, due on Friday, 1 March"),  # on the cutoff's day
        (13.0, "13 days ago, was due on Thursday, 29 February"),
        (24.0, "24 days ago, was due on Sunday, 18 February"),
        (25.0, "25 days ago"),  # two gaps without: the habit may be over
    ],
)
def test_the_day_on_which_a_product_is_due(
    read_history: ReadHistory, last: float, due: str
) -> None:
    rows = [line("a", "milk", last + days) for days in (24, 12, 0)]
    moment = moment_at(
        sort_history(read_history({"purchases": rows}, CUTOFF)), CUTOFF, 14
    )
    generators = fit_generators(moment, RecommendConfig(min_buyers=1), 0)
    said = f"buys it about every 12 days, last bought {due}"
    assert offer_reasons(scored_of([OWN_MILK], generators), 14).to_pylist() == [said]


def test_few_purchases_are_counted_and_a_small_mailer_is_not_named(
    reason: Callable[..., str],
) -> None:
    assert reason("bread") == "bought 2 times, last 20 days ago"
    assert reason("soap") == "bought once, within the last day"


def test_co_purchase_names_the_other_product_and_its_share(
    reason: Callable[..., str],
) -> None:
    # Milk has four buyers, two of them bought tea.
    assert reason("tea", CO_PURCHASE, "milk") == (
        "50 % of those who bought Milk bought it too; Milk was bought 11 days ago"
    )


def test_group_and_popularity_state_ranks(reason: Callable[..., str]) -> None:
    # Milk sold five times in 28 days, tea twice: second in its subcategory.
    assert (
        reason("tea", CATEGORY)
        == "number 2 in Dairy, where the customer bought 3 times"
    )
    assert (
        reason("rye", CATEGORY)
        == "number 2 in Bakery, where the customer bought 2 times"
    )
    best = "one of the 20 best sellers of the last four weeks"
    assert reason("tea", POPULARITY) == best


@pytest.mark.parametrize("source", [ALS, NEIGHBOURS])
def test_als_says_no_more_than_it_knows(
    reason: Callable[..., str], source: int
) -> None:
    assert reason("tea", source) == "customers with similar baskets buy it"


def test_a_group_that_follows_names_the_one_before(reason: Callable[..., str]) -> None:
    assert reason("tea", CATEGORY, "Bakery") == (
        "number 2 in Dairy, which often follows Bakery, bought 2 times"
    )


def test_looks_segments_and_novelties_say_what_was_seen(
    reason: Callable[..., str],
) -> None:
    # Tea sold twice, nine days ago, and never before.
    cart = "put in a cart, interest last shown 2 days ago"
    assert reason("tea", LOOKED_AT) == cart
    assert reason("rye", LOOKED_AT) == "looked at, interest last shown 3 days ago"
    shops = ("channel, web", "channel, shop")
    assert (
        reason("tea", SEGMENT, "channel, shop", shops)
        == "popular in the customer's channel, shop"
    )
    assert (
        reason("tea", TRENDING)
        == "sold 0 times in the last week, 0.2 times in a usual one"
    )
    assert reason("tea", ARRIVALS) == (
        "new: first sold 9 days ago, 2 times in the last 12 weeks"
    )
    assert reason("rye", ARRIVALS) == "new: not sold yet"
