"""Writes the simulated shop: customers in chunks, tables as row groups.

A chunk depends on the truths, the seed and its own number only, so that it is
the same from any process; at most ``processes + 1`` chunks are in memory.
"""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future
from contextlib import ExitStack
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from types import TracebackType

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from features.contracts import TABLES, SettingError
from features.scratch import folder_in
from features.simulate import (
    answers,
    contacts,
    customers,
    intents,
    lines,
    orders,
    products,
    replenished,
)
from features.simulate.truths import Truths, check
from features.simulate.world import World, world_of
from features.workers import pool

CHUNK = 10_000
"""Customers per chunk: a part of the world, not a setting; it moves the draws."""

MOST_CUSTOMERS = 100_000_000

TRUTHS = "truths"
"""Folder of the truths beside the tables; readers of tables pass it by."""


@dataclass(frozen=True)
class Plan:
    """What fixes every byte of a simulated shop."""

    truths: Truths
    customers: int
    seed: int

    @property
    def chunks(self) -> int:
        """How many chunks there are."""
        return -(-self.customers // CHUNK)


def simulate(
    out: Path,
    customers: int,
    truths: Truths | None = None,
    *,
    seed: int = 0,
    processes: int = 1,
    announce: Callable[[str], None] | None = None,
) -> dict[str, int]:
    """Write the ten tables, and the truths, of a shop with known laws.

    Args:
        out: folder to make; it appears whole, at the end. What a killed run to it
            left beside it is removed.
        customers: how many to draw.
        truths: the laws; the defaults if None.
        seed: the same arguments and seed write the same bytes.
        processes: that draw chunks; the result does not depend on it.
        announce: called with what comes next, about ten times.

    Returns:
        Rows by table.

    Raises:
        SettingError: ``out`` is in use, cannot be written or lies on a file system
            without locks, or an argument is out of range.
    """
    plan = Plan(truths or Truths(), customers, seed)
    check(plan.truths)
    for name, value, low, high in (
        ("customers", customers, 1, MOST_CUSTOMERS),
        ("seed", seed, 0, 2**63),
        ("processes", processes, 1, 256),
    ):
        if not low <= value <= high:
            raise SettingError(
                f"--{name}: expected {low} to {high}, got {value}; change it"
            )
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise SettingError(
            f"--out: expected a new or empty folder, got {out}; choose another one"
        )
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        with folder_in(out.parent, f".{out.name}.") as partial:
            rows = _write(plan, partial, processes, announce or (lambda _: None))
            partial.replace(out)
    except OSError as error:
        raise _unwritable(out, error) from None
    return rows


def _unwritable(out: Path, error: OSError) -> SettingError:
    return SettingError(
        f"--out: expected a folder that can be written, got {out.parent} "
        f"({error.strerror or error}); choose another one"
    )


def chunk_of(plan: Plan, number: int) -> dict[str, pa.Table]:
    """The rows of one chunk of customers, by table; two truths among them."""
    world = _world(plan)
    source = np.random.SeedSequence(plan.seed, spawn_key=(1, number))
    rng = np.random.default_rng(source)
    width = max(7, len(str(plan.customers - 1)))
    numbers = np.arange(number * CHUNK, min((number + 1) * CHUNK, plan.customers))
    people = customers.people_of(rng, world, numbers, width)
    cycles = replenished.cycles_of(rng, world, people)
    usual = intents.usual_orders(rng, people)
    people = customers.aimed(world, people, *usual)
    wanted = intents.intents_of(rng, world, people, cycles, usual)
    ordered = orders.orders_of(rng, world, people, wanted)
    purchases, returned = lines.purchases_table(rng, world, people, ordered)
    drawn = rng, world, people, ordered
    return {
        "purchases": purchases,
        "browses": contacts.browses_table(rng, world, people, wanted),
        "inquiries": contacts.inquiries_table(rng, world, people, wanted),
        "feedback": answers.feedback_table(*drawn, returned),
        "touches": answers.touches_table(*drawn),
        "customers": customers.customers_table(rng, world, people),
        f"{TRUTHS}/customers": customers.truths_table(world, people),
        f"{TRUTHS}/cycles": replenished.cycles_table(world, people, cycles),
    }


@lru_cache(maxsize=1)
def _world(plan: Plan) -> World:
    return world_of(plan.truths, plan.seed)


def chunks_of(plan: Plan, processes: int) -> Iterator[dict[str, pa.Table]]:
    """Every chunk in order, at most ``processes + 1`` of them drawn ahead."""
    if processes == 1:
        for number in range(plan.chunks):
            yield chunk_of(plan, number)
        return
    with pool(processes) as workers:
        waiting: deque[Future[dict[str, pa.Table]]] = deque()
        for number in range(plan.chunks):
            waiting.append(workers.submit(chunk_of, plan, number))
            if len(waiting) > processes:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()


def _write(
    plan: Plan, folder: Path, processes: int, announce: Callable[[str], None]
) -> dict[str, int]:
    (folder / TRUTHS).mkdir()
    world = _world(plan)
    with _Files(folder) as files:
        files.write(world.tables)
        files.write({f"{TRUTHS}/products": products.truths_table(world.products)})
        step = -(-plan.chunks // 10)
        for number, chunk in enumerate(chunks_of(plan, processes)):
            if number % step == 0:
                last = min((number + step) * CHUNK, plan.customers)
                announce(f"customers {number * CHUNK + 1:,} to {last:,}")
            files.write(chunk)
    arguments = {
        "customers": plan.customers,
        "seed": plan.seed,
        **plan.truths.model_dump(mode="json"),
    }
    text = json.dumps(arguments, indent=2) + "\n"
    (folder / TRUTHS / "truths.json").write_text(text)
    return {table.name: files.rows[table.name] for table in TABLES}


class _Files:
    """Open Parquet files by name, made at their first rows; a context manager."""

    def __init__(self, folder: Path) -> None:
        self.rows: dict[str, int] = {}
        self._folder = folder
        self._writers: dict[str, pq.ParquetWriter] = {}
        self._open = ExitStack()

    def __enter__(self) -> _Files:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._open.close()

    def write(self, tables: Mapping[str, pa.Table]) -> None:
        """Append the rows of each table as one row group."""
        for name, table in tables.items():
            if name not in self._writers:
                # Without Arrow's schema coded columns are read as plain text.
                writer = pq.ParquetWriter(
                    self._folder / f"{name}.parquet",
                    table.schema,
                    compression="zstd",
                    compression_level=1,
                    store_schema=False,
                )
                self._writers[name] = self._open.enter_context(writer)
                self.rows[name] = 0
            self._writers[name].write_table(table, row_group_size=1 << 20)
            self.rows[name] += table.num_rows
