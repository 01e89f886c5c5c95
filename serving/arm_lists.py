"""The list of an arm for a customer: picked by hand or the model's, on equal terms.

Both pass the same filter (products of the range that can be bought now) and have the
same number of slots. Picks are not filled up: a short manual list stays short.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypedDict

from serving.answering import Answering
from serving.experiment_schema import INTERLEAVED
from serving.experiments.draft import team_draft
from serving.experiments.plan import Plan
from serving.fresh import lately_of, view_of
from serving.published import Published
from serving.recommend import listed
from serving.state.picks import Line
from serving.wishes import Wishes, wishes

SEGMENT = "segment"
"""Column of the profile that segments of picks and reports are of."""


class Slot(TypedDict):
    """A product to show; see ``experiment_schema.SlotOut``."""

    product_id: str
    position: int
    reason: str | None


@dataclass(frozen=True)
class Scoped:
    """Products of a manual list by whom they are for, best first."""

    everyone: tuple[str, ...]
    segments: Mapping[str, tuple[str, ...]]
    customers: Mapping[str, tuple[str, ...]]

    def of(self, customer_id: str, segment: str | None) -> tuple[str, ...]:
        """A customer's own lines, then their segment's, then those for everyone."""
        own = self.customers.get(customer_id, ())
        theirs = () if segment is None else self.segments.get(segment, ())
        return tuple(dict.fromkeys((*own, *theirs, *self.everyone)))


def scoped(lines: Sequence[Line]) -> Scoped:
    """Lines by whom they are for.

    Args:
        lines: by rank.
    """
    everyone: list[str] = []
    segments: dict[str, list[str]] = {}
    customers: dict[str, list[str]] = {}
    for line in lines:
        if line.customer_id is not None:
            customers.setdefault(line.customer_id, []).append(line.product_id)
        elif line.segment is not None:
            segments.setdefault(line.segment, []).append(line.product_id)
        else:
            everyone.append(line.product_id)
    return Scoped(
        tuple(everyone),
        {name: tuple(products) for name, products in segments.items()},
        {name: tuple(products) for name, products in customers.items()},
    )


def segment_of(published: Published, row: int | None) -> str | None:
    """Segment of a customer; None: unknown."""
    return stratum_of(published, row, (SEGMENT,))


def stratum_of(
    published: Published, row: int | None, columns: Sequence[str]
) -> str | None:
    """Values of a customer in some columns of the profile, joined; None: none known."""
    found: list[str | None] = []
    for column in columns:
        profile = published.known.profiles.get(column)
        if row is None or profile is None or profile.codes[row] < 0:
            found.append(None)
        else:
            found.append(profile.words[profile.codes[row]])
    if not any(one is not None for one in found):
        return None
    return ", ".join("unknown" if one is None else one for one in found)


class ArmLists:
    """Lists of all arms of an experiment from one version.

    Args:
        answering: from what.
        published: the version.
        plan: of the experiment.
        picks: of each arm that shows some.
    """

    def __init__(
        self,
        answering: Answering,
        published: Published,
        plan: Plan,
        picks: Mapping[str, Scoped],
    ) -> None:
        self._from = answering
        self._published = published
        self._plan = plan
        self._picks = picks
        slots = plan.asked.slots
        self._asks: dict[str, Wishes] = {
            arm.name: wishes(published, slots, arm.show)
            for arm in plan.asked.arms
            if arm.show in ("mixed", "again", "new")
        }
        self._allowed = published.catalogue.available

    def version(self, arm: str | None) -> str | None:
        """Version of the list that an arm shows; None: it shows none of ours."""
        if arm == INTERLEAVED:
            both = [self.version(one.name) or "" for one in self._plan.asked.arms]
            return "+".join(dict.fromkeys(both))
        if arm is not None and arm in self._picks:
            return self._plan.picks[arm].label
        return self._published.version if arm in self._asks else None

    def items(
        self, arm: str | None, customer_id: str, row: int | None, segment: str | None
    ) -> list[Slot]:
        """What to show, best first.

        Args:
            arm: of the customer; None: none.
            customer_id: theirs.
            row: of the customer in the version; None: unknown.
            segment: theirs.
        """
        if arm is None:
            return []
        if arm in self._picks:
            return self._by_hand(self._picks[arm].of(customer_id, segment))
        ask = self._asks.get(arm)
        if ask is None:
            return []
        since = self._from.since(customer_id)
        lately = None
        if since is not None:
            lately = lately_of(self._published, since, self._from.now_us())
        view = view_of(self._published, row, lately)
        return [
            {
                "product_id": item["product_id"],
                "position": item["rank"],
                "reason": item["reason"],
            }
            for item in listed(view, ask)
        ]

    def dealt(
        self, customer_id: str, row: int | None, segment: str | None
    ) -> tuple[list[Slot], list[str]]:
        """Both lists dealt into one, and the arm that gave each product; see ``items``."""
        plan = self._plan
        lists = [
            {
                slot["product_id"]: slot
                for slot in self.items(arm, customer_id, row, segment)
            }
            for arm in plan.arms
        ]
        made = team_draft(
            list(lists[0]),
            list(lists[1]),
            plan.asked.slots,
            experiment=plan.asked.name,
            salt=plan.salt,
            customer_id=customer_id,
        )
        slots: list[Slot] = [
            {**lists[team][product], "position": place}
            for place, (product, team) in enumerate(
                zip(made.products, made.teams, strict=True), 1
            )
        ]
        return slots, [list(plan.arms)[team] for team in made.teams]

    def _by_hand(self, products: Sequence[str]) -> list[Slot]:
        ids = self._published.catalogue.ids
        found: list[Slot] = []
        for product_id in products:
            row = ids.row(product_id)
            if row is None or not self._allowed[row]:
                continue
            place = len(found) + 1
            found.append({"product_id": product_id, "position": place, "reason": None})
            if place == self._plan.asked.slots:
                break
        return found
