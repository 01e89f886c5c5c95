"""What changed from one period to the next, and why: pure functions on sums.

Net sales are buyers times orders per buyer times value of an order. How much of a
change comes from each factor is split with the logarithmic mean, so that the parts
add up to the change, whichever order they are taken in.

Source: Ang (2004), "Decomposition analysis for policymaking in energy", the additive
LMDI-I form.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from serving.insight.blocks import COLUMN, Block, Kpis
from serving.insight.kpis import By, Kind

FACTORS = ("buyers", "orders_per_buyer", "order_value")
GROUPS: tuple[By, ...] = ("segment", "region", "tier", "channel")


@dataclass(frozen=True)
class Change:
    """Net sales of a period beside the one before.

    Attributes:
        before, now: shop currency.
        parts: of ``now - before``, by ``FACTORS``; they add up to it. None: a factor
            was 0 or below in one of the two.
        factors: by ``FACTORS``, before and now; NaN: undefined.
    """

    before: float
    now: float
    parts: Mapping[str, float] | None
    factors: Mapping[str, tuple[float, float]]


@dataclass(frozen=True)
class Mover:
    """A group and what it added to the change of net sales, shop currency.

    Attributes:
        group: None: not known.
    """

    by: By
    group: str | None
    before: float
    now: float

    @property
    def added(self) -> float:
        """Below 0: it took away."""
        return self.now - self.before


def change_of(block: Block, at: int, row: int = 0) -> Change | None:
    """The change of net sales to a period from the one before.

    Args:
        block: sums by group and period.
        at: the period; the first one has none before it.
        row: the group.
    """
    if at < 1:
        return None
    cells = block.cells[row]
    then, now = (
        [float(cells[k, COLUMN[name]]) for name in ("buyers", "orders", "net")]
        for k in (at - 1, at)
    )
    factors = {
        name: (first, second)
        for name, first, second in zip(
            FACTORS, _factors(then), _factors(now), strict=True
        )
    }
    return Change(then[2], now[2], _split(then[2], now[2], factors), factors)


def _factors(sums: list[float]) -> tuple[float, float, float]:
    buyers, orders, net = sums
    return (
        buyers,
        orders / buyers if buyers else np.nan,
        net / orders if orders else np.nan,
    )


def _split(
    before: float, now: float, factors: Mapping[str, tuple[float, float]]
) -> dict[str, float] | None:
    if not all(a > 0 and b > 0 for a, b in factors.values()):
        return None
    # The logarithmic mean of both.
    mean = before if before == now else (now - before) / float(np.log(now / before))
    return {name: mean * float(np.log(b / a)) for name, (a, b) in factors.items()}


def movers_of(kpis: Kpis, kind: Kind, at: int, most: int) -> tuple[Mover, ...]:
    """Groups that moved net sales most, up or down, by the size of what they added.

    Args:
        kpis: as published.
        kind: of the period.
        at: the period; counted as in every block of this kind.
        most: groups.
    """
    found: list[Mover] = []
    for by in GROUPS:
        block = kpis.blocks.get((by, kind))
        if block is None or at < 1 or len(block.groups) < 2:
            continue
        net = block.cells[:, :, COLUMN["net"]]
        found += [
            Mover(by, group, float(net[row, at - 1]), float(net[row, at]))
            for row, group in enumerate(block.groups)
        ]
    found = [one for one in found if np.isfinite(one.added) and one.added]
    found.sort(key=lambda one: (-abs(one.added), one.by, one.group or ""))
    return tuple(found[:most])
