"""What customers need again soon: the pairs of customer and product group."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from features.snapshot import DAY_US
from serving.known import Due
from serving.published import Published

Rows = npt.NDArray[np.int64]


def due_pairs(
    published: Published, within_days: int, keep: npt.NDArray[np.bool_]
) -> Rows:
    """Pairs that are worth a message, ascending.

    Those with an alert, and those whose date lies less than so many days after the
    cutoff, or before it, where a date is given.

    Args:
        published: the version to answer from.
        within_days: at least 0.
        keep: customers who may be contacted, ``[customer]``.
    """
    due = published.known.due
    until = np.datetime64(published.cutoff_us + within_days * DAY_US, "us")
    found = np.flatnonzero(due.alert | (~due.abstain & (due.due_at < until)))
    return found[keep[customer_of(due, found)]]


def customer_of(due: Due, pairs: Rows) -> Rows:
    """The customer of each pair."""
    return np.searchsorted(due.offsets, pairs, side="right") - 1


def strongest(due: Due, pairs: Rows) -> tuple[Rows, Rows]:
    """Customers of the pairs, ascending, and the pair that speaks most for each.

    An alert before none, then the likelier to be bought soon, then the first group.
    """
    customer = customer_of(due, pairs)
    if not pairs.size:
        return customer, pairs
    first = np.flatnonzero(np.append(True, np.diff(customer) > 0))
    key = due.soon[pairs] + 2.0 * due.alert[pairs]
    top = np.repeat(
        np.maximum.reduceat(key, first), np.diff(np.append(first, len(pairs)))
    )
    is_top = np.flatnonzero(key == top)
    chosen = is_top[np.unique(customer[is_top], return_index=True)[1]]
    return customer[chosen], pairs[chosen]


def due_words(due: Due, pair: int) -> dict[str, Any]:
    """What is said of a product group that comes due; no date where it abstains."""
    dates = (due.due_at, due.low, due.high)
    at, low, high = (None if due.abstain[pair] else moment(d[pair]) for d in dates)
    return {
        "product_group": due.groups[int(due.group[pair])],
        "due_at": at,
        "due_p10": low,
        "due_p90": high,
        "probability": float(due.probability[pair]),
        "probability_soon": float(due.soon[pair]),
        "alert": bool(due.alert[pair]),
    }


def moment(at: Any) -> str | None:
    """A moment as the API writes it; None: there is none."""
    return None if np.isnat(at) else f"{at}Z"
