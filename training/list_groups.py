"""Are the lists as good for every kind of customer? Recall and hit by group."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from features.history import Array, Bools, Floats
from training.groups import parts_of
from training.metrics import MODEL


@dataclass(frozen=True)
class LaneOfGroup:
    """One lane's lists, for one group.

    Attributes:
        customers: with something to find.
        recall, hit: ours, means over them; NaN without such customers.
        rivals: recall of every generator alone, by name.
    """

    customers: int
    recall: float
    hit: float
    rivals: dict[str, float]


@dataclass(frozen=True)
class ListGroup:
    """Buyers of one group: how many, and the figures by lane."""

    name: str
    customers: int
    lanes: dict[str, LaneOfGroup]


@dataclass(frozen=True)
class ListBreakdown:
    """All buyers by one property; see ``groups.Breakdown``."""

    name: str
    groups: tuple[ListGroup, ...]
    pooled: int
    dropped: int


def list_breakdowns(
    compared: Mapping[str, Mapping[str, Mapping[str, Floats]]],
    groups: Mapping[str, Array],
    least: int,
) -> tuple[ListBreakdown, ...]:
    """Every property that tells buyers apart.

    Args:
        compared: by lane, method and figure, ``[buyer]``; NaN: nothing to find.
        groups: by property, name or None, ``[buyer]``.
        least: see ``groups.parts_of``.

    Returns:
        Properties without two groups that are large enough are left out.
    """
    found: list[ListBreakdown] = []
    for name, group in groups.items():
        parts = parts_of(group, least)
        if len(parts.rows) > 1:
            lines = tuple(
                ListGroup(
                    title,
                    int(rows.sum()),
                    {lane: _lane(of, rows) for lane, of in compared.items()},
                )
                for title, rows in parts.rows.items()
            )
            found.append(ListBreakdown(name, lines, parts.pooled, parts.dropped))
    return tuple(found)


def _lane(methods: Mapping[str, Mapping[str, Floats]], rows: Bools) -> LaneOfGroup:
    ours = methods[MODEL]
    counted = rows & ~np.isnan(ours["recall"])

    def mean(values: Floats) -> float:
        return float(values[counted].mean()) if counted.any() else float("nan")

    return LaneOfGroup(
        customers=int(counted.sum()),
        recall=mean(ours["recall"]),
        hit=mean(ours["hit"]),
        rivals={n: mean(of["recall"]) for n, of in methods.items() if n != MODEL},
    )
