from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from features.config import Config, RecommendConfig
from features.engine import Tables
from serving.experiments import offline
from serving.experiments.comparison import (
    BEST_SELLING,
    MANUAL,
    OURS,
    RANDOM,
    RESTRICTED,
    Comparison,
    Outcome,
)
from serving.experiments.offline import fill
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

    The campaign offers m01 to m12, ranked so by their owner; in the weeks before
    m01 was sold once, m02 twice and so on, all but one of them to customer 4. In
    its ten days customer 1 buys apples at the first moment and m11, customer 2
    m12 at the last, and m10 when it is over.
    """
    rows = [
        line(customer, product, FIRST + timedelta(days=7 * week))
        for customer, product in (("1", "apples"), ("2", "bread"))
        for week in range(20)
    ]
    rows += [
        line("4", f"m{i:02}", START - timedelta(days=5, hours=n))
        for i in range(1, 13)
        for n in range(1, i + 1)
        if (i, n) != (2, 1)
    ]
    rows += [
        line("1", "m02", START - timedelta(days=7)),
        line("1", "apples", START),
        line("1", "m11", START + timedelta(days=1)),
        line("2", "m12", END - US),
        line("2", "m10", END),
        line("3", "m12", START),
        line("4", "bread", END + timedelta(days=40)),
    ]
    return {
        "purchases": rows,
        "products": [{"product_id": "m12", "name": "Dates"}],
        "campaigns": [{"campaign_id": "k", "starts_at": START, "ends_at": END}],
        "touches": [
            contact("1", "sent"),
            contact("2", "sent"),
            contact("3", "sent"),
            contact("4", "opened"),
        ],
        "picks": [
            *(pick(f"m{i:02}", i, START) for i in range(1, 13)),
            pick("apples", 0, START + US),
        ],
    }


def contact(customer: str, action: str, ts: datetime = START) -> dict[str, Any]:
    return {"customer_id": customer, "campaign_id": "k", "ts": ts, "action": action}


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


def run(folder: Path, fitted_at: datetime = START) -> Comparison:
    config = Config(recommend=RecommendConfig(min_buyers=1))
    with Tables(folder) as tables:
        history = tables.history(fitted_at)
        fitted = ranker.fit(history, fitted_at, 14, config.recommend, 0)
        return offline.compare(tables, lambda _: fitted, config)


def named(outcome: Outcome) -> dict[str, list[list[str]]]:
    """Lists by product: codes are in the order of the ids."""
    ids = ["apples", "bread", *(f"m{i:02}" for i in range(1, 13))]
    return {
        name: [[ids[code] for code in row if code >= 0] for row in codes]
        for name, codes in outcome.lists.items()
    }


def test_lists_of_twelve_picks_in_ten_slots(tmp_path: Path) -> None:
    (outcome,) = run(write(tmp_path / "shop", shop())).outcomes
    assert outcome.slots == 10
    assert outcome.campaign.pool == tuple(f"m{i:02}" for i in range(1, 13))
    lists = named(outcome)
    owners, best = (
        [f"m{i:02}" for i in places] for places in (range(1, 11), range(12, 2, -1))
    )
    assert lists[MANUAL] == [owners, owners]
    assert lists[BEST_SELLING] == [best, best]
    # Customer 2 bought none of them: what sells best in 28 days comes first.
    assert lists[RESTRICTED][1] == best
    # Customer 1 did buy m02, which is not among the ten best-selling.
    assert "m02" in lists[RESTRICTED][0]
    assert set(lists[RESTRICTED][0]) - {"m02"} == set(best[:-1])
    assert "apples" in lists[OURS][0] and "bread" in lists[OURS][1]
    assert all(len(set(row)) == 10 for rows in lists.values() for row in rows)
    assert all(set(row) <= {*owners, *best} for row in lists[RANDOM])


def test_figures_by_hand(tmp_path: Path) -> None:
    found = run(write(tmp_path / "shop", shop()))
    # Customer 3 had no purchase before: two customers, two picked products.
    (outcome,) = found.outcomes
    bought = {name: values.tolist() for name, values in outcome.bought.items()}
    del bought[RANDOM]
    assert bought == {
        OURS: [2, 1],
        MANUAL: [0, 0],
        BEST_SELLING: [1, 1],
        RESTRICTED: [1, 1],
    }
    ours, manual, best, restricted, random = found.figures()
    assert (ours.name, ours.per_slot.value, ours.share.value) == (OURS, 3 / 20, 1)
    assert [f.whose for f in found.figures()] == [
        "ours",
        "theirs",
        "theirs",
        "kin",
        "theirs",
    ]
    assert best.per_slot_ratio is not None and restricted.share_ratio is not None
    assert best.per_slot_ratio.value == 1.5
    # The picks in our order sell as much as the best-selling ones: 2 of 2.
    assert best.reordered_ratio is not None and best.reordered_ratio.value == 1.0
    assert restricted.reordered_ratio is ours.reordered_ratio is None
    # Neither to ourselves, nor to random picks, nor over nothing bought.
    assert ours.per_slot_ratio is random.per_slot_ratio is manual.share_ratio is None
    assert "1 campaigns, 2 customers" in found.scope
    (row,) = found.campaigns()
    assert row["customers"] == 2
    assert row["picked products"] == 12
    assert found.to_json()["pooled"][2]["ours_over_this_per_slot"][0] == 1.5


def test_what_comes_after_the_start_does_not_move_the_lists(tmp_path: Path) -> None:
    tables = shop()
    loud = [
        line("4", product, START + timedelta(hours=h))
        for h in range(48)
        for product in ("m01", "bread")
    ]
    late = line("4", "m03", START - timedelta(days=1)) | {"known_at": START}
    known = [row | {"known_at": row["ts"]} for row in tables["purchases"]]
    louder = tables | {
        "purchases": known + [row | {"known_at": row["ts"]} for row in loud] + [late]
    }
    (quiet,) = run(write(tmp_path / "quiet", tables)).outcomes
    (noisy,) = run(write(tmp_path / "noisy", louder)).outcomes
    assert named(quiet) == named(noisy)


def test_an_owner_who_ranks_by_sales_has_one_list(tmp_path: Path) -> None:
    # Within the ten slots the order costs nothing: the best two change places.
    rank = {12: 2, 11: 1} | {i: 13 - i for i in range(1, 11)}
    picks = [pick(f"m{i:02}", place, START) for i, place in rank.items()]
    found = run(write(tmp_path / "shop", shop() | {"picks": picks}))
    assert [f.name for f in found.figures()] == [OURS, BEST_SELLING, RESTRICTED, RANDOM]
    assert "one list for both" in found.left_out[0]
    assert found.to_json()["left_out"] == list(found.left_out)


def test_what_is_not_available_is_in_no_list(tmp_path: Path) -> None:
    gone = {"product_id": "m12", "name": "Dates", "available": False}
    (outcome,) = run(write(tmp_path / "shop", shop() | {"products": [gone]})).outcomes
    assert all("m12" not in row for rows in named(outcome).values() for row in rows)
    assert named(outcome)[BEST_SELLING][0][0] == "m11"


def test_contacts_after_the_first_day_are_left_out_and_counted(tmp_path: Path) -> None:
    day = START + timedelta(days=1)
    touches = [
        contact("1", "sent", day - US),
        contact("2", "sent", day),
        contact("4", "sent", START - timedelta(days=3)),
    ]
    with Tables(write(tmp_path / "shop", shop() | {"touches": touches})) as opened:
        past = past_campaigns(opened)
    assert past.campaigns[0].customers == ("1", "4")
    assert past.left_out[0].startswith("1 contacts after a campaign's first day")


def test_picks_for_one_customer_are_not_compared_and_counted(tmp_path: Path) -> None:
    tables = shop()
    tables["picks"] = [row | {"customer_id": None} for row in tables["picks"]]
    tables["picks"].append(pick("bread", 1, START) | {"customer_id": "1"})
    with Tables(write(tmp_path / "shop", tables)) as opened:
        past = past_campaigns(opened)
    assert "bread" not in past.campaigns[0].pool
    assert past.left_out == ("1 picks for single customers are not compared",)


def test_two_lists_are_merged_by_rank_each_product_once(tmp_path: Path) -> None:
    picks = [pick("m01", 1, START), pick("m02", 2, START)]
    picks += [pick(p, r, START) | {"list": "also"} for p, r in (("m02", 1), ("m03", 2))]
    with Tables(write(tmp_path / "shop", shop() | {"picks": picks})) as opened:
        past = past_campaigns(opened)
    assert past.campaigns[0].pool == ("m02", "m01", "m03")


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
        (165, 26, True),  # a window may end a day later, as everywhere
        (165, 27, False),
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
    tables["picks"] = [pick("m12", 1, FIRST)]
    tables["touches"] = [row | {"ts": starts_at} for row in tables["touches"]]
    with Tables(write(tmp_path / "shop", tables)) as opened:
        past = past_campaigns(opened)
    assert bool(past.campaigns) == kept
    assert bool(past.reason) != kept
    if kept:
        (found,) = past.campaigns
        assert found.ends_at - found.starts_at == timedelta(days=min(length, 28))


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
    # Eight picks fill fewer than ten slots: in every order the same.
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
