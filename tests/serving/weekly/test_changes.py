"""What moved net sales, split by hand."""

from __future__ import annotations

from datetime import datetime
from math import log

import numpy as np
import pytest

from features.config import KpisConfig
from serving.insight.blocks import COLUMN, Block, Kpis
from serving.insight.kpis import MEASURES, By
from serving.insight.periods import periods_of
from serving.weekly.changes import change_of, movers_of

CUTOFF = datetime(2024, 1, 15)
Sums = tuple[float, float, float]


def block_of(*groups: list[Sums], by: By = "all") -> Block:
    """Buyers, orders and net sales of each week by group; two weeks to the cutoff."""
    periods = periods_of("week", datetime(2024, 1, 1), CUTOFF, 10, "UTC")
    cells = np.zeros((len(groups), len(periods), len(MEASURES)))
    for row, weeks in enumerate(groups):
        for at, sums in enumerate(weeks):
            for name, value in zip(("buyers", "orders", "net"), sums, strict=True):
                cells[row, at, COLUMN[name]] = value
    names = tuple(f"g{k}" for k in range(len(groups)))
    return Block(by, "week", names, periods, cells)


def test_factors_add_up_to_the_change() -> None:
    # 10 buyers with 2 orders of 5 each; then 20 with 1 order of 10 each.
    change = change_of(block_of([(10, 20, 100), (20, 20, 200)]), 1)
    assert change is not None
    assert change.factors == {
        "buyers": (10, 20),
        "orders_per_buyer": (2, 1),
        "order_value": (5, 10),
    }
    assert change.parts is not None
    # Twice as many buyers add what half as many orders take; the rest is the value.
    assert change.parts["buyers"] == pytest.approx(100 / log(2) * log(2))
    assert change.parts["orders_per_buyer"] == pytest.approx(-100)
    assert change.parts["order_value"] == pytest.approx(100)
    assert sum(change.parts.values()) == pytest.approx(change.now - change.before)


def test_without_a_change_in_all_the_factors_still_cancel() -> None:
    change = change_of(block_of([(10, 20, 100), (20, 20, 100)]), 1)
    assert change is not None
    assert change.parts is not None
    assert change.parts["buyers"] == pytest.approx(100 * log(2))
    assert sum(change.parts.values()) == pytest.approx(0)


@pytest.mark.parametrize("then", [(0, 0, 0), (1, 1, -5), (1, 1, 0)])
def test_from_nothing_or_from_returns_there_is_no_split(then: Sums) -> None:
    change = change_of(block_of([then, (2, 2, 10)]), 1)
    assert change is not None
    assert change.parts is None
    assert (change.before, change.now) == (then[2], 10)


def test_the_first_period_has_none_before_it() -> None:
    assert change_of(block_of([(1, 1, 1), (2, 2, 2)]), 0) is None


def test_groups_come_by_what_they_added_or_took() -> None:
    segments = block_of(
        [(1, 1, 10), (1, 1, 12)],
        [(1, 1, 10), (1, 1, 3)],
        [(1, 1, 10), (1, 1, 10)],
        by="segment",
    )
    alone = block_of([(1, 1, 10), (1, 1, 99)], by="region")
    kpis = Kpis(
        CUTOFF, KpisConfig(), {("segment", "week"): segments, ("region", "week"): alone}
    )
    found = movers_of(kpis, "week", 1, 5)
    # A single group is everything; one that did not move is nothing.
    assert [(one.by, one.group, one.added) for one in found] == [
        ("segment", "g1", -7),
        ("segment", "g0", 2),
    ]
    assert len(movers_of(kpis, "week", 1, 1)) == 1
    assert movers_of(kpis, "week", 0, 5) == ()
