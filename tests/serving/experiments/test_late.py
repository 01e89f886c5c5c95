"""A report as of a moment reads what was known before it, to the microsecond."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import duckdb
import pandas as pd
import pytest
from sqlalchemy import Engine, insert

from features.config import StateConfig
from features.snapshot import to_us
from serving.experiments.inputs import SOURCES, opened
from serving.experiments.late import late
from serving.experiments.outcome_sql import Window
from serving.experiments.outcomes import build
from serving.experiments.place import Place
from serving.state import assignments, database, shown
from serving.state.assignments import Assignment
from serving.state.shown import Shown
from serving.state.tables import EVENTS

T0 = datetime(2024, 3, 1)
US = timedelta(microseconds=1)
DAYS = 10
OVER = T0 + timedelta(days=DAYS) + US
"""The first moment at which the window is over."""


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Engine]:
    engine = database.ready(tmp_path, StateConfig())
    for customer, arm in (("a", "model"), ("b", "manual")):
        one = Assignment(customer, arm, "hash", None, 0.5)
        assignments.record(engine, "spring", [one], to_us(T0))
    yield engine
    database.close(engine)


def logged(engine: Engine, order: str, amount: float, received: datetime) -> None:
    row = {
        "event_id": order,
        "received_at": to_us(received),
        "table": "purchases",
        "customer_id": "a",
        "product_id": "p",
        "order_id": order,
        "ts": to_us(T0 + timedelta(days=1)),
        "quantity": 1.0,
        "amount": amount,
    }
    with engine.begin() as connection:
        connection.execute(insert(EVENTS), row)


def stored(folder: Path, *lines: tuple[str, float, datetime | None]) -> Place:
    """A table of lines of one day: order, amount and when it was known."""
    folder.mkdir(exist_ok=True)
    table = pd.DataFrame(
        {
            "customer_id": "a",
            "product_id": "p",
            "order_id": [order for order, _, _ in lines],
            "ts": pd.Timestamp(T0 + timedelta(days=1)).as_unit("us"),
            "quantity": 1.0,
            "amount": [amount for _, amount, _ in lines],
            "known_at": pd.Series([at for _, _, at in lines], dtype="datetime64[us]"),
        }
    )
    table.to_parquet(folder / "purchases.parquet")
    return Place(folder)


@contextmanager
def customers(
    engine: Engine, place: Place, as_of: datetime
) -> Iterator[tuple[dict[str, Any], duckdb.DuckDBPyConnection]]:
    """What the customer of the model did, as of a moment."""
    with opened(engine, "spring", place) as db:
        build(db, SOURCES, Window(as_of, DAYS))
        rows = db.execute("FROM outcomes WHERE customer_id = 'a'").df()
        yield rows.to_dict("records")[0], db


@pytest.mark.parametrize(("known", "counts"), [(OVER - US, True), (OVER, False)])
def test_a_line_counts_from_the_moment_it_was_known(
    engine: Engine, tmp_path: Path, known: datetime, counts: bool
) -> None:
    place = stored(tmp_path / "data", ("o1", 5.0, None), ("o2", 7.0, known))
    with customers(engine, place, OVER) as (found, db):
        assert found["revenue"] == 5.0 + 7.0 * counts
        assert late(db, DAYS, OVER)["purchases"] == (not counts)


@pytest.mark.parametrize(("known", "counts"), [(OVER - US, True), (OVER, False)])
def test_what_was_seen_and_clicked_counts_from_when_it_was_received(
    engine: Engine, known: datetime, counts: bool
) -> None:
    at = to_us(T0 + timedelta(days=1))
    for kind in ("exposure", "click"):
        arm = "model" if kind == "exposure" else None
        one = Shown(kind, "a", arm, "p", 1, None, at)
        shown.append(engine, "spring", kind, [one], to_us(known))
    with customers(engine, Place(), OVER) as (found, db):
        assert (found["exposures"], found["clicks"]) == (counts, counts)
        missed = {"purchases": 0, "exposures": not counts, "clicks": not counts}
        assert late(db, DAYS, OVER) == missed
        # Whoever asks before that moment does not hear of it.
        assert late(db, DAYS, OVER, until=OVER)["clicks"] == 0


def test_a_line_of_both_is_the_logs_until_the_table_knows_it(
    engine: Engine, tmp_path: Path
) -> None:
    logged(engine, "o1", 5.0, OVER - 2 * US)
    place = stored(tmp_path / "data", ("o1", 4.0, OVER))
    for as_of, revenue in ((OVER, 5.0), (OVER + US, 4.0)):
        with customers(engine, place, as_of) as (found, db):
            assert (found["revenue"], found["orders"]) == (revenue, 1)
            # It came in time, whichever row stands for it now.
            assert late(db, DAYS, OVER, until=OVER)["purchases"] == 0


def test_a_look_repeated_with_late_data_says_the_same(
    engine: Engine, tmp_path: Path
) -> None:
    place = stored(tmp_path / "data", ("o1", 5.0, None))
    with customers(engine, place, OVER) as (first, _):
        pass
    logged(engine, "o2", 9.0, OVER)
    place = stored(tmp_path / "data", ("o1", 5.0, None), ("o3", 2.0, OVER + US))
    with customers(engine, place, OVER) as (again, db):
        assert again == first
        assert late(db, DAYS, OVER)["purchases"] == 2
        assert late(db, DAYS, OVER, until=OVER + US)["purchases"] == 1
    with customers(engine, place, OVER + 2 * US) as (later, _):
        assert later["revenue"] == 16.0
