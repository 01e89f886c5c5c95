from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from features.engine import Tables
from features.history import Events, History
from features.samples import join, lots, take
from features.simulate import Truths, simulate

UNTIL = datetime(2024, 6, 1)


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("samples") / "shop"
    simulate(folder, 300, Truths(products=60, categories=6), seed=3)
    return folder


def same(one: History, other: History) -> None:
    assert one.customers.tolist() == other.customers.tolist()
    for name in ("purchases", "browses", "inquiries", "feedback", "touches"):
        a, b = getattr(one, name), getattr(other, name)
        assert (a is None) == (b is None)
        if isinstance(a, Events):
            for field in ("customer", "ts", "known_at", "offsets"):
                assert np.array_equal(getattr(a, field), getattr(b, field)), field
            assert a.columns.keys() == b.columns.keys()
            for column, values in a.columns.items():
                assert np.array_equal(
                    values, b.columns[column], equal_nan=values.dtype.kind == "f"
                )
            assert a.words == b.words
    assert (one.profiles is None) == (other.profiles is None)
    if one.profiles is not None:
        words = [
            p.cast(
                pa.schema(
                    (f.name, pa.string() if pa.types.is_dictionary(f.type) else f.type)
                    for f in p.schema
                )
            )
            for p in (one.profiles, other.profiles)
        ]
        assert words[0].equals(words[1])


def test_parts_put_together_are_the_whole(shop: Path) -> None:
    with Tables(shop) as tables:
        whole = tables.history(UNTIL)
        parts = list(tables.parts(UNTIL, customers_per_part=40))
    assert len(parts) > 3
    same(join(parts), whole)
    same(join(parts[::-1]), whole)


def test_some_customers_of_parts_are_some_of_the_whole(shop: Path) -> None:
    with Tables(shop) as tables:
        whole = tables.history(UNTIL)
        parts = list(tables.parts(UNTIL, customers_per_part=40))
    some = [take(part, lots(part.customers, 5) < 0.3) for part in parts]
    drawn = take(whole, lots(whole.customers, 5) < 0.3)
    assert 0 < len(drawn.customers) < len(whole.customers)
    same(join(some), drawn)


def test_the_history_of_some_is_their_own(read_history: Callable[..., History]) -> None:
    def line(customer: str, days: float) -> dict[str, Any]:
        return {
            "customer_id": customer,
            "product_id": f"p{days}",
            "ts": UNTIL - timedelta(days=days),
            "order_id": f"{customer} {days}",
            "quantity": 1.0,
            "amount": days,
        }

    rows = [line("a", 5), line("b", 4), line("b", 3), line("c", 2)]
    profiles = [{"customer_id": c, "region": c.upper()} for c in "abc"]
    history = read_history({"purchases": rows, "customers": profiles}, UNTIL)
    found = take(history, np.array([False, True, True]))
    assert found.customers.tolist() == ["b", "c"]
    assert found.purchases.customer.tolist() == [0, 0, 1]
    assert found.purchases.columns["amount"].tolist() == [4, 3, 2]
    assert found.purchases.offsets.tolist() == [0, 2, 3]
    assert found.profiles is not None
    assert found.profiles.column("customer").to_pylist() == [0, 1]
    assert found.profiles.column("region").to_pylist() == ["B", "C"]
    # Products keep their codes, also those that only others bought.
    assert found.products is history.products


def test_lots_are_even_and_depend_on_id_and_seed_only() -> None:
    ids = np.array([f"c{i}" for i in range(20_000)], dtype=object)
    drawn = lots(ids, 1)
    assert np.array_equal(drawn[:100], lots(ids[:100], 1))
    assert drawn.min() >= 0 and drawn.max() < 1
    assert np.abs(np.histogram(drawn, 10, (0, 1))[0] - 2000).max() < 200
    assert abs(np.corrcoef(drawn, lots(ids, 2))[0, 1]) < 0.03


def test_no_parts_are_no_history() -> None:
    with pytest.raises(ValueError, match="at least one"):
        join([])
