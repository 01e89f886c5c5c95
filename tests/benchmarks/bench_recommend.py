"""Offers for every customer, beside implicit's own fit and recommend-all.

    python -m pytest tests/benchmarks/bench_recommend.py -s

Simulated shops of three sizes (``BENCH_CUSTOMERS``, the largest last) with 20,000
products (``BENCH_PRODUCTS``). Ours is the whole recommendation job as ``repurchase
train`` and ``publish`` run it: read the tables, count all customers at every past
cutoff, fit ten generators at each, two rankers and their calibration, then, part by
part of the customers, candidates, features, scores, reasons and the offers on disk.
The rival reads the purchases with DuckDB into the matrix of customers and products
and calls implicit: ALS with its default settings on as many threads, and the 20 best
of every customer, bought ones among them, which is what its users start from.

Each measurement runs in a process of its own, which also tells its peak memory. What
either finds is held against the next 14 days: recall at 10 of all customers who buy.
Prints ratios, and how seconds and memory grow; fails on wrong values only: a customer
without offers, or lists that find less than the rival's.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from datetime import datetime
from pathlib import Path

import duckdb
import numpy as np
import pyarrow as pa
from implicit.cpu.als import AlternatingLeastSquares
from rich.console import Console
from rich.table import Table as Printed
from scipy.sparse import csr_matrix

from features.config import Config
from features.engine import Tables
from features.history import Array, Ints
from features.simulate import Truths, simulate
from features.snapshot import Snapshot
from training import ranker
from training.generators.fitted import SOURCES
from training.metrics import codes_in, hits, recall_at, truth_of
from training.moment import moment_at, sort_history
from training.offers import as_lists
from training.reasons import offer_reasons
from training.survey import read_survey

SIZES = [
    int(n) for n in os.environ.get("BENCH_CUSTOMERS", "25000,50000,100000").split(",")
]
PRODUCTS = int(os.environ.get("BENCH_PRODUCTS", "20000"))
SLOTS = 10

NOW = Snapshot(datetime(2024, 12, 1), 14)
CONFIG = Config(cutoff=NOW.cutoff, horizon_days=NOW.horizon_days)


class Found:
    """What a job finds, and what it costs.

    Args:
        folder: of the shop.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._started = self._last = time.perf_counter()
        self._seconds: dict[str, float] = {}
        self._lists: list[tuple[Array, Array, Ints]] = []

    def lap(self, name: str) -> None:
        """The seconds since the last lap are those of ``name``."""
        now = time.perf_counter()
        self._seconds[name] = now - self._last
        self._last = now

    def add(self, customers: Array, products: Array, lists: Ints) -> None:
        """Lists of some customers: product codes, -1: none, ``[customer, slot]``."""
        self._lists.append((customers, products, lists))

    def figures(self, offers: int) -> dict[str, float]:
        """Seconds by step and in all, recall, offers and customers."""
        total = self._last - self._started
        with Tables(self._folder) as tables:
            bought = tables.purchases_between(NOW.cutoff, NOW.label_end)
        who, what = (bought[name].to_pylist() for name in ("customer_id", "product_id"))
        recalls: list[Array] = []
        for customers, products, lists in self._lists:
            customer, product = codes_in(customers, who), codes_in(products, what)
            # What nobody had bought before counts as bought all the same.
            product = np.where(product < 0, len(products), product)
            mine = customer >= 0
            shape = (len(customers), len(products) + 1)
            truth = truth_of(customer[mine], product[mine], shape)
            buyers = np.flatnonzero(truth.count > 0).astype(np.int32)
            hit = hits(lists[buyers], buyers, truth)
            recalls.append(recall_at(hit, truth.count[buyers]))
        return {
            **self._seconds,
            "in all": total,
            "recall": float(np.concatenate(recalls).mean()),
            "offers": offers,
            "customers": sum(len(customers) for customers, _, _ in self._lists),
        }


