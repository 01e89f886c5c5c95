"""What lists are like, whatever is bought of them: one figure for all customers.

Lists are product codes, best first, ``[customer, slot]``, -1: empty slot. A figure is
NaN where nothing that it speaks of is in any list.
"""

from __future__ import annotations

import numpy as np

from features.history import Bools, Floats, Ints
from features.pairs import Singles


def coverage(lists: Ints, available: Bools) -> float:
    """Share of the available products that are shown to anybody.

    Args:
        lists: of all customers.
        available: ``[product]``.
    """
    shown = np.zeros(len(available), dtype=np.bool_)
    shown[lists[lists >= 0]] = True
    return _share(float((shown & available).sum()), float(available.sum()))


def self_information(buyers: Singles, customers: int) -> Floats:
    """Bits of surprise that a customer is a buyer: ``-log2((b + 1) / (n + 1))``.

    0 if everybody bought it. One buyer is added, so that a product that nobody bought
    has a value too.

    Args:
        buyers: customers who ever bought it, ``[product]``.
        customers: with history.

    Source: Zhou et al. (2010), "Solving the apparent diversity-accuracy dilemma of
    recommender systems", PNAS 107, as "surprisal".
    """
    return -np.log2((buyers.astype(np.float64) + 1) / (customers + 1))


def popularity(buyers: Singles, available: Bools) -> Floats:
    """Share of the available products with fewer buyers, ties half, ``[product]``.

    1 is the best seller; the mean over all available products is 1/2, so lists with
    more lean to best sellers.
    """
    known = np.sort(buyers[available])
    below = np.searchsorted(known, buyers, side="left")
    upto = np.searchsorted(known, buyers, side="right")
    return (below + upto) / 2 / max(len(known), 1)


def mean_of(lists: Ints, value: Floats) -> float:
    """Mean of a product's value over all filled slots.

    Args:
        lists: of all customers.
        value: ``[product]``.
    """
    shown = lists[lists >= 0]
    return float(value[shown].mean()) if len(shown) else float("nan")


def diversity(lists: Ints, group: Ints) -> float:
    """Share of the pairs of products of one list that are of different groups.

    Args:
        lists: of all customers; a mean over those with such a pair.
        group: ``[product]``, -1: unknown; such products are in no pair.

    Source: Ziegler et al. (2005), intra-list similarity, of groups equal or not.
    """
    groups = np.where(lists >= 0, group[lists], -1)
    known = (groups >= 0).sum(axis=1)
    # Pairs of the same group, from how often each slot's group stands in the list.
    same = (groups[:, :, None] == groups[:, None, :]) & (groups >= 0)[:, :, None]
    alike = (same.sum(axis=(1, 2)) - known) / 2
    pairs = known * (known - 1) / 2
    some = pairs > 0
    return float(np.mean(1 - alike[some] / pairs[some])) if some.any() else float("nan")


def personalisation(lists: Ints) -> float:
    """How different two customers' lists are: 1 less the share that they have in common.

    Over all pairs of customers: 1 less the common products, divided by the products of
    the shorter lists. 0: the same list for everybody; 1: no product in two lists.
    """
    sizes = np.sort((lists >= 0).sum(axis=1))
    shorter = float(np.sum(sizes * np.arange(len(sizes))[::-1]))
    times = np.bincount(lists[lists >= 0]).astype(np.float64)
    common = float(np.sum(times * (times - 1) / 2))
    return 1 - common / shorter if shorter else float("nan")


def _share(part: float, whole: float) -> float:
    return part / whole if whole else float("nan")
