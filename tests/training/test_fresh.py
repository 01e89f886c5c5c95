from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from scipy.special import expit, logit

from training.fold_in import FoldIn, gram_of
from training.fresh import (
    PLAIN,
    FreshExamples,
    FreshModel,
    fit_model,
    join_examples,
    logistic,
)
from training.fresh_rows import (
    AGAIN,
    COLUMNS,
    JUST,
    NEW,
    NOBODY,
    STRANGER,
    STRANGER_JUST,
    Before,
    Rows,
    Shop,
    rows_of,
)
from training.since import Since

Draw = Callable[..., FreshExamples]


@pytest.fixture
def draw() -> Draw:
    """New products of 400 customers; a look has the log odds that are asked for."""

    def of(looked: float, seed: int = 1) -> FreshExamples:
        random = np.random.default_rng(seed)
        n = 400 * 20
        x = np.zeros((n, len(COLUMNS)))
        x[:, COLUMNS.index("bought_something")] = 1
        interest = (random.random(n) < 0.2) * np.log1p(0.5)
        x[:, COLUMNS.index("interest")] = interest
        x[:, COLUMNS.index("als_shift")] = random.normal(size=n)
        base = random.normal(-2.5, 1, n)
        chance = expit(base + 0.3 + looked * interest / np.log1p(0.5))
        rows = Rows(
            np.zeros(n, np.int32), np.full(n, NEW, np.int8), base, x.astype(float)
        )
        customer = np.repeat(np.arange(400, dtype=np.int32), 20)
        return FreshExamples(customer, rows, random.random(n) < chance)

    return of


def weight(model: FreshModel, column: str, group: int = NEW) -> float:
    return float(model.weights[group, COLUMNS.index(column)])


def test_what_a_look_is_worth_is_found_again(draw: Draw) -> None:
    model = fit_model(draw(2.0), seed=0)
    assert weight(model, "interest") * np.log1p(0.5) == pytest.approx(2.0, abs=0.3)
    assert weight(model, "bought_something") == pytest.approx(0.3, abs=0.2)


def test_a_term_that_proves_nothing_has_no_weight(draw: Draw) -> None:
    kept = [
        weight(fit_model(draw(0.0, seed), seed=0), column) != 0
        for seed in range(10)
        for column in ("interest", "als_shift")
    ]
    # One-sided at 5 %, and only if the weight is positive.
    assert sum(kept) <= 2


def test_a_look_never_lowers_the_chance(draw: Draw) -> None:
    assert weight(fit_model(draw(-3.0), seed=0), "interest") == 0


def test_with_few_purchases_a_group_keeps_the_plain_weights(draw: Draw) -> None:
    made = draw(2.0)
    few = replace(made, bought=np.arange(len(made.bought)) < 49)
    assert fit_model(few, seed=0).to_json() == PLAIN.to_json()
    assert fit_model(join_examples([]), seed=0).to_json() == PLAIN.to_json()


def test_same_examples_same_weights_and_json_keeps_them(draw: Draw) -> None:
    model = fit_model(draw(1.0), seed=3)
    again = fit_model(draw(1.0), seed=3)
    read = FreshModel.from_json(json.loads(json.dumps(model.to_json())))
    assert model.weights.tobytes() == again.weights.tobytes() == read.weights.tobytes()


def test_a_level_alone_meets_the_share_bought() -> None:
    # A hundred rows at odds of 1 to 3, half of them bought: odds times three.
    base, bought = np.full(100, logit(0.25)), np.arange(100) < 50
    (level,) = logistic(np.ones((100, 1)), base, bought)
    assert level == pytest.approx(np.log(3), abs=0.05)


# Five products in two kinds; 4 has no kind and no factors.
FACTORS = np.array([[1.0], [1.0], [0.5], [2.0]], dtype=np.float32)
SHOP = Shop(
    fold=FoldIn(
        np.arange(4, dtype=np.int32),
        FACTORS,
        np.array([0, 1, 2, 3, -1], np.int32),
        gram_of(FACTORS),
        5.0,
        0.05,
    ),
    rebuy=np.array([-1, -2, -3, -4, -5], np.float32),
    popular=np.array([-2.0, -3, -4, -5, -6]),
    sellers=np.array([0, 1], np.int32),
    available=np.ones(5, np.bool_),
    kind=np.array([0, 0, 1, 1, -1], np.int32),
)
ANNA = Before(
    product=np.array([2, 0], np.int32),
    is_new=np.array([True, False]),
    score=np.array([-1.0, -1.5], np.float32),
    bought=np.array([0, 4], np.int32),
    weight=np.array([2.0, 1.0], np.float32),
)
DAY = 86_400_000_000


def since(**products: tuple[int, float]) -> Since:
    """Orders and interest by product; all bought a day before ``2 * DAY``."""
    codes = [int(name[1:]) for name in products]
    orders = np.array([o for o, _ in products.values()])
    interest = np.array([i for _, i in products.values()], dtype=float)
    return Since(
        np.array(codes, np.int32),
        orders,
        np.where(orders > 0, DAY, 0),
        interest,
        np.where(interest > 0, DAY, 0),
        np.where(interest > 0, 2, -1).astype(np.int8),
    )


