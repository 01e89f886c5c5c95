"""A report from the state's database: ten million exposures, a million customers.

    python tests/benchmarks/bench_report.py FOLDER

Fills FOLDER once (some minutes, 5 GB): ``state.db`` with 1 million assignments, 10
million exposures with event ids of 36 characters and 600,000 clicks, and a table of 5
million order lines. Then it makes the report in a process of its own, as the service
does, and prints seconds, CPU and memory.
"""

from __future__ import annotations

import json
import resource
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import duckdb

from features.config import EngineConfig, StateConfig
from features.snapshot import to_us
from serving import experiment_work as work
from serving.experiment_schema import ExperimentRequest
from serving.experiments.assign import arm_sql
from serving.experiments.place import Place
from serving.experiments.plan import plan_of
from serving.state import database, experiments

START = datetime(2024, 3, 1)
AS_OF = START + timedelta(days=31)
CUSTOMERS, EXPOSURES, LINES = 1_000_000, 10_000_000, 5_000_000
PLAN = {
    "name": "bench",
    "owner": "mia",
    "arms": [{"name": "manual", "show": "again"}, {"name": "model", "show": "mixed"}],
    "window_days": 20,
    "salt": "salt",
    "design": {"mde": 0.05, "assumed": 0.06, "looks": [0.5, 1.0]},
}
_AT = "epoch_us(TIMESTAMP '2024-03-11' + to_seconds((hash(i, 6) % 1700000)::INTEGER))"


def fill(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    engine = database.ready(folder, StateConfig())
    asked = ExperimentRequest.model_validate(PLAN)
    work.create(engine, asked, "local", to_us(START), Place())
    one = experiments.move(engine, "bench", "running", to_us(START), lambda *_: None)
    database.close(engine)
    assert one is not None
    arm = arm_sql(plan_of(one.plan).split)
    drawn = f"""SELECT 'bench', 'c' || i, {arm.replace("customer_id", "('c' || i)")},
        'hash', epoch_us(TIMESTAMP '2024-03-01' + to_hours((hash(i, 1) % 240)::INTEGER)),
        'tier ' || (hash(i, 3) % 3), (hash(i, 2) % 1000) / 1000
    FROM range({CUSTOMERS}) t(i)"""
    seen = f"""SELECT 'bench', 'exposure', uuid()::VARCHAR, 'c' || (i % {CUSTOMERS}),
        'p' || (hash(i, 5) % 20000), i % 10 + 1, {_AT}, {_AT}
    FROM range({EXPOSURES}) t(i)"""
    clicks = f"""SELECT 'bench', 'click', uuid()::VARCHAR, 'c' || (i % {CUSTOMERS}),
        'p' || (hash(i, 5) % 20000), i % 10 + 1, {_AT} + 60000000, {_AT} + 60000000
    FROM range({EXPOSURES}) t(i) WHERE hash(i, 12) % 100 < 6"""
    with closing(sqlite3.connect(folder / "state.db")) as state:
        state.execute("PRAGMA synchronous=OFF")
        state.execute("PRAGMA cache_size=-1000000")
        shown = "experiment, kind, event_id, customer_id, product_id, position, ts"
        for table, columns, query in (
            (
                "assignments",
                "experiment, customer_id, arm, why, assigned_at, segment, propensity",
                drawn,
            ),
            ("shown", f"{shown}, received_at", seen),
            ("shown", f"{shown}, received_at", clicks),
        ):
            marks = ", ".join("?" for _ in columns.split(","))
            into = f"INSERT INTO {table} ({columns}) VALUES ({marks})"
            state.executemany(into, rows(query))
            state.commit()
    data = folder / "data"
    data.mkdir()
    duckdb.execute(f"""COPY (
        SELECT 'c' || (hash(i, 7) % {CUSTOMERS}) AS customer_id,
            'p' || (hash(i, 8) % 20000) AS product_id, 'o' || (i // 2) AS order_id,
            TIMESTAMP '2023-12-01' + to_seconds((hash(i, 9) % 10000000)::INTEGER) AS ts,
            CASE WHEN hash(i, 10) % 30 = 0 THEN -1.0 ELSE 1.0 END AS quantity,
            CASE WHEN hash(i, 10) % 30 = 0 THEN -1.0 ELSE 1.0 END
                * (hash(i, 11) % 5000) / 100 AS amount
        FROM range({LINES}) t(i)
    ) TO '{data / "purchases.parquet"}'""")
    (folder / "done").touch()


def rows(query: str) -> Iterator[tuple[Any, ...]]:
    with duckdb.connect() as db:
        found = db.execute(query)
        while some := found.fetchmany(20_000):
            yield from some


def report(folder: Path) -> None:
    engine = database.ready(folder, StateConfig())
    place = Place(folder / "data", EngineConfig(memory_limit="2500MB", threads=2))
    started = time.perf_counter()
    _, found = work.make_report(engine, "bench", place, AS_OF)
    used = resource.getrusage(resource.RUSAGE_SELF)
    assert found.analysis is not None
    said = {
        "customers": sum(found.counts.analysed.values()),
        "wall seconds": round(time.perf_counter() - started, 1),
        "CPU seconds": round(used.ru_utime + used.ru_stime, 1),
        "GB at most": round(used.ru_maxrss / 2**20, 2),
    }
    print(json.dumps(said))
    database.close(engine)


if __name__ == "__main__":
    where = Path(sys.argv[1])
    if "--report" in sys.argv:
        report(where)
    else:
        if not (where / "done").exists():
            fill(where)
        subprocess.run([sys.executable, __file__, str(where), "--report"], check=True)
