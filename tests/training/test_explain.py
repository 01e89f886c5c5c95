"""Reasons say what the figures say, and nothing where there is none."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta

import numpy as np
import pyarrow as pa
import pytest

from features.assemble import FEATURES
from features.config import PropensityConfig
from features.feature import Feature
from training import explain, propensity
from training.explain import STORIES
from training.split import Fold
from training.trees import Trees

UNTIL = datetime(2024, 7, 1)
CUTOFFS = tuple(UNTIL - timedelta(days=14 * k) for k in (3, 2, 1))
SENTENCES = {story.sentence.__name__: story.sentence for story in STORIES}


def rows(n: int = 300) -> tuple[pa.Table, np.ndarray]:
    """Orders drive the next purchase up, the further column ``service_plan`` down."""
    random = np.random.default_rng(0)
    size = n * len(CUTOFFS)
    orders, plan = random.integers(0, 9, size), random.integers(0, 5, size)
    table = pa.table(
        {
            "customer": np.tile(np.arange(n, dtype=np.int32), len(CUTOFFS)),
            "cutoff": pa.array(np.repeat(CUTOFFS, n), pa.timestamp("us")),
            "orders_count_30d": orders.astype(np.float64),
            "browses_count_30d": random.integers(0, 5, size).astype(np.float64),
            "service_plan": plan.astype(np.float64),
        }
    )
    days = np.clip(14 + 3 * plan - 3 * orders, 0.0, None)
    return table, np.where(days < 14, days, np.inf)


@pytest.fixture(scope="module")
def model() -> propensity.Propensity:
    features, days = rows()
    fold = Fold(CUTOFFS[:2], CUTOFFS[2:])
    config = PropensityConfig(trees=30, seeds=2, min_rows_per_leaf=20)
    return propensity.fit(features, days, fold, 14, UNTIL, config, seed=0)


@pytest.mark.parametrize("feature", FEATURES, ids=lambda feature: feature.name)
def test_story_is_of_the_feature_s_own_dimension(feature: Feature) -> None:
    owner = explain.owner_of(feature.name)
    if feature.dimension == "profile":
        assert owner == len(STORIES)
    else:
        assert STORIES[owner].dimension == feature.dimension


@pytest.mark.parametrize("name", ["consent", "service_plan", "reviews_left", "income"])
def test_columns_of_customers_are_of_the_profile(name: str) -> None:
    assert explain.owner_of(name) == len(STORIES)


@pytest.mark.parametrize("sentence", SENTENCES.values(), ids=SENTENCES)
def test_null_is_nothing_to_say(sentence: explain.Sentence) -> None:
    assert sentence({}, None) is None
    assert sentence(dict.fromkeys((f.name for f in FEATURES), None), 30) is None


@pytest.mark.parametrize(
    ("sentence", "row", "said"),
    [
        (
            "_browse",
            {"browses_count_30d": 7.0, "carts_count_30d": 1.0},
            "browsed 7 times, 1 time into the cart, in the last 30 days",
        ),
        (
            "_campaign",
            {"sent_count": 5.0, "redeemed_count": 0.0},
            "campaigns sent 5 times, redeemed 0 times",
        ),
        ("_discount", {"discount_share": 0.12}, "paid 12% less than list prices"),
        ("_discount", {"discount_share": -0.03}, "paid 3% more than list prices"),
        ("_frequency", {"orders_count_30d": 0.0}, "0 orders in the last 30 days"),
        (
            "_rhythm",
            {"days_since_last_order": 3.2, "days_gap_mean": 6.8},
            "last bought 3 days ago, usually every 7 days",
        ),
    ],
)
def test_sentences_by_hand(sentence: str, row: explain.Row, said: str) -> None:
    assert SENTENCES[sentence](row, None) == said


def test_effect_is_the_mean_of_the_boosters(model: propensity.Propensity) -> None:
    features, _ = rows()
    total, _ = explain.effects(model, features)
    alone = [
        explain.effects(
            replace(model, trees=Trees((booster,), model.trees.start)), features
        )[0]
        for booster in model.trees.boosters
    ]
    assert len(alone) == 2 and (alone[0] != alone[1]).any()
    assert total == pytest.approx((alone[0] + alone[1]) / 2, abs=1e-12)


def test_further_column_is_said_as_it_is(model: propensity.Propensity) -> None:
    features, _ = rows()
    plan = features.column("service_plan").to_numpy()
    said = explain.reasons(model, features.slice(int(np.argmax(plan)), 1))[0]
    assert "profile: service plan 4 (lowers)" in said


def test_what_is_not_known_can_be_what_weighed(model: propensity.Propensity) -> None:
    features, _ = rows()
    place = features.column_names.index("service_plan")
    unknown = pa.nulls(len(features), features.schema.field(place).type)
    features = features.set_column(place, features.schema.field(place), unknown)
    said = [line for row in explain.reasons(model, features) for line in row]
    profile = {line.rpartition(" ")[0] for line in said if line.startswith("profile")}
    assert profile == {"profile: service plan not known"}
