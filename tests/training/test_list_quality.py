"""Lists beside every generator, on a shop small enough to count."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from features.config import Config
from features.history import History
from training import ranker
from training.alone import alone
from training.candidates import candidates
from training.generators.fitted import OWN, SOURCES
from training.list_groups import list_breakdowns
from training.list_quality import UNION, list_quality, reach, truth_by_lane
from training.metrics import MODEL, hits, truth_of
from training.offers import Scored

CUTOFF = datetime(2024, 3, 1)
CONFIG = Config.model_validate(
    {
        "data": "data",
        "recommend": {
            "min_buyers": 2,
            "factors": 4,
            "again_candidates": 3,
            "new_candidates": 2,
            "trees": 5,
        },
        "evaluation": {"min_group": 2},
    }
)


def rows() -> list[dict[str, Any]]:
    """Twelve customers in two blocks; each lacks one product of its block."""
    return [
        {
            "customer_id": f"c{c:02}",
            "product_id": f"p{c % 2}{p}",
            "ts": CUTOFF - timedelta(days=days, minutes=c),
            "order_id": f"o{c}-{days}",
            "quantity": 1.0,
            "amount": 1.0,
        }
        for c in range(12)
        for p in range(6)
        for days in (50, 40, 30, 20, 10, 3)
        if p != c // 2 % 6
    ]


@pytest.fixture
def history(read_history: Callable[..., History]) -> History:
    return read_history({"purchases": rows()}, CUTOFF)


@pytest.fixture
def scored(history: History) -> Scored:
    made = ranker.fit(history, CUTOFF, 14, CONFIG.recommend, seed=0)
    return made.recommend(history, CUTOFF)


def bought(*pairs: tuple[str, str]) -> pa.Table:
    return pa.table(
        {
            "customer_id": pa.array([c for c, _ in pairs], pa.string()),
            "product_id": pa.array([p for _, p in pairs], pa.string()),
        }
    )


def test_lanes_part_what_was_bought(history: History) -> None:
    # c00 lacks p00; "odd" was unknown; "new" had no history.
    happened = bought(
        ("c00", "p00"), ("c00", "p01"), ("c00", "p01"), ("c01", "odd"), ("new", "p00")
    )
    truth = truth_by_lane(history, happened)
    assert {lane: one.count[:2].tolist() for lane, one in truth.items()} == {
        "mixed": [2, 1],
        "again": [1, 0],
        "new": [1, 1],
    }
    assert truth["mixed"].count.sum() == 3


def test_customers_are_the_denominator_and_lists_are_as_drawn(
    history: History, scored: Scored
) -> None:
    happened = bought(("c00", "p00"), ("c00", "p01"), ("c01", "odd"))
    found = list_quality(scored, history, happened, {}, CONFIG)
    popular = found.lists["new"]["popularity"]
    # c00 finds p00 somewhere; nobody can find "odd".
    assert (popular["customers"], popular["recall"], popular["hit"]) == (2, 0.5, 0.5)
    assert popular["precision"] == pytest.approx(0.1 / 2)
    own = found.lists["again"]["own history"]
    assert (own["customers"], own["recall"]) == (1, 1)
    assert "own history" not in found.lists["new"]
    assert found.candidates["again"] == {"own history": 1.0, UNION: 1.0}
    assert found.candidates["new"][UNION] <= 0.5
    assert MODEL not in found.recall_gain["mixed"]
    for gains in (found.recall_gain, found.ndcg_gain, found.hit_gain):
        for lane, methods in found.lists.items():
            assert set(gains[lane]) == set(methods) - {MODEL}
    gain = found.recall_gain["mixed"]["popularity"].value
    mixed = found.lists["mixed"]
    assert gain == pytest.approx(mixed[MODEL]["recall"] - mixed["popularity"]["recall"])
    assert found.match["mixed"].pairs == len(scored)


def test_where_nobody_bought_figures_are_undefined_not_0(
    history: History, scored: Scored
) -> None:
    found = list_quality(scored, history, bought(), {}, CONFIG)
    for lane, methods in found.lists.items():
        for values in methods.values():
            assert values["customers"] == 0
            assert np.isnan(values["recall"])
            assert np.isnan(values["hit"])
        assert np.isnan(found.recall_gain[lane]["popularity"].low)
        assert np.isnan(found.candidates[lane][UNION])
    assert found.match["new"].bought == 0


def test_the_union_is_what_the_ranker_gets(scored: Scored) -> None:
    who = scored.moment.customers
    handed = {
        name: alone(one, scored.moment, who, 3, CONFIG.recommend).candidates
        for name, one in zip(SOURCES, scored.generators, strict=True)
    }
    got = candidates(scored.generators, who, CONFIG.recommend)
    everything = np.arange(len(who) * scored.moment.n_products)
    shape = (len(who), scored.moment.n_products)
    truth = truth_of(everything // shape[1], everything % shape[1], shape)
    expected = np.bincount(got.customer, minlength=len(who)).mean() / shape[1]
    found = reach(handed, who, truth)
    assert found[UNION] == pytest.approx(expected)
    assert found[SOURCES[OWN]] == 3 / shape[1]


def test_lists_of_bought_and_never_bought_part_the_shop(scored: Scored) -> None:
    moment = scored.moment
    popular = scored.generators.popularity
    # More slots than candidates, and than products: the rest is empty.
    found = alone(popular, moment, moment.customers, 20, CONFIG.recommend)
    seen = moment.pairs["product"]
    for row, customer in enumerate(moment.customers):
        mine = set(seen.item[seen.offsets[customer] : seen.offsets[customer + 1]])
        lists = {lane: set(codes[row]) - {-1} for lane, codes in found.lists.items()}
        assert lists["again"] == mine
        assert lists["new"] == set(range(moment.n_products)) - mine
        assert lists["mixed"] == lists["again"] | lists["new"]
    assert found.candidates.shape == (len(moment.customers), 2)
    assert (found.candidates == found.lists["new"][:, :2]).all()


def test_groups_have_their_own_means_and_small_ones_are_pooled() -> None:
    recall = np.array([1.0, 0.0, 0.5, np.nan, 1.0])
    methods = {
        MODEL: {"recall": recall, "hit": np.where(recall > 0, 1.0, recall)},
        "rival": {"recall": recall / 2, "hit": recall},
    }
    group = np.array(["a", "a", "b", "b", None], dtype=object)
    (found,) = list_breakdowns({"new": methods}, {"town": group}, least=2)
    assert [(one.name, one.customers) for one in found.groups] == [("a", 2), ("b", 2)]
    a, b = (one.lanes["new"] for one in found.groups)
    assert (a.customers, a.recall, a.hit, a.rivals) == (2, 0.5, 0.5, {"rival": 0.25})
    assert (b.customers, b.recall, b.hit) == (1, 0.5, 1.0)
    assert (found.pooled, found.dropped) == (1, 1)
    assert not list_breakdowns({"new": methods}, {"town": group}, least=3)


def test_an_offer_is_counted_where_it_was_bought(scored: Scored) -> None:
    truth = truth_of(
        scored.customer[:1],
        scored.product[:1],
        (len(scored.moment.history.customers), scored.moment.n_products),
    )
    assert hits(scored.product[:, None], scored.customer, truth).sum() == 1
