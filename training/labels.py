"""What happened after a cutoff: labels for training and truth for evaluation.

A purchase is an order line with a quantity that is not negative; a negative
quantity is a return. Label windows are ``[cutoff, cutoff + horizon)``.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import numpy as np
import pyarrow as pa

from features.engine import Tables
from features.history import Floats, History
from features.snapshot import DAY_US, Snapshot, cutoff_array

_AROUND = timedelta(days=28)
_SHARE_OF_USUAL_DAY = 0.05


def days_to_next_purchase(history: History, cutoffs: Sequence[datetime]) -> Floats:
    """Days from each cutoff to the customer's first purchase at or after it.

    Args:
        history: only its rows are seen, so a purchase that became known at or
            after ``history.until`` is no label.
        cutoffs: ascending, all before ``history.until``.

    Returns:
        Shape ``[cutoff, customer]``, fractional days; infinite where no
        purchase follows before ``history.until``.
    """
    lines = history.purchases
    bought = lines.bought
    customer, ts = lines.customer[bought], lines.ts[bought]
    days = np.full((len(cutoffs), len(history.customers)), np.inf)
    for row, cutoff_us in enumerate(cutoff_array(cutoffs)):
        after = ts >= cutoff_us
        # Rows are in order of customer and time: the first per customer counts.
        who, first = np.unique(customer[after], return_index=True)
        days[row, who] = (ts[after][first] - cutoff_us) / DAY_US
    return days


@dataclass(frozen=True)
class Happened:
    """What customers did after a cutoff, for evaluation only.

    Attributes:
        bought: rows of ``truth``.
        spent: ``spend`` of the customers asked for.
        visited: ``visits`` of the same customers in the window of churn risk; None:
            the data do not reach its end.
        bought_soon: rows of ``truth`` in the window of alerts; None: the data do
            not reach its end.
    """

    bought: pa.Table
    spent: Floats
    visited: Floats | None
    bought_soon: pa.Table | None


def happened(
    tables: Tables,
    snapshot: Snapshot,
    churn_days: int,
    alert_window_days: int,
    customers: Sequence[str],
) -> Happened | None:
    """All of it; None if the data do not reach the label window's end.

    Args:
        tables: all input.
        snapshot: the cutoff, and the label window.
        churn_days: the window of churn risk.
        alert_window_days: the window of alerts.
        customers: ids.
    """
    bought = truth(tables, snapshot)
    if bought is None:
        return None
    window = Snapshot(snapshot.cutoff, churn_days)
    reaches = _reaches_end(tables, window)
    return Happened(
        bought,
        spend(tables, snapshot, customers),
        visits(tables, window, customers) if reaches else None,
        truth(tables, Snapshot(snapshot.cutoff, alert_window_days)),
    )


def truth(tables: Tables, snapshot: Snapshot) -> pa.Table | None:
    """What was bought in the label window, for evaluation only.

    The data reach the window's end if the lines of its last day and of the four
    weeks after it are at least a twentieth of a usual day's, and one at the least;
    a usual day is the mean of the four weeks before the cutoff. So neither a
    mistyped year nor a few early rows of the next delivery stand for a window
    that was never delivered.

    Returns:
        ``customer_id``, ``product_id``, ``order_id``, ``ts``, ``quantity``,
        ``amount`` in order; None if the data do not reach the window's end.
    """
    if not _reaches_end(tables, snapshot):
        return None
    return tables.purchases_between(snapshot.cutoff, snapshot.label_end)


def _reaches_end(tables: Tables, snapshot: Snapshot) -> bool:
    """See ``truth``."""
    last_day = snapshot.label_end - timedelta(days=1)
    found = tables.purchases_between(last_day, snapshot.label_end + _AROUND)
    before = tables.purchases_between(snapshot.cutoff - _AROUND, snapshot.cutoff)
    usual = before.num_rows / _AROUND.days
    return found.num_rows >= max(1.0, _SHARE_OF_USUAL_DAY * usual)


def spend(tables: Tables, snapshot: Snapshot, customers: Sequence[str]) -> Floats:
    """What customers spent in the label window less what they returned in it, at least 0.

    Args:
        tables: all input.
        snapshot: of the window.
        customers: ids.

    Returns:
        Shop currency, shape ``[customer]``.
    """
    lines = tables.purchases_between(snapshot.cutoff, snapshot.label_end, returns=True)
    sums = lines.group_by("customer_id", use_threads=False).aggregate(
        [("amount", "sum")]
    )
    names = ("customer_id", "amount_sum")
    spent = dict(zip(*(sums.column(name).to_pylist() for name in names), strict=True))
    return np.array([max(spent.get(one, 0.0), 0.0) for one in customers])


def visits(tables: Tables, snapshot: Snapshot, customers: Sequence[str]) -> Floats:
    """On how many days of the label window customers bought, shape ``[customer]``."""
    lines = tables.purchases_between(snapshot.cutoff, snapshot.label_end)
    ids: list[str] = lines.column("customer_id").to_pylist()
    days = lines.column("ts").cast(pa.int64()).to_numpy() // DAY_US
    found = Counter(one for one, _ in set(zip(ids, days.tolist(), strict=True)))
    return np.array([float(found[one]) for one in customers])
