"""From orders to visits, and from visits to sums: pure functions on arrays.

A visit is what a customer did in a period: their orders and returns in it together.
Where orders are grouped (by channel, by campaign), it is what they did in that group.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from features.snapshot import DAY_US
from serving.insight.orders import Codes, Longs, Orders

Bools = npt.NDArray[np.bool_]
Floats = npt.NDArray[np.float64]

SECOND_US = 1_000_000
TOP = 5
NEVER = int(np.iinfo(np.int64).max)


@dataclass(frozen=True)
class Sequence:
    """Where each order stands among its customer's; all ``[row]``, as of ``Orders``.

    Attributes:
        gap_seconds: since the order before, in whole seconds; 0 for a first order and
            a return.
        has_gap: there is one before.
        newcomer: a first order, long enough ago to see whether another followed.
        converted: another one followed in time.
        first: microseconds of the customer's first order; ``NEVER``: they have none.
    """

    gap_seconds: Floats
    has_gap: Bools
    newcomer: Bools
    converted: Bools
    first: Longs


def sequence_of(orders: Orders, window_days: int, cutoff_us: int) -> Sequence:
    """Where each order stands among its customer's.

    Args:
        orders: of whole customers.
        window_days: a second order in ``[first, first + window)`` is in time.
        cutoff_us: the window must be over by then.
    """
    rows, window = np.flatnonzero(orders.is_order), window_days * DAY_US
    customer, ts = orders.customer[rows], orders.ts[rows]
    follows = np.zeros(len(rows), dtype=np.bool_)
    follows[1:] = customer[1:] == customer[:-1]
    gap = np.zeros(len(rows))
    gap[1:] = np.where(follows[1:], np.round(np.diff(ts) / SECOND_US), 0.0)
    soon = np.zeros(len(rows), dtype=np.bool_)
    soon[:-1] = follows[1:] & (ts[1:] < ts[:-1] + window)
    newcomer = ~follows & (ts + window <= cutoff_us)
    size = len(orders)
    found = Sequence(
        gap_seconds=np.zeros(size),
        has_gap=np.zeros(size, dtype=np.bool_),
        newcomer=np.zeros(size, dtype=np.bool_),
        converted=np.zeros(size, dtype=np.bool_),
        first=np.full(size, NEVER, dtype=np.int64),
    )
    found.gap_seconds[rows], found.has_gap[rows] = gap, follows
    found.newcomer[rows], found.converted[rows] = newcomer, newcomer & soon
    first_of = np.full(int(orders.customer.max(initial=-1)) + 1, NEVER)
    first_of[customer[~follows]] = ts[~follows]
    found.first[:] = first_of[orders.customer]
    return found


@dataclass(frozen=True)
class Visits:
    """What each customer did in each period; all ``[visit]``.

    Attributes:
        row: the first of its rows of ``Orders``, whose groups are the visit's.
        period: -1: the one before the first that is asked for.
        sums: measures of the visit, at its period.
        after: measures at the period after it.
    """

    row: Longs
    period: Codes
    sums: Mapping[str, Floats]
    after: Mapping[str, Floats]


def visits_of(
    orders: Orders, sequence: Sequence, period: Codes, code: Codes | None = None
) -> Visits:
    """Visits of one kind of period.

    Args:
        orders: of whole customers.
        sequence: of them.
        period: of each row, see ``Periods.find``.
        code: of the group of each row, where a customer may be in several.
    """
    rows = np.flatnonzero(period >= -1)
    if code is not None:
        # Stable: within a customer and a group they stay in the order of time.
        size = int(code.max(initial=0)) + 2
        key = orders.customer[rows].astype(np.int64) * size + (code[rows] + 1)
        rows = rows[np.argsort(key, kind="stable")]
    customer, at = orders.customer[rows], period[rows]
    joins = customer[1:] == customer[:-1]
    if code is not None:
        joins &= code[rows[1:]] == code[rows[:-1]]
    begins = np.ones(len(rows), dtype=np.bool_)
    begins[1:] = ~joins | (at[1:] != at[:-1])
    starts = np.flatnonzero(begins)

    def total(values: npt.NDArray[np.generic]) -> Floats:
        of_rows = values[rows].astype(np.float64)
        return np.add.reduceat(of_rows, starts) if len(starts) else of_rows

    count, net = total(orders.is_order), total(orders.net)
    spend, bought, visit = np.maximum(net, 0.0), count >= 1, at[starts]
    stays = np.zeros(len(starts), dtype=np.bool_)
    stays[:-1] = joins[starts[1:] - 1] & (visit[1:] == visit[:-1] + 1) & bought[1:]
    earlier = np.where(bought, spend, 0.0)
    return Visits(
        row=rows[starts],
        period=visit,
        sums={
            "orders": count,
            "net": net,
            "buyers": bought.astype(np.float64),
            "repeat_buyers": (count >= 2).astype(np.float64),
            "gap_days": total(sequence.gap_seconds),
            "gaps": total(sequence.has_gap),
            "newcomers": total(sequence.newcomer),
            "converted": total(sequence.converted),
            "spend": spend,
        },
        after={
            "earlier_buyers": bought.astype(np.float64),
            "retained": (bought & stays).astype(np.float64),
            "earlier_spend": earlier,
            "lost_spend": np.where(stays, 0.0, earlier),
        },
    )


def add_top(top: Floats, cell: Longs, spend: Floats) -> Floats:
    """The largest amounts of each cell, those so far and new ones.

    Args:
        top: ``[cell, TOP]``, largest first; 0: there is none.
        cell: of each amount.
        spend: at least 0; amounts of one cell are of different customers.
    """
    keep = np.flatnonzero(spend > top[cell, -1])
    cell, spend = cell[keep], spend[keep]
    order = np.lexsort((-spend, cell))
    cell, spend = cell[order], spend[order]
    begins = np.ones(len(cell), dtype=np.bool_)
    begins[1:] = cell[1:] != cell[:-1]
    starts = np.flatnonzero(begins)
    place = np.arange(len(cell)) - starts[np.cumsum(begins) - 1]
    few = place < TOP
    fresh = np.zeros_like(top)
    fresh[cell[few], place[few]] = spend[few]
    both = np.concatenate([top, fresh], axis=1)
    return -np.sort(-both, axis=1)[:, :TOP]
