"""Audiences by hand: every goal, every filter, and what holds for any of them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from serving.audience import GOALS, Ask, best, lines, rank
from serving.due import due_pairs
from serving.filters import AskError
from serving.publish import publish
from serving.published import Published
from serving.render import rounded

ANNA, BERT, CARL = range(3)
P1, P4 = 0, 3


def asked(published, goal, most=10, **more):
    return rank(published, Ask(goal, **more), most)


def everyone(published):
    """The same version, as if nobody had refused."""
    return replace(published, consent=np.ones(3, dtype=np.bool_))


# -- goals, by hand --------------------------------------------------------------


def test_repurchase_is_the_curve_at_the_horizon(published, predictions):
    found = asked(published, "repurchase", horizon_days=30)
    # carl refused; bert's curve is a tenth of anna's.
    assert found.customer.tolist() == [ANNA, BERT]
    assert found.score.tolist() == predictions.curve[:2, 29].tolist()
    assert found.means == "probability of a purchase within 30 days of the cutoff"
    usual = asked(published, "repurchase")
    assert usual.score.tolist() == predictions.curve[:2, 13].tolist()
    assert (usual.total, len(asked(published, "repurchase", 1).customer)) == (2, 1)


def test_equal_scores_stand_by_customer_id(published):
    # anna and carl have the same curve.
    found = asked(everyone(published), "repurchase")
    assert found.customer.tolist() == [ANNA, CARL, BERT]


def test_replenish_is_what_is_due_alerts_first(published):
    found = list(lines(published, asked(published, "replenish", within_days=4)))
    # anna: dairy by alert (bread is due after 9 days); bert: tea after 3 days, as
    # no date is given for bread; carl refused.
    assert [
        (one["customer_id"], one["rank"], one["product_group"], one["alert"])
        for one in found
    ] == [("anna", 1, "dairy", True), ("bert", 2, "tea", False)]
    assert found[0]["due_at"] == "2017-10-17T00:00:00.000000Z"
    assert [one["score"] for one in found] == [0.8, 0.4]
    # What is due is offered: of dairy anna bought p1 and p2, of tea bert nothing.
    assert [[o["product_id"] for o in one["products"]] for one in found] == [
        ["p1", "p2"],
        [],
    ]


@pytest.mark.parametrize(
    ("days", "pairs"), [(0, [1]), (3, [1]), (4, [1, 3]), (10, [0, 1, 3])]
)
def test_due_within_days_ends_before_the_last(published, days, pairs):
    # Pairs 0 and 1 are anna's, 2 and 3 bert's; his tea is due at 3 days exactly.
    found = due_pairs(published, days, published.consent)
    assert found.tolist() == pairs


def test_an_alert_speaks_more_than_what_is_likelier(published):
    due = published.known.due
    likelier = replace(due, soon=np.array([1.0, 0.2, 0.1, 0.9, 0.9]))
    version = replace(published, known=replace(published.known, due=likelier))
    found = asked(version, "replenish", within_days=10)
    # anna's bread is certain, her dairy has the alert.
    assert (found.customer.tolist(), found.pair.tolist()) == ([ANNA, BERT], [1, 3])
    assert found.score.tolist() == [0.2, 0.9]


def test_win_back_is_by_expected_loss(published):
    found = asked(everyone(published), "win_back")
    # bert has no norm. The loss has the risk in it: carl's .1 of a large sum first.
    assert found.customer.tolist() == [CARL, ANNA]
    assert found.score.tolist() == [90.0, 12.0]
    (first, _) = lines(everyone(published), found, 0, 0)
    assert first["churn_risk"] == 0.1 and first["products"] == []
    assert asked(published, "win_back").customer.tolist() == [ANNA]


def test_without_a_churn_model_nobody_is_won_back(tmp_path, predictions):
    publish(tmp_path, replace(predictions, churn=None), "m1")
    with pytest.raises(AskError, match="goal: win_back: expected a version with a"):
        asked(Published.open(tmp_path), "win_back")


def test_value_is_spend_within_a_year(published):
    found = asked(published, "value")
    assert found.customer.tolist() == [BERT, ANNA]
    assert found.score.tolist() == [450.0, 300.0]


def test_uplift_leaves_alone_whom_a_contact_costs(published):
    found = asked(published, "uplift")
    # bert spends less if contacted; of carl nothing is known.
    assert (found.customer.tolist(), found.score.tolist()) == ([ANNA], [2.5])
    assert found.evidence is not None and not found.evidence.enough
    assert found.evidence.said == "No past campaign held customers out."


def test_uplift_falls_back_on_the_probability_and_then_says_why(published):
    none = np.full(3, np.nan)
    known = published.known

    def version(uplift):
        return replace(published, known=replace(known, uplift=uplift))

    found = asked(version({**known.uplift, "expected_extra_spend": none}), "uplift")
    assert (found.score.tolist(), found.means[:4]) == ([0.1], "rise")
    with pytest.raises(AskError, match="without: No past campaign held"):
        asked(version({"uplift": none, "expected_extra_spend": none}), "uplift")


def test_product_is_the_reverse_direction(published):
    found = list(lines(published, asked(published, "product", products=np.array([P1]))))
    assert [(one["customer_id"], one["products"]) for one in found] == [
        (
            "anna",
            [{"product_id": "p1", "probability": None, "reason": "bought 3 times"}],
        ),
        (
            "bert",
            [
                {
                    "product_id": "p1",
                    "probability": None,
                    "reason": "not bought before, likelier than others to buy it",
                }
            ],
        ),
    ]
    assert asked(published, "product", 1, products=np.array([P1])).total == 2
    with pytest.raises(AskError, match="product_ids: expected at least one"):
        asked(published, "product")


def test_offers_are_the_top_of_the_own_list(published):
    first = next(lines(published, asked(published, "repurchase")))
    assert first["products"] == [
        {"product_id": "p4", "probability": 0.5, "reason": "many buy it"},
        {
            "product_id": "p1",
            "probability": rounded(float(np.float32(0.45))),
            "reason": "bought 3 times",
        },
        {
            "product_id": "p2",
            "probability": rounded(float(np.float32(0.4))),
            "reason": "bought 2 times",
        },
    ]


# -- filters ---------------------------------------------------------------------


@pytest.mark.parametrize(
    ("filters", "customers"),
    [
        ({}, [ANNA, CARL, BERT]),
        ({"segment": ["family"]}, [ANNA, CARL]),
        ({"segment": ["family", "single"], "region": ["north"]}, [ANNA, BERT]),
        ({"tier": ["gold"]}, [ANNA]),
        ({"member_tier": ["gold", "silver"]}, [ANNA, CARL]),
        ({"tag": ["likely"]}, [ANNA, CARL]),
        ({"tag": ["not_likely"]}, [BERT]),
        ({"tag": ["likely", "not_likely"]}, [ANNA, CARL, BERT]),
        ({"tag": ["not_likely"], "segment": ["family"]}, []),
    ],
)
def test_filters_are_any_value_of_a_column_and_all_columns(
    published, filters, customers
):
    found = asked(everyone(published), "repurchase", filters=filters)
    assert found.customer.tolist() == customers


@pytest.mark.parametrize(
    ("filters", "line"),
    [
        ({"colour": ["red"]}, r"filters.colour: expected one of member_tier, region, "),
        # Nobody's city is known.
        ({"city": ["rome"]}, r"filters.city: expected one of"),
        ({"channel": ["app"]}, r"filters.channel: expected one of"),
        ({"segment": ["family", "x"]}, "of family, single, got 'x'"),
        ({"segment": []}, "of family, single, got none"),
        ({"tag": ["lost"]}, "of likely, not_likely, got 'lost'"),
        ({"customer_id": ["anna"]}, r"filters.customer_id: expected one of"),
    ],
)
def test_what_a_version_does_not_know_is_refused(published, filters, line):
    with pytest.raises(AskError, match=line):
        asked(published, "value", filters=filters)


@pytest.mark.parametrize("with_tier", [True, False])
def test_a_shops_own_column_goes_before_a_short_name_and_never_before_the_tag(
    tmp_path, predictions, with_tier
):
    profiles = predictions.profiles
    profiles = profiles.append_column("tier", pa.array(["a", "b", "a"]))
    profiles = profiles.append_column("tag", pa.array(["vip", "vip", "new"]))
    if not with_tier:
        profiles = profiles.drop_columns(["member_tier"])
    publish(tmp_path, replace(predictions, profiles=profiles), "m1")
    shop = everyone(Published.open(tmp_path))
    found = asked(shop, "repurchase", filters={"tier": ["a"]})
    assert sorted(found.customer.tolist()) == [ANNA, CARL]
    with pytest.raises(AskError, match="of likely, not_likely, got 'vip'"):
        asked(shop, "repurchase", filters={"tag": ["vip"]})


def test_a_product_without_a_category_that_is_due_is_what_is_offered(
    tmp_path, predictions
):
    due = predictions.replenishment
    due = due.set_column(1, "product_group", pa.array(["p1"] * len(due)))
    publish(tmp_path, replace(predictions, replenishment=due), "m1")
    shop = Published.open(tmp_path)
    ranking = asked(shop, "replenish", within_days=99)
    (row,) = (r for r in lines(shop, ranking, 0, 3) if r["customer_id"] == "anna")
    assert [offer["product_id"] for offer in row["products"]] == ["p1"]


# -- whatever is asked -----------------------------------------------------------


@pytest.fixture(scope="module")
def drawn(tmp_path_factory, many):
    folder = tmp_path_factory.mktemp("drawn")
    publish(folder, many(300, 6), "m1")
    return Published.open(folder)


ASKS = st.builds(
    Ask,
    st.sampled_from([goal for goal in GOALS if goal != "product"]),
    st.sampled_from([{}, {"segment": ["a"]}, {"tag": ["likely"]}]),
    st.sampled_from([None, 1, 180]),
    st.integers(0, 9),
)


@settings(max_examples=60, deadline=None)
@given(ASKS, st.integers(0, 2**32 - 1), st.integers(1, 400))
def test_nobody_who_refused_is_in_any_audience(drawn, ask, seed, most):
    consent = np.random.default_rng(seed).random(300) < 0.5
    version = replace(drawn, consent=consent)
    found = rank(version, ask, most)
    assert consent[found.customer].all()
    assert len(set(found.customer.tolist())) == len(found.customer)
    assert len(found.customer) == min(most, found.total)


@settings(max_examples=60, deadline=None)
@given(ASKS, st.integers(1, 400), st.integers(1, 400))
def test_fewer_lines_are_the_first_of_more(drawn, ask, one, other):
    few, more = sorted((one, other))
    short, long = rank(drawn, ask, few), rank(drawn, ask, more)
    assert short.customer.tolist() == long.customer[:few].tolist()
    assert short.total == long.total


@given(st.lists(st.sampled_from([0.0, 0.25, 0.5, 1.0])), st.integers(1, 20))
def test_the_best_are_those_of_a_stable_sort(scores, most):
    expected = sorted(range(len(scores)), key=lambda i: (-scores[i], i))[:most]
    assert best(np.array(scores), most).tolist() == expected
