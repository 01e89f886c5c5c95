"""What features read of customers, kept small, so that it can be read again any time.

A build keeps it, a service maps it: a few customers of it with what they did since are
a ``History`` like any other, of which ``assemble`` makes the same features.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

import numpy as np
import pyarrow as pa

from features.contracts import (
    BROWSES,
    CAMPAIGNS,
    EVENT_TABLES,
    FEEDBACK,
    INQUIRIES,
    PURCHASES,
    TOUCHES,
)
from features.history import Events, History, Longs, Products, offsets_of
from features.kept_events import READ, FreshEvent, KeptEvents
from features.merged import ProductCodes, SomeEvents
from features.profile import left_out


@dataclass(frozen=True)
class Kept:
    """Customers' histories; a customer's row indexes tables and profiles.

    Attributes:
        events: by name of the table; tables without a row have none.
        profiles: rows of ``History.profiles`` without ``customer``, texts coded.
        profile_offsets: of each customer, ``[customer + 1]``.
        campaigns, since, wordy: as in ``History``.
    """

    events: Mapping[str, KeptEvents]
    profiles: pa.Table | None
    profile_offsets: Longs
    campaigns: pa.Table | None
    since: Mapping[str, int]
    wordy: tuple[str, ...]

    @classmethod
    def of(cls, history: History) -> Kept:
        """Keeps all customers of a history."""
        n, profiles = len(history.customers), history.profiles
        bounds = np.zeros(n + 1, np.int64)
        if profiles is not None:
            customer = profiles.column("customer").to_numpy().astype(np.int32)
            bounds = offsets_of(customer, n)
            # Names and addresses, say: no feature reads them, so no version holds them.
            unread = {"customer", *left_out(history)} & {*profiles.column_names}
            profiles = coded(_settled(profiles.drop_columns(sorted(unread))))
        events = {
            table.name: KeptEvents.keep(found, READ[table.name])
            for table in EVENT_TABLES
            if (found := history.events(table)) is not None and table.name in READ
        }
        campaigns = history.campaigns
        if campaigns is not None:
            names = [column.name for column in CAMPAIGNS.columns]
            campaigns = _settled(
                campaigns.select([n for n in names if n in campaigns.column_names])
            )
        return cls(events, profiles, bounds, campaigns, history.since, history.wordy)

    def history(
        self,
        ids: Sequence[str],
        rows: Sequence[int | None],
        fresh: Sequence[Sequence[FreshEvent]],
        products: Products,
        product_row: Callable[[str], int | None],
        until: datetime,
    ) -> History:
        """Some customers with what they did since.

        Args:
            ids: of the customers.
            rows: of the customers; None: nothing of them is kept.
            fresh: later events of each, not among those kept.
            products: those that the kept events name by code.
            product_row: the code of a product id; None: it has none.
            until: the moment of the history.
        """
        later = [(at, event) for at, events in enumerate(fresh) for event in events]
        tables = {
            table.name: SomeEvents(
                table,
                self.events.get(table.name),
                rows,
                [(at, event) for at, event in later if event.table == table],
            )
            for table in EVENT_TABLES
            if table.name in READ
        }
        codes = ProductCodes(
            products, product_row, (some.products() for some in tables.values())
        )
        events = {name: some.events(codes) for name, some in tables.items()}
        since = dict(self.since)
        for _, event in later:
            first = max(event.ts, event.known_at)
            if event.table.name not in self.since:
                since[event.table.name] = min(since.get(event.table.name, first), first)
        purchases = events.pop(PURCHASES.name)
        if purchases is None:
            raise ValueError("customers: expected purchases of each, got none at all")
        return History(
            until=until,
            customers=np.array(ids, dtype=object),
            products=codes.products,
            purchases=purchases,
            browses=events.get(BROWSES.name),
            inquiries=events.get(INQUIRIES.name),
            feedback=events.get(FEEDBACK.name),
            touches=events.get(TOUCHES.name),
            profiles=self._profiles(rows),
            campaigns=self._campaigns(events.get(TOUCHES.name)),
            promotions=None,
            since=since,
            wordy=self.wordy,
            fingerprint="",
        )

    def _profiles(self, rows: Sequence[int | None]) -> pa.Table | None:
        if self.profiles is None:
            return None
        places: list[int] = []
        owner: list[int] = []
        for at, row in enumerate(rows):
            if row is not None:
                low, high = self.profile_offsets[row : row + 2].tolist()
                places += range(low, high)
                owner += [at] * (high - low)
        # A slice of a mapped table costs less than rows taken from it.
        first = min(places, default=0)
        near = self.profiles.slice(first, max(places, default=-1) + 1 - first)
        found = near.take(pa.array([p - first for p in places], pa.int64()))
        texts = [
            column.cast(pa.string()) if pa.types.is_dictionary(column.type) else column
            for column in found.columns
        ]
        return pa.table(
            [pa.array(owner, pa.int32()), *texts],
            names=["customer", *found.column_names],
        )

    def _campaigns(self, touches: Events | None) -> pa.Table | None:
        if self.campaigns is None or touches is None:
            return self.campaigns
        names = set(touches.words["campaign_id"])
        met = [one in names for one in self.campaigns["campaign_id"].to_pylist()]
        return self.campaigns.filter(pa.array(met, pa.bool_()))


def coded(profiles: pa.Table) -> pa.Table:
    """Texts as codes of words, which take less room."""
    for place, field in enumerate(profiles.schema):
        if pa.types.is_string(field.type):
            coded = profiles.column(place).combine_chunks().dictionary_encode()
            profiles = profiles.set_column(place, field.name, coded)
    return profiles.combine_chunks()


def _settled(table: pa.Table) -> pa.Table:
    """The same rows; equal rows are equal bytes.

    Taken one by one, nulls and the ends of bits hold nothing that an engine left there.
    """
    return table.take(pa.array(range(len(table)), pa.int64())).combine_chunks()
