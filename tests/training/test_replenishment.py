"""Due dates: by hand, and against what happened."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from features.config import ReplenishmentConfig
from features.snapshot import Snapshot, to_us
from training import replenishment
from training.due_rows import learn, rows_at, usual_at
from training.habit_rows import COLUMNS, habit_rows
from training.habits import bought_before, days_to_next, sort_habits
from training.metrics import MODEL
from training.replenishment import Replenishment, fit_replenishment
from training.replenishment_quality import (
    FREQUENCY,
    MEDIAN,
    replenishment_quality,
)
from training.rhythm import cycles_of, rhythm_of

CUTOFF = datetime(2024, 6, 1)


def shop(read_history: Callable[..., Any], gaps: dict[str, list[int]]) -> Any:
    """Customers who buy coffee with the given gaps, the last time five days ago."""
    rows: list[dict[str, Any]] = []
    for customer, between in gaps.items():
        day = CUTOFF - timedelta(days=5 + sum(between))
        for place, gap in enumerate([*between, 0]):
            ids = {
                "customer_id": customer,
                "product_id": "p",
                "order_id": f"{customer}{place}",
            }
            rows.append({**ids, "ts": day, "quantity": 1.0, "amount": 4.0})
            day += timedelta(days=gap)
    products = [{"product_id": "p", "category": "coffee"}]
    return read_history({"purchases": rows, "products": products}, CUTOFF)


def predicted(history: Any, cutoff: datetime = CUTOFF) -> Any:
    return _fitted(history).predict(history, Snapshot(cutoff, 14))


def _fitted(history: Any, **changes: Any) -> Replenishment:
    config = ReplenishmentConfig(**{"min_rows_per_leaf": 20, "trees": 60} | changes)
    return fit_replenishment(history, 14, config, 0)


def line(customer: str, product: str, ts: datetime, **more: Any) -> dict[str, Any]:
    row = {"customer_id": customer, "product_id": product, "ts": ts, "known_at": ts}
    return row | {"order_id": f"{customer}{ts}", "quantity": 1.0, "amount": 1.0} | more


def test_orders_of_a_day_are_one_purchase(read_history: Callable[..., Any]) -> None:
    history = read_history(
        {
            "purchases": [
                line("a", "p", datetime(2024, 5, 1, 9)),
                line("a", "p", datetime(2024, 5, 1, 17), quantity=2.0),
                line("a", "p", datetime(2024, 5, 11), quantity=-1.0),  # a return
                line("a", "p", datetime(2024, 5, 21, 8)),
                line("a", "q", datetime(2024, 5, 25)),
            ]
        },
        CUTOFF,
    )
    bought = bought_before(sort_habits(history), to_us(CUTOFF))
    assert bought.counts.tolist() == [2, 1]
    assert (bought.today - bought.last).tolist() == [11.0, 7.0]
    assert bought.pieces.tolist() == [3.0, 1.0, 1.0]
    assert np.diff(bought.visits).tolist() == [3]
    assert bought.since(11).tolist() == [1, 1]  # the eleventh day before counts
    assert bought.since(10.9).tolist() == [0, 1]


def test_only_what_was_known_before_the_cutoff_counts(
    read_history: Callable[..., Any],
) -> None:
    cutoff = datetime(2024, 5, 20, 12)  # in the middle of a day
    tick = timedelta(microseconds=1)
    history = read_history(
        {
            "purchases": [
                line("a", "p", datetime(2024, 5, 1), known_at=datetime(2024, 5, 1)),
                line("a", "p", cutoff - tick, known_at=cutoff - tick),
                line("a", "p", cutoff, known_at=cutoff),
                line("a", "p", datetime(2024, 5, 9), known_at=cutoff),  # late
                line("a", "p", datetime(2024, 5, 23), known_at=datetime(2024, 5, 23)),
            ]
        },
        CUTOFF,
    )
    habits = sort_habits(history)
    bought = bought_before(habits, to_us(cutoff))
    assert bought.counts.tolist() == [2]
    first = np.zeros(1, np.int32)
    end = to_us(CUTOFF)
    assert days_to_next(habits, first, first, to_us(cutoff), end).tolist() == [0.0]
    assert days_to_next(habits, first, first, to_us(cutoff) + 1, end) == pytest.approx(
        [2.5]
    )
    assert np.isinf(days_to_next(habits, first, first, end - 86_400_000_000, end))


def test_a_cycle_is_shrunk_to_the_group(read_history: Callable[..., Any]) -> None:
    gaps = {"a": [10] * 2, **{f"c{i}": [40] * 9 for i in range(9)}}
    habits = sort_habits(shop(read_history, gaps))
    bought = bought_before(habits, to_us(CUTOFF))
    rhythm = rhythm_of(bought, cycles_of(bought, habits.life_days))
    assert rhythm.gaps.tolist() == [2.0] + [9.0] * 9
    assert 10 < rhythm.cycle[0] < 40
    assert rhythm.passed_days.tolist() == [5.0] * 10
    # Five days have passed already: less is left of the same cycle.
    assert rhythm.within(20)[0] > rhythm.within(15)[0] > rhythm.passed[0]


def test_a_known_service_life_gives_a_date_after_one_purchase(
    read_history: Callable[..., Any],
) -> None:
    rows = [
        line("a", "fridge", CUTOFF - timedelta(30)),
        line("a", "tea", CUTOFF - timedelta(9)),
    ]
    products = [
        {"product_id": "fridge", "category": "fridges", "service_life_days": 100.0},
        {"product_id": "tea", "category": "tea"},
    ]
    history = read_history({"purchases": rows, "products": products}, CUTOFF)
    (row,) = predicted(history).to_pylist()
    assert row["product_group"] == "fridges"
    assert row["abstain"]  # no cycle was ever completed
    assert 40 < (row["due_at"] - CUTOFF).days < 100


def test_features_by_hand(read_history: Callable[..., Any]) -> None:
    days = (60, 50, 20, 5)
    rows = [line("a", "p", CUTOFF - timedelta(d), quantity=d / 5) for d in days]
    rows += [line("a", "q", CUTOFF - timedelta(d)) for d in (40, 2)]
    habits = sort_habits(read_history({"purchases": rows}, CUTOFF))
    bought = bought_before(habits, to_us(CUTOFF))
    usual = usual_at(habits, to_us(CUTOFF))
    rhythm = rhythm_of(bought, usual.cycles)
    found = dict(
        zip(
            COLUMNS,
            habit_rows(bought, rhythm, usual.rates, habits.life_days, np.array([0]))[0],
            strict=True,
        )
    )
    assert found["purchases_count"] == 4
    assert found["purchases_count_28d"] == 2
    assert found["gap_mean"] == pytest.approx(55 / 3)
    assert found["gap_median"] == 15
    assert found["gap_longest"] == 30
    assert found["gap_last"] == 15
    assert found["gap_mean_last_3"] == pytest.approx(55 / 3)
    assert found["since_over_median"] == pytest.approx(5 / 15)
    assert found["pieces_mean"] == pytest.approx(27 / 4)
    assert found["pieces_last_over_mean"] == pytest.approx(1 / (27 / 4))
    assert found["visits_count"] == 6
    assert found["visits_since_last"] == 1
    assert found["share_of_visits"] == pytest.approx(4 / 6)
    assert found["days_since_last_visit"] == 2
    assert found["group_purchases_per_buyer"] == 4
    assert np.isnan(found["service_life_days"])


def test_regular_buyer_is_due_after_the_usual_gap(
    read_history: Callable[..., Any],
) -> None:
    gaps = {"a": [20] * 8, **{f"c{i}": [10, 30, 15, 25, 20] for i in range(5)}}
    table = predicted(shop(read_history, gaps)).to_pylist()
    ann = next(row for row in table if row["customer_id"] == "a")
    assert ann["product_group"] == "coffee"
    assert not ann["abstain"]
    assert ann["due_p10"] < ann["due_at"] < ann["due_p90"]
    # Last bought five days ago, every twenty days: about fifteen to go.
    assert abs((ann["due_at"] - CUTOFF).days - 15) <= 3


@pytest.fixture
def ending(read_history: Callable[..., Any]) -> Any:
    """Three hundred habits, half of which end at some time, unannounced."""
    random = np.random.default_rng(4)
    rows: list[dict[str, Any]] = []
    for customer in range(300):
        day, end = 0.0, 180 * (random.random() if customer % 2 else 1.0)
        while day < end:
            ids = {"customer_id": f"c{customer:03}", "product_id": "p"}
            ts = CUTOFF - timedelta(days=180 - day)
            order = {"order_id": f"{customer}-{day}", "quantity": 1.0, "amount": 4.0}
            rows.append({**ids, **order, "ts": ts})
            day += float(random.gamma(9, (3 + customer % 50) / 9)) + 1
    return read_history({"purchases": rows}, CUTOFF)


def test_dates_and_probability_are_of_one_distribution(ending: Any) -> None:
    table = predicted(ending)
    probability = table.column("probability").to_numpy()
    assert probability.min() < 0.25 and probability.max() > 0.9
    for name, share in (("due_p10", 0.1), ("due_at", 0.5), ("due_p90", 0.9)):
        due = table.column(name).to_numpy() < np.datetime64(CUTOFF + timedelta(14))
        assert (due == (probability > share)).all()


def test_few_cycles_and_ended_habits_abstain(read_history: Callable[..., Any]) -> None:
    gaps = {"few": [10], "gone": [1] * 8, **{f"c{i}": [10] * 6 for i in range(5)}}
    table = predicted(shop(read_history, gaps)).to_pylist()
    abstain = {row["customer_id"]: row["abstain"] for row in table}
    assert abstain["few"]
    assert abstain["gone"]  # usually daily, five days ago
    assert not abstain["c0"]


def test_dates_never_lie_before_the_cutoff(read_history: Callable[..., Any]) -> None:
    table = predicted(shop(read_history, {"late": [2, 2, 2, 2], "a": [30, 30]}))
    for name in ("due_p10", "due_at", "due_p90"):
        assert min(table.column(name).to_pylist()) >= CUTOFF
    assert all(0 <= p <= 1 for p in table.column("probability").to_pylist())


def test_product_without_a_category_is_a_group_of_its_own(
    read_history: Callable[..., Any],
) -> None:
    rows = [
        {
            "customer_id": "a",
            "product_id": product,
            "order_id": f"{product}{days}",
            "ts": CUTOFF - timedelta(days=days),
            "quantity": 1.0,
            "amount": 1.0,
        }
        for product in ("p", "q")
        for days in (3, 9)
    ]
    history = read_history({"purchases": rows}, CUTOFF)
    table = predicted(history)
    assert table.column("product_group").to_pylist() == ["p", "q"]


def test_the_longer_the_horizon_the_likelier(ending: Any) -> None:
    model = _fitted(ending)
    tables = [model.predict(ending, Snapshot(CUTOFF, h)) for h in (1, 5, 14, 40, 180)]
    found = np.stack([table.column("probability").to_numpy() for table in tables])
    assert (np.diff(found, axis=0) >= 0).all()
    assert model.boosters  # half a year is enough to learn from


def test_ended_habits_are_learned(ending: Any) -> None:
    table = predicted(ending)
    rows = rows_at(sort_habits(ending), to_us(CUTOFF), ())
    probability = table.column("probability").to_numpy()
    since = rows.rhythm.passed_days
    assert probability[since > 60].mean() < 0.2 < 0.6 < probability[since < 3].mean()


def test_rows_after_the_cutoff_change_nothing(
    ending: Any, read_history: Callable[..., Any]
) -> None:
    cutoff = CUTOFF - timedelta(40)
    lines = ending.purchases
    rows = [
        line(
            ending.customers[c],
            "p",
            datetime(1970, 1, 1) + timedelta(microseconds=int(ts)),
            quantity=float(q),
        )
        for c, ts, q in zip(
            lines.customer, lines.ts, lines.columns["quantity"], strict=True
        )
    ]
    late = line(ending.customers[0], "p", cutoff - timedelta(1), known_at=cutoff)
    before = [row for row in rows if row["ts"] < cutoff]
    full = read_history({"purchases": [*rows, late]}, CUTOFF)
    cut = read_history({"purchases": before}, cutoff)
    model, now = _fitted(cut), Snapshot(cutoff, 14)
    ours = model.predict(full, now)  # of a history that goes on
    assert ours.num_rows > 200
    assert ours.equals(model.predict(cut, now))
    learned = _learned(full, cutoff)
    assert (learned == _learned(cut, cutoff)).all()


def _learned(history: Any, until: datetime) -> Any:
    """Labels as known at a moment, of two cutoffs before it."""
    habits = sort_habits(history)
    cutoffs = [until - timedelta(days) for days in (28, 14)]
    random = np.random.default_rng(0)
    found = learn(habits, cutoffs, (), to_us(until), 10_000, random)
    return np.column_stack([found.next_days, found.rows.matrix[:, 1]])


@pytest.mark.parametrize("since", [300, 24])
def test_a_shop_where_nothing_was_bought_twice_has_no_alerts(
    read_history: Callable[..., Any], since: int
) -> None:
    rows = [
        line(f"c{c}", f"p{c}-{d}", CUTOFF - timedelta(d))
        for c in range(20)
        for d in range(20, 300, 20)
    ]
    if since < 30:  # habits began after the last cutoff to learn from
        rows += [
            line(f"c{c}", "tea", CUTOFF - timedelta(d))
            for c in range(20)
            for d in (1, 8)
        ]
    table = predicted(read_history({"purchases": rows}, CUTOFF))
    assert table.num_rows == (20 if since < 30 else 0)
    assert not any(table.column("alert").to_pylist())


def test_saved_and_loaded_it_says_the_same(ending: Any, tmp_path: Any) -> None:
    model = _fitted(ending)
    rest = replenishment.save(model, tmp_path)
    again = replenishment.load(tmp_path, rest)
    snapshot = Snapshot(CUTOFF, 14)
    assert again.predict(ending, snapshot).equals(model.predict(ending, snapshot))


def test_equal_seeds_give_equal_dates_also_from_samples(ending: Any) -> None:
    few = [_fitted(ending, max_rows=1000, max_customers=100) for _ in range(2)]
    snapshot = Snapshot(CUTOFF, 14)
    assert few[0].predict(ending, snapshot).equals(few[1].predict(ending, snapshot))


def test_quality_counts_what_was_bought_soon(
    read_history: Callable[..., Any],
) -> None:
    gaps = {f"c{i}": [10] * 6 for i in range(4)} | {"few": [10, 10]}
    history = shop(read_history, gaps)
    table = predicted(history)
    soon = np.array([0.9, 0.8, 0.2, 0.1, 0.7])  # of c0 to c3, few
    alert = soon >= 0.7
    table = table.set_column(
        table.column_names.index("probability_soon"), "probability_soon", [soon]
    ).set_column(table.column_names.index("alert"), "alert", [alert])
    bought = [
        line("c0", "p", CUTOFF),
        line("c2", "p", CUTOFF),
        line("few", "new", CUTOFF),
    ]
    quality = replenishment_quality(
        table, history, pa.Table.from_pylist(bought), to_us(CUTOFF), 3, 0
    )
    assert quality.pairs == 4  # "few" bought three times only
    assert quality.window_days == 7
    assert quality.bought == 0.5
    assert quality.models[MODEL]["auc"] == 0.75
    assert quality.models[MODEL]["top"] == 1.0
    assert quality.models[MEDIAN]["auc"] == quality.models[FREQUENCY]["auc"] == 0.5
    assert quality.alerts == {
        "count": 3.0,
        "precision": pytest.approx(1 / 3),
        "recall": 0.5,
    }
