from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import numpy as np
import pytest

from features.config import RecommendConfig
from features.history import History
from training.alone import alone
from training.candidates import candidates
from training.generators.fitted import (
    ALS,
    CATEGORY,
    CO_PURCHASE,
    POPULARITY,
    SOURCES,
    fit_generators,
)
from training.moment import Moment, moment_at, sort_history
from training.offers import anchors
from training.tops import top_items

ReadHistory = Callable[..., History]
CUTOFF = datetime(2024, 3, 1)
CONFIG = RecommendConfig(min_buyers=2, factors=4, again_candidates=3, new_candidates=2)
BLOCKS, SIZE, CUSTOMERS = 3, 5, 24


def block_rows() -> list[dict[str, Any]]:
    """Customer c buys all of block c % 3 but one product, twice, on two days.

    So what is new and right for customer c is p<c % 3><c % 5>.
    """
    return [
        {
            "customer_id": f"c{c:02}",
            "product_id": f"p{c % BLOCKS}{p}",
            "ts": CUTOFF - timedelta(days=days, minutes=c),
            "order_id": f"o{c}-{days}",
            "quantity": 1.0,
            "amount": 1.0,
            "list_amount": 1.0,
        }
        for c in range(CUSTOMERS)
        for p in range(SIZE)
        for days in (20, 10)
        if p != c % SIZE
    ]


PRODUCTS = [
    {"product_id": f"p{b}{p}", "category": f"block {b}", "subcategory": f"block {b}"}
    for b in range(BLOCKS)
    for p in range(SIZE)
]


@pytest.fixture
def moment(read_history: ReadHistory) -> Moment:
    history = read_history({"purchases": block_rows(), "products": PRODUCTS}, CUTOFF)
    return moment_at(sort_history(history), CUTOFF, 14)


@pytest.mark.parametrize("source", [1, 2, 3])
def test_the_right_new_product_is_found(moment: Moment, source: int) -> None:
    generators = fit_generators(moment, CONFIG, seed=0)
    generator = list(generators)[source]
    assert generator.name == SOURCES[source]
    found = alone(generator, moment, moment.customers, 1, CONFIG).lists["new"]
    ids = moment.history.products.ids[found[:, 0]]
    assert ids.tolist() == [f"p{c % BLOCKS}{c % SIZE}" for c in range(CUSTOMERS)]


def test_own_history_comes_by_decayed_count(read_history: ReadHistory) -> None:
    rows = block_rows()
    more = rows[0] | {"ts": CUTOFF - timedelta(days=1), "order_id": "x"}
    history = read_history({"purchases": [*rows, more]}, CUTOFF)
    moment = moment_at(sort_history(history), CUTOFF, 14)
    own = fit_generators(moment, CONFIG, seed=0).own
    found = alone(own, moment, moment.customers[:1], 6, CONFIG).lists["mixed"]
    # p01 three times; the rest tie and come by id; the fifth was never bought.
    assert moment.history.products.ids[found[0, :4]].tolist() == [
        "p01",
        "p02",
        "p03",
        "p04",
    ]
    assert found[0, 4:].tolist() == [-1, -1]


def test_candidates_are_unique_and_flagged(moment: Moment) -> None:
    generators = fit_generators(moment, CONFIG, seed=0)
    found = candidates(generators, moment.customers, CONFIG)
    pairs = list(zip(found.customer, found.product, strict=True))
    assert len(set(pairs)) == len(pairs)
    bought = moment.pairs["product"]
    known = set(zip(bought.customer, bought.item, strict=True))
    assert [pair not in known for pair in pairs] == found.is_new.tolist()
    again = ~found.is_new
    assert np.bincount(found.customer[again]).tolist() == [3] * CUSTOMERS
    assert found.place[again].tolist() == [0, 1, 2] * CUSTOMERS
    assert (bought.item[found.pair[again]] == found.product[again]).all()


def test_a_pool_limits_candidates_to_it(moment: Moment) -> None:
    generators = fit_generators(moment, CONFIG, seed=0)
    pool = np.zeros(moment.n_products, dtype=np.bool_)
    pool[2] = True  # p02
    found = candidates(generators, moment.customers, CONFIG, pool)
    assert set(found.product.tolist()) == {2}
    assert len(found.product) == CUSTOMERS


def test_anchor_is_the_block_mate(moment: Moment) -> None:
    made = fit_generators(moment, CONFIG, seed=0).co_purchase
    anchor = anchors(made, np.array([0], np.int32), np.array([0], np.int32))
    assert moment.history.products.ids[anchor[0]] in ("p01", "p02", "p03", "p04")
    foreign = anchors(made, np.array([0], np.int32), np.array([14], np.int32))
    assert foreign.tolist() == [-1]
    assert SOURCES[CO_PURCHASE] == "co-purchase"


def test_same_seed_same_scores_another_seed_other_factors(moment: Moment) -> None:
    one, two = (fit_generators(moment, CONFIG, seed=3) for _ in range(2))
    for a, b in zip(one, two, strict=True):
        assert (a.scores(moment.customers) == b.scores(moment.customers)).all()
    other = fit_generators(moment, CONFIG, seed=4)
    assert (one.als.factors != other.als.factors).any()


