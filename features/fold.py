"""The kernel over arrays: for all customers of a table, or for one, live."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from features.history import Array, Events, Floats, Longs, fixed
from features.kernel import Input, Work, walk
from features.plan import Plan


def _stack(events: Events, names: Sequence[str], dtype: type) -> Array:
    """The named columns as one array of shape ``[name, row]``."""
    stacked = np.empty((len(names), len(events)), dtype)
    for i, name in enumerate(names):
        if name not in events.columns:
            raise ValueError(
                f"fold: expected a column {name!r}, got {sorted(events.columns)}; "
                "add it where the dimension reads its events"
            )
        stacked[i] = events.columns[name]
    return stacked


def stack(events: Events, plan: Plan) -> Input:
    """The columns that the plan reads.

    Raises:
        ValueError: a feature names a column that the events do not have.
    """
    return Input(
        fixed(events.ts),
        fixed(events.known_at),
        _stack(events, plan.wheres, np.bool_),
        _stack(events, plan.codes, np.int32),
        _stack(events, plan.values, np.float64),
        fixed(events.offsets),
    )


def fold(table: Input, cutoffs_us: Longs, plan: Plan, places: Longs) -> Floats:
    """Every declared feature of every customer at every cutoff asked for.

    Args:
        table: rows ordered by customer, then time; see ``stack``.
        cutoffs_us: ascending; only rows with ``ts < cutoff`` and ``known_at <
            cutoff`` count, windows are ``[cutoff - window, cutoff)``.
        plan: the features.
        places: shape ``[customer, cutoff]``: where the result goes, from 0 on
            without a hole; -1: not asked for.

    Returns:
        Shape ``[feature, place]``; NaN is the feature's null.
    """
    work = _work(
        plan,
        longest=int(np.diff(table.offsets).max(initial=0)),
        n_codes=int(table.codes.max(initial=-1)) + 1,
        n_per=int(table.codes[list(plan.reads_per)].max(initial=-1)) + 1,
        n_cutoffs=len(cutoffs_us),
    )
    out = np.empty((len(plan.steps.plan), int(places.max(initial=-1)) + 1))
    walk(table, plan.steps, work, fixed(cutoffs_us), fixed(places), out)
    return out


def _work(
    plan: Plan, *, longest: int, n_codes: int, n_per: int, n_cutoffs: int
) -> Work:
    """Room for customers with so many rows, and codes below the bounds."""
    n_streams = len(plan.steps.streams)
    return Work(
        rows=np.empty((n_streams, longest), np.int64),
        times=np.empty((n_streams, longest), np.int64),
        length=np.zeros(n_streams, np.int64),
        seen=np.zeros((n_streams, n_per), np.int64),
        ends=np.empty((n_streams, n_cutoffs), np.int64),
        begin=np.empty(n_cutoffs, np.int64),
        stop=np.empty(n_cutoffs, np.int64),
        at=np.empty(n_cutoffs, np.int64),
        place=np.empty(n_cutoffs, np.int64),
        fresh=np.empty(n_cutoffs, np.bool_),
        marks=np.zeros((2, n_codes), np.int64),
        sums=np.empty(n_codes),
        met=np.empty(longest, np.int64),
        counts=np.zeros(2, np.int64),
        before=np.empty((plan.n_chains, longest), np.int64),
        chained=np.empty(plan.n_chains, np.int64),
        last=np.zeros((plan.n_chains, n_codes, 2), np.int64),
    )


class Live:
    """The same kernel for one customer at a time, with room made once.

    Not for several threads at once.

    Args:
        plan: the features.
        longest: rows a customer may have.
        n_codes: bound of all codes, those of ``per`` columns among them.
    """

    def __init__(self, plan: Plan, longest: int, n_codes: int) -> None:
        self._steps = plan.steps
        self._work = _work(
            plan, longest=longest, n_codes=n_codes, n_per=n_codes, n_cutoffs=1
        )
        self._at = np.zeros(1, np.int64)
        self._cutoff = fixed(self._at)
        self._place = fixed(np.zeros((1, 1), np.int64))
        self._out = np.empty((len(plan.steps.plan), 1))

    def __call__(self, table: Input, at_us: int) -> Floats:
        """Every feature at a moment, shape ``[feature]``; overwritten by the next.

        Raises:
            ValueError: not one customer, or more rows or codes than there is
                room for.
        """
        if len(table.offsets) != 2:
            raise ValueError(
                f"customers: expected one, got {len(table.offsets) - 1}; call it once "
                "for each, or fold them all"
            )
        room = {"rows": (len(table.ts), self._work.met.size)}
        room["codes"] = (int(table.codes.max(initial=-1)) + 1, self._work.sums.size)
        for what, (got, most) in room.items():
            if got > most:
                raise ValueError(
                    f"{what}: expected at most {most}, got {got}; make a larger room"
                )
        self._at[0] = at_us
        walk(table, self._steps, self._work, self._cutoff, self._place, self._out)
        return self._out[:, 0]
