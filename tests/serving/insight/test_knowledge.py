"""All of a simulated shop at once: what later rows and later weeks may change."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta

import pytest

from features.config import Config
from features.engine import Tables
from features.history import History
from features.simulate.shop import simulate
from serving.insight.knowledge import Knowledge, know

N_CUSTOMERS = 80


@pytest.fixture(scope="module")
def tables(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Tables]:
    folder = tmp_path_factory.mktemp("shop")
    simulate(folder, N_CUSTOMERS, seed=5)
    with Tables(folder) as opened:
        yield opened


@pytest.fixture(scope="module")
def whole(tables: Tables) -> History:
    last = tables.first_and_last_purchase()[1]
    return tables.history(last + timedelta(seconds=1))


def known(history: History, cutoff: datetime) -> Knowledge:
    return know(history, cutoff, None, Config())


def test_what_came_later_changes_nothing(tables: Tables, whole: History) -> None:
    cutoff = datetime(whole.until.year, 8, 20)
    cutoff = cutoff if cutoff < whole.until else cutoff.replace(year=cutoff.year - 1)
    told, then = known(whole, cutoff), known(tables.history(cutoff), cutoff)
    assert told.thresholds == then.thresholds
    assert told.thresholds.as_of == cutoff.replace(month=7, day=1)
    for name in ("tags", "tiers", "health"):
        assert getattr(told, name).to_pydict() == getattr(then, name).to_pydict()
    ids = then.features.column("customer_id").to_pylist()
    assert ids == then.tags.column("customer_id").to_pylist()
    assert ids == then.tiers.column("customer_id").to_pylist()
    assert ids == then.months.customer_id.to_pylist()
    # A later week of the quarter has other customers, and the same thresholds.
    later = known(whole, cutoff + timedelta(days=14))
    assert later.thresholds == then.thresholds
    assert later.tiers.to_pydict() != then.tiers.to_pydict()
