"""Past campaigns with products that people picked by hand."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

import pandas as pd

from features.contracts import CAMPAIGNS, PICKS, TOUCHES, Table
from features.engine import Tables

WINDOW_DAYS = 28
"""Purchases of this many days count, or of the campaign if it is shorter."""

HISTORY_DAYS = 120
"""A campaign counts if it started this long after the first purchase."""

_DAY = timedelta(days=1)


@dataclass(frozen=True)
class Campaign:
    """A past campaign with a manual list.

    Attributes:
        starts_at, ends_at: half-open window in which purchases count.
        customers: ids of those it was sent to before its first day was over.
        pool: ids of the products picked for everyone, in their owner's order.
    """

    campaign_id: str
    starts_at: datetime
    ends_at: datetime
    customers: tuple[str, ...]
    pool: tuple[str, ...]


@dataclass(frozen=True)
class Past:
    """Campaigns that can be compared, oldest first.

    Attributes:
        reason: why there is none, else empty.
        left_out: what of their tables is not compared, in words.
    """

    campaigns: tuple[Campaign, ...]
    reason: str
    left_out: tuple[str, ...]


def past_campaigns(tables: Tables) -> Past:
    """Campaigns that can be compared, or why there is none.

    A campaign needs ``HISTORY_DAYS`` of purchases before its start, purchases
    until the last day of its window, products picked for everyone and customers
    it was sent to. A contact counts before the end of the first day: a mail sent
    later may answer to what its customer did in the window.
    """
    for table in (CAMPAIGNS, PICKS, TOUCHES):
        if not tables.has(table):
            return Past((), f"there is no table {table.name}", ())
    first, last = tables.first_and_last_purchase()
    picks, touches = _frame(tables, PICKS), _frame(tables, TOUCHES)
    sent = touches[touches["action"] == "sent"]
    rows = _frame(tables, CAMPAIGNS).sort_values(["starts_at", "campaign_id"])
    found: list[Campaign] = []
    late = personal = 0
    for name, starts, ends in zip(
        rows["campaign_id"],
        rows["starts_at"].dt.to_pydatetime(),
        rows["ends_at"].dt.to_pydatetime(),
        strict=True,
    ):
        end = min(ends, starts + timedelta(days=WINDOW_DAYS))
        if starts - first < timedelta(days=HISTORY_DAYS) or last < end - _DAY:
            continue
        mine = sent[(sent["campaign_id"] == name) & (sent["ts"] < end)]
        reached = set(mine["customer_id"][mine["ts"] < starts + _DAY])
        late += len(set(mine["customer_id"]) - reached)
        chosen = _chosen(picks, name, starts)
        everyone = chosen[chosen["customer_id"].isna()]
        personal += len(chosen) - len(everyone)
        if reached and len(everyone):
            pool = tuple(dict.fromkeys(everyone["product_id"]))
            found.append(Campaign(name, starts, end, tuple(sorted(reached)), pool))
    reason = (
        ""
        if found
        else (
            f"no campaign with picked products and customers started {HISTORY_DAYS} days "
            "after the first purchase and was over before the last"
        )
    )
    return Past(tuple(found), reason, _left_out(late, personal))


def _left_out(late: int, personal: int) -> tuple[str, ...]:
    said: list[str] = []
    if late:
        said.append(
            f"{late:,} contacts after a campaign's first day are left out: they may "
            "answer to what the customer did by then"
        )
    if personal:
        said.append(f"{personal:,} picks for single customers are not compared")
    return tuple(said)


def _frame(tables: Tables, table: Table) -> pd.DataFrame:
    rows = tables.table(table)
    return pd.DataFrame() if rows is None else rows.to_pandas()


def _chosen(picks: pd.DataFrame, campaign_id: str, by: datetime) -> pd.DataFrame:
    """Picks known when the campaign started, by rank, then list and product."""
    keep = (picks["campaign_id"] == campaign_id).to_numpy()
    if "chosen_at" in picks:
        keep = keep & ~(picks["chosen_at"] > by).to_numpy()
    chosen = picks.loc[keep].sort_values(by=["rank", "list", "product_id"])
    if "customer_id" not in chosen:
        chosen = chosen.assign(customer_id=None)
    return chosen