def column(rows: Rows, name: str) -> dict[int, float]:
    values = rows.x[:, COLUMNS.index(name)]
    return dict(zip(rows.product.tolist(), values.tolist(), strict=True))


def test_rows_of_a_known_customer_by_hand() -> None:
    rows = rows_of(SHOP, ANNA, since(p1=(2, 0.0), p3=(0, 0.5)), 2 * DAY)
    # The offers first; what was never bought and not offered comes from the events.
    assert rows.product.tolist() == [2, 0, 1, 3]
    assert rows.group.tolist() == [NEW, AGAIN, JUST, NEW]
    # 1 is as popular as -3, 3 as -5: both below the worst new offer.
    assert rows.base.tolist() == [-1.0, -1.5, -3.0, -5.0]
    assert column(rows, "kin_bought") == {2: 0, 0: 1, 1: 0, 3: 0}
    assert column(rows, "interest") == {2: 0, 0: 0, 1: 0, 3: np.log1p(0.5)}
    assert column(rows, "kin_interest") == {2: np.log1p(0.5), 0: 0, 1: 0, 3: 0}
    assert column(rows, "not_offered") == {2: 0, 0: 0, 1: 1, 3: 1}
    assert column(rows, "rebuy") == {2: 0, 0: 0, 1: -2, 3: 0}
    assert column(rows, "prior") == {2: 0, 0: 0, 1: 0, 3: 0}
    assert column(rows, "kin_prior") == {2: 0, 0: 0, 1: np.log1p(2), 3: 0}
    assert column(rows, "days_since") == {2: 0, 0: 0, 1: 1, 3: 0}
    assert column(rows, "more_orders") == {2: 0, 0: 0, 1: np.log(2), 3: 0}
    assert column(rows, "bought_something") == {2: 1, 0: 1, 1: 1, 3: 1}
    shift = column(rows, "als_shift")
    # One factor: what points the same way rises in proportion.
    assert shift[1] > 0
    assert shift[2] == pytest.approx(shift[1] / 2, rel=1e-5)


def test_a_popular_product_outside_the_offers_stays_below_them() -> None:
    shop = replace(SHOP, popular=np.array([-2.0, 3, -4, -5, -6]))
    rows = rows_of(shop, ANNA, since(p1=(0, 0.1)), 2 * DAY)
    assert rows.base[rows.product == 1].tolist() == [-1.0]


def test_who_only_looked_has_a_level_of_their_own() -> None:
    rows = rows_of(SHOP, ANNA, since(p3=(0, 0.1)), 2 * DAY)
    assert set(column(rows, "only_looked").values()) == {1.0}
    assert set(column(rows, "bought_something").values()) == {0.0}


def test_strangers_are_judged_by_best_sellers_and_what_they_did() -> None:
    rows = rows_of(SHOP, NOBODY, since(p3=(1, 0.0)), 2 * DAY)
    assert rows.product.tolist() == [0, 1, 2, 3]
    assert rows.group.tolist() == [STRANGER, STRANGER, STRANGER, STRANGER_JUST]
    assert rows.base.tolist() == [-2, -3, -4, -5]


def test_log_odds_of_what_was_just_bought_do_not_rest_on_the_offer() -> None:
    rows = rows_of(SHOP, ANNA, since(p0=(1, 0.0)), 2 * DAY)
    model = FreshModel.from_json(
        {
            "just bought": {"rebuy": 1.0, "prior": 0.5},
            "stranger just bought": {"rebuy": 1.0},
            "again": {},
            "new": {"bought_something": 0.25},
            "stranger": {},
        }
    )
    odds = dict(zip(rows.product.tolist(), model.log_odds(rows).tolist(), strict=True))
    assert odds[0] == pytest.approx(-1 + 0.5 * np.log(3))
    assert odds[2] == pytest.approx(-1 + 0.25)


def test_a_strangers_purchase_is_judged_apart_from_a_first_one() -> None:
    model = FreshModel.from_json(
        {
            "just bought": {"rebuy": 0.5},
            "stranger just bought": {"rebuy": 1.0, "bought_something": 0.5},
            "again": {},
            "new": {},
            "stranger": {},
        }
    )
    some = since(p3=(1, 0.0))
    for before, odds in ((ANNA, -2.0), (NOBODY, -3.5)):
        rows = rows_of(SHOP, before, some, 2 * DAY)
        assert model.log_odds(rows)[rows.product == 3].tolist() == [odds]


def test_without_a_weight_for_als_nothing_is_folded_in() -> None:
    some = since(p1=(1, 0.0))
    rows = rows_of(SHOP, ANNA, some, 2 * DAY, fold=False)
    assert not PLAIN.folds_in
    assert rows.product.tolist() == [2, 0, 1]
    assert set(column(rows, "als_shift").values()) == {0.0}
