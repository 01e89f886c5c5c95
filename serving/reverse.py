"""Who is likeliest to buy a product, or one of several: the reverse direction.

Pure: a published version in, rows out. For one product the answer is read from the
map, probabilities as in the customers' own lists. For several (a category, a pick
list) they become P(buys at least one) by the fitted curve of ``training.any_of``,
in one walk over the likeliest customers of these products and over what everybody
bought; other pairs are not needed. Nobody who refused consent is in any answer.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from features.contracts import SettingError
from features.snapshot import DAY_US
from serving.lines import REASON_BOUGHT
from serving.published import Published
from training.any_of import hazard_of, share_of

REASON_NEW = "not bought before, likelier than others to buy it"
REASON_NONE = "buys as others do who never bought any of these"
"""Reasons of lines that are in no list of the customer."""

Rows = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Audience:
    """Customers, likeliest first; ties by customer id.

    Attributes:
        customer: rows of ``Published.customers``, ``[line]``.
        probability: P(buys at least one of the products within the horizon).
        product: row of the product that speaks most for it, -1: none does.
    """

    customer: Rows
    probability: Floats
    product: Rows


def product_rows(published: Published, ids: Sequence[str]) -> Rows:
    """Rows of products, ascending, each once.

    Raises:
        SettingError: an id is unknown to the published version.
    """
    rows = [published.catalogue.ids.row(identifier) for identifier in ids]
    known = [row for row in rows if row is not None]
    if len(known) < len(rows):
        raise SettingError(
            f"product: expected ids of the published version {published.version}, got "
            f"{len(rows) - len(known)} unknown of {len(rows)}, {ids[rows.index(None)]!r} "
            "the first; check the id, or publish again with a products table that has it"
        )
    return np.unique(np.array(known, dtype=np.int64))


def category_rows(published: Published, name: str) -> Rows:
    """Available products of a category.

    Raises:
        SettingError: there is no such category, or nothing of it is available.
    """
    catalogue = published.catalogue
    code = catalogue.categories.get(name)
    if code is None:
        raise SettingError(
            f"category: expected one of the {len(catalogue.categories)} of the "
            f"published version {published.version}, got {name!r}; check its spelling"
        )
    rows = np.flatnonzero((catalogue.category == code) & catalogue.available)
    if not rows.size:
        raise SettingError(
            f"category: expected one with available products, got {name!r}; set "
            "available in the products table and publish again"
        )
    return rows


def top_customers(published: Published, products: Rows, n: int) -> Audience:
    """The ``n`` customers likeliest to buy at least one of the products.

    Args:
        published: the version to answer from.
        products: distinct rows of products, see ``product_rows``, ``category_rows``.
        n: how many; for one product as many as are published at most.

    Raises:
        ValueError: ``n`` is below 1, or there are no products.
    """
    if n < 1:
        raise ValueError(f"n: expected at least 1, got {n}")
    if not len(products):
        raise ValueError("products: expected at least one, got none")
    if len(products) == 1:
        return _of_one(published, int(products[0]), n)
    return _of_several(published, products, n)


def _of_one(published: Published, product: int, n: int) -> Audience:
    buyers = published.buyers
    low, high = buyers.offsets[product : product + 2]
    rows = np.arange(low, high)
    rows = rows[published.consent[buyers.customer[low:high]]][:n]
    return Audience(
        buyers.customer[rows].astype(np.int64),
        buyers.probability[rows].astype(np.float64),
        np.full(len(rows), product, dtype=np.int64),
    )


def _of_several(published: Published, products: Rows, n: int) -> Audience:
    customers, buyers = len(published.customers), published.buyers
    sizes = buyers.offsets[products + 1] - buyers.offsets[products]
    before = np.repeat(buyers.offsets[products] - np.cumsum(sizes) + sizes, sizes)
    pairs = before + np.arange(sizes.sum())
    who, chance = buyers.customer[pairs], buyers.probability[pairs]
    hazard = _sums(who, hazard_of(chance), customers)
    own = _Own(published, products)
    probability = published.any_of.probability(
        hazard,
        _sums(own.customer, own.weight, customers),
        own.total,
        share_of(own.buyers_lately, customers),
    )
    order = np.argsort(-probability, kind="stable")
    chosen = order[published.consent[order]][:n]
    # The likeliest product; without one, the product of the group bought most.
    best = _strongest(own.customer, own.product, own.weight, customers)
    likeliest = _strongest(who, np.repeat(products, sizes), chance, customers)
    best = np.where(likeliest >= 0, likeliest, best)
    return Audience(chosen, probability[chosen], best[chosen])


class _Own:
    """What everybody bought of some products before.

    Attributes:
        customer, product, weight: of each purchase that counts, see
            ``Predictions.bought_weight``.
        total: weights of all that a customer bought, ``[customer]``.
        buyers_lately: customers who bought one of them within the last horizon.
    """

    def __init__(self, published: Published, products: Rows) -> None:
        wanted = np.zeros(len(published.catalogue.names), dtype=np.bool_)
        wanted[products] = True
        rows = np.flatnonzero(wanted[published.bought_products])
        last = published.last_bought[rows]
        customer = np.searchsorted(published.bought_offsets, rows, side="right") - 1
        since = published.cutoff_us - published.horizon_days * DAY_US
        self.buyers_lately = len(np.unique(customer[last >= since]))
        keep = np.ones(len(rows), dtype=np.bool_)
        if published.lives is not None:
            # Who has a durable that lasts does not need it because they bought it.
            lasting = published.lives.us[published.bought_products[rows]]
            keep = lasting <= published.cutoff_us - last
        self.customer: Rows = customer[keep]
        self.product: Rows = published.bought_products[rows[keep]].astype(np.int64)
        self.weight: Floats = published.bought_weight[rows[keep]].astype(np.float64)
        starts = published.bought_offsets[:-1]
        some = np.diff(published.bought_offsets) > 0
        self.total: Floats = np.zeros(len(starts))
        if some.any():
            weight = published.bought_weight
            self.total[some] = np.add.reduceat(weight, starts[some], dtype=np.float64)


def _sums(row: npt.NDArray[np.integer], weight: Floats, n: int) -> Floats:
    return np.bincount(row, weight, n).astype(np.float64)


def _strongest(
    customer: npt.NDArray[np.integer],
    product: Rows,
    weight: npt.NDArray[np.floating],
    n: int,
) -> Rows:
    """Product with the largest weight of each customer, the lower of equals; -1: none."""
    best = np.full(n, -1, dtype=np.int64)
    order = np.lexsort((-product, weight))
    best[customer[order]] = product[order]
    return best


def reasons(published: Published, audience: Audience) -> list[str]:
    """Why each line stands there: as in the customer's own list, if it is there."""
    offers, said = published.offers, list[str]()
    for row, product in zip(audience.customer, audience.product, strict=True):
        low, high = offers.offsets[row : row + 2]
        at = np.flatnonzero(offers.product[low:high] == product)
        if at.size:
            said.append(offers.reasons[int(offers.reason[low + at[0]])])
        elif product < 0:
            said.append(REASON_NONE)
        else:
            bought = bool(np.isin(product, published.bought(int(row))))
            said.append(REASON_BOUGHT if bought else REASON_NEW)
    return said
