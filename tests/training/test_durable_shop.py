"""A shop whose goods last: nothing is bought again, so all depends on the new lane."""

from __future__ import annotations

from datetime import datetime

import pytest

from features.config import Config
from features.engine import Tables
from features.simulate import Truths, simulate
from features.snapshot import Snapshot
from training import ranker
from training.list_quality import ListQuality, list_quality
from training.metrics import MODEL

CUTOFF = Snapshot(datetime(2024, 10, 1), 30)


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> ListQuality:
    folder = tmp_path_factory.mktemp("durable") / "shop"
    truths = Truths(
        durables=1,
        replenished_products=0,
        replenished_items=0,
        loyalty=0,
        category_focus=0.7,
        products=600,
        orders_per_month=0.8,
    )
    simulate(folder, 2500, truths, seed=2)
    config = Config()
    with Tables(folder) as tables:
        history = tables.history(CUTOFF.cutoff)
        bought = tables.purchases_between(CUTOFF.cutoff, CUTOFF.label_end)
    fitted = ranker.fit(history, CUTOFF.cutoff, 30, config.recommend, config.seed)
    scored = fitted.recommend(history, CUTOFF.cutoff)
    bought = bought.select(["customer_id", "product_id"])
    return list_quality(scored, history, bought, {}, config)


def test_the_new_lane_beats_popularity_with_certainty(found: ListQuality) -> None:
    assert found.recall_gain["new"]["popularity"].low > 0
    assert found.ndcg_gain["new"]["popularity"].low > 0


def test_own_history_finds_nearly_nothing_and_the_mixed_list_does_not_follow_it(
    found: ListQuality,
) -> None:
    mixed, new = found.lists["mixed"], found.lists["new"]
    assert mixed["own history"]["recall"] < 0.03
    assert mixed[MODEL]["recall"] > 0.9 * new[MODEL]["recall"]
