"""Past contacts whose holdout was drawn at random: who was sent to, who was left alone.

A campaign with ``held_out`` touches is a randomised experiment. Whoever was sent to
is treated, opened or not (intention to treat), so that both arms stay what chance
made them.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, fields
from datetime import datetime
from typing import Any, Self

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from features.history import Bools, Events, Floats, History, Ints, Longs
from features.snapshot import DAY_US, from_us, to_us

_NEVER = np.iinfo(np.int64).max // 2


@dataclass(frozen=True)
class Contacts:
    """One row per campaign and customer, ordered by campaign start, then customer.

    Arrays of shape ``[contact]``:

    Attributes:
        campaign: code of the campaign in ``history.touches``.
        customer: code of the customer.
        cutoff: start of the campaign, its first contact or holdout, microseconds:
            features are as of this moment.
        moment: of the customer's own contact or holdout, where the window starts.
        treated: sent to; False: held out.
        bought: 1 if a purchase followed within the horizon, else 0.
        spend: net of returns in the same window, shop currency.
    """

    campaign: Ints
    customer: Ints
    cutoff: Longs
    moment: Longs
    treated: Bools
    bought: Floats
    spend: Floats

    def __len__(self) -> int:
        return len(self.customer)

    def take(self, keep: npt.NDArray[np.bool_] | npt.NDArray[np.int64]) -> Self:
        """The rows of a mask or of positions."""
        return type(self)(*(getattr(self, f.name)[keep] for f in fields(self)))

    @property
    def cutoffs(self) -> tuple[datetime, ...]:
        """Starts of the campaigns, ascending, each once: where features are needed."""
        return tuple(from_us(us) for us in np.unique(self.cutoff))

    def buyers_by_arm(self) -> tuple[int, int]:
        """Contacts that a purchase followed: of those held out, of those sent to."""
        bought = self.bought > 0
        return int(np.sum(bought & ~self.treated)), int(np.sum(bought & self.treated))

    def customers_by_arm(self) -> tuple[int, int]:
        """Different customers who were ever held out, and ever sent to."""
        held_out, sent = (
            len(np.unique(self.customer[self.treated == arm])) for arm in (False, True)
        )
        return held_out, sent

    def share_treated(self) -> Floats:
        """Share of each row's campaign that was sent to, ``[contact]``."""
        return self.by_campaign(self.treated)

    def by_campaign(self, values: npt.NDArray[Any]) -> Floats:
        """Mean of values over each row's campaign, ``[contact]``."""
        rows = np.bincount(self.campaign)
        total = np.bincount(self.campaign, weights=values)
        return total[self.campaign] / rows[self.campaign]


def contacts_of(history: History, horizon_days: int, max_campaigns: int) -> Contacts:
    """Contacts of the latest campaigns with both arms and an ended label window.

    A customer with both actions in a campaign has the arm of the first one: a
    holdout that was sent to later was held out; at the same moment, sent counts.

    Args:
        history: only its rows are seen, so that a contact or a purchase that
            became known at or after ``history.until`` does not exist.
        horizon_days: length of the label window, from each contact.
        max_campaigns: at most this many, the latest.

    Returns:
        No row where no campaign had a holdout. Only customers of the history.
    """
    touches = history.touches
    parts = [] if touches is None else list(_campaigns(touches))
    end = to_us(history.until)
    horizon = horizon_days * DAY_US
    # A campaign that is still being sent, or answered, says nothing yet.
    ended = [part for part in parts if int(part[2].max()) + horizon <= end]
    ended.sort(key=lambda part: (int(part[2].min()), part[0]))
    made = [_outcomes(history, *part, horizon) for part in ended[-max_campaigns:]]
    # So that no campaign is a table without rows.
    none, ends = np.empty(0, np.int32), np.empty(0, np.int64)
    made.append(_outcomes(history, 0, none, ends, np.empty(0, np.bool_), horizon))
    return Contacts(
        *(np.concatenate([getattr(m, f.name) for m in made]) for f in fields(Contacts))
    )


def _campaigns(touches: Events) -> Iterator[tuple[int, Ints, Longs, Bools]]:
    """Code, customers, moments and arms of every campaign that has both arms."""
    action, names = touches.columns["action"], touches.words["action"]
    campaign = touches.columns["campaign_id"]
    sent, held_out = (action == names.index(word) for word in ("sent", "held_out"))
    for code in np.unique(campaign[held_out]):
        rows = np.flatnonzero((campaign == code) & (sent | held_out))
        if code < 0 or not sent[rows].any():
            continue
        rows = rows[np.lexsort((~sent[rows], touches.ts[rows], touches.customer[rows]))]
        customer, first = np.unique(touches.customer[rows], return_index=True)
        yield int(code), customer, touches.ts[rows][first], sent[rows][first]


def _outcomes(
    history: History,
    campaign: int,
    customer: Ints,
    moment: Longs,
    treated: Bools,
    horizon_us: int,
) -> Contacts:
    """What the customers of one campaign bought after their contact."""
    lines, n = history.purchases, len(history.customers)
    start = np.full(n, _NEVER)
    start[customer] = moment
    since = lines.ts - start[lines.customer]
    inside = (since >= 0) & (since < horizon_us)
    who = lines.customer[inside]
    bought = np.bincount(who, weights=lines.bought[inside], minlength=n) > 0
    spend = np.bincount(who, weights=lines.columns["amount"][inside], minlength=n)
    return Contacts(
        campaign=np.full(len(customer), campaign, np.int32),
        customer=customer,
        cutoff=np.full(len(customer), moment.min(initial=_NEVER)),
        moment=moment,
        treated=treated,
        bought=bought[customer].astype(np.float64),
        spend=spend[customer].astype(np.float64),
    )


def joined(contacts: Contacts, features: pa.Table) -> tuple[Contacts, pa.Table]:
    """Contacts that have a row of features, and these rows in the same order.

    Who had not bought before the campaign began has none and is left out, of both
    arms alike.

    Args:
        contacts: of the same history.
        features: rows of ``assemble``, those at ``contacts.cutoffs`` among them.
    """
    cutoff = features.column("cutoff").cast(pa.int64()).to_numpy()
    customer = features.column("customer").to_numpy()
    width = max(customer.max(initial=-1), contacts.customer.max(initial=-1)) + 1
    row = np.full(len(contacts), -1)
    for us in np.unique(contacts.cutoff):
        there, here = np.flatnonzero(cutoff == us), contacts.cutoff == us
        place = np.full(width, -1)
        place[customer[there]] = there
        row[here] = place[contacts.customer[here]]
    found = row >= 0
    return contacts.take(found), features.take(pa.array(row[found]))
