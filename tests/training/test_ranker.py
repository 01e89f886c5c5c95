from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from features.config import RecommendConfig
from features.contracts import ContractError, SettingError
from features.engine import Tables
from features.history import History
from features.snapshot import Snapshot, to_us
from training import candidates, ranker
from training.alone import alone
from training.any_of import INDEPENDENT, AnyOf, hazard_of, share_of
from training.buyers import BestBuyers, Buyers, BuyersOfPart
from training.fresh import PLAIN
from training.generators.popularity import Popularity
from training.lanes import LaneModel, fit_curve
from training.metrics import hit_at, hits
from training.moment import moment_at, sort_history
from training.ranker import Recommender, Scored, as_lists, bought_in, top_n
from training.reasons import cold_start_reason, offer_reasons

ReadHistory = Callable[..., History]
START = datetime(2024, 1, 1)
CUTOFF = START + timedelta(days=154)
HORIZON = 14
CONFIG = RecommendConfig(factors=8, new_candidates=20, trees=40, threads=1)
BLOCKS, SIZE, CUSTOMERS = 8, 15, 160
COLUMNS = ("customer", "product", "is_new", "score", "probability", "source", "pair")


def shop(days: int = 182) -> list[dict[str, Any]]:
    """Weekly shoppers of one block each: favourites again, now and then new."""
    random = np.random.default_rng(11)
    rows: list[dict[str, Any]] = []
    for c in range(CUSTOMERS):
        block = c % BLOCKS
        favourites = random.choice(SIZE, 3, replace=False)
        for week in range(days // 7):
            ts = START + timedelta(days=7 * week + c % 7, hours=9, minutes=c)
            for _ in range(3):
                loyal = random.random() < 0.7
                item = random.choice(favourites) if loyal else random.integers(SIZE)
                rows.append(
                    {
                        "customer_id": f"c{c:03}",
                        "product_id": f"p{block}{int(item):02}",
                        "ts": ts,
                        "order_id": f"o{c}-{week}",
                        "quantity": 1.0,
                        "amount": 2.0,
                        "list_amount": 2.0,
                    }
                )
    return rows


def histories(folder: Path, rows: list[dict[str, Any]], *moments: datetime) -> Any:
    products = [
        {
            "product_id": f"p{b}{p:02}",
            "name": f"thing {b}-{p}",
            "category": f"aisle {b // 2}",
            "subcategory": f"shelf {b}",
            "available": (b, p) != (0, 0),
        }
        for b in range(BLOCKS)
        for p in range(SIZE)
    ]
    folder.mkdir(exist_ok=True)
    pq.write_table(pa.Table.from_pylist(products), folder / "products.parquet")
    pq.write_table(pa.Table.from_pylist(rows), folder / "purchases.parquet")
    with Tables(folder) as tables:
        return [tables.history(moment) for moment in moments]


@pytest.fixture(scope="module")
def rows() -> list[dict[str, Any]]:
    return shop()


@pytest.fixture(scope="module")
def history(rows: list[dict[str, Any]], tmp_path_factory: Any) -> History:
    return histories(tmp_path_factory.mktemp("shop"), rows, CUTOFF)[0]


@pytest.fixture(scope="module")
def fitted(history: History) -> Recommender:
    return ranker.fit(history, CUTOFF, HORIZON, CONFIG, seed=5)


@pytest.fixture(scope="module")
def scored(fitted: Recommender, history: History) -> Scored:
    return fitted.recommend(history, CUTOFF)


def same(one: Scored, other: Scored) -> bool:
    return all(
        getattr(one, name).tobytes() == getattr(other, name).tobytes()
        for name in COLUMNS
    )


def test_beats_popularity_in_both_lanes(
    scored: Scored, rows: list[dict[str, Any]], tmp_path: Path
) -> None:
    (later,) = histories(tmp_path, rows, CUTOFF + timedelta(days=28))
    # All customers and products are known before the cutoff: codes are the same.
    assert later.customers.tolist() == scored.moment.history.customers.tolist()
    truth = bought_in(later, Snapshot(CUTOFF, HORIZON), to_us(later.until))
    everyone = scored.moment.customers
    shelf = scored.moment.shelf
    every = np.arange(BLOCKS * SIZE, dtype=np.int32)
    popular = Popularity(every, shelf.lines_28d)
    for lane, factor in (("mixed", 3.0), ("new", 2.0)):
        rival = alone(popular, scored.moment, everyone, 3, CONFIG).lists[lane]
        ours = as_lists(scored, lane, 3, everyone)
        theirs = hits(rival, everyone, truth).mean()
        assert hits(ours, everyone, truth).mean() > factor * theirs
    assert (
        hit_at(hits(as_lists(scored, "mixed", 3, everyone), everyone, truth)).mean()
        > 0.9
    )


def test_probabilities_are_calibrated(
    rows: list[dict[str, Any]], tmp_path: Path
) -> None:
    history, later = histories(tmp_path, rows, CUTOFF, CUTOFF + timedelta(days=28))
    truth = bought_in(later, Snapshot(CUTOFF, HORIZON), to_us(later.until))
    # Of one draw of held-out customers about 25 buy something new: take three.
    drawn = [
        ranker.fit(history, CUTOFF, HORIZON, CONFIG, seed).recommend(history, CUTOFF)
        for seed in range(3)
    ]
    for lane in (False, True):
        expected, got = 0.0, 0
        for scored in drawn:
            mine = scored.is_new == lane
            bought = hits(scored.product[:, None], scored.customer, truth)[:, 0]
            expected += float(scored.probability[mine].sum())
            got += int(bought[mine].sum())
        assert expected == pytest.approx(got, rel=0.25)


def test_lists_are_ordered_and_cut(scored: Scored) -> None:
    for lane in ("mixed", "again", "new"):
        customer, rank, row = top_n(scored, lane, 7)
        assert rank.max() <= 7
        first = np.flatnonzero(np.diff(customer, prepend=-1))
        assert (rank[first] == 1).all()
        inner = np.setdiff1d(np.arange(len(rank)), first)
        assert (rank[inner] == rank[inner - 1] + 1).all()
        assert (scored.score[row][inner] <= scored.score[row][inner - 1]).all()
        p = scored.probability[row]
        assert (p[inner] <= p[inner - 1]).all()
        if lane != "mixed":
            assert (scored.is_new[row] == (lane == "new")).all()
    with pytest.raises(ValueError, match="expected mixed, again, new, got 'old'"):
        top_n(scored, "old", 3)


def test_new_means_never_bought(scored: Scored) -> None:
    pairs = scored.moment.pairs["product"]
    bought = set(zip(pairs.customer, pairs.item, strict=True))
    offers = zip(scored.customer, scored.product, strict=True)
    assert [o not in bought for o in offers] == scored.is_new.tolist()


def test_same_seed_same_offers_to_the_bit(history: History, scored: Scored) -> None:
    again = ranker.fit(history, CUTOFF, HORIZON, CONFIG, seed=5)
    assert same(again.recommend(history, CUTOFF), scored)


def test_files_give_equal_scores_and_no_pickle(
    fitted: Recommender, scored: Scored, history: History, tmp_path: Path
) -> None:
    fitted.to_files(tmp_path / "model")
    read = Recommender.from_files(tmp_path / "model")
    assert same(read.recommend(history, CUTOFF), scored)
    assert {f.suffix for f in (tmp_path / "model").iterdir()} == {".txt", ".json"}


def test_a_model_of_other_settings_is_refused_in_one_line(
    fitted: Recommender, tmp_path: Path
) -> None:
    fitted.to_files(tmp_path)
    file = tmp_path / "recommender.json"
    file.write_text(file.read_text().replace('"min_buyers"', '"least_buyers"'))
    with pytest.raises(ContractError, match=r"got 'least_buyers'.*train again"):
        Recommender.from_files(tmp_path)


def test_lists_hold_only_what_is_available(scored: Scored) -> None:
    # The first product, p000, is not: it is scored, for the day it comes back.
    assert 0 in scored.product
    everyone = scored.moment.customers
    for lane in ("mixed", "again", "new"):
        assert 0 not in as_lists(scored, lane, 100, everyone)


def test_rows_at_or_after_the_cutoff_change_nothing(
    rows: list[dict[str, Any]], scored: Scored, tmp_path: Path
) -> None:
    kept = [row for row in rows if row["ts"] < CUTOFF]
    at = {"ts": CUTOFF, "order_id": "x1", "customer_id": "c000", "product_id": "p101"}
    late = {
        "ts": CUTOFF - timedelta(days=3),
        "known_at": CUTOFF,
        "order_id": "x2",
        "customer_id": "a new one",
        "product_id": "a new thing",
    }
    kept = [row | {"known_at": row["ts"]} for row in kept]
    learned: list[Any] = []
    for name, more in (
        ("cut", []),
        ("more", [kept[0] | at | {"known_at": CUTOFF}, kept[0] | late]),
    ):
        early, wide = histories(
            tmp_path / name, kept + more, CUTOFF, CUTOFF + timedelta(days=1)
        )
        fitted = ranker.fit(early, CUTOFF, HORIZON, CONFIG, seed=5)
        assert same(fitted.recommend(early, CUTOFF), scored)
        learned.append(fitted.fresh.to_json())
        # The cutoff alone decides, however far the history was read.
        fitted = ranker.fit(wide, CUTOFF, HORIZON, CONFIG, seed=5)
        offers = fitted.recommend(wide, CUTOFF)
        assert offers.score.tobytes() == scored.score.tobytes()
        learned.append(fitted.fresh.to_json())
    assert learned == [learned[0]] * 4 != [PLAIN.to_json()] * 4


def test_what_fresh_events_mean_is_learned_before_the_cutoff(
    fitted: Recommender, rows: list[dict[str, Any]], tmp_path: Path
) -> None:
    (later,) = histories(tmp_path, rows, CUTOFF + timedelta(days=28))
    assert later.purchases.ts.max() > to_us(CUTOFF)
    wide = ranker.fit(later, CUTOFF, HORIZON, CONFIG, seed=5)
    assert wide.fresh.to_json() == fitted.fresh.to_json() != PLAIN.to_json()


def test_a_label_known_after_the_cutoff_is_none(history: History) -> None:
    window = Snapshot(CUTOFF - timedelta(days=14), HORIZON)
    events = history.purchases
    late = replace(events, known_at=np.full_like(events.known_at, to_us(CUTOFF)))
    assert len(bought_in(history, window, to_us(CUTOFF)).keys)
    hidden = replace(history, purchases=late)
    assert not len(bought_in(hidden, window, to_us(CUTOFF)).keys)


def test_fitted_trees_serve_a_later_cutoff(
    fitted: Recommender, rows: list[dict[str, Any]], tmp_path: Path
) -> None:
    later = CUTOFF + timedelta(days=14)
    (history,) = histories(tmp_path, rows, later)
    offers = fitted.recommend(history, later)
    assert np.unique(offers.customer).size == CUSTOMERS
    with pytest.raises(SettingError, match=r"expected 2024-06-03.*train again"):
        fitted.recommend(history, CUTOFF - timedelta(days=1))


def test_short_history_is_one_clear_error(
    rows: list[dict[str, Any]], tmp_path: Path
) -> None:
    (history,) = histories(tmp_path, rows, START + timedelta(days=10))
    with pytest.raises(ContractError, match="expected more than 14 days"):
        ranker.fit(history, START + timedelta(days=10), HORIZON, CONFIG, 0)


def test_too_few_purchases_rank_by_history_and_popularity(
    rows: list[dict[str, Any]], tmp_path: Path
) -> None:
    few = [row for row in rows if row["customer_id"] in ("c000", "c008")]
    (history,) = histories(tmp_path, few, START + timedelta(days=40))
    fitted = ranker.fit(history, START + timedelta(days=40), HORIZON, CONFIG, 0)
    assert fitted.lanes["again"].booster is None
    offers = fitted.recommend(history, START + timedelta(days=40))
    slow = offers.moment.pairs["product"].slow[offers.pair]
    first = offers.customer == 0
    assert (np.diff(slow[first & ~offers.is_new]) <= 0).all()
    fitted.to_files(tmp_path / "model")
    read = Recommender.from_files(tmp_path / "model")
    assert same(read.recommend(history, START + timedelta(days=40)), offers)


def test_cold_start_holds_every_available_product_once(history: History) -> None:
    cold = ranker.cold_start(moment_at(sort_history(history), CUTOFF, HORIZON))
    assert len(set(cold.product.tolist())) == len(cold.product) == BLOCKS * SIZE - 1
    assert 0 not in cold.product  # p000 is not available
    assert (np.diff(cold.score) <= 0).all()
    lines = history.purchases
    recent = lines.ts >= to_us(CUTOFF - timedelta(days=14))
    best = recent & (lines.columns["product"] == cold.product[0])
    buyers = np.unique(lines.customer[best]).size
    assert cold.probability[0] == pytest.approx(buyers / CUSTOMERS)


def test_reasons_state_the_history(scored: Scored) -> None:
    texts = offer_reasons(scored, HORIZON).to_pylist()
    pairs = scored.moment.pairs["product"]
    assert all(texts)
    for row in range(0, len(scored), 97):
        if scored.is_new[row]:
            continue
        at = scored.pair[row]
        days = (to_us(CUTOFF) - pairs.last_us[at]) // 86_400_000_000
        ago = {0: "within the last day", 1: "1 day ago"}.get(days, f"{days} days ago")
        orders, gap = pairs.orders[at], np.rint(pairs.gap_mean[at])
        expected = {1: f"bought once, {ago}", 2: f"bought 2 times, last {ago}"}.get(
            orders, f"buys it about every {gap:.0f} days, last bought {ago}"
        )
        told, _, _ = texts[row].replace(", was due", ", due").partition(", due on")
        assert told == expected
    new = {t for t, is_new in zip(texts, scored.is_new, strict=True) if is_new}
    assert any(t.startswith("number 1 in shelf") for t in new) or any(
        "of those who bought thing" in t for t in new
    )
    assert cold_start_reason(0) == "one of the 20 best sellers of the last four weeks"
    assert cold_start_reason(20) == "one of the 100 best sellers of the last four weeks"


def test_curve_recovers_a_known_one() -> None:
    random = np.random.default_rng(1)
    raw = random.normal(0, 2, 200_000)
    bought = random.random(len(raw)) < 1 / (1 + np.exp(-(0.7 * raw - 1.5)))
    slope, intercept = fit_curve(raw, bought)
    assert slope == pytest.approx(0.7, abs=0.02)
    assert intercept == pytest.approx(-1.5, abs=0.03)


def test_curve_without_purchases_is_finite_and_rising() -> None:
    slope, intercept = fit_curve(np.arange(10.0), np.zeros(10, dtype=np.bool_))
    assert slope > 0
    assert np.isfinite(intercept)
    _, unknown = fit_curve(np.zeros(0), np.zeros(0, dtype=np.bool_))
    assert 1 / (1 + np.exp(-unknown)) == pytest.approx(0.001)


def test_curve_holds_where_few_were_bought_and_all_had_the_best_score() -> None:
    raw = np.concatenate((np.full(5000, -4.0), np.full(12, 3.0)))
    slope, intercept = fit_curve(raw, raw > 0)
    low, high = 1 / (1 + np.exp(-(intercept + slope * np.array([-4.0, 3.0]))))
    assert low == pytest.approx(1 / 5002, rel=0.01)
    assert high == pytest.approx(13 / 14, rel=0.01)


def test_model_of_other_features_is_refused(tmp_path: Path) -> None:
    LaneModel(None, np.array([0, 1]), 0, 1.0, 0.0).to_files(tmp_path, "again")
    file = tmp_path / "again.json"
    file.write_text(file.read_text().replace("product_orders_count", "gone"))
    with pytest.raises(ContractError, match="got 'gone'; train again"):
        LaneModel.from_files(tmp_path, "again")


def reversed_at(
    recommender: Recommender, history: History, limit: int
) -> tuple[Scored, Buyers]:
    nobody = np.zeros(len(history.customers), dtype=np.bool_)
    best = BestBuyers(len(history.products), limit)
    part = BuyersOfPart(best, 0, nobody)
    scored = recommender.recommend(history, CUTOFF, part)
    return scored, best.sorted()


def test_the_reverse_direction_shows_the_probabilities_of_the_lists(
    fitted: Recommender, history: History, scored: Scored
) -> None:
    again, found = reversed_at(fitted, history, CUSTOMERS)
    assert same(again, scored)
    products = np.repeat(np.arange(len(history.products)), np.diff(found.offsets))
    pairs = zip(found.customer.tolist(), products.tolist(), strict=True)
    shown = dict(zip(pairs, found.probability.tolist(), strict=True))
    # Every kept offer is there, to the bit, and candidates beyond the lists too.
    listed = zip(scored.customer.tolist(), scored.product.tolist(), strict=True)
    for pair, chance in zip(listed, scored.probability.tolist(), strict=True):
        assert shown[pair] == chance
    assert len(shown) >= len(scored)


def test_the_reverse_direction_is_the_same_in_any_chunks(
    fitted: Recommender, history: History, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, whole = reversed_at(fitted, history, 7)
    assert np.diff(whole.offsets).max() == 7
    monkeypatch.setattr(candidates, "CHUNK", 17)
    _, chunked = reversed_at(fitted, history, 7)
    for name in ("offsets", "customer", "probability"):
        assert (getattr(whole, name) == getattr(chunked, name)).all()


def test_any_of_a_shelf_is_calibrated_where_independence_is_not(
    fitted: Recommender, history: History, rows: list[dict[str, Any]], tmp_path: Path
) -> None:
    _, found = reversed_at(fitted, history, CUSTOMERS)
    later = histories(tmp_path, rows, CUTOFF + timedelta(days=HORIZON))[0]
    truth = bought_in(later, Snapshot(CUTOFF, HORIZON), to_us(later.until))
    who, what = np.divmod(truth.keys, truth.n_products)
    pairs = fitted.recommend(history, CUTOFF).moment.pairs["product"]
    total = np.bincount(pairs.customer, pairs.slow, CUSTOMERS)
    product = np.repeat(np.arange(len(history.products)), np.diff(found.offsets))
    promised, seen = [], []
    for block in range(BLOCKS):
        shelf = np.arange(block * SIZE, (block + 1) * SIZE)
        may, own = np.isin(product, shelf), np.isin(pairs.item, shelf)
        hazard = hazard_of(found.probability[may])
        promised.append(
            fitted.any_of.probability(
                np.bincount(found.customer[may], hazard, CUSTOMERS),
                np.bincount(pairs.customer[own], pairs.slow[own], CUSTOMERS),
                total,
                share_of(CUSTOMERS // BLOCKS, CUSTOMERS),
            )
        )
        bought = np.isin(np.arange(CUSTOMERS), who[np.isin(what, shelf)])
        seen.append(bought)
    chance, bought = np.concatenate(promised), np.concatenate(seen)
    assert fitted.any_of.weights is not None
    # Everybody buys from their own shelf every week, and from no other.
    assert chance[bought].mean() > 0.9 and chance[~bought].mean() < 0.1
    assert chance.mean() == pytest.approx(bought.mean(), abs=0.03)


def test_without_purchases_to_learn_from_products_count_as_independent() -> None:
    hazard = hazard_of(np.array([0.0, 0.25, 1.0], np.float32))
    chance = INDEPENDENT.probability(hazard, hazard, hazard, 0.5)
    assert chance == pytest.approx([0.0, 0.25, 1.0])
    assert np.isfinite(hazard).all()
    assert AnyOf.from_json(INDEPENDENT.to_json()) == INDEPENDENT
