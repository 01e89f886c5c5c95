from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from features.config import Config
from features.engine import Tables
from serving.experiments import offline
from serving.experiments.offline import BEST_SELLING, OURS, RANDOM, RESTRICTED, fill
from serving.experiments.picks import past_campaigns
from training import ranker
from training.ranker import Recommender

FIRST = datetime(2024, 1, 1)
START = FIRST + timedelta(days=140)
END = START + timedelta(days=10)
US = timedelta(microseconds=1)


def line(customer: str, product: str, ts: datetime) -> dict[str, Any]:
    return {
        "customer_id": customer,
        "product_id": product,
        "ts": ts,
        "order_id": f"{customer} {ts}",
        "quantity": 1.0,
        "amount": 1.0,
    }


def shop() -> dict[str, list[dict[str, Any]]]:
    """Customer 1 buys apples every week, customer 2 bread; 3 comes late.

    The campaign offers cheese (sold once before) and dates (never sold). In its
    ten days customer 1 buys apples at the first moment, customer 2 cheese at the
    last, and dates when it is over.
    """
    rows = [
        line(customer, product, FIRST + timedelta(days=7 * week))
        for customer, product in (("1", "apples"), ("2", "bread"))
        for week in range(20)
    ]
    rows += [
        line("4", "cheese", START - timedelta(days=5)),
        line("1", "apples", START),
        line("2", "cheese", END - US),
        line("2", "dates", END),
        line("3", "cheese", START),
        line("4", "bread", END + timedelta(days=40)),
    ]
    return {
        "purchases": rows,
        "products": [{"product_id": "dates", "name": "Dates"}],
        "campaigns": [{"campaign_id": "k", "starts_at": START, "ends_at": END}],
        "touches": [
            {"customer_id": c, "campaign_id": "k", "ts": START, "action": action}
            for c, action in (
                ("1", "sent"),
                ("2", "sent"),
                ("3", "sent"),
                ("4", "opened"),
            )
        ],
        "picks": [
            pick("cheese", 1, START),
            pick("dates", 2, START),
            pick("apples", 3, START + US),
        ],
    }


def pick(product: str, rank: int, chosen_at: datetime) -> dict[str, Any]:
    return {
        "list": "spring",
        "product_id": product,
        "rank": rank,
        "chosen_at": chosen_at,
        "campaign_id": "k",
    }


def write(folder: Path, tables: Mapping[str, list[dict[str, Any]]]) -> Path:
    folder.mkdir()
    for name, rows in tables.items():
        pq.write_table(pa.Table.from_pylist(rows), folder / f"{name}.parquet")
    return folder


def run(folder: Path, fitted_at: datetime = START) -> offline.Comparison:
    config = Config()
    with Tables(folder) as tables:
        history = tables.history(fitted_at)
        fitted = ranker.fit(history, fitted_at, 14, config.recommend, 0)
        return offline.compare(tables, lambda _: fitted, config)


def test_figures_by_hand(tmp_path: Path) -> None:
    found = run(write(tmp_path / "shop", shop()))
    # Customer 3 had no purchase before: two customers, two picked products.
    (outcome,) = found.outcomes
    assert outcome.slots == 2
    assert outcome.campaign.pool == ("cheese", "dates")
    bought = {name: values.tolist() for name, values in outcome.bought.items()}
    assert bought == {
        OURS: [1, 0],
        BEST_SELLING: [0, 1],
        RESTRICTED: [0, 1],
        RANDOM: [0, 1],
    }
    ours, best, *_ = found.figures()
    assert (ours.name, ours.per_slot.value, ours.share.value) == (OURS, 0.25, 0.5)
    assert ours.per_slot_ratio is None
    assert best.per_slot_ratio is not None
    assert best.per_slot_ratio.value == 1
    assert "1 campaigns, 2 customers" in found.scope
    (row,) = found.campaigns()
    assert row["customers"] == 2
    assert row["picked products"] == 2
    assert found.to_json()["pooled"][1]["ours_over_this_per_slot"][0] == 1


def test_what_comes_after_the_start_does_not_move_the_lists(tmp_path: Path) -> None:
    tables = shop()
    loud = [line("4", "dates", START + timedelta(hours=h)) for h in range(20)]
    louder = tables | {"purchases": tables["purchases"] + loud}
    quiet = run(write(tmp_path / "quiet", tables))
    noisy = run(write(tmp_path / "noisy", louder))
    assert quiet.figures() == noisy.figures()


def test_a_recommender_from_the_future_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="expected one fitted by 2024-05-20"):
        run(write(tmp_path / "shop", shop()), fitted_at=START + US)


@pytest.mark.parametrize("missing", ["campaigns", "touches", "picks"])
def test_a_missing_table_is_the_reason(tmp_path: Path, missing: str) -> None:
    tables = {name: rows for name, rows in shop().items() if name != missing}
    found = run(write(tmp_path / "shop", tables))
    assert found.figures() == found.campaigns() == []
    assert found.reason == f"there is no table {missing}"
    assert found.to_json()["reason"] == found.reason


@pytest.mark.parametrize(
    ("starts", "length", "kept"),
    [
        (120, 10, True),
        (119, 10, False),  # too little history
        (150, 10, True),  # the last purchase is on day 190
        (165, 26, False),
        (160, 90, True),  # of a long campaign the first 28 days count
    ],
)
def test_campaigns_need_history_and_an_outcome(
    tmp_path: Path, starts: int, length: int, kept: bool
) -> None:
    starts_at = FIRST + timedelta(days=starts)
    tables = shop() | {
        "campaigns": [
            {
                "campaign_id": "k",
                "starts_at": starts_at,
                "ends_at": starts_at + timedelta(days=length),
            }
        ]
    }
    tables["picks"] = [pick("cheese", 1, FIRST)]
    tables["touches"] = [row | {"ts": starts_at} for row in tables["touches"]]
    with Tables(write(tmp_path / "shop", tables)) as opened:
        found, reason = past_campaigns(opened)
    assert bool(found) == kept
    assert bool(reason) != kept
    if kept:
        assert found[0].ends_at - found[0].starts_at == timedelta(days=min(length, 28))


def test_the_same_seed_gives_the_same_comparison(shop_dir: Path) -> None:
    config = Config()
    fitted: dict[datetime, Recommender] = {}
    with Tables(shop_dir) as tables:
        first = datetime(2024, 5, 1)
        history = tables.history(first)
        fitted[first] = ranker.fit(history, first, 14, config.recommend, 0)
        one = offline.compare(tables, lambda _: fitted[first], config)
        two = offline.compare(tables, lambda _: fitted[first], config)
    assert len(one.outcomes) >= 5
    assert one.figures() == two.figures()
    ours, best, restricted, _ = one.figures()
    assert ours.per_slot.low <= ours.per_slot.value <= ours.per_slot.high
    assert restricted.per_slot.value >= best.per_slot.value
    # Pooled purchases are the sum over the campaigns.
    total = sum(o.bought[OURS].sum() for o in one.outcomes)
    shown = sum(o.slots * len(o.customer) for o in one.outcomes)
    assert ours.per_slot.value == pytest.approx(total / shown)


def test_empty_slots_are_filled_in_order_without_repeats() -> None:
    lists = np.array([[5, -1, -1], [1, 2, 3], [-1, -1, -1]], np.int32)
    instead = np.array([7, 5, 9, 4], np.int32)
    assert fill(lists, instead).tolist() == [[5, 7, 9], [1, 2, 3], [7, 5, 9]]
