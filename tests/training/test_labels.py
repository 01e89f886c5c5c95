"""Labels: who bought in the half-open window after a cutoff."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from features.engine import Tables
from features.snapshot import Snapshot
from training.labels import days_to_next_purchase, spend, truth, visits
from training.split import past_cutoffs, with_calibration

US = timedelta(microseconds=1)
CUTOFF = datetime(2024, 3, 1)
END = CUTOFF + timedelta(days=14)


def purchase(
    customer: str, ts: datetime, quantity: float = 1.0, **more: Any
) -> dict[str, Any]:
    order = f"{customer}{ts.isoformat()}"
    ids = {"customer_id": customer, "product_id": "p", "order_id": order}
    return {**ids, "ts": ts, "quantity": quantity, "amount": 1.0} | more


def history_of(
    read_history: Callable[..., Any], *rows: dict[str, Any], until: datetime
) -> Any:
    regular = [
        purchase("regular", CUTOFF - timedelta(days=d), known_at=None) for d in (20, 10)
    ]
    return read_history({"purchases": [*regular, *rows]}, until)


@pytest.mark.parametrize(
    ("ts", "days"),
    [
        (CUTOFF - US, np.inf),
        (CUTOFF, 0.0),
        (CUTOFF + timedelta(days=2, hours=12), 2.5),
        (END - US, 14 - 1 / 86_400e6),
        (END, np.inf),
    ],
)
def test_window_is_half_open_on_both_ends(
    read_history: Callable[..., Any], ts: datetime, days: float
) -> None:
    early = purchase("ann", CUTOFF - timedelta(days=40))
    history = history_of(read_history, early, purchase("ann", ts), until=END)
    ann = list(history.customers).index("ann")
    found = days_to_next_purchase(history, [CUTOFF])[0, ann]
    assert found == pytest.approx(days, abs=1e-12)


def test_first_purchase_after_the_cutoff_counts_and_returns_do_not(
    read_history: Callable[..., Any],
) -> None:
    rows = [
        purchase("ann", CUTOFF - timedelta(days=40)),
        purchase("ann", CUTOFF + timedelta(days=1), quantity=-1.0),
        purchase("ann", CUTOFF + timedelta(days=9)),
        purchase("ann", CUTOFF + timedelta(days=5)),
    ]
    history = history_of(read_history, *rows, until=END)
    ann = list(history.customers).index("ann")
    days = days_to_next_purchase(history, [CUTOFF, CUTOFF + timedelta(days=6)])
    assert days[:, ann].tolist() == [5.0, 3.0]


def test_purchase_that_became_known_too_late_is_no_label(
    read_history: Callable[..., Any],
) -> None:
    rows = [
        purchase(
            "ann", CUTOFF - timedelta(days=40), known_at=CUTOFF - timedelta(days=40)
        ),
        purchase("ann", CUTOFF + timedelta(days=1), known_at=END),
    ]
    history = history_of(read_history, *rows, until=END)
    ann = list(history.customers).index("ann")
    assert np.isinf(days_to_next_purchase(history, [CUTOFF])[0, ann])


def test_truth_is_none_until_the_data_reach_the_last_day(
    shop_dir: Path,
) -> None:
    with Tables(shop_dir) as tables:
        _, last = tables.first_and_last_purchase()
        inside = Snapshot(last - timedelta(days=13), 14)
        outside = Snapshot(last + US - timedelta(days=12), 14)
        found = truth(tables, inside)
        assert truth(tables, outside) is None
    assert found is not None
    times = found.column("ts").to_pylist()
    assert inside.cutoff <= min(times) and max(times) < inside.label_end
    assert min(found.column("quantity").to_pylist()) >= 0


def daily(tmp_path: Path, days: range, *more: datetime) -> Tables:
    """Forty lines a day, counted from the cutoff, and one line at other moments."""
    moments = [
        CUTOFF + timedelta(days=day, minutes=line) for day in days for line in range(40)
    ]
    rows = [purchase("ann", ts) for ts in (*moments, *more)]
    folder = tmp_path / "shop"
    folder.mkdir()
    pq.write_table(pa.Table.from_pylist(rows), folder / "purchases.parquet")
    return Tables(folder)


@pytest.mark.parametrize(
    ("last_day", "reaches"), [(6, False), (12, False), (13, True), (40, True)]
)
def test_truth_needs_the_last_day_of_the_window(
    tmp_path: Path, last_day: int, reaches: bool
) -> None:
    with daily(tmp_path, range(-30, last_day + 1)) as tables:
        found = truth(tables, Snapshot(CUTOFF, 14))
    assert (found is not None) == reaches
    if found is not None:
        assert found.num_rows == 14 * 40


@pytest.mark.parametrize(
    "typo", [datetime(2099, 3, 10), END + timedelta(days=3), END - US]
)
def test_one_mistyped_row_does_not_stand_for_the_window(
    tmp_path: Path, typo: datetime
) -> None:
    with daily(tmp_path, range(-30, 7), typo) as tables:
        assert truth(tables, Snapshot(CUTOFF, 14)) is None


def test_spend_is_of_the_window_alone_net_and_not_negative(tmp_path: Path) -> None:
    back = {"quantity": -1.0, "amount": -2.5}
    rows = [
        purchase("ann", CUTOFF - US),
        purchase("ann", CUTOFF),
        purchase("ann", END - US, amount=4.0),
        purchase("ann", END - US, **back),
        purchase("ann", END),
        purchase("bob", CUTOFF),
        purchase("bob", CUTOFF + timedelta(hours=23)),
        purchase("bob", END - US, **back),
    ]
    folder = tmp_path / "shop"
    folder.mkdir()
    pq.write_table(pa.Table.from_pylist(rows), folder / "purchases.parquet")
    with Tables(folder) as tables:
        asked = Snapshot(CUTOFF, 14), ["cid", "bob", "ann"]
        found, days = spend(tables, *asked), visits(tables, *asked)
    assert found.tolist() == [0.0, 0.0, 2.5]
    # Days with a purchase; what is brought back is none.
    assert days.tolist() == [0.0, 1.0, 2.0]


def test_folds_keep_a_gap_of_the_horizon() -> None:
    until = datetime(2024, 6, 1)
    cutoffs = past_cutoffs(datetime(2024, 1, 1), until, 14, 7, 100)
    assert cutoffs[-1] + timedelta(days=14) == until
    assert cutoffs[0] >= datetime(2024, 1, 1)
    fold = with_calibration(cutoffs, 14, 2)
    assert fold.calibration == cutoffs[-2:]
    assert max(fold.fit) + timedelta(days=14) <= min(fold.calibration)


def test_too_little_history_for_two_windows_is_refused() -> None:
    with pytest.raises(ValueError, match="expected enough time before the cutoff"):
        with_calibration([CUTOFF], 14, 1)
