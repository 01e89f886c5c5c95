from __future__ import annotations

from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest

from features.snapshot import DAY_US, to_us
from serving.publish import publish
from serving.published import Published
from serving.recommend import recommend, wishes

ANNA, BERT, CARL = 0, 1, 2


def ids(published: Published, customer: int | None, n: int, lane="mixed", **wish):
    ask = wishes(published, n, lane, **wish)
    return [item["product_id"] for item in recommend(published, customer, ask)]


def test_mixed_keeps_the_order_of_the_build_and_its_ties(published):
    assert ids(published, ANNA, 3) == ["p4", "p1", "p2"]


def test_again_holds_only_bought_products(published):
    assert ids(published, ANNA, 2, "again") == ["p1", "p2"]


def test_new_holds_only_products_never_bought(published):
    assert ids(published, ANNA, 2, "new") == ["p4", "p6"]


def test_mixed_is_filled_with_popular_products_to_exactly_n(published):
    # Offers p4 p1 p2 p6 (p7 is not available), then popular without repeats.
    assert ids(published, ANNA, 6) == ["p4", "p1", "p2", "p6", "p3", "p5"]


def test_new_is_filled_with_popular_products_never_bought(published):
    assert ids(published, ANNA, 5, "new") == ["p4", "p6", "p3", "p5", "p8"]
    assert ids(published, CARL, 3, "new") == ["p4", "p2", "p5"]


def test_again_is_filled_with_the_other_bought_products_most_popular_first(published):
    assert ids(published, CARL, 5, "again") == ["p3", "p1"]


@pytest.mark.parametrize("n", range(1, 8))
@pytest.mark.parametrize("customer", [ANNA, BERT, CARL, None])
def test_a_list_has_exactly_n_items_where_that_many_exist(published, customer, n):
    # Seven products are available.
    assert len(ids(published, customer, n)) == n


def test_a_list_ends_where_no_more_products_exist(published):
    assert len(ids(published, ANNA, 8)) == 7
    assert ids(published, ANNA, 8, "again") == ["p1", "p2"]
    assert len(ids(published, ANNA, 8, available_only=False)) == 8


@pytest.mark.parametrize("lane", ["mixed", "again", "new"])
@pytest.mark.parametrize("customer", [ANNA, BERT, CARL, None])
def test_nothing_is_shown_twice_and_ranks_count_from_one(published, customer, lane):
    ask = wishes(published, 100, lane, available_only=False)
    items = recommend(published, customer, ask)
    assert len({item["product_id"] for item in items}) == len(items)
    assert [item["rank"] for item in items] == list(range(1, len(items) + 1))


def test_both_lanes_together_are_the_whole_range(published):
    again = ids(published, ANNA, 100, "again", available_only=False)
    new = ids(published, ANNA, 100, "new", available_only=False)
    assert sorted(again + new) == [f"p{number}" for number in range(1, 9)]


def test_an_unavailable_product_needs_to_be_asked_for(published):
    assert "p7" not in ids(published, ANNA, 100, "again")
    found = ids(published, ANNA, 100, "again", available_only=False)
    assert found == ["p1", "p2", "p7"]


def test_categories_limit_offers_and_fill(published):
    assert ids(published, ANNA, 9, categories=["bread"]) == ["p4", "p5"]
    both = ids(published, ANNA, 9, categories=["bread", "tea"])
    assert both == ["p4", "p6", "p5"]


def test_an_unknown_category_matches_nothing(published):
    assert ids(published, ANNA, 9, categories=["shoes"]) == []
    assert ids(published, None, 9, categories=["shoes"]) == []


def test_excluded_products_never_appear_and_the_list_stays_full(published):
    assert ids(published, ANNA, 3, without=["p4", "p2", "nothing"]) == [
        "p1",
        "p6",
        "p3",
    ]


def test_filters_leave_the_published_arrays_as_they_were(published):
    before = published.catalogue.available.copy()
    ids(published, ANNA, 3, categories=["bread"], without=["p4"])
    assert (published.catalogue.available == before).all()


def test_an_unknown_customer_gets_the_cold_start_list(published):
    assert ids(published, None, 3) == ["p3", "p1", "p4"]
    assert ids(published, None, 3, "new") == ["p3", "p1", "p4"]


def test_an_unknown_customer_bought_nothing_again(published):
    assert ids(published, None, 3, "again") == []


def test_an_offer_carries_its_score_and_reason_and_a_fill_that_of_popularity(published):
    ask = wishes(published, 5)
    first, *_, last = recommend(published, ANNA, ask)
    assert (first["product_id"], first["reason"], first["source"]) == (
        "p4",
        "many buy it",
        "popularity",
    )
    assert first["score"] == pytest.approx(0.9) and first["probability"] == 0.5
    assert (last["product_id"], last["reason"]) == ("p3", "bought by 9 of 100")
    assert last["source"] == "popularity"
    assert last["probability"] == pytest.approx(0.09)


