"""The explicit tuple of six dimensions -> one wide table on the spine.

The spine has one row per (customer, cutoff) with a purchase known before the
cutoff; a return alone is none.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Generator, Iterable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from datetime import datetime
from functools import lru_cache

import numpy as np
import pyarrow as pa

from features import profile
from features.browse import BROWSE
from features.campaign import CAMPAIGN
from features.coding import nullable
from features.contracts import CUSTOMERS
from features.dimension import Dimension, computed
from features.feature import Aggregate, Feature
from features.feedback import FEEDBACK
from features.fold import fold, stack
from features.history import Floats, History, Longs
from features.inquiry import INQUIRY
from features.plan import Plan, plan
from features.profile import PROFILE
from features.purchase import PURCHASE
from features.snapshot import cutoff_array

OF_EVENTS: tuple[Dimension, ...] = (PURCHASE, BROWSE, INQUIRY, FEEDBACK, CAMPAIGN)

FEATURES: tuple[Feature, ...] = (
    *PURCHASE.features,
    *BROWSE.features,
    *INQUIRY.features,
    *FEEDBACK.features,
    *CAMPAIGN.features,
    *PROFILE,
)
"""Every declared feature, in the order of the columns of ``assemble``.

Further columns of ``customers`` follow them under their own names.
"""


_NEVER = np.iinfo(np.int64).max


@lru_cache
def _plan(aggregates: tuple[Aggregate, ...]) -> Plan:
    return plan(aggregates)


def dimensions(history: History) -> dict[str, bool]:
    """Which of the six dimensions have data before ``history.until``."""
    has = {d.name: d.table.name in history.since for d in OF_EVENTS}
    return has | {"profile": CUSTOMERS.name in history.since}


def assemble(
    history: History,
    cutoffs: Sequence[datetime],
    dimensions: Sequence[Dimension] = OF_EVENTS,
) -> pa.Table:
    """Six-dimension history of every customer, as known at each cutoff.

    Args:
        history: all input known before ``history.until``, or a part of it.
        cutoffs: strictly ascending, none after ``history.until``; only rows
            with ``ts < cutoff`` and ``known_at < cutoff`` count.
        dimensions: those made of events; profile features always follow.

    Returns:
        One row per (customer, cutoff) with a purchase known before the cutoff,
        ordered by cutoff, then customer: ``customer`` (code, int32),
        ``customer_id``, ``cutoff``, then ``FEATURES`` and further profile
        columns as float64 or, for texts, dictionary of int32 and string.
        Null: see ``Feature.null``; a dimension of whose table no row was known
        before a cutoff is null for everyone at that cutoff. A text with too
        many distinct words to learn from, such as an address, is null for
        everyone; which ones is decided once per build, over all rows known
        before ``history.until``, also for earlier cutoffs. A further column
        that is no number, flag or text has no column: ``profile.left_out``
        names both.

    Raises:
        ValueError: no cutoff, not ascending, or one after ``history.until``.
        ContractError: a further column of ``customers`` has a feature's name.
    """
    at = cutoff_array(cutoffs)
    if cutoffs[-1] > history.until:
        raise ValueError(
            f"cutoffs: expected none after the end of the history ({history.until}), "
            f"got {cutoffs[-1]}; read a longer history"
        )
    places, customer, k = _spine(history, at)
    codes = pa.array(customer.astype(np.int32))
    table: dict[str, pa.Array] = {
        "customer": codes,
        "customer_id": pa.array(history.customers, pa.string()).take(codes),
        "cutoff": pa.array(at[k]).cast(pa.timestamp("us")),
    }
    for dimension in dimensions:
        wide = _wide(dimension, history, at, places, k)
        for name, column in wide.items():
            table[name] = nullable(column)
    rows, profiles = np.full(len(k), -1, np.int64), history.profiles
    if history.since.get(CUSTOMERS.name, _NEVER) >= at[-1]:
        profiles = None
    if profiles is not None:
        rows = profile.in_force(profiles, at, len(history.customers))[customer, k]
    return pa.table(
        table | profile.columns(profiles, rows, at[k], table, history.wordy)
    )


def assemble_parts(
    parts: Iterable[History],
    cutoffs: Sequence[datetime],
    dimensions: Sequence[Dimension] = OF_EVENTS,
    threads: int = 2,
) -> Generator[pa.Table]:
    """``assemble`` of every part, in order, on all threads, in bounded memory.

    While ``threads`` parts are folded, one more is read and one is waiting.
    """
    with ThreadPoolExecutor(threads) as pool:
        waiting: deque[Future[pa.Table]] = deque()
        for part in parts:
            waiting.append(pool.submit(assemble, part, cutoffs, dimensions))
            if len(waiting) > threads:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()


def _spine(history: History, at: Longs) -> tuple[Longs, Longs, Longs]:
    """Who has a purchase known before each cutoff.

    Returns:
        The row of every (customer, cutoff), -1: none, ordered by cutoff, then
        customer; then the customer and the position of the cutoff of each row.
    """
    lines = history.purchases
    known = np.where(lines.bought, np.maximum(lines.ts, lines.known_at), _NEVER)
    # Every customer of a history has a line, so that no slice is empty.
    spine = np.minimum.reduceat(known, lines.offsets[:-1])[:, None] < at
    k, customer = np.nonzero(spine.T)
    places = np.full(spine.shape, -1, np.int64)
    places[customer, k] = np.arange(len(k))
    return places, customer, k


def _wide(
    dimension: Dimension, history: History, at: Longs, places: Longs, k: Longs
) -> dict[str, Floats]:
    """One dimension's columns on the spine, NaN for null."""
    wide: dict[str, Floats] = {}
    for stream in (s for s in dimension.streams if s.aggregates):
        events = stream.read(history)
        if events is None:
            block = np.full((len(stream.aggregates), len(k)), np.nan)
        else:
            steps = _plan(stream.aggregates)
            block = fold(stack(events, steps), at, steps, places)
            has_data = history.since.get(dimension.table.name, _NEVER) < at
            block[:, ~has_data[k]] = np.nan
        wide |= {a.name: block[i] for i, a in enumerate(stream.aggregates)}
    return wide | computed(wide, dimension.expressions)
