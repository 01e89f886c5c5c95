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


@dataclass(frozen=True)
class Campaign:
    """A past campaign with a manual list.

    Attributes:
        starts_at, ends_at: half-open window in which purchases count.
        customers: ids of those it was sent to.
        pool: ids of the picked products.
    """

    campaign_id: str
    starts_at: datetime
    ends_at: datetime
    customers: tuple[str, ...]
    pool: tuple[str, ...]


def past_campaigns(tables: Tables) -> tuple[list[Campaign], str]:
    """Campaigns that can be compared, oldest first, or why there is none.

    A campaign needs ``HISTORY_DAYS`` of purchases before its start, purchases
    until the end of its window, picked products and customers it was sent to.
    """
    for table in (CAMPAIGNS, PICKS, TOUCHES):
        if not tables.has(table):
            return [], f"there is no table {table.name}"
    first, last = tables.first_and_last_purchase()
    picks, touches = _frame(tables, PICKS), _frame(tables, TOUCHES)
    sent = touches[touches["action"] == "sent"]
    rows = _frame(tables, CAMPAIGNS).sort_values(["starts_at", "campaign_id"])
    found: list[Campaign] = []
    for name, starts, ends in zip(
        rows["campaign_id"],
        rows["starts_at"].dt.to_pydatetime(),
        rows["ends_at"].dt.to_pydatetime(),
        strict=True,
    ):
        end = min(ends, starts + timedelta(days=WINDOW_DAYS))
        if starts - first < timedelta(days=HISTORY_DAYS) or end > last:
            continue
        mine = sent[(sent["campaign_id"] == name) & (sent["ts"] < end)]
        customers = tuple(sorted(set(mine["customer_id"])))
        pool = _picked(picks, name, starts)
        if customers and pool:
            found.append(Campaign(name, starts, end, customers, pool))
    return found, "" if found else (
        f"no campaign with picked products and customers started {HISTORY_DAYS} days "
        "after the first purchase and was over before the last"
    )


def _frame(tables: Tables, table: Table) -> pd.DataFrame:
    rows = tables.table(table)
    return pd.DataFrame() if rows is None else rows.to_pandas()


def _picked(picks: pd.DataFrame, campaign_id: str, by: datetime) -> tuple[str, ...]:
    """Products chosen for everyone, known when the campaign started."""
    keep = (picks["campaign_id"] == campaign_id).to_numpy()
    if "customer_id" in picks:
        keep = keep & picks["customer_id"].isna().to_numpy()
    if "chosen_at" in picks:
        keep = keep & ~(picks["chosen_at"] > by).to_numpy()
    return tuple(sorted(set(picks["product_id"][keep])))
