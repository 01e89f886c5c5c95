"""What a customer did since the cutoff, in the lists that they get."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy.special import expit

from features.snapshot import DAY_US
from serving.fresh import Lately, view_of
from serving.fresh_words import ALS, LOOKED_AT, OWN, POPULAR, day_of
from serving.publish import publish
from serving.published import Published
from serving.recommend import recommend, wishes
from serving.rules import Rules
from training.generators.fitted import SOURCES
from training.since import (
    ASKED,
    BOUGHT,
    CARTED,
    FAVOURED,
    RETURNED,
    VIEWED,
    Fresh,
)

ANNA, BERT, CARL = 0, 1, 2
# The cutoff is 2017-10-15 00:00.
NOON, HOUR = DAY_US // 2, DAY_US // 24


def lately(published: Published, *events: tuple, days: float = 0.5) -> Lately:
    """Events (kind, product from p1, hours after the cutoff); asked ``days`` after."""
    kind, product, hours = zip(*(event[:3] for event in events), strict=True)
    fresh = Fresh(
        np.array(kind, np.int8),
        np.array(product, np.int32) - 1,
        published.cutoff_us + np.array(hours, np.int64) * HOUR,
        np.ones(len(kind), np.float32),
    )
    return Lately(fresh, published.cutoff_us + round(days * DAY_US))


def ids(published, customer, n, since=None, lane="mixed", **wish) -> list[str]:
    items = recommend(published, customer, wishes(published, n, lane, **wish), since)
    return [item["product_id"] for item in items]


def line(published, customer, since, product, lane="mixed"):
    found = recommend(published, customer, wishes(published, 8, lane), since)
    return next(item for item in found if item["product_id"] == product)


@pytest.mark.parametrize("customer", [ANNA, BERT, CARL, None])
@pytest.mark.parametrize("lane", ["mixed", "again", "new"])
@pytest.mark.parametrize("rules", [Rules(), Rules(diversity=0.4, max_per_category=2)])
def test_events_that_come_to_nothing_change_nothing(published, customer, lane, rules):
    ask = wishes(published, 6, lane, rules=rules)
    back = lately(published, (BOUGHT, 5, 1), (RETURNED, 5, 2))
    assert recommend(published, customer, ask, back) == recommend(
        published, customer, ask
    )


def test_without_events_the_published_offers_are_read_where_they_are(published):
    view = view_of(published, ANNA, None)
    assert view.offers is published.offers


def test_what_was_just_bought_is_judged_by_how_soon_such_is_bought_again(published):
    found = line(published, ANNA, lately(published, (BOUGHT, 2, 3)), "p2")
    # The second of eight log odds from -2 to 1, and half of log(1 + 1.5 orders).
    odds = -2 + 3 / 7 + 0.5 * np.log(2.5)
    assert found["score"] == pytest.approx(odds, abs=1e-6)
    assert found["probability"] == pytest.approx(expit(odds), abs=1e-6)
    assert found["reason"] == "bought today; usually again after 2 days"
    assert found["source"] == "own history"


def test_a_new_product_that_was_bought_goes_over_to_the_lane_again(published):
    since = lately(published, (BOUGHT, 6, 3), days=1.5)
    assert "p6" in ids(published, ANNA, 8, lane="new")
    assert "p6" not in ids(published, ANNA, 8, since, "new")
    found = line(published, ANNA, since, "p6", "again")
    assert found["reason"] == "bought yesterday; usually again after 6 days"
    assert set(ids(published, ANNA, 8, since, "again")) == {"p1", "p2", "p6"}


def test_what_was_looked_at_rises(published):
    assert ids(published, ANNA, 2, lane="new") == ["p4", "p6"]
    since = lately(published, (CARTED, 6, 3))
    assert ids(published, ANNA, 1, since, "new") == ["p6"]
    found = line(published, ANNA, since, "p6")
    assert (found["reason"], found["source"]) == ("put in a cart today", "looked at")


@pytest.mark.parametrize(
    ("kind", "reason"),
    [
        (VIEWED, "looked at today"),
        (CARTED, "put in a cart today"),
        (FAVOURED, "marked as a favourite today"),
        (ASKED, "asked about today"),
    ],
)
def test_reasons_say_what_was_done(published, kind, reason):
    assert line(published, BERT, lately(published, (kind, 6, 3)), "p6")["reason"] == (
        reason
    )


def test_what_no_event_touches_keeps_its_reason_and_source(published):
    since = lately(published, (VIEWED, 3, 3))
    found = line(published, ANNA, since, "p1")
    assert (found["reason"], found["source"]) == ("bought 3 times", "history")
    # Nothing bought since, no look at it: the score of the build, too.
    assert found["score"] == pytest.approx(0.8)


def test_a_day_is_named_by_the_calendar():
    noon = 100 * DAY_US + NOON
    assert day_of(noon - NOON, noon) == "today"
    assert day_of(noon - NOON - 1, noon) == "yesterday"
    assert day_of(noon - NOON - DAY_US - 1, noon) == "2 days ago"
    # A clock that is ahead.
    assert day_of(noon + DAY_US, noon) == "today"


def durable(predictions, tmp_path, *names: str) -> Published:
    products = predictions.products
    lives = [100.0 if n in names else None for n in products["product_id"].to_pylist()]
    at = products.column_names.index("service_life_days")
    column = products.slice(0, 0).schema.field(at)
    products = products.set_column(at, column, [lives])
    publish(tmp_path, replace(predictions, products=products), "m1")
    return Published.open(tmp_path)


@pytest.mark.parametrize("lane", ["mixed", "again", "new"])
def test_a_durable_that_was_just_bought_vanishes(predictions, tmp_path, lane):
    shop = durable(predictions, tmp_path, "p6")
    since = lately(shop, (BOUGHT, 6, 3))
    assert "p6" not in ids(shop, ANNA, 8, since, lane)
    assert "p6" not in ids(shop, None, 8, since, lane)
    # It is over after exactly its service life.
    over = lately(shop, (BOUGHT, 6, 3), days=100 + 3 / 24)
    assert ("p6" in ids(shop, ANNA, 8, over, lane)) == (lane != "new")


def test_a_durable_that_was_just_bought_keeps_its_kind_away(predictions, tmp_path):
    # p1 and p3 are both fresh dairy.
    shop = durable(predictions, tmp_path, "p1", "p3")
    assert "p3" in ids(shop, BERT, 8)
    assert not {"p1", "p3"} & set(ids(shop, BERT, 8, lately(shop, (BOUGHT, 1, 3))))


def test_a_durable_that_was_returned_is_offered_again(predictions, tmp_path):
    shop = durable(predictions, tmp_path, "p6")
    since = lately(shop, (BOUGHT, 6, 3), (RETURNED, 6, 5))
    assert "p6" in ids(shop, ANNA, 8, since, "new")


def test_a_stranger_gets_a_list_of_their_own(published):
    assert ids(published, None, 3) == ["p3", "p1", "p4"]
    since = lately(published, (FAVOURED, 5, 1))
    assert ids(published, None, 1, since) == ["p5"]
    found = line(published, None, since, "p3")
    assert (found["reason"], found["source"]) == ("bought by 9 of 100", "popularity")
    # Nothing was bought: there is nothing to buy again.
    assert ids(published, None, 3, since, "again") == []


def test_a_stranger_can_buy_again_what_they_just_bought(published):
    since = lately(published, (BOUGHT, 5, 1))
    assert ids(published, None, 3, since, "again") == ["p5"]
    assert "p5" not in ids(published, None, 8, since, "new")


def test_the_order_of_events_does_not_matter(published):
    events = [(BOUGHT, 6, 3), (VIEWED, 5, 3), (RETURNED, 6, 2), (CARTED, 5, 9)]
    ask = wishes(published, 8)
    lists = [
        recommend(published, ANNA, ask, lately(published, *ordered))
        for ordered in (events, events[::-1], sorted(events))
    ]
    assert lists[0] == lists[1] == lists[2]


@pytest.mark.parametrize("customer", [ANNA, BERT, CARL, None])
@pytest.mark.parametrize("lane", ["mixed", "again", "new"])
def test_scores_never_rise_down_a_refreshed_list(published, customer, lane):
    since = lately(published, (BOUGHT, 4, 3), (VIEWED, 5, 3), (CARTED, 8, 9))
    items = recommend(published, customer, wishes(published, 8, lane), since)
    scores = [item["score"] for item in items if item["score"] is not None]
    assert scores == sorted(scores, reverse=True)


def test_filters_and_rules_hold_for_what_events_bring_in(published):
    since = lately(published, (FAVOURED, 7, 3), (FAVOURED, 6, 3))
    # p7 is not available; p6 costs 4.5 and leads by value.
    assert "p7" not in ids(published, BERT, 8, since)
    assert ids(published, BERT, 1, since, rules=Rules(weight_by="value")) == ["p6"]
    assert ids(published, BERT, 8, since, without=["p6"]).count("p6") == 0
    assert ids(published, BERT, 8, since, categories=["tea"]) == ["p6"]


def test_a_shop_without_any_offer_or_factor_can_still_fold_in(predictions, tmp_path):
    fresh = predictions.fresh
    none = replace(
        fresh,
        items=fresh.items[:0],
        factors=fresh.factors[:0],
        gram=np.zeros_like(fresh.gram),
    )
    empty = replace(predictions, offers=predictions.offers.slice(0, 0), fresh=none)
    publish(tmp_path, empty, "m1")
    shop = Published.open(tmp_path)
    assert ids(shop, ANNA, 1, lately(shop, (FAVOURED, 5, 3))) == ["p5"]


def test_sources_are_called_as_the_generators_are():
    assert {OWN, LOOKED_AT, ALS, POPULAR} <= set(SOURCES)


def test_events_leave_the_published_arrays_as_they_were(published):
    before = [published.offers.score.copy(), published.catalogue.available.copy()]
    ids(published, ANNA, 8, lately(published, (BOUGHT, 4, 3), (VIEWED, 5, 3)))
    assert np.array_equal(published.offers.score, before[0])
    assert np.array_equal(published.catalogue.available, before[1])
