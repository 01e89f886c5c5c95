"""Rules of a list by hand: offers of anna, in order p4 p1 p2 p6, then p3 p5 p8.

| | category, subcategory, brand | probability | price | margin rate | arrived |
|----|------------------|-----|-----|-----|----------|
| p4 | bread loaf cid   | .50 | 3   | .10 | long ago |
| p1 | dairy fresh ada  | .45 | 1   | .50 | long ago |
| p2 | dairy hard bea   | .40 | 4   | .25 | long ago |
| p6 | tea leaf ada     | .30 | 4.5 | .40 | 14 days before |
| p3 | dairy fresh ada  | .09 | 2   | .30 | 28 days before |
| p5 | bread small cid  | .05 | -   | -   | unknown |
| p8 | -                | .03 | 10  | -   | long ago |

anna bought p1 and p2, carl p1 and p3 and has no offers; nobody is unknown.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import numpy as np
import pyarrow as pa
import pytest

from serving.publish import publish
from serving.published import Published
from serving.recommend import recommend, wishes
from serving.rules import RuleError, Rules
from training.buyers import Buyers

ANNA, BERT, CARL, NOBODY = 0, 1, 2, None


def items(published: Published, customer: int | None, n: int, lane="mixed", **rules):
    wish = {k: rules.pop(k) for k in ("categories", "without") if k in rules}
    ask = wishes(published, n, lane, **wish, rules=Rules(**rules))
    return recommend(published, customer, ask)


def ids(*args, **rules) -> list[str]:
    return [item["product_id"] for item in items(*args, **rules)]


def scores(*args, **rules) -> list[float | None]:
    return [item["score"] for item in items(*args, **rules)]


@pytest.fixture
def altered(tmp_path, predictions):
    """The same shop with other values in a column of the products."""

    def of(column: str, *, cleared: bool = False, **values) -> Published:
        products = predictions.products
        at = products.column_names.index(column)
        names, old = products["product_id"].to_pylist(), products[column].to_pylist()
        new = [values.get(name, was) for name, was in zip(names, old, strict=True)]
        if cleared:
            new = [None] * len(names)
        changed = products.set_column(at, column, pa.array(new, products[column].type))
        publish(tmp_path, replace(predictions, products=changed), "m1")
        return Published.open(tmp_path)

    return of


class TestCategoryCap:
    def test_no_category_has_more_lines_than_the_cap(self, published):
        found = ids(published, ANNA, 3, max_per_category=1)
        assert found == ["p4", "p1", "p6"]

    def test_the_list_is_filled_under_the_cap(self, published):
        found = ids(published, ANNA, 6, max_per_category=2)
        assert found == ["p4", "p1", "p2", "p6", "p5", "p8"]

    def test_the_list_ends_where_no_more_pass_the_cap(self, published):
        # p8 has no category.
        assert ids(published, ANNA, 5, max_per_category=1) == ["p4", "p1", "p6", "p8"]

    def test_what_has_no_category_is_not_limited(self, altered):
        shop = altered("category", p1="", p2="", p4="", p6="", p3="", p5="", p8="")
        assert len(ids(shop, ANNA, 7, max_per_category=1)) == 1
        shop = altered("category", **{f"p{i}": None for i in range(1, 7)}, p8="bags")
        found = ids(shop, ANNA, 7, max_per_category=1)
        assert found == ["p4", "p1", "p2", "p6", "p3", "p5", "p8"]

    def test_an_unknown_customer_has_a_capped_list_too(self, published):
        # p3 p1 p4 p2 p5 p6 p8 without a cap.
        found = ids(published, NOBODY, 7, max_per_category=1)
        assert found == ["p3", "p4", "p6", "p8"]

    def test_a_bought_list_is_capped(self, published):
        assert ids(published, CARL, 5, "again", max_per_category=1) == ["p3"]

    def test_other_filters_come_first(self, published):
        found = ids(
            published,
            ANNA,
            5,
            max_per_category=1,
            categories=["dairy", "bread"],
            without=["p4", "p1"],
        )
        assert found == ["p2", "p5"]

    def test_a_cap_that_does_not_bind_changes_nothing(self, published):
        for n in range(1, 8):
            capped = items(published, ANNA, n, max_per_category=100)
            assert capped == items(published, ANNA, n)


class TestWeights:
    def test_value_is_probability_times_price(self, published):
        assert ids(published, ANNA, 4, weight_by="value") == ["p2", "p4", "p6", "p1"]
        found = scores(published, ANNA, 4, weight_by="value")
        assert found == pytest.approx([1.6, 1.5, 1.35, 0.45])

    def test_margin_is_value_times_margin_rate(self, published):
        assert ids(published, ANNA, 4, weight_by="margin") == ["p6", "p2", "p1", "p4"]
        found = scores(published, ANNA, 4, weight_by="margin")
        assert found == pytest.approx([0.54, 0.4, 0.225, 0.15])

    def test_the_best_of_all_offers_make_the_list_not_the_first_n(self, published):
        assert ids(published, ANNA, 2, weight_by="margin") == ["p6", "p2"]

    def test_filled_lines_are_weighted_among_themselves(self, published):
        # .3, .18 and unknown, none of them above the offers.
        found = items(published, ANNA, 7, weight_by="value")
        assert [item["product_id"] for item in found[4:]] == ["p8", "p3", "p5"]
        assert [item["score"] for item in found[4:]] == pytest.approx([0.3, 0.18, 0])
        assert [item["probability"] for item in found[4:]] == pytest.approx(
            [0.03, 0.09, 0.05]
        )

    def test_an_unknown_customer_has_a_weighted_list_too(self, published):
        # p3 .18, p1 .08, p4 .21, p2 .24, p5 unknown, p6 .18, p8 .3
        found = ids(published, NOBODY, 3, weight_by="value")
        assert found == ["p8", "p2", "p4"]

    @pytest.mark.parametrize("weight", ["value", "margin"])
    def test_an_unknown_price_counts_nothing(self, altered, weight):
        shop = altered("price", p4=None)
        assert ids(shop, ANNA, 4, weight_by=weight)[-1] == "p4"
        assert scores(shop, ANNA, 4, weight_by=weight)[-1] == 0

    def test_unknown_ones_keep_the_order_of_probability(self, altered):
        shop = altered("margin_rate", p4=None, p1=None)
        found = ids(shop, ANNA, 4, weight_by="margin")
        assert found == ["p6", "p2", "p4", "p1"]

    def test_a_loss_is_worse_than_an_unknown_margin(self, altered):
        shop = altered("margin_rate", p4=-0.1, p6=None)
        found = ids(shop, ANNA, 4, weight_by="margin")
        assert found == ["p2", "p1", "p6", "p4"]
        assert scores(shop, ANNA, 5, weight_by="margin")[3:] == pytest.approx(
            [-0.15, -0.15]
        )

    def test_a_shop_without_margins_is_told_so(self, altered):
        shop = altered("margin_rate", cleared=True)
        with pytest.raises(RuleError, match="weight_by: expected prices and margin"):
            items(shop, ANNA, 4, weight_by="margin")
        assert ids(shop, ANNA, 1, weight_by="value") == ["p2"]


class TestNewArrivals:
    def test_they_take_the_last_places_where_they_are_missing(self, published):
        found = ids(published, ANNA, 2, min_new_arrivals=1, new_arrival_days=14)
        assert found == ["p4", "p6"]

    def test_a_list_that_has_them_already_is_left_alone(self, published):
        found = items(published, ANNA, 4, min_new_arrivals=1, new_arrival_days=14)
        assert found == items(published, ANNA, 4)

    @pytest.mark.parametrize(
        ("days", "second"), [(13, "p1"), (14, "p6"), (27, "p6"), (28, "p6")]
    )
    def test_the_first_day_counts_and_the_day_before_does_not(
        self, published, days, second
    ):
        found = ids(published, ANNA, 2, min_new_arrivals=1, new_arrival_days=days)
        assert found == ["p4", second]

    @pytest.mark.parametrize("after", [0, 1])
    def test_what_arrives_at_the_cutoff_or_later_is_no_new_arrival(
        self, altered, predictions, after
    ):
        moment = predictions.cutoff + timedelta(microseconds=after)
        shop = altered("arrived_at", p6=moment)
        assert ids(shop, ANNA, 2, min_new_arrivals=1, new_arrival_days=14) == [
            "p4",
            "p1",
        ]

    def test_they_are_looked_for_among_filling_products_too(self, published):
        # p3 stands behind all offers.
        found = ids(published, ANNA, 3, min_new_arrivals=2, new_arrival_days=28)
        assert found == ["p4", "p6", "p3"]

    def test_where_fewer_exist_the_others_fill_the_list(self, published):
        found = ids(published, ANNA, 4, min_new_arrivals=4, new_arrival_days=28)
        assert found == ["p4", "p1", "p6", "p3"]

    def test_the_quota_is_met_under_a_cap(self, published):
        # p1 would take the place of p3, which is dairy, too.
        found = ids(
            published,
            ANNA,
            3,
            min_new_arrivals=2,
            new_arrival_days=28,
            max_per_category=1,
        )
        assert found == ["p4", "p6", "p3"]

    def test_the_cap_never_yields_to_the_quota(self, altered, predictions):
        recently = predictions.cutoff - timedelta(days=1)
        shop = altered("arrived_at", p1=recently, p2=recently, p3=recently)
        found = ids(
            shop,
            ANNA,
            3,
            min_new_arrivals=3,
            new_arrival_days=2,
            max_per_category=1,
        )
        assert found == ["p4", "p1", "p6"]

    def test_an_unknown_customer_sees_them(self, published):
        found = ids(published, NOBODY, 2, min_new_arrivals=2, new_arrival_days=28)
        assert found == ["p3", "p6"]


class TestNewShare:
    @pytest.mark.parametrize(
        ("share", "found"),
        [
            # Rounded to 1, 2 and 3 of 3 lines; halves upwards.
            (0.34, ["p4", "p1", "p2"]),
            (0.5, ["p4", "p1", "p6"]),
            (1.0, ["p4", "p6", "p3"]),
        ],
    )
    def test_so_many_lines_are_of_products_never_bought(self, published, share, found):
        assert ids(published, ANNA, 3, new_share=share) == found

    def test_what_one_lane_cannot_fill_the_other_does(self, published):
        # Only p1 and p2 were bought and are available.
        assert ids(published, ANNA, 3, new_share=0.0) == ["p4", "p1", "p2"]
        assert ids(published, ANNA, 7, new_share=0.0) == ids(published, ANNA, 7)

    def test_other_bought_products_come_before_the_other_lane(self, published):
        found = items(published, CARL, 3, new_share=0.34)
        assert [item["product_id"] for item in found] == ["p3", "p1", "p4"]
        assert [item["source"] for item in found] == ["bought", "bought", "popularity"]
        assert ids(published, CARL, 3, new_share=0.67) == ["p3", "p4", "p2"]

    def test_to_an_unknown_customer_everything_is_new(self, published):
        assert ids(published, NOBODY, 3, new_share=0.0) == ["p3", "p1", "p4"]

    def test_new_arrivals_come_before_the_share(self, published):
        found = ids(
            published,
            ANNA,
            3,
            new_share=0.0,
            min_new_arrivals=1,
            new_arrival_days=14,
        )
        assert found == ["p1", "p2", "p6"]

    @pytest.mark.parametrize(
        ("share", "n", "slots"),
        [(0.25, 10, 3), (0.24, 10, 2), (0.29, 50, 15), (0.0, 9, 0), (1.0, 9, 9)],
    )
    def test_it_is_rounded_halves_upwards(self, share, n, slots):
        assert Rules(new_share=share).new_slots(n) == slots

    @pytest.mark.parametrize("lane", ["again", "new"])
    def test_a_list_of_one_lane_has_no_share(self, published, lane):
        with pytest.raises(RuleError, match="new_share: expected with list mixed"):
            items(published, ANNA, 3, lane, new_share=0.5)


class TestDiversity:
    def test_without_it_the_list_is_todays(self, published):
        for customer in (ANNA, BERT, CARL, NOBODY):
            for n in range(1, 8):
                found = items(published, customer, n, diversity=0.0)
                assert found == recommend(published, customer, wishes(published, n))

    def test_a_line_unlike_the_ones_above_moves_up(self, altered):
        # Relevance 1, .9, .8, .6; p2 shares dairy with p1, p6 nothing with any:
        # p2 has .5 x .8 - .5 x 1/3, p6 .5 x .6.
        shop = altered("brand", p6="eve")
        assert ids(shop, ANNA, 4, diversity=0.5) == ["p4", "p1", "p6", "p2"]
        found = scores(shop, ANNA, 4, diversity=0.5)
        assert found == pytest.approx([0.5, 0.45, 0.3, 0.4 - 0.5 / 3])

    def test_a_touch_of_it_does_not_turn_a_clear_order(self, altered):
        shop = altered("brand", p6="eve")
        assert ids(shop, ANNA, 4, diversity=0.1) == ["p4", "p1", "p2", "p6"]

    def test_in_full_the_best_stands_first_and_then_the_unlike(self, published):
        # Nothing is like p4, so p1 comes next. p2 and p6 share one of three with
        # p1 and keep their order. p8 is like nothing, p5 shares two of three with
        # p4, p3 all three with p1.
        found = ids(published, ANNA, 7, diversity=1.0)
        assert found == ["p4", "p1", "p2", "p6", "p8", "p5", "p3"]
        assert scores(published, ANNA, 7, diversity=1.0) == pytest.approx(
            [0, 0, -1 / 3, -1 / 3, -1 / 3, -2 / 3, -1]
        )

    def test_levels_that_the_shop_lacks_do_not_count(self, altered):
        shop = altered("brand", cleared=True)
        # One of two levels is shared by p2 and p1.
        found = scores(shop, ANNA, 4, diversity=1.0)
        assert found == pytest.approx([0, 0, 0, -0.5])

    def test_it_weighs_what_the_list_is_ordered_by(self, published):
        assert ids(published, ANNA, 1, diversity=0.5, weight_by="margin") == ["p6"]

    def test_an_unknown_customer_has_a_diverse_list_too(self, published):
        # p3, then nothing of dairy or of ada.
        assert ids(published, NOBODY, 3, diversity=1.0) == ["p3", "p4", "p8"]

    def test_reserved_lines_stand_where_they_belong(self, published):
        rules = {"min_new_arrivals": 2, "new_arrival_days": 28}
        found = items(published, ANNA, 3, diversity=0.5, **rules)
        assert [item["product_id"] for item in found] == ["p4", "p6", "p3"]
        assert [item["rank"] for item in found] == [1, 2, 3]
        values = [item["score"] for item in found]
        assert values == sorted(values, reverse=True)


@pytest.mark.parametrize(
    ("rules", "said"),
    [
        ({"max_per_category": 0}, "max_per_category: expected at least 1, got 0"),
        ({"diversity": -0.1}, "diversity: expected 0 to 1, got -0.1"),
        ({"diversity": 1.1}, "diversity: expected 0 to 1, got 1.1"),
        ({"diversity": np.nan}, "diversity: expected 0 to 1, got nan"),
        ({"new_share": 1.1}, "new_share: expected 0 to 1, got 1.1"),
        ({"min_new_arrivals": -1}, "min_new_arrivals: expected at least 0, got -1"),
        ({"min_new_arrivals": 4}, "min_new_arrivals: expected at most n = 3, got 4"),
        ({"new_arrival_days": 0}, "new_arrival_days: expected at least 1, got 0"),
    ],
)
def test_a_rule_out_of_range_is_refused(published, rules, said):
    with pytest.raises(RuleError) as caught:
        items(published, ANNA, 3, **rules)
    assert str(caught.value) == said
    assert caught.value.field == said.partition(":")[0]


def test_rules_that_this_shop_cannot_keep_are_refused(published):
    bare = published.catalogue
    unknown = np.full(8, -1, dtype=np.int32)
    shop = replace(
        published,
        catalogue=replace(
            bare, category=unknown, subcategory=unknown, brand=unknown, categories={}
        ),
    )
    for rules in ({"max_per_category": 1}, {"diversity": 0.5}):
        (name,) = rules
        with pytest.raises(RuleError, match=f"{name}: expected .*, got products"):
            items(shop, ANNA, 3, **rules)


class TestDeepFill:
    """What the list needs stands behind hundreds of more popular products."""

    @pytest.fixture
    def shop(self, tmp_path, predictions, basis_for, lived_by) -> Published:
        """a00 to a49, then b000 to b499, then a50 (arrived lately), by popularity.

        anna bought a00 to a49 and has no offers.
        """
        names = [f"a{i:02}" for i in range(51)] + [f"b{i:03}" for i in range(500)]
        lately = predictions.cutoff - timedelta(days=1)
        products = pa.Table.from_pylist(
            [
                {
                    "product_id": name,
                    "category": name[0],
                    "price": 1.0,
                    "arrived_at": lately if name == "a50" else None,
                    "available": True,
                }
                for name in names
            ],
            schema=predictions.products.schema,
        )
        order = [*range(50), *range(51, 551), 50]
        popular = pa.Table.from_pylist(
            [
                {"product": row, "score": -place, "probability": 0.1, "reason": "sold"}
                for place, row in enumerate(order)
            ],
            schema=predictions.cold_start.schema,
        )
        changed = replace(
            predictions,
            products=products,
            offers=predictions.offers.slice(0, 0),
            cold_start=popular,
            buyers=Buyers(
                np.zeros(len(products) + 1, np.int64),
                np.zeros(0, np.int32),
                np.zeros(0, np.float32),
            ),
            bought_offsets=np.array([0, 50, 50, 50]),
            bought_products=np.arange(50, dtype=np.int32),
            last_bought=np.full(50, 0, dtype=np.int64),
            bought_weight=np.ones(50, dtype=np.float32),
            **lived_by(
                ["anna", "bert", "carl"], products, [(0, 0, 1), (1, 0, 1), (2, 0, 1)]
            ),
            fresh=basis_for(len(products)),
        )
        publish(tmp_path, changed, "m1")
        return Published.open(tmp_path)

    def test_a_category_is_looked_through_under_a_cap(self, shop):
        assert ids(shop, ANNA, 5, "new", max_per_category=1) == ["b000", "a50"]
        assert ids(shop, ANNA, 5, max_per_category=1) == ["a00", "b000"]

    def test_new_arrivals_are_looked_for_to_the_end(self, shop):
        for rules in ({}, {"max_per_category": 2}, {"diversity": 0.5}):
            found = ids(shop, ANNA, 2, "new", min_new_arrivals=1, **rules)
            assert found == ["b000", "a50"]

    def test_products_never_bought_are_looked_for_behind_the_bought_ones(self, shop):
        assert ids(shop, ANNA, 2, new_share=1.0) == ["b000", "b001"]
        found = ids(shop, ANNA, 2, new_share=1.0, max_per_category=1)
        assert found == ["b000", "a50"]

    def test_an_uncategorised_fill_is_long_enough(self, shop):
        bare = replace(
            shop.catalogue, category=np.full(551, -1, np.int32), categories={"x": 0}
        )
        other = replace(shop, catalogue=bare)
        found = ids(other, ANNA, 100, "new", max_per_category=1)
        assert found == [f"b{i:03}" for i in range(100)]