@pytest.mark.parametrize("lane", ["mixed", "again", "new"])
@pytest.mark.parametrize("customer", [ANNA, BERT, CARL, None])
def test_the_score_never_rises_down_a_list(published, customer, lane):
    items = recommend(published, customer, wishes(published, 7, lane))
    scores = [item["score"] for item in items]
    assert scores == sorted(scores, reverse=True)
    if customer == ANNA and lane == "mixed":
        # p3 has a popularity of 0.9, but stands below p6 with 0.5.
        assert scores[3:6] == [0.5, 0.5, 0.5]


def test_a_product_outside_the_cold_start_list_has_no_score(published):
    ask = wishes(published, 8, available_only=False)
    last = recommend(published, BERT, ask)[-1]
    assert last["product_id"] == "p7"
    assert last["score"] is None and last["probability"] is None


def test_n_below_one_is_refused(published):
    with pytest.raises(ValueError, match="n: expected at least 1, got 0"):
        wishes(published, 0)


def test_a_long_purchase_history_does_not_shorten_the_new_list(published):
    # Barred products stand in front of the fill: all seven but p8.
    bought = published.bought_products.copy()
    everything = replace(
        published,
        bought_offsets=published.bought_offsets * 0 + [0, 7, 7, 7],
        bought_products=bought.repeat(2)[:7] * 0 + [0, 1, 2, 3, 4, 5, 6],
    )
    ask = wishes(everything, 3, "new")
    # p4 and p6 are offers that the build called new.
    assert [item["product_id"] for item in recommend(everything, ANNA, ask)] == [
        "p4",
        "p6",
        "p8",
    ]


def durable(predictions, ago: float = 1, **days):
    """p1 to p3 of one kind, by service life in days; all bought so many days ago."""
    products = predictions.products
    lives = [days.get(name) for name in products["product_id"].to_pylist()]
    kinds = ["dairy", "dairy", "dairy", *[None] * 5]
    for name, column in (
        ("service_life_days", pa.array(lives, pa.float64())),
        ("subcategory", pa.array(kinds, pa.string())),
    ):
        at = products.column_names.index(name)
        products = products.set_column(at, name, column)
    last = np.full(6, to_us(predictions.cutoff) - round(ago * DAY_US))
    return replace(predictions, products=products, last_bought=last)


def opened(tmp_path, predictions) -> Published:
    publish(tmp_path, predictions, "m1")
    return Published.open(tmp_path)


@pytest.mark.parametrize("lane", ["mixed", "again"])
def test_a_durable_is_not_offered_within_its_service_life(tmp_path, predictions, lane):
    for ago in (99, 100 - 1 / DAY_US):
        lasting = opened(tmp_path, durable(predictions, ago, p1=100.0))
        assert "p1" not in ids(lasting, ANNA, 100, lane)
    over = opened(tmp_path, durable(predictions, 100, p1=100.0))
    assert "p1" in ids(over, ANNA, 100, lane)


def test_a_pack_that_is_used_up_is_offered_at_any_time(tmp_path, predictions):
    shop = opened(tmp_path, durable(predictions, p1=89.0))
    assert ids(shop, ANNA, 3) == ["p4", "p1", "p2"]


def test_a_durable_is_no_filled_line_either(tmp_path, predictions):
    shop = durable(predictions, p3=365.0)
    # carl has no offers; he bought p1 and p3.
    assert ids(opened(tmp_path, shop), CARL, 2, "again") == ["p1"]
    assert ids(opened(tmp_path, shop), CARL, 2) == ["p1", "p4"]


def test_a_durable_keeps_others_of_its_kind_out_of_all_lists(tmp_path, predictions):
    shop = opened(tmp_path, durable(predictions, p1=365.0, p3=365.0))
    # p3 is new to anna, but of the kind of p1; p2 is not durable.
    assert ids(shop, ANNA, 100) == ["p4", "p2", "p6", "p5", "p8"]
    assert ids(shop, ANNA, 100, "new") == ["p4", "p6", "p5", "p8"]
    assert ids(shop, ANNA, 100, "again") == ["p2"]
    # bert bought none of them.
    assert {"p1", "p3"} <= set(ids(shop, BERT, 100, "new"))


def test_a_list_is_full_although_resting_products_stand_in_front(tmp_path, predictions):
    shop = opened(tmp_path, durable(predictions, p1=365.0, p2=365.0, p3=365.0))
    assert ids(shop, CARL, 3) == ["p4", "p5", "p6"]
    assert ids(shop, CARL, 3, "new") == ["p4", "p5", "p6"]


def test_an_unknown_customer_owns_nothing(tmp_path, predictions):
    shop = opened(tmp_path, durable(predictions, p1=365.0, p3=365.0))
    assert ids(shop, None, 3) == ["p3", "p1", "p4"]