def ours(folder: Path) -> dict[str, float]:
    """The whole job; recall of the mixed list."""
    found = Found(folder)
    config, cutoff = CONFIG.recommend, NOW.cutoff
    offers = 0
    with (
        Tables(folder) as tables,
        pa.OSFile(str(folder / "offers.arrow"), "wb") as file,
    ):
        survey = read_survey(tables, cutoff, CONFIG)
        found.lap("read and count")
        model = ranker.fit(
            survey.history, cutoff, NOW.horizon_days, config, 0, survey.censuses
        )
        found.lap("fit")
        ordered = sort_history(survey.history)
        learned = model.generators(ordered, cutoff, survey.census(NOW))
        counts = learned.moment.counts
        writer: pa.ipc.RecordBatchFileWriter | None = None
        for part in survey.parts(tables):
            generators = learned
            if part is not survey.history:
                sorted_part = sort_history(part)
                generators = learned.at(
                    moment_at(sorted_part, cutoff, NOW.horizon_days, counts)
                )
            who = generators.moment.customers
            scored = model.score(generators, who)
            rows = pa.table(
                {
                    "customer": part.customers[scored.customer],
                    "product": scored.product,
                    "is_new": scored.is_new,
                    "probability": scored.probability,
                    "source": pa.DictionaryArray.from_arrays(
                        scored.source.astype(np.int32), list(SOURCES)
                    ).cast(pa.string()),
                    "reason": offer_reasons(scored, NOW.horizon_days).cast(pa.string()),
                }
            )
            writer = writer or pa.ipc.new_file(file, rows.schema)
            writer.write_table(rows)
            offers += len(scored)
            assert len(np.unique(scored.customer)) == len(who)
            lists = as_lists(scored, "mixed", SLOTS, who)
            found.add(part.customers[who], part.products.ids, lists)
        if writer:
            writer.close()
    found.lap("candidates, ranks, reasons, written")
    return found.figures(offers)


def rival(folder: Path) -> dict[str, float]:
    """ALS and its best items for everyone."""
    found = Found(folder)
    with duckdb.connect() as db:
        db.execute("SET threads = 2")
        counts = db.execute(
            f"SELECT customer_id, product_id, count(*) AS n "
            f"FROM '{folder}/purchases.parquet' WHERE quantity >= 0 AND ts < ? "
            "AND coalesce(known_at, ts) < ? GROUP BY ALL ORDER BY ALL",
            [NOW.cutoff, NOW.cutoff],
        ).df()
    customers, row = np.unique(counts["customer_id"], return_inverse=True)
    products, column = np.unique(counts["product_id"], return_inverse=True)
    bought = csr_matrix(
        (counts["n"].to_numpy(np.float32), (row, column)),
        shape=(len(customers), len(products)),
    )
    found.lap("read and count")
    model = AlternatingLeastSquares(num_threads=2, random_state=0)
    model.fit(bought, show_progress=False)
    found.lap("fit")
    items, _ = model.recommend(
        np.arange(len(customers)), bought, N=20, filter_already_liked_items=False
    )
    found.lap("candidates, ranks, reasons, written")
    found.add(customers, products, items[:, :SLOTS].astype(np.int32))
    return found.figures(items.size)


CASES: dict[str, Callable[[Path], dict[str, float]]] = {"ours": ours, "implicit": rival}
STEPS = ("read and count", "fit", "candidates, ranks, reasons, written", "in all")


def measure(case: str, folder: Path) -> dict[str, float]:
    """The case in a new process, with its peak memory in GB."""
    command = [sys.executable, __file__, case, str(folder)]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    return json.loads(done.stdout.splitlines()[-1])


def test_print_ratios(tmp_path: Path) -> None:
    found: dict[tuple[int, str], dict[str, float]] = {}
    for size in SIZES:
        folder = tmp_path / f"shop{size}"
        simulate(folder, size, Truths(products=PRODUCTS), seed=1, processes=2)
        for case in CASES:
            found[size, case] = measure(case, folder)
    table = Printed(title=f"{PRODUCTS:,} products, two threads")
    for column in ("", "customers", *STEPS, "peak GB", "recall@10", "us a customer"):
        table.add_column(column, justify="left" if not column else "right")
    for (_, case), figures in found.items():
        table.add_row(
            case,
            f"{figures['customers']:,.0f}",
            *(f"{figures[step]:.1f} s" for step in STEPS),
            f"{figures['peak']:.2f}",
            f"{figures['recall']:.4f}",
            f"{1e6 * figures['in all'] / figures['customers']:,.0f}",
        )
    console = Console(width=150)
    console.print(table)
    small, large = found[SIZES[0], "ours"], found[SIZES[-1], "ours"]
    mine, theirs = found[SIZES[-1], "ours"], found[SIZES[-1], "implicit"]
    console.print(
        f"ours / implicit: {mine['in all'] / theirs['in all']:.2f} in seconds, "
        f"{mine['peak'] / theirs['peak']:.2f} in memory, "
        f"{mine['recall'] / theirs['recall']:.2f} in recall\n"
        f"{large['customers'] / small['customers']:.1f} times the customers: "
        f"{large['in all'] / small['in all']:.1f} times the seconds, "
        f"{large['peak'] / small['peak']:.1f} times the memory",
        highlight=False,
    )
    assert mine["recall"] > theirs["recall"]
    assert mine["offers"] >= SLOTS * mine["customers"]


if __name__ == "__main__":
    result = CASES[sys.argv[1]](Path(sys.argv[2]))
    # Not ru_maxrss, which a process takes over from the one that started it.
    status = Path("/proc/self/status").read_text()
    peak = int(status.split("VmHWM:")[1].split()[0]) / 1e6
    print(json.dumps({**result, "peak": peak}))
