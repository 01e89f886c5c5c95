"""What happened after a cutoff: labels for training and truth for evaluation.

A purchase is an order line with a quantity that is not negative; a negative
quantity is a return. Label windows are ``[cutoff, cutoff + horizon)``.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

import numpy as np
import pyarrow as pa

from features.engine import Tables
from features.history import Floats, History
from features.snapshot import DAY_US, Snapshot, cutoff_array


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


def require_mature(snapshot: Snapshot, until: datetime) -> None:
    """Refuse a label window that has not ended.

    Raises:
        ValueError: the window reaches past ``until``.
    """
    if snapshot.label_end > until:
        raise ValueError(
            f"label window: expected an end at or before {until:%Y-%m-%d}, got "
            f"{snapshot.label_end:%Y-%m-%d} for the cutoff {snapshot.cutoff:%Y-%m-%d}; "
            "choose an earlier cutoff or a shorter horizon"
        )


def truth(tables: Tables, snapshot: Snapshot) -> pa.Table | None:
    """What was bought in the label window, for evaluation only.

    Returns:
        ``customer_id``, ``product_id``, ``order_id``, ``ts``, ``quantity``,
        ``amount`` in order; None if the data do not reach the window's last day.
    """
    _, last = tables.first_and_last_purchase()
    if last < snapshot.label_end - timedelta(days=1):
        return None
    return tables.purchases_between(snapshot.cutoff, snapshot.label_end)
