"""Small simulated shops, and questions to their tables."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import duckdb
import pytest

from features.simulate import TRUTHS, Truths, simulate


@dataclass(frozen=True)
class Shop:
    """A simulated folder and the truths it was drawn from."""

    folder: Path
    truths: Truths

    def ask(self, query: str) -> list[tuple[Any, ...]]:
        """Rows of a query over the tables, and the truths as ``true_…``."""
        with duckdb.connect(config={"threads": 1}) as db:
            for file in self.folder.glob("*.parquet"):
                db.execute(f"CREATE VIEW {file.stem} AS FROM '{file}'")
            for file in (self.folder / TRUTHS).glob("*.parquet"):
                db.execute(f"CREATE VIEW true_{file.stem} AS FROM '{file}'")
            return db.execute(query).fetchall()

    def one(self, query: str) -> float:
        """The only value of the query."""
        return float(self.ask(query)[0][0])

    def files(self) -> dict[str, bytes]:
        """Bytes by name, truths among them."""
        files = (file for file in self.folder.rglob("*") if file.is_file())
        return {str(f.relative_to(self.folder)): f.read_bytes() for f in files}


@pytest.fixture(scope="session")
def few() -> Truths:
    """A year of a small range: enough rows per product at few customers."""
    return Truths(
        products=60,
        categories=6,
        picks_per_campaign=10,
        promoted_products=0.1,
        start=datetime(2023, 3, 1),
        end=datetime(2024, 3, 1),
        campaigns=12,
    )


@pytest.fixture
def draw(few: Truths, tmp_path: Path) -> Callable[..., Shop]:
    """Draw a shop under ``few``, with some truths changed."""

    def call(
        customers: int, seed: int = 0, processes: int = 1, **changed: object
    ) -> Shop:
        out = tmp_path / f"shop{len(list(tmp_path.iterdir()))}"
        truths = few.model_copy(update=changed)
        simulate(out, customers, truths, seed=seed, processes=processes)
        return Shop(out, truths)

    return call


@pytest.fixture(scope="session")
def drawn(few: Truths, tmp_path_factory: pytest.TempPathFactory) -> Shop:
    """20,000 customers under ``few``; read only."""
    out = tmp_path_factory.mktemp("simulated") / "shop"
    simulate(out, 20_000, few, seed=1)
    return Shop(out, few)
