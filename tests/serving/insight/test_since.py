"""A history that was loaded late: nothing was known before that, and nothing fails."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime, timedelta

import numpy as np
import pytest

from features.config import Config
from features.engine import Tables
from features.history import History
from features.simulate.shop import simulate
from features.snapshot import from_us, to_us
from serving.insight.since import is_known, known_since, returns_since
from serving.insight.standards import Standards, standards_of

CUTOFF = datetime(2024, 9, 20)
US, DAY = timedelta(microseconds=1), timedelta(days=1)
QUICK = Config.model_validate(
    {"churn": {"trees": 5, "min_rows_per_leaf": 10, "least_visits": 2}}
)


@pytest.fixture(scope="module")
def history(tmp_path_factory: pytest.TempPathFactory) -> Iterator[History]:
    folder = tmp_path_factory.mktemp("shop")
    simulate(folder, 300, seed=5)
    with Tables(folder) as tables:
        yield tables.history(CUTOFF)


def loaded(history: History, at: datetime) -> History:
    """The same rows, all from before a moment known since then."""
    lines = history.purchases
    late = np.maximum(lines.known_at, to_us(at))
    return replace(history, purchases=replace(lines, known_at=late))


def standards(history: History) -> Standards:
    first = from_us(int(history.purchases.ts.min()))
    return standards_of(history, CUTOFF, first, QUICK)


def test_moments_before_the_load_are_left_out(history: History) -> None:
    """Loaded 60 days before the cutoff, in July: the last of four moments is judged."""
    late = loaded(history, CUTOFF - 60 * DAY)
    assert known_since(late) == CUTOFF - 60 * DAY
    found = standards(late)
    # The quarter began before anything was known: its thresholds are of the months.
    starts = [None if one is None else one.as_of for one in found.thresholds]
    assert starts == [None, None, datetime(2024, 8, 20), CUTOFF]
    assert found.past.moments == (CUTOFF - 56 * DAY,) and found.past.drivers
    assert found.past.rows > 0


def test_loaded_after_the_last_moment_nothing_is_looked_back_at(
    history: History,
) -> None:
    found = standards(loaded(history, CUTOFF - 56 * DAY))
    assert found.past.moments == () and found.past.drivers == ()
    assert found.now.as_of == CUTOFF


def test_returns_are_recorded_from_the_first_one_that_was_known(
    history: History,
) -> None:
    lines = history.purchases
    since = returns_since(history)
    assert since == from_us(int(lines.ts[~lines.bought].min()))
    assert is_known(since, CUTOFF) and not is_known(since, since or CUTOFF)
    assert is_known(CUTOFF - US, CUTOFF) and not is_known(None, CUTOFF)
    kept = replace(history, purchases=lines.take(lines.bought))
    assert returns_since(kept) is None
