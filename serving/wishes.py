"""What one request asks for, worked out once for every customer in it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import numpy as np
import numpy.typing as npt

from features.snapshot import DAY_US
from serving.catalogue import Catalogue, Order
from serving.published import Published
from serving.rules import NO_RULES, Rules, check

Lane = Literal["mixed", "again", "new"]

ProductRows = npt.NDArray[np.int32]


@dataclass(frozen=True)
class Wishes:
    """What one request asks for every customer in it.

    Attributes:
        n: length of the list.
        lane: ``mixed``, ``again`` (bought before) or ``new`` (never bought).
        allowed: bool ``[product]``, products that pass the filters.
        rules: None: the best ``n``.
        cutoff_us: of the version that answers, microseconds.
    """

    catalogue: Catalogue
    n: int
    lane: Lane
    allowed: npt.NDArray[np.bool_]
    rules: Rules | None
    cutoff_us: int

    @cached_property
    def order(self) -> Order:
        """The order in which products fill lists."""
        rules = self.rules or NO_RULES
        return self.catalogue.orders[rules.weight_by]

    @cached_property
    def fill(self) -> ProductRows:
        """Allowed products in fill order; worked out at most once a request."""
        order = self.order.rows if self.rules else self.catalogue.fill_order
        return order[self.allowed[order]]

    @cached_property
    def arrived(self) -> npt.NDArray[np.bool_]:
        """Products that arrived lately, ``[product]``."""
        rules, arrived = self.rules or NO_RULES, self.catalogue.arrived
        since = self.cutoff_us - rules.new_arrival_days * DAY_US
        return (arrived >= since) & (arrived < self.cutoff_us)

    @cached_property
    def fill_arrived(self) -> ProductRows:
        """The part of ``fill`` that arrived lately."""
        return self.fill[self.arrived[self.fill]]

    @cached_property
    def depth(self) -> npt.NDArray[np.int64]:
        """Place of each row of ``fill`` within its category, from 0."""
        return _depth(self.catalogue.category[self.fill])

    @cached_property
    def depth_arrived(self) -> npt.NDArray[np.int64]:
        """The same of ``fill_arrived``, among recent arrivals."""
        return _depth(self.catalogue.category[self.fill_arrived])


def _depth(codes: ProductRows) -> npt.NDArray[np.int64]:
    """How many equal codes stand before each."""
    order = np.argsort(codes, kind="stable")
    ordered = codes[order]
    first = np.searchsorted(ordered, ordered)
    depth = np.empty(codes.size, dtype=np.int64)
    depth[order] = np.arange(codes.size) - first
    return depth


def wishes(
    published: Published,
    n: int,
    lane: Lane = "mixed",
    categories: Iterable[str] = (),
    without: Iterable[str] = (),
    *,
    available_only: bool = True,
    rules: Rules = NO_RULES,
) -> Wishes:
    """The filters of a request as one mask over all products.

    Args:
        published: the version to answer from.
        n: length of each list, at least 1.
        lane: which of the three lists.
        categories: only these; none given means all. A category that the
            catalogue lacks matches nothing.
        without: product ids that must not appear; unknown ids are ignored.
        available_only: leave out products that cannot be bought now.
        rules: what else is asked of each list.

    Raises:
        ValueError: ``n`` is below 1.
        RuleError: a rule is out of range, does not fit ``n`` or ``lane``, or
            needs what no product of the shop has.
    """
    if n < 1:
        raise ValueError(f"n: expected at least 1, got {n}")
    catalogue = published.catalogue
    asked = None
    if rules is not NO_RULES:
        check(rules, n, lane, catalogue)
        asked = rules if rules.asked else None
    if available_only:
        allowed = catalogue.available
    else:
        allowed = np.ones(len(catalogue.names), dtype=bool)
    if names := set(categories):
        codes = [
            c for name in names if (c := catalogue.categories.get(name)) is not None
        ]
        allowed = allowed & np.isin(catalogue.category, codes)
    rows = [row for text in without if (row := catalogue.ids.row(text)) is not None]
    if rows:
        allowed = allowed.copy()
        allowed[rows] = False
    return Wishes(catalogue, n, lane, allowed, asked, published.cutoff_us)
