"""Features of a million customers beside DuckDB SQL, pandas, Polars and a scan.

    python -m pytest tests/benchmarks/bench_features.py -s

A simulated shop (20 million order lines, 60 million browses) is written in order
of time. Each measurement runs in a process of its own, which also tells its peak
memory; seconds are from Parquet to Arrow. Our check of the input is a column of
its own and in no ratio, since the others check nothing. Prints ratios; fails on
wrong values only: on a small shop every value of SQL equals ours, and the rows and
some totals of pandas and Polars do. ``BENCH_CUSTOMERS`` sets the size; with ``-k
growth`` only ours is measured, beside a shop of a tenth of it, and with ``-k live``
one customer at a time.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
import timeit
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from rich.console import Console
from rich.table import Table as Printed

from features.assemble import OF_EVENTS, assemble_parts
from features.config import PropensityConfig
from features.dimension import Stream, columns_read
from features.engine import Tables
from features.fold import Live, stack
from features.history import History
from features.plan import plan
from features.simulate import simulate
from features.snapshot import cutoff_array

CUSTOMERS = int(os.environ.get("BENCH_CUSTOMERS", "1000000"))
UNTIL = datetime(2025, 1, 1)
STEP_DAYS = PropensityConfig().step_days
CUTOFFS = [UNTIL - timedelta(days=STEP_DAYS * k) for k in range(11, -1, -1)]
EVENT_TABLES = ("purchases", "browses", "inquiries", "feedback", "touches")
NAMES = (
    "days_since_last_order",
    "days_since_first_order",
    "orders_count_7d",
    "orders_count_30d",
    "orders_count_90d",
    "orders_count_365d",
    "orders_count",
    "spend_sum_30d",
    "spend_sum_90d",
    "spend_sum_365d",
    "spend_sum",
    "line_amount_mean",
    "line_amount_spread",
    "days_gap_mean",
    "days_gap_spread",
    "days_gap_median",
    "days_gap_max",
    "overdue_mean",
    "orders_trend_30d_90d",
    "orders_per_day",
    "order_amount_mean",
    "order_lines_mean",
    "products_distinct_90d",
    "products_distinct",
    "discount_share",
    "returned_share",
)
TOTALS = {
    "n": "orders_count",
    "n90": "orders_count_90d",
    "s": "spend_sum",
    "mean": "days_gap_mean",
    "mid": "days_gap_median",
    "products90": "products_distinct_90d",
}
"""Columns of pandas and Polars whose totals are ours."""

SQL = """
WITH known AS (
  SELECT customer_id, product_id, order_id, ts, amount, list_amount,
    quantity >= 0 AS bought
  FROM read_parquet($file) WHERE ts < $at AND coalesce(known_at, ts) < $at
), orders AS (
  SELECT customer_id, order_id, min(ts) AS ts FROM known WHERE bought GROUP BY ALL
), per_order AS (
  SELECT customer_id, epoch($at - max(ts)) / 86400 AS last, epoch($at - min(ts)) / 86400 AS first,
    count(*) AS n, count(*) FILTER (ts >= $at - INTERVAL 7 DAY) AS n7,
    count(*) FILTER (ts >= $at - INTERVAL 30 DAY) AS n30,
    count(*) FILTER (ts >= $at - INTERVAL 90 DAY) AS n90,
    count(*) FILTER (ts >= $at - INTERVAL 365 DAY) AS n365
  FROM orders GROUP BY customer_id
), days AS (
  SELECT customer_id, min(ts) AS ts FROM known WHERE bought GROUP BY customer_id, ts::DATE
), gaps AS (
  SELECT customer_id, epoch(ts - lag(ts) OVER (PARTITION BY customer_id ORDER BY ts)) / 86400 AS gap
  FROM days
), per_gap AS (
  SELECT customer_id, avg(gap) AS mean, stddev_samp(gap) AS spread, median(gap) AS mid, max(gap) AS top
  FROM gaps GROUP BY customer_id
), per_line AS (
  SELECT customer_id, sum(amount) AS s, sum(amount) FILTER (ts >= $at - INTERVAL 30 DAY) AS s30,
    sum(amount) FILTER (ts >= $at - INTERVAL 90 DAY) AS s90,
    sum(amount) FILTER (ts >= $at - INTERVAL 365 DAY) AS s365,
    avg(amount) FILTER (bought) AS line, stddev_samp(amount) FILTER (bought) AS line_spread,
    count(*) FILTER (bought) AS lines, count(*) FILTER (NOT bought) AS returned,
    count(DISTINCT product_id) FILTER (bought) AS products,
    count(DISTINCT product_id) FILTER (bought AND ts >= $at - INTERVAL 90 DAY) AS products90,
    sum(list_amount) AS listed, sum(amount) FILTER (list_amount IS NOT NULL) AS paid
  FROM known GROUP BY customer_id
)
SELECT customer_id, last, first, n7, n30, n90, n365, n, coalesce(s30, 0), coalesce(s90, 0),
  coalesce(s365, 0), s, line, line_spread, mean, spread, mid, top, last / nullif(mean, 0),
  3 * n30 / nullif(n90, 0), n / nullif(first, 0), s / n, lines / n, products90, products,
  1 - paid / nullif(listed, 0), returned / lines