def test_top_items_take_the_lower_code_on_ties() -> None:
    scores = np.array([[1, 3, 3, 2], [-np.inf, 0, -np.inf, -np.inf]], np.float32)
    assert top_items(scores, 3).tolist() == [[1, 2, 3], [1, -1, -1]]


def test_shop_without_groups_or_repeated_products(read_history: ReadHistory) -> None:
    rows = [
        {
            "customer_id": "a",
            "product_id": f"p{i}",
            "ts": CUTOFF - timedelta(days=i + 1),
            "order_id": f"o{i}",
            "quantity": 1.0,
            "amount": 1.0,
        }
        for i in range(2)
    ]
    moment = moment_at(
        sort_history(read_history({"purchases": rows}, CUTOFF)), CUTOFF, 14
    )
    generators = fit_generators(moment, CONFIG, seed=0)
    found = candidates(generators, moment.customers, CONFIG)
    assert found.product.tolist() == [0, 1]
    # There are no categories, and no second customer to compare with.
    assert np.isnan(found.scores[CATEGORY - 1]).all()
    assert found.scores[POPULARITY - 1].tolist() == [1, 1]


def order(customer: str, product: str, days: int) -> dict[str, Any]:
    return {
        "customer_id": customer,
        "product_id": product,
        "ts": CUTOFF - timedelta(days=days),
        "order_id": f"{customer}-{days}",
        "quantity": 1.0,
        "amount": 1.0,
    }


def test_a_small_shop_has_something_new_to_offer(read_history: ReadHistory) -> None:
    rows = [order("a", "tea", 3), order("a", "milk", 3), order("b", "tea", 2)]
    rows += [order("b", "rye", 2), order("c", "soap", 40)]
    rows += [order("c", "soap", 50)]
    moment = moment_at(
        sort_history(read_history({"purchases": rows}, CUTOFF)), CUTOFF, 14
    )
    config = CONFIG.model_copy(update={"min_buyers": 10, "new_candidates": 1})
    generators = fit_generators(moment, config, seed=0)
    ids = moment.history.products.ids
    # Nothing has ten buyers: the bar falls to the two of the best product.
    assert ids[generators.als.items].tolist() == ["tea"]
    more = config.model_copy(update={"new_candidates": 40})
    assert len(fit_generators(moment, more, seed=0).als.items) == len(ids)
    # Popularity asks for a sale in 28 days only, whatever the settings.
    assert ids[generators.popularity.items].tolist() == ["milk", "rye", "tea"]
    found = alone(generators.popularity, moment, moment.customers, 2, CONFIG)
    assert [ids[row[row >= 0]].tolist() for row in found.lists["new"]] == [
        ["rye"],
        ["milk"],
        ["tea", "milk"],
    ]


def test_a_large_shop_keeps_the_bar(moment: Moment) -> None:
    high = CONFIG.model_copy(update={"min_buyers": 7, "new_candidates": 3})
    items = fit_generators(moment, high, seed=0).als.items
    buyers = moment.shelf.buyers
    assert items.tolist() == np.flatnonzero(buyers >= 7).tolist()
    assert 3 <= len(items) < len(buyers)


def test_no_opinion_is_no_candidate(read_history: ReadHistory) -> None:
    # z bought nothing that anyone else bought, in a category of its own.
    far = [order("z", "odd", 5)]
    products = [*PRODUCTS, {"product_id": "odd", "category": "x", "subcategory": "x"}]
    history = read_history(
        {"purchases": [*block_rows(), *far], "products": products}, CUTOFF
    )
    moment = moment_at(sort_history(history), CUTOFF, 14)
    generators = fit_generators(moment, CONFIG, seed=0)
    z = np.flatnonzero(moment.history.customers == "z").astype(np.int32)
    for source in (ALS, CO_PURCHASE, CATEGORY):
        assert np.isneginf(list(generators)[source].scores(z)).all()
    found = candidates(generators, z, CONFIG)
    assert set(found.source[found.is_new].tolist()) == {POPULARITY}
    assert np.isnan(found.scores[ALS - 1]).all()
    # A customer of the first block has no opinion on the shelves of the others.
    some = generators.category.scores(moment.customers[:1])[0]
    of_block = moment.history.products.ids[generators.category.items]
    mine = np.char.startswith(of_block.astype(str), "p0")
    assert np.isfinite(some).tolist() == mine.tolist()


def test_what_is_not_available_is_in_no_list(read_history: ReadHistory) -> None:
    products = [p | {"available": p["product_id"] != "p00"} for p in PRODUCTS]
    history = read_history({"purchases": block_rows(), "products": products}, CUTOFF)
    moment = moment_at(sort_history(history), CUTOFF, 14)
    for generator in fit_generators(moment, CONFIG, seed=0):
        found = alone(generator, moment, moment.customers, 15, CONFIG).lists
        for lane, lists in found.items():
            assert 0 not in lists
            assert lane == "new" or not len(generator.items) or (lists >= 0).any()
