"""Two lists dealt into one: whose products were clicked, whose were bought.

A click or a purchase counts for the list that gave its product to its customer last
before it, within the customer's window, each product once. One vote a customer, so that
who clicks much decides no more than others.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Literal

import duckdb
import numpy as np

from features.sql import identifier, quoted
from serving.experiments.draft import FIRST, SECOND
from serving.experiments.inputs import SOURCES
from serving.experiments.interleave import Preference, preference
from serving.experiments.outcome_sql import known, moment
from serving.experiments.outcomes import columns_of
from serving.experiments.plan import Plan

By = Literal["clicks", "purchases"]
ALPHA = 0.05

_SOURCE: dict[By, str] = {
    "clicks": str(SOURCES.clicks),
    "purchases": SOURCES.purchases,
}


@dataclass(frozen=True)
class Preferred:
    """What is known of an interleaved experiment.

    Attributes:
        customers: whom a list was dealt to.
        is_final: stopped, and every window is over.
        votes: clicks and purchases; the deciding one is the plan's.
    """

    plan: Plan
    as_of: datetime
    customers: int
    is_final: bool
    votes: dict[By, Preference]

    @property
    def decides(self) -> By:
        """What was registered before the start."""
        return "purchases" if self.plan.asked.primary == "conversion" else "clicks"


def preferred(
    db: duckdb.DuckDBPyConnection,
    plan: Plan,
    stopped: datetime | None,
    as_of: datetime,
) -> Preferred:
    """Which list is preferred.

    Args:
        db: see ``inputs.opened``, of this experiment.
        plan: its own, of the kind interleaved.
        stopped: when it was; None: it was not.
        as_of: nothing is read that happened or was known at or after it.
    """
    at = moment(as_of)
    db.execute(
        f"""CREATE OR REPLACE TEMP TABLE _seated AS
        SELECT customer_id, assigned_at,
            least(assigned_at + INTERVAL {plan.asked.window_days} DAY, {at}) AS ends_at
        FROM assigned WHERE reason = 'hash' AND assigned_at < {at}
            AND customer_id IN (SELECT customer_id FROM dealt WHERE dealt_at < {at})"""
    )
    customers, last = db.execute(
        "SELECT count(*), max(assigned_at) FROM _seated"
    ).fetchall()[0]
    over = stopped is not None and stopped <= as_of
    window = timedelta(days=plan.asked.window_days)
    final = over and (last is None or last + window <= as_of)
    votes: dict[By, Preference] = {by: _votes(db, plan, by, as_of) for by in _SOURCE}
    return Preferred(plan, as_of, int(customers), final, votes)


def _votes(
    db: duckdb.DuckDBPyConnection, plan: Plan, by: By, as_of: datetime
) -> Preference:
    name = _SOURCE[by]
    bought = "AND e.quantity > 0" if by == "purchases" else ""
    rows = db.execute(
        f"""SELECT DISTINCT c.customer_id, c.product_id,
            d.arm = {quoted(plan.treatments[0])} AS is_second
        FROM (
            SELECT e.customer_id, e.product_id, e.ts
            FROM {identifier(name)} AS e JOIN _seated AS s USING (customer_id)
            WHERE e.ts >= s.assigned_at AND e.ts < s.ends_at {bought}
                AND {known(columns_of(db, name), as_of, "e")}
        ) AS c ASOF JOIN dealt AS d
            ON c.customer_id = d.customer_id AND c.product_id = d.product_id
            AND c.ts >= d.dealt_at"""
    ).fetchall()
    _, customer = np.unique([row[0] for row in rows], return_inverse=True)
    team = np.array([SECOND if row[2] else FIRST for row in rows], dtype=np.int32)
    return preference(customer.astype(np.int32), team, 1 - ALPHA)


def told(found: Preferred) -> dict[str, Any]:
    """As ``PreferenceAnswer``, without the experiment's status."""
    plan = found.plan
    deciding = found.votes[found.decides]
    winner = _winner(found, deciding)
    return {
        "experiment": plan.asked.name,
        "as_of": f"{found.as_of.isoformat()}Z",
        "first": plan.control,
        "second": plan.treatments[0],
        "customers": found.customers,
        "decided_by": found.decides,
        "winner": winner,
        "is_final": found.is_final,
        "sentence": sentence(found),
        "votes": [{"by": by, **vars(vote)} for by, vote in found.votes.items()],
    }


def _winner(found: Preferred, vote: Preference) -> str | None:
    if not found.is_final or vote.p_value is None or vote.p_value >= ALPHA:
        return None
    second = vote.second > vote.first
    return found.plan.treatments[0] if second else found.plan.control


def sentence(found: Preferred) -> str:
    """Which list wins, by how much, how sure."""
    vote, plan = found.votes[found.decides], found.plan
    did = "clicked on" if found.decides == "clicks" else "bought from"
    if vote.share is None or vote.low is None or vote.high is None:
        said = f"nobody of {found.customers:,} customers {did} one list more than the other"
        return f"{'Inconclusive' if found.is_final else 'Still running'}: {said}."
    decided = vote.first + vote.second
    size = (
        f"of {decided:,} customers who {did} one list more than the other, "
        f"{vote.share:.1%} (95% interval {vote.low:.1%} to {vote.high:.1%}) did so of "
        f"{plan.treatments[0]}'s, the others of {plan.control}'s"
    )
    if not found.is_final:
        return f"Still running, and nothing is decided before the end: {size}."
    winner = _winner(found, vote)
    if winner is None:
        return f"Inconclusive: {size}, which leaves no preference possible."
    p = vote.p_value or 0.0
    sure = "p < 0.001" if p < 0.001 else f"p = {p:.3f}"
    return (
        f"{winner} is preferred: {size}, {sure}. What it is worth, a randomised test "
        "tells."
    )
