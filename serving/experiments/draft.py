"""Two lists dealt into one; see ``interleave`` for what it is for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from serving.experiments.assign import SEPARATOR, points

FIRST, SECOND = 0, 1
"""Teams."""


@dataclass(frozen=True)
class Interleaved:
    """One list out of two: ``teams[i]`` gave ``products[i]``."""

    products: tuple[str, ...]
    teams: tuple[int, ...]


def team_draft(
    first: Sequence[str],
    second: Sequence[str],
    n: int,
    *,
    experiment: str,
    salt: str,
    customer_id: str,
) -> Interleaved:
    """One list of up to ``n`` products, the same for the same arguments.

    Args:
        first: products, best first.
        second: the same of the other list.
        n: slots.
        experiment: its name; with salt and customer it draws who goes first.
        salt: of the experiment.
        customer_id: who will see the list.

    The coin of round i is the top bit of the point of ``assign`` with version
    ``draft`` and customer ``i U+001F customer_id``; 1: the second list goes first.
    """
    lists = [list(dict.fromkeys(first)), list(dict.fromkeys(second))]
    rounds = [f"{i}{SEPARATOR}{customer_id}" for i in range(n)]
    coins = points(experiment, "draft", salt, rounds) >> np.uint64(63)
    taken: dict[str, int] = {}
    for coin in coins:
        for team in (int(coin), 1 - int(coin)):
            best = next((p for p in lists[team] if p not in taken), None)
            if best is not None and len(taken) < n:
                taken[best] = team
    return Interleaved(tuple(taken), tuple(taken.values()))
