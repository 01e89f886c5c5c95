"""Some customers of a history: drawn by their ids, cut out, put together again.

Whether a customer is drawn depends on the id and the seed alone: not on who else is
there, nor on the part of the input in which the customer is read.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pyarrow as pa
from pandas.util import hash_array

from features.contracts import EVENT_TABLES
from features.history import Array, Bools, Events, Floats, History, Ints, offsets_of


def lots(ids: Array, seed: int) -> Floats:
    """A number in [0, 1) for every id, as if drawn; ``[id]``.

    Args:
        ids: texts.
        seed: another one, other numbers.
    """
    key = f"{seed % 10**16:016d}"
    texts = np.asarray(ids, dtype=object)
    hashed = np.asarray(hash_array(texts, hash_key=key))  # pyright: ignore[reportCallIssue]
    return (hashed >> np.uint64(11)).astype(np.float64) * 2.0**-53


def take(history: History, keep: Bools) -> History:
    """The history of some customers only; products and their codes stay.

    Args:
        history: of all.
        keep: by code, ``[customer]``.
    """
    if keep.all():
        return history
    code = (np.cumsum(keep) - 1).astype(np.int32)
    n = int(keep.sum())
    events = {
        table.name: _recoded(found.take(keep[found.customer]), code, n)
        for table in EVENT_TABLES
        if (found := history.events(table)) is not None
    }
    profiles = history.profiles
    if profiles is not None:
        who = profiles.column("customer").to_numpy()
        profiles = profiles.filter(pa.array(keep[who]))
        profiles = profiles.set_column(0, "customer", pa.array(code[who[keep[who]]]))
    return replace(
        history, customers=history.customers[keep], profiles=profiles, **events
    )


def join(parts: Sequence[History]) -> History:
    """One history of the customers of several parts of an input, ordered by id.

    Args:
        parts: of one reading, see ``Tables.parts``; no customer may be in two.

    Raises:
        ValueError: there are no parts.
    """
    if not parts:
        raise ValueError("parts: expected at least one history, got none")
    if len(parts) == 1:
        return parts[0]
    ids = np.concatenate([part.customers for part in parts])
    order = np.argsort(ids, kind="stable")
    code = np.empty(len(ids), dtype=np.int32)
    code[order] = np.arange(len(ids), dtype=np.int32)
    codes = np.split(code, np.cumsum([len(part.customers) for part in parts])[:-1])
    joined = {
        table.name: _joined([part.events(table) for part in parts], codes, len(ids))
        for table in EVENT_TABLES
        if parts[0].events(table) is not None
    }
    profiles = None
    if parts[0].profiles is not None:
        rows = [
            part.profiles.set_column(
                0,
                "customer",
                pa.array(own[part.profiles.column("customer").to_numpy()]),
            )
            for part, own in zip(parts, codes, strict=True)
            if part.profiles is not None
        ]
        profiles = pa.concat_tables(rows)
        # Stable: rows of a customer stay in the order of ``valid_from``.
        by = np.argsort(profiles.column("customer").to_numpy(), kind="stable")
        profiles = profiles.take(pa.array(by)).combine_chunks()
    return replace(parts[0], customers=ids[order], profiles=profiles, **joined)


def _joined(parts: Sequence[Events | None], codes: Sequence[Ints], n: int) -> Events:
    known = [
        _recoded(part, code, n)
        for part, code in zip(parts, codes, strict=True)
        if part is not None
    ]
    customer = np.concatenate([part.customer for part in known])
    # Stable: rows of a customer are of one part, and in order there.
    by = np.argsort(customer, kind="stable")
    return Events(
        customer=customer[by],
        ts=np.concatenate([part.ts for part in known])[by],
        known_at=np.concatenate([part.known_at for part in known])[by],
        columns={
            name: np.concatenate([part.columns[name] for part in known])[by]
            for name in known[0].columns
        },
        words=known[0].words,
        offsets=offsets_of(customer[by], n),
    )


def _recoded(events: Events, code: Ints, n: int) -> Events:
    customer = code[events.customer]
    return replace(events, customer=customer, offsets=offsets_of(np.sort(customer), n))
