from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import duckdb
import pandas as pd
import pytest

from features.connection import connect
from serving.experiments.outcomes import Counts, Sources, Window, build

T0 = datetime(2024, 3, 1)
US = timedelta(microseconds=1)
NAMES = Sources("drawn", "lines", "shown", "pressed")
WINDOW = Window(T0 + timedelta(days=30), 10, strata=("tier",))


def day(d: float) -> datetime:
    return T0 + timedelta(days=d)


def event(event_id: str, product: str, ts: datetime, customer: str = "a") -> Any:
    return {
        "event_id": event_id,
        "customer_id": customer,
        "product_id": product,
        "ts": ts,
    }


def line(
    order: str, product: str, ts: datetime, amount: float, customer: str = "a"
) -> dict[str, Any]:
    return {
        "customer_id": customer,
        "product_id": product,
        "ts": ts,
        "order_id": order,
        "quantity": 1.0 if amount > 0 else -1.0,
        "amount": amount,
    }


def drawn(customer: str, arm: str, at: datetime, reason: str = "hash") -> Any:
    return {
        "customer_id": customer,
        "arm": arm,
        "assigned_at": at,
        "reason": reason,
        "tier": 1 if customer == "a" else None,
        "propensity": 0.25,
    }


DRAWN = [
    drawn("a", "model", T0),
    drawn("a", "manual", T0 + US),
    drawn("b", "manual", T0),
    drawn("late", "manual", day(20) + US),
    drawn("staff", "model", T0, "override"),
]
SHOWN = [
    event("before", "x", T0 - US),
    event("1", "p", T0),
    event("1", "p", T0),
    event("2", "x", day(1)),
    event("3", "x", day(2)),
    event("after", "x", day(10)),
    event("staff", "x", day(1), "staff"),
]
PRESSED = [
    event("too early", "x", day(0.5)),
    event("on 2", "x", day(1.5)),
    event("on 2", "x", day(1.5)),
    event("on 3", "x", day(2)),
    event("on 3 again", "x", day(2.5)),
    event("never shown", "y", day(3)),
    event("too late", "x", day(10)),
]
LINES = [
    line("o0", "z", T0 - US, 50),
    line("o00", "z", day(-90), 7),
    line("o000", "z", day(-90) - US, 7),
    line("o1", "p", T0, 10),
    line("r0", "z", day(2), -50),
    line("r1", "p", day(3), -4),
    line("o2", "q", day(10) - US, 5),
    line("o3", "q", day(10), 5),
    line("o4", "p", day(1), 99, "staff"),
]


def run(
    tables: dict[str, list[Any]], window: Window = WINDOW, names: Sources = NAMES
) -> tuple[Counts, pd.DataFrame, pd.DataFrame]:
    db = connect()
    for name, rows in tables.items():
        db.register(name, pd.DataFrame(rows))
    counts = build(db, names, window)
    return (
        counts,
        db.sql("FROM outcomes ORDER BY customer_id").df(),
        db.sql("FROM outcomes_daily ORDER BY arm, customer, day").df(),
    )


TABLES = {"drawn": DRAWN, "lines": LINES, "shown": SHOWN, "pressed": PRESSED}


def test_one_row_per_customer_worked_out_by_hand() -> None:
    counts, customers, daily = run(TABLES)
    assert counts.assigned == {"manual": 2, "model": 1}
    assert counts.analysed == {"manual": 1, "model": 1}
    assert counts.crossed == 1
    a, b = customers.to_dict("records")
    # Net of the 4 that came back of p; z was bought before, its return is not ours.
    assert a == {
        "customer_id": "a",
        "arm": "model",
        "started_at": pd.Timestamp(T0),
        "tier": "1.0",
        "propensity": 0.25,
        "exposures": 3,
        "clicks": 2,
        "converted": 1,
        "bought": 1,
        "orders": 2,
        "revenue": 11.0,
        "days_to_purchase": 0.0,
        "pre_orders": 2,
        "pre_bought": 1,
        "pre_revenue": 57.0,
    }
    assert (b["exposures"], b["orders"], b["revenue"], b["bought"]) == (0, 0, 0, 0)
    assert b["days_to_purchase"] == 10
    assert daily.drop(columns=["customer", "arm"]).to_numpy().tolist() == [
        [0, 1, 0, 1, 6, 1],
        [1, 1, 1, 0, 0, 0],
        [2, 1, 1, 0, 0, 0],
        [9, 0, 0, 1, 5, 0],
    ]


def test_order_of_rows_repeats_and_what_lies_outside_do_not_matter() -> None:
    expected = run(TABLES)
    more = {
        "drawn": DRAWN[::-1],
        "lines": [*LINES[::-1], line("far", "p", day(200), 1000)],
        "shown": [*SHOWN[::-1], *SHOWN, event("far", "p", day(31))],
        "pressed": PRESSED[::-1] * 2,
    }
    found = run(more)
    assert found[0] == expected[0]
    pd.testing.assert_frame_equal(found[1], expected[1])
    pd.testing.assert_frame_equal(
        found[2].drop(columns="customer"), expected[2].drop(columns="customer")
    )


def test_a_window_that_is_not_over_counts_if_asked_for() -> None:
    counts, customers, _ = run(TABLES, Window(WINDOW.as_of, 10, mature=False))
    assert counts.analysed == counts.assigned
    late = customers[customers["customer_id"] == "late"].iloc[0]
    assert late["days_to_purchase"] == pytest.approx(10, abs=1e-5)
    _, early, _ = run(TABLES, Window(T0 + timedelta(days=2), 10, mature=False))
    assert early["exposures"].tolist() == [2, 0]
    assert early["revenue"].tolist() == [10.0, 0.0]


def test_only_what_was_known_counts_and_events_once() -> None:
    known = [
        {**row, "known_at": row["ts"] + timedelta(days=25), "event_id": None}
        for row in LINES
    ]
    counts, customers, _ = run({**TABLES, "lines": known})
    assert customers["revenue"].tolist()[0] == 6.0
    twice = [{**row, "event_id": str(i)} for i, row in enumerate(LINES)] * 2
    _, customers, _ = run({**TABLES, "lines": twice})
    assert customers["revenue"].tolist()[0] == 11.0
    del counts


def test_more_returned_than_bought_is_not_below_zero() -> None:
    lines = [line("o", "p", day(1), 5), line("r", "p", day(2), -12)]
    _, customers, _ = run({**TABLES, "lines": lines})
    assert customers["revenue"].tolist() == [0.0, 0.0]
    assert customers["orders"].tolist() == [1, 0]


def test_without_a_log_of_what_was_shown() -> None:
    names = Sources("drawn", "lines")
    _, customers, _ = run(TABLES, names=names)
    assert customers["exposures"].tolist() == [0, 0]
    assert customers["converted"].tolist() == [0, 0]
    assert customers["revenue"].tolist() == [11.0, 0.0]
    with pytest.raises(duckdb.CatalogException):
        run({}, names=names)
