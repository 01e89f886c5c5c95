"""What asks for a message today: groups that are due, and customers who fall.

Pure: a version and what became of its alerts in, lines out. Nobody who refused
consent is in it. Replenishment alerts worth a message today and health alerts come
first, then the surest, then the lower customer id.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any, Literal, get_args

import numpy as np
import numpy.typing as npt

from features.snapshot import DAY_US
from serving import alert_ids
from serving.due import customer_of, due_pairs, due_words
from serving.insight.portrait import index_of
from serving.known import Floats
from serving.published import Published
from serving.recommend import Wishes, recommend, wishes
from serving.state.alerts import STATES, Mark, State

Kind = Literal["replenishment", "health"]
KINDS: tuple[Kind, ...] = get_args(Kind)

Codes = npt.NDArray[np.int8]
Rows = npt.NDArray[np.int64]

_NO_DUE = dict.fromkeys(
    (
        "product_group",
        "due_at",
        "due_p10",
        "due_p90",
        "probability",
        "probability_soon",
        "alert",
    )
)
_NO_HEALTH = dict.fromkeys(("driver", "health", "expected_loss"))


@dataclass(frozen=True)
class Feed:
    """Alerts in order; all of length alert.

    Attributes:
        kind: codes of ``KINDS``.
        customer: rows of ``Published.customers``.
        pair: rows of ``Known.due``; -1: of a health alert.
        number: see ``alert_ids``.
        state: codes of ``STATES``.
        confidence: chance that what the alert says comes true; NaN: not known.
        is_urgent: worth a message today.
    """

    kind: Codes
    customer: Rows
    pair: Rows
    number: alert_ids.Ids
    state: Codes
    confidence: Floats
    is_urgent: npt.NDArray[np.bool_]

    def __len__(self) -> int:
        return len(self.kind)

    def take(self, rows: npt.NDArray[Any] | slice) -> Feed:
        """Some of them."""
        return Feed(*(getattr(self, name)[rows] for name in _FIELDS))

    def in_state(self, state: State | None) -> Rows:
        """Which of them, ascending; None: all."""
        if state is None:
            return np.arange(len(self))
        return np.flatnonzero(self.state == STATES.index(state))


_FIELDS = tuple(Feed.__dataclass_fields__)


def open_again_us(published: Published) -> int:
    """A health alert that was dealt with at a cutoff before this one is open again."""
    insight = published.insight
    days = 0 if insight is None else insight.rules.again_days
    return published.cutoff_us - days * DAY_US


def feed(
    published: Published,
    marks: Iterable[Mark],
    kind: Kind | None = None,
    within_days: int = 3,
) -> Feed:
    """The alerts of a version in every state, in order; the state has no part in it.

    Args:
        published: the version.
        marks: what became of alerts, of this version or another.
        kind: None: both.
        within_days: of replenishment: due so many days after the cutoff at most.
    """
    kinds = KINDS if kind is None else (kind,)
    parts = [_part(published, one, within_days) for one in kinds]
    whole = Feed(
        *(np.concatenate([getattr(part, name) for part in parts]) for name in _FIELDS)
    )
    whole = replace(whole, state=_states(published, whole, marks))
    unsure = np.isnan(whole.confidence)
    sure = np.where(unsure, -1.0, whole.confidence)
    return whole.take(
        np.lexsort((whole.pair, whole.kind, whole.customer, -sure, ~whole.is_urgent))
    )


def _part(published: Published, kind: Kind, within_days: int) -> Feed:
    if kind == "replenishment":
        due = published.known.due
        pair = due_pairs(published, within_days, published.consent)
        customer, number = customer_of(due, pair), published.due_alert_ids[pair]
        confidence, is_urgent = due.soon[pair], due.alert[pair]
    else:
        insight = published.insight
        customer = (
            np.empty(0, np.int64)
            if insight is None
            else np.flatnonzero(insight.is_warned & published.consent)
        )
        pair = np.full(len(customer), -1, np.int64)
        number = published.health_alert_ids[customer]
        chance = np.empty(0) if insight is None else insight.figure("chance")[customer]
        confidence = chance.astype(np.float64)
        is_urgent = np.ones(len(customer), np.bool_)
    size = len(customer)
    codes = np.full(size, KINDS.index(kind), np.int8)
    unmarked = np.zeros(size, np.int8)
    return Feed(codes, customer, pair, number, unmarked, confidence, is_urgent)


def _states(published: Published, whole: Feed, marks: Iterable[Mark]) -> Codes:
    codes, again = np.zeros(len(whole), np.int8), open_again_us(published)
    found: dict[tuple[int, int], int] = {}
    for one in marks:
        named = alert_ids.read(one.alert)
        if named is None or (named[0] == "health" and one.cutoff < again):
            continue
        found[KINDS.index(_kind(named[0])), named[1]] = STATES.index(one.state)
    for kind in range(len(KINDS)):
        handled = {number: s for (of, number), s in found.items() if of == kind}
        if not handled:
            continue
        numbers = np.array(list(handled), np.uint64)
        there = (whole.kind == kind) & np.isin(whole.number, numbers)
        for row in np.flatnonzero(there).tolist():
            codes[row] = handled[int(whole.number[row])]
    return codes


def _kind(name: str) -> Kind:
    return "health" if name == "health" else "replenishment"


def owner(published: Published, alert: str) -> str | None:
    """Whose alert this is, of this version; None: it has no such alert."""
    named = alert_ids.read(alert)
    if named is None:
        return None
    number = np.uint64(named[1])
    if named[0] == "replenishment":
        pair = np.flatnonzero(published.due_alert_ids == number)
        row = customer_of(published.known.due, pair)
    else:
        row = np.flatnonzero(published.health_alert_ids == number)
        insight = published.insight
        row = row[insight.is_warned[row]] if insight is not None else row[:0]
    row = row[published.consent[row]]
    return published.customers[int(row[0])] if len(row) else None


def lines(published: Published, some: Feed) -> list[dict[str, Any]]:
    """What is said of alerts, in their order."""
    groups: dict[int, Wishes] = {}
    first = wishes(published, 1)
    found: list[dict[str, Any]] = []
    for at in range(len(some)):
        row, pair = int(some.customer[at]), int(some.pair[at])
        kind = KINDS[int(some.kind[at])]
        said = _health(published, row) if pair < 0 else _due(published, pair)
        wanted = first if pair < 0 else _of_group(published, pair, groups)
        products = recommend(published, row, wanted)
        sure = float(some.confidence[at])
        found.append(
            {
                "id": alert_ids.spelt(kind, int(some.number[at])),
                "kind": kind,
                "state": STATES[int(some.state[at])],
                "customer_id": published.customers[row],
                "confidence": None if sure != sure else sure,
                "channel": _channel(published, row),
                "product_id": products[0]["product_id"] if products else None,
                **said,
            }
        )
    return found


def _due(published: Published, pair: int) -> dict[str, Any]:
    said = due_words(published.known.due, pair)
    group, at = said["product_group"], said["due_at"]
    when = "too irregular for a date" if at is None else f"due on {at[:10]}"
    soon = f"{said['probability_soon']:.0%} to be bought within days"
    return {**said, **_NO_HEALTH, "reason": f"{group}: {when}, {soon}"}


def _health(published: Published, row: int) -> dict[str, Any]:
    insight = published.insight
    if insight is None:
        raise ValueError(
            "health alert: expected a version with insight, got one without"
        )
    index = float(index_of(insight.scores[row, -1]))
    driver, chance = insight.word("driver", row), insight.number("chance", row)
    reason = (
        f"three months of decline, and a health index of {index:.0f}"
        if chance is None
        else f"by {driver}: {chance:.0%} to spend less than half of the usual in the "
        "next eight weeks"
    )
    return {
        **_NO_DUE,
        "driver": driver,
        "health": None if index != index else index,
        "expected_loss": insight.number("expected_loss", row),
        "reason": reason,
    }


def _channel(published: Published, row: int) -> str | None:
    """The one that the customer prefers."""
    insight = published.insight
    if insight is not None:
        return insight.word("preferred_channel", row)
    stated = published.known.profiles.get("preferred_channel")
    code = -1 if stated is None else int(stated.codes[row])
    return None if stated is None or code < 0 else stated.words[code]


def _of_group(published: Published, pair: int, known: dict[int, Wishes]) -> Wishes:
    """The one product of the group that the customer buys again likeliest."""
    code = int(published.known.due.group[pair])
    if code not in known:
        known[code] = group_wishes(published, code, 1)
    return known[code]


def group_wishes(published: Published, code: int, n: int) -> Wishes:
    """Products of a due group that were bought before.

    A product without a category is a group of its own, named by its id; of a group
    that is neither any product will do.
    """
    group = published.known.due.groups[code]
    if group in published.catalogue.categories:
        return wishes(published, n, "again", [group])
    product = published.catalogue.ids.row(group)
    if product is None:
        return wishes(published, n)
    others = np.ones(len(published.catalogue.names), dtype=np.bool_)
    others[product] = False
    again = wishes(published, n, "again")
    return replace(again, allowed=again.allowed & ~others)
