"""The explicit tuple of six dimensions -> one wide table on the spine.

The spine has one row per (customer, cutoff) with a purchase known before the
cutoff; a return alone is none.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

import numpy as np
import pyarrow as pa

from features import profile
from features.browse import BROWSE
from features.campaign import CAMPAIGN
from features.declare import ALL, Feature
from features.dimension import Dimension, ratios, with_columns
from features.feedback import FEEDBACK
from features.fold import fold
from features.history import Bools, Floats, History, Longs
from features.inquiry import INQUIRY
from features.profile import PROFILE
from features.purchase import LINES, PURCHASE
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

_ROWS = ALL.count("rows")
_BOUGHT = LINES.count("lines")


def dimensions(history: History) -> dict[str, bool]:
    """Which of the six dimensions have data before ``history.until``."""
    tables = {d.name: history.events(d.table) for d in OF_EVENTS}
    has = {
        name: events is not None and len(events) > 0 for name, events in tables.items()
    }
    profiles = history.profiles
    return has | {"profile": profiles is not None and profiles.num_rows > 0}


def assemble(history: History, cutoffs: Sequence[datetime]) -> pa.Table:
    """Six-dimension history of every customer, as known at each cutoff.

    Args:
        history: all input known before ``history.until``.
        cutoffs: strictly ascending, none after ``history.until``; only rows
            with ``ts < cutoff`` and ``known_at < cutoff`` count.

    Returns:
        One row per (customer, cutoff) with a purchase known before the cutoff,
        ordered by cutoff, then customer: ``customer`` (code, int32),
        ``customer_id``, ``cutoff``, then ``FEATURES`` and further profile
        columns as float64 or, for texts, dictionary of int32 and string.
        Null: see ``Feature.null``; a dimension without any event known before
        a cutoff is null for everyone at that cutoff. A text with too many
        distinct words to learn from, such as an address, is null for everyone,
        and a further column that is no number, flag or text has no column:
        ``profile.left_out`` names both.

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
    lines = with_columns(history.purchases, {"bought": history.purchases.bought})
    spine = fold(lines, at, _BOUGHT)[:, :, 0] > 0
    k, customer = np.nonzero(spine.T)
    table: dict[str, pa.Array] = {
        "customer": pa.array(customer.astype(np.int32)),
        "customer_id": pa.array(history.customers[customer], pa.string()),
        "cutoff": pa.array(at[k]).cast(pa.timestamp("us")),
    }
    for dimension in OF_EVENTS:
        wide = _wide(dimension, history, at, spine)
        for name, column in wide.items():
            table[name] = pa.array(column, pa.float64(), from_pandas=True)
    rows = np.full(len(k), -1, np.int64)
    if history.profiles is not None:
        in_force = profile.in_force(history.profiles, at, len(history.customers))
        rows = in_force[customer, k]
    return pa.table(table | profile.columns(history.profiles, rows, at[k], table))


def _wide(
    dimension: Dimension, history: History, at: Longs, spine: Bools
) -> dict[str, Floats]:
    """One dimension's columns on the spine, NaN for null."""
    k, customer = np.nonzero(spine.T)
    wide: dict[str, Floats] = {}
    for stream in dimension.streams:
        events = stream.read(history)
        if events is None:
            wide |= {a.name: np.full(len(k), np.nan) for a in stream.aggregates}
            continue
        block = fold(events, at, (*stream.aggregates, *_ROWS))
        has_data = (block[:, :, -1] * spine).any(axis=0)
        block[:, ~has_data] = np.nan
        wide |= {a.name: block[customer, k, i] for i, a in enumerate(stream.aggregates)}
    return wide | ratios(wide, dimension.ratios)