FROM per_order JOIN per_line USING (customer_id) LEFT JOIN per_gap USING (customer_id)
"""


# -- one measurement each, in a process of its own ------------------------------


def ours(data: Path, n_cutoffs: int, names: tuple[str, ...] | None) -> dict[str, float]:
    """From Parquet to Arrow, every part dropped once it is there.

    A tiny shop comes first, so that the compiled kernel is loaded, as the
    libraries of the rivals are.
    """
    _build(data / "tiny", n_cutoffs, names)
    return _build(data, n_cutoffs, names)


def _build(
    data: Path, n_cutoffs: int, names: tuple[str, ...] | None
) -> dict[str, float]:
    dimensions = [OF_EVENTS[0].only(names)] if names else list(OF_EVENTS)
    columns = columns_read(dimensions) if names else None
    started = time.perf_counter()
    with Tables(data) as tables:
        checked = time.perf_counter()
        rows = values = 0
        parts = tables.parts(UNTIL, columns)
        for part in assemble_parts(parts, CUTOFFS[-n_cutoffs:], dimensions):
            rows += part.num_rows
            values += part.num_rows * part.num_columns
        done = time.perf_counter()
    return {
        "seconds": done - checked,
        "check": checked - started,
        "rows": rows,
        "values": values,
    }


def duckdb_sql(data: Path, n_cutoffs: int) -> dict[str, float]:
    db = _duckdb()
    started = time.perf_counter()
    for at in CUTOFFS[-n_cutoffs:]:
        _sql(db, data, at)
    return {"seconds": time.perf_counter() - started}


def duckdb_group_by(data: Path) -> dict[str, float]:
    """Every column of every event table read once, one group-by a table."""
    db = _duckdb()
    started = time.perf_counter()
    for name in EVENT_TABLES:
        file = str(data / f"{name}.parquet")
        described = db.execute("DESCRIBE SELECT * FROM read_parquet($1)", [file])
        found = [
            f"{_CHEAP.get(kind, 'count')}({column})"
            for column, kind, *_ in described.fetchall()
            if column != "customer_id"
        ]
        db.execute(
            f"SELECT customer_id, {', '.join(found)} FROM read_parquet($1) GROUP BY 1",
            [file],
        ).to_arrow_table()
    return {"seconds": time.perf_counter() - started}


_CHEAP = {"DOUBLE": "sum", "TIMESTAMP": "max"}


def pandas_features(data: Path) -> dict[str, float]:
    import pandas as pd

    started = time.perf_counter()
    columns = ["customer_id", "product_id", "order_id", "ts", "quantity", "amount"]
    lines = pd.read_parquet(
        data / "purchases.parquet", columns=[*columns, "list_amount", "known_at"]
    )
    at = pd.Timestamp(UNTIL)
    lines = lines[(lines.ts < at) & (lines.known_at.fillna(lines.ts) < at)]
    bought = lines[lines.quantity >= 0]
    orders = (
        bought.groupby(["customer_id", "order_id"], sort=False).ts.min().reset_index()
    )
    day = pd.Timedelta(days=1)
    by = orders.groupby("customer_id").ts
    wide = pd.DataFrame({"last": (at - by.max()) / day, "first": (at - by.min()) / day})
    wide["n"] = by.size()
    for days in (7, 30, 90, 365):
        recent = orders[orders.ts >= at - pd.Timedelta(days=days)]
        wide[f"n{days}"] = recent.groupby("customer_id").size()
    for days in (30, 90, 365):
        recent = lines[lines.ts >= at - pd.Timedelta(days=days)]
        wide[f"s{days}"] = recent.groupby("customer_id").amount.sum()
    wide["s"] = lines.groupby("customer_id").amount.sum()
    wide[["line", "line_spread", "lines"]] = bought.groupby("customer_id").amount.agg(
        ["mean", "std", "count"]
    )
    days_of = bought.assign(day=bought.ts.dt.floor("D"))
    first = days_of.groupby(["customer_id", "day"]).ts.min().reset_index()
    gap = first.groupby("customer_id").ts.diff() / day
    wide[["mean", "spread", "mid", "top"]] = gap.groupby(first.customer_id).agg(
        ["mean", "std", "median", "max"]
    )
    wide["products"] = bought.groupby("customer_id").product_id.nunique()
    recent = bought[bought.ts >= at - pd.Timedelta(days=90)]
    wide["products90"] = recent.groupby("customer_id").product_id.nunique()
    wide["listed"] = lines.groupby("customer_id").list_amount.sum()
    paid = lines.amount.where(lines.list_amount.notna())
    wide["paid"] = paid.groupby(lines.customer_id).sum()
    wide["returned"] = lines[lines.quantity < 0].groupby("customer_id").size()
    seconds = time.perf_counter() - started
    totals = {name: float(wide[name].sum()) for name in TOTALS}
    return {"seconds": seconds, "rows": len(wide), **totals}


def polars_features(data: Path) -> dict[str, float]:
    import polars as pl

    started = time.perf_counter()
    at = pl.lit(UNTIL)

    def since(days: int) -> pl.Expr:
        return pl.col("ts") >= UNTIL - timedelta(days=days)

    known = pl.scan_parquet(data / "purchases.parquet").filter(
        (pl.col("ts") < at) & (pl.col("known_at").fill_null(pl.col("ts")) < at)
    )
    bought = known.filter(pl.col("quantity") >= 0)
    orders = bought.group_by("customer_id", "order_id").agg(pl.col("ts").min())
    per_order = orders.group_by("customer_id").agg(
        pl.col("ts").max().alias("last"),
        pl.col("ts").min().alias("first"),
        pl.len().alias("n"),
        *(since(days).sum().alias(f"n{days}") for days in (7, 30, 90, 365)),
    )
    days = bought.group_by("customer_id", pl.col("ts").dt.date().alias("day")).agg(
        pl.col("ts").min()
    )
    gap = pl.col("ts").sort().diff().dt.total_microseconds() / 86_400e6
    per_gap = days.group_by("customer_id").agg(
        gap.mean().alias("mean"),
        gap.std().alias("spread"),
        gap.median().alias("mid"),
        gap.max().alias("top"),
    )
    is_bought = pl.col("quantity") >= 0
    amount, product = pl.col("amount"), pl.col("product_id")
    per_line = known.group_by("customer_id").agg(
        amount.sum().alias("s"),
        *(amount.filter(since(d)).sum().alias(f"s{d}") for d in (30, 90, 365)),
        amount.filter(is_bought).mean().alias("line"),
        amount.filter(is_bought).std().alias("line_spread"),
        is_bought.sum().alias("lines"),
        (~is_bought).sum().alias("returned"),
        product.filter(is_bought).n_unique().alias("products"),
        product.filter(is_bought & since(90)).n_unique().alias("products90"),
        pl.col("list_amount").sum().alias("listed"),
        amount.filter(pl.col("list_amount").is_not_null()).sum().alias("paid"),
    )
    wide = per_order.join(per_line, on="customer_id").join(
        per_gap, on="customer_id", how="left"
    )
    made = wide.collect()
    seconds = time.perf_counter() - started
    totals = {name: float(made[name].sum()) for name in TOTALS}
    return {"seconds": seconds, "rows": made.height, **totals}


CASES: dict[str, Callable[[Path], dict[str, float]]] = {
    "ours 26, 12 cutoffs": lambda data: ours(data, 12, NAMES),
    "ours 26, 1 cutoff": lambda data: ours(data, 1, NAMES),
    "DuckDB SQL, 12 cutoffs": lambda data: duckdb_sql(data, 12),
    "DuckDB SQL, 1 cutoff": lambda data: duckdb_sql(data, 1),
    "pandas, 1 cutoff": pandas_features,
    "Polars, 1 cutoff": polars_features,
    "ours, all six, 12 cutoffs": lambda data: ours(data, 12, None),
    "DuckDB, one group-by a table": duckdb_group_by,
}


GROWING = ("ours 26, 12 cutoffs", "ours, all six, 12 cutoffs")


def _duckdb() -> duckdb.DuckDBPyConnection:
    db = duckdb.connect(config={"memory_limit": "4GB", "threads": 2})
    db.execute("SET TimeZone = 'UTC'; SET enable_progress_bar = false")
    db.execute("SET preserve_insertion_order = false")
    return db


def _sql(db: duckdb.DuckDBPyConnection, data: Path, at: datetime) -> pa.Table:
    file = str(data / "purchases.parquet")
    return db.execute(SQL, {"file": file, "at": at}).to_arrow_table()


def measure(case: str, data: Path) -> dict[str, float]:
    """The case in a new process, with its peak memory in GB."""
    command = [sys.executable, __file__, case, str(data)]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    return json.loads(done.stdout.splitlines()[-1])


# -- the shop -------------------------------------------------------------------


def shop(folder: Path, customers: int) -> Path:
    """A simulated shop whose events are in order of time, as an export is."""
    simulate(folder / "drawn", customers, seed=1, processes=2)
    data = folder / "shop"
    simulate(data / "tiny", 300, seed=1)
    db = _duckdb()
    db.execute(f"SET temp_directory = '{folder / 'spilled'}'")
    for file in (folder / "drawn").glob("*.parquet"):
        by = "ORDER BY ts" if file.stem in EVENT_TABLES else ""
        db.execute(
            f"COPY (SELECT * FROM '{file}' {by}) TO '{data / file.name}' (FORMAT parquet)"
        )
    return data


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return shop(tmp_path_factory.mktemp("shop"), CUSTOMERS)


# -- tests ----------------------------------------------------------------------


def test_the_rivals_compute_the_same(tmp_path: Path) -> None:
    small = shop(tmp_path, 2_000)
    with Tables(small) as tables:
        wide = pa.concat_tables(
            assemble_parts(tables.parts(UNTIL), CUTOFFS[-1:], OF_EVENTS[:1])
        )
    mine = wide.select(["customer_id", *NAMES]).sort_by("customer_id")
    rival = _sql(_duckdb(), small, UNTIL).sort_by("customer_id")
    assert mine.column(0).to_pylist() == rival.column(0).to_pylist()
    for i, name in enumerate(NAMES, start=1):
        got, expected = (
            t.column(i).cast(pa.float64()).fill_null(np.nan).to_numpy()
            for t in (mine, rival)
        )
        np.testing.assert_allclose(got, expected, rtol=1e-6, atol=1e-9, err_msg=name)
    for found in (pandas_features(small), polars_features(small)):
        assert found["rows"] == len(mine)
        for name, ours_name in TOTALS.items():
            total = np.nansum(mine[ours_name].to_numpy())
            assert found[name] == pytest.approx(total), ours_name


def test_print_growth(data: Path, tmp_path: Path) -> None:
    small = shop(tmp_path, CUSTOMERS // 10)
    table = Printed(title=f"{CUSTOMERS:,} customers beside a tenth of them")
    for column in ("", "a tenth", "all", "ratio", "peak GB of a tenth", "peak GB"):
        table.add_column(column, justify="left" if not column else "right")
    for case in GROWING:
        tenth, full = measure(case, small), measure(case, data)
        ratio = full["seconds"] / tenth["seconds"]
        figures = (
            tenth["seconds"],
            full["seconds"],
            ratio,
            tenth["peak"],
            full["peak"],
        )
        table.add_row(case, *(f"{figure:.2f}" for figure in figures))
    Console(width=120).print(table)


def test_print_live(tmp_path: Path) -> None:
    """One customer of median length in each stream: the kernel, and what feeds it."""
    table = Printed(title="one customer, live")
    for column in ("stream", "rows", "features", "read, stack: us", "kernel: us"):
        table.add_column(column, justify="left" if column == "stream" else "right")
    with Tables(shop(tmp_path, 300)) as tables:
        history = tables.history(UNTIL)
    totals = np.zeros(2)
    for dimension in OF_EVENTS:
        for stream in dimension.streams:
            one = _one_customer(history, stream)
            made, read = stream.read(one), plan(stream.aggregates)
            assert made is not None
            table_of = stack(made, read)
            live = Live(read, len(made), int(table_of.codes.max(initial=0)) + 1)
            at = int(cutoff_array([UNTIL])[0])
            feed = _microseconds(lambda s=stream, h=one, p=read: stack(s.read(h), p))
            kernel = _microseconds(lambda t=table_of, f=live, us=at: f(t, us))
            totals += feed, kernel
            table.add_row(
                f"{dimension.name}: {stream.table.name}",
                str(len(made)),
                str(len(stream.aggregates)),
                f"{feed:.1f}",
                f"{kernel:.1f}",
            )
    table.add_row("all", "", "", *(f"{total:.1f}" for total in totals))
    Console(width=120).print(table)


def _one_customer(history: History, stream: Stream) -> History:
    """The customer with the median number of rows in the stream's table."""
    events = history.events(stream.table)
    assert events is not None
    code = int(np.argsort(np.diff(events.offsets))[len(history.customers) // 2])
    only = np.zeros(len(history.customers), np.bool_)
    only[code] = True
    taken: dict[str, Any] = {}
    for name in EVENT_TABLES:
        rows = getattr(history, name)
        kept = rows.take(only[rows.customer])
        n = len(kept)
        taken[name] = replace(
            kept, customer=np.zeros(n, np.int32), offsets=np.array([0, n])
        )
    return replace(history, customers=history.customers[[code]], **taken)


def _microseconds(call: Callable[[], object]) -> float:
    """The fastest of many calls."""
    return min(timeit.repeat(call, number=20, repeat=200)) / 20 * 1e6


def test_print_ratios(data: Path) -> None:
    found = {case: measure(case, data) for case in CASES}
    rows = {n: pq.read_metadata(data / f"{n}.parquet").num_rows for n in EVENT_TABLES}
    title = ", ".join(f"{n:,} {name}" for name, n in rows.items())
    table = Printed(title=f"{CUSTOMERS:,} customers: {title}")
    for column in ("", "seconds", "check", "peak GB", "values"):
        table.add_column(column, justify="left" if not column else "right")
    for case, figure in found.items():
        table.add_row(
            case,
            f"{figure['seconds']:.1f}",
            f"{figure['check']:.1f}" if "check" in figure else "",
            f"{figure['peak']:.2f}",
            f"{figure['values']:,.0f}" if "values" in figure else "",
        )
    Console(width=120).print(table)
    ratios = Printed(title="ratios")
    ratios.add_column("")
    ratios.add_column("ratio", justify="right")
    pairs = (
        ("DuckDB SQL, 12 cutoffs", "ours 26, 12 cutoffs"),
        ("DuckDB SQL, 1 cutoff", "ours 26, 1 cutoff"),
        ("pandas, 1 cutoff", "ours 26, 1 cutoff"),
        ("Polars, 1 cutoff", "ours 26, 1 cutoff"),
        ("ours, all six, 12 cutoffs", "DuckDB, one group-by a table"),
    )
    for slower, faster in pairs:
        ratio = found[slower]["seconds"] / found[faster]["seconds"]
        ratios.add_row(f"{slower} / {faster}", f"{ratio:.1f}")
    Console(width=120).print(ratios)


if __name__ == "__main__":
    result = CASES[sys.argv[1]](Path(sys.argv[2]))
    # Not ru_maxrss, which a process takes over from the one that started it.
    status = Path("/proc/self/status").read_text()
    peak = int(status.split("VmHWM:")[1].split()[0]) / 1e6
    print(json.dumps({**result, "peak": peak}))
