"""After an erasure and the next build nothing the system wrote holds the id."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from features.config import Config, load
from serving import cli
from serving.alert_ids import spelt
from serving.erasure import erased_of
from serving.published import Published
from serving.state import alerts, assignments, database, experiments, picks, shown
from serving.state.alerts import Mark
from serving.state.assignments import Assignment
from serving.state.experiments import Experiment
from serving.state.log import EventLog
from serving.state.picks import Line
from serving.state.shown import Shown
from serving.state.tombstones import tombstone

CUTOFF = "2024-10-01"
WHO = "000-zq7-erase-me"
"""The first of all, so that whatever takes the first rows for an example has them."""
WORDS = (
    "churn.trees=5",
    "churn.seeds=1",
    "propensity.trees=5",
    "propensity.min_rows_per_leaf=10",
    "propensity.seeds=1",
    "recommend.trees=5",
    "recommend.min_buyers=2",
    "recommend.factors=4",
    "replenishment.trees=5",
    "replenishment.seeds=1",
    f"cutoff={CUTOFF}",
)


def renamed(shop: Path, folder: Path) -> Path:
    """The shop, one of whose best customers bears an id that is found anywhere.

    Another customer has a bad row, and the one in question too.
    """
    folder.mkdir()
    with duckdb.connect() as db:
        (best,) = db.execute(
            f"SELECT customer_id FROM '{shop}/purchases.parquet' WHERE ts < '{CUTOFF}' "
            "GROUP BY ALL ORDER BY count(*) DESC, customer_id LIMIT 1"
        ).fetchall()[0]
        for file in shop.glob("*.parquet"):
            names = pq.read_schema(file).names
            new = f"if(customer_id = '{best}', '{WHO}', customer_id) AS customer_id"
            what = f"* REPLACE ({new})" if "customer_id" in names else "*"
            rows = f"SELECT {what} FROM '{file}'"
            if file.stem == "purchases":
                # Bad: a line that says nothing of its amount.
                bad = f"* REPLACE ('{WHO}' AS customer_id, NULL AS amount)"
                rows += f" UNION ALL (SELECT {bad} FROM '{file}' LIMIT 1)"
            db.execute(f"COPY ({rows}) TO '{folder / file.name}'")
    return folder


def traces(root: Path, needle: str) -> Iterator[str]:
    """Where an id is: in the bytes of files, in tables, in databases."""
    raw = needle.encode()
    for file in sorted(path for path in root.rglob("*") if path.is_file()):
        content = file.read_bytes()
        if raw in content or raw.hex().encode() in content:
            yield f"{file}: bytes"
        if file.suffix == ".parquet":
            table = pq.read_table(file)
            if any(raw in repr(row).encode() for row in table.to_pylist()):
                yield f"{file}: rows"
        elif file.suffix == ".arrow":
            with pa.memory_map(str(file)) as source:
                if (
                    raw
                    in repr(pa.ipc.open_file(source).read_all().to_pylist()).encode()
                ):
                    yield f"{file}: rows"
        elif content.startswith(b"SQLite format 3"):
            with sqlite3.connect(file) as db:
                if raw in "\n".join(db.iterdump()).encode():
                    yield f"{file}: database"
    for path in root.rglob("*"):
        if needle in path.name:
            yield f"{path}: name"


@pytest.fixture
def run(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., str]:
    def call(*words: object) -> str:
        monkeypatch.setattr("sys.argv", ["repurchase", *(str(word) for word in words)])
        with pytest.raises(SystemExit) as ended:
            cli.main()
        said = capsys.readouterr()
        assert not ended.value.code, said.err
        return said.out

    return call


def test_nothing_but_the_tombstone_is_left_after_the_next_build(
    shop_dir: Path, tmp_path: Path, run: Callable[..., str]
) -> None:
    data, workspace = renamed(shop_dir, tmp_path / "data"), tmp_path / "workspace"
    words = (*WORDS, f"data={data}", f"workspace={workspace}")
    sets = [word for key in words for word in ("--set", key)]
    for stage in ("features", "train", "publish"):
        run(stage, *sets)
    config = load(None, words)
    assert Published.open(workspace).customers.row(WHO) is not None
    assert send(config) == (1, {})
    in_an_experiment(config)
    run("audience", "--goal", "value", "--out", tmp_path / "list.csv", *sets)
    assert WHO in (tmp_path / "list.csv").read_text()
    assert {Path(one.split(":")[0]).name for one in traces(workspace, WHO)} > {
        "customers.arrow",
        "features.parquet",
        "purchases.parquet",
    }

    receipt = json.loads(run("forget", WHO, *sets))
    assert receipt["was_published"] and receipt["events_removed"] == 2
    assert WHO not in json.dumps(receipt)
    run("audience", "--goal", "value", "--out", tmp_path / "list.csv", *sets)
    assert WHO not in (tmp_path / "list.csv").read_text()
    assert send(config)[0] == 0
    again = json.loads(run("forget", WHO, *sets))
    assert (again["tombstone"], again["events_removed"]) == (receipt["tombstone"], 0)

    customers = len(Published.open(workspace).customers)
    run("features", *sets)
    run("train", *sets)
    run("publish", "--ungated", *sets)
    assert list(traces(workspace, WHO)) == []
    assert len(Published.open(workspace).customers) == customers - 1
    assert Published.open(workspace).customers.row(WHO) is None
    # What is left is the hash, and it is theirs.
    erased = erased_of(config)
    assert erased.hashes == {tombstone(erased.salt, WHO.encode())}
    assert receipt["tombstone"] == next(iter(erased.hashes)).hex()


def in_an_experiment(config: Config) -> None:
    """The customer in every table that experiments have."""
    plan = Experiment("spring", "{}", "mia", "draft", 1, None, None)
    engine = database.ready(config.workspace, config.state)
    try:
        picks.upload(engine, "may", [Line(None, WHO, "p1", 1)], "mia", 1)
        experiments.create(engine, plan, {WHO: "model"}, "local", lambda _: False)
        drawn = Assignment(WHO, "model", "override", "family", 0.5)
        assignments.record(engine, "spring", [drawn], 1)
        seen = Shown("e1", WHO, "model", "p1", 1, "may@1", 2)
        found, _ = shown.append(engine, "spring", "exposure", [seen], 3)
        version = Published.open(config.workspace)
        row = version.customers.row(WHO)
        number = int(version.health_alert_ids[-1 if row is None else row])
        alert = spelt("health", number)
        alerts.mark(engine, Mark(alert, WHO, "sent", "local", 4, version.cutoff_us))
    finally:
        database.close(engine)
    assert found.accepted == 1


def send(config: Config) -> tuple[int, dict[int, str]]:
    """An event of the customer: accepted, and refused with reasons."""
    from serving.state.tables import CONTENT

    event = {
        **dict.fromkeys(CONTENT),
        "event_id": "e1",
        "table": "browses",
        "customer_id": WHO,
        "ts": 1_700_000_000_000_000,
        "kind": "view",
    }
    engine = database.ready(config.workspace, config.state)
    try:
        found = EventLog(engine, lambda: 1_700_000_000_000_001).append([event])
    finally:
        database.close(engine)
    return found.accepted, found.refused
