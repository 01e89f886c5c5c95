"""Which arm of an experiment a customer is in: a hash, and nothing kept.

The rule, so that any language can follow it:

1. ``text`` = name, version, salt and customer id, joined by U+001F, as UTF-8.
2. ``point`` = the first eight bytes of SHA-256(``text``), big-endian, unsigned.
3. With whole weights ``w_1 … w_k`` of sum ``W``, arm ``i`` ends at
   ``floor(2^64 * (w_1 + … + w_i) / W)``; the customer is in the first arm whose
   end lies above ``point``. All of it is integer arithmetic.
4. With a layer, the same point is taken of the layer's name, ``""``, its salt
   and the customer id; the customer takes part if the point lies in the
   experiment's range of the layer, ends found as in 3 with ``W`` = 10,000.

The layer's hash is another one than the arms', so the range says nothing about
the arm. A new version or salt draws all customers anew. Strata play no part:
drawing within strata needs to know who else is there, and a stateless rule does
not; reports show the effect weighed by segment afterwards, which gives the same precision up to
terms of 1/n (Miratrix, Sekhon and Yu, 2013, Adjusting treatment effect estimates
by post-stratification in randomized experiments, JRSS B 75).
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Literal

import numpy as np
import numpy.typing as npt

from features.sql import quoted

SEPARATOR = "\x1f"
LAYER_PARTS = 10_000
"""A layer is cut into so many parts; ranges are given in parts."""

_SPACE = 1 << 64

Why = Literal["hash", "override", "excluded", "outside layer"]
"""How a customer came into an arm, or why into none."""

Points = npt.NDArray[np.uint64]


@dataclass(frozen=True)
class Arm:
    """One variant. ``weight`` is whole; only the ratio of weights matters.

    ``holdout``: gets nothing at all; it tells what any offer is worth.
    """

    name: str
    weight: int
    holdout: bool = False


@dataclass(frozen=True)
class LayerRange:
    """An experiment's part of a layer: parts ``[start, end)`` of ``LAYER_PARTS``.

    Experiments of one layer whose ranges do not overlap share no customer.
    """

    name: str
    salt: str
    start: int
    end: int

    def __post_init__(self) -> None:
        if not 0 <= self.start < self.end <= LAYER_PARTS:
            raise ValueError(
                f"layer {self.name}: expected 0 <= start < end <= {LAYER_PARTS}, "
                f"got {self.start} and {self.end}"
            )

    def overlaps(self, other: LayerRange) -> bool:
        """Whether a customer can be in both. Other layers are independent."""
        same = (self.name, self.salt) == (other.name, other.salt)
        return same and self.start < other.end and other.start < self.end


@dataclass(frozen=True)
class Split:
    """How an experiment draws its customers.

    Attributes:
        version: raised to draw all customers anew.
        arms: control first.
        layer: None: open to every customer.
    """

    name: str
    salt: str
    arms: tuple[Arm, ...]
    version: int = 1
    layer: LayerRange | None = None

    def __post_init__(self) -> None:
        names = [arm.name for arm in self.arms]
        if len(names) < 2 or len(set(names)) < len(names):
            raise ValueError(
                f"arms: expected two or more of different names, got {names}"
            )
        if any(arm.weight <= 0 for arm in self.arms):
            raise ValueError("arms: expected weights of 1 or more; leave out the arm")
        if any(SEPARATOR in part for part in (self.name, self.salt)):
            raise ValueError("name, salt: expected text without U+001F")

    @property
    def shares(self) -> dict[str, float]:
        """Expected share of each arm among those who take part."""
        total = sum(arm.weight for arm in self.arms)
        return {arm.name: arm.weight / total for arm in self.arms}


@dataclass(frozen=True)
class Assigned:
    """Where a customer is; ``arm`` is None for one who takes no part.

    Only ``why == "hash"`` was drawn: others are left out of every comparison.
    """

    customer_id: str
    arm: str | None
    why: Why


def assign(
    split: Split,
    customer_ids: Sequence[str],
    overrides: Mapping[str, str] | None = None,
    excluded: Collection[str] = (),
) -> list[Assigned]:
    """The arm of every customer, in the given order.

    Args:
        split: the experiment.
        customer_ids: any number; the same id gives the same arm for ever.
        overrides: arm by customer id, for tests and staff; they win over all
            but an exclusion.
        excluded: customers who never take part; they win over all.

    Raises:
        ValueError: an override names no arm of the experiment.
    """
    forced = overrides or {}
    names = [arm.name for arm in split.arms]
    if unknown := sorted(set(forced.values()) - set(names)):
        raise ValueError(f"overrides: expected one of {names}, got {unknown}")
    barred = frozenset(excluded)
    found: list[Assigned] = []
    for customer, arm in zip(customer_ids, arms_of(split, customer_ids), strict=True):
        if customer in barred:
            found.append(Assigned(customer, None, "excluded"))
        elif customer in forced:
            found.append(Assigned(customer, forced[customer], "override"))
        elif arm < 0:
            found.append(Assigned(customer, None, "outside layer"))
        else:
            found.append(Assigned(customer, names[arm], "hash"))
    return found


def arms_of(split: Split, customer_ids: Sequence[str]) -> npt.NDArray[np.int16]:
    """Place of the drawn arm in ``split.arms``, -1: outside the layer, ``[customer]``.

    Knows no overrides and no exclusions. A million ids take about a second.
    """
    ends = _ends([arm.weight for arm in split.arms])
    arm = _place(points(split.name, str(split.version), split.salt, customer_ids), ends)
    if split.layer is None:
        return arm
    layer = split.layer
    at = points(layer.name, "", layer.salt, customer_ids)
    inside = (at >= _border(layer.start)) & _below(at, _border(layer.end))
    return np.where(inside, arm, np.int16(-1))


def points(name: str, version: str, salt: str, customer_ids: Sequence[str]) -> Points:
    """Where each customer's hash lies in ``[0, 2^64)``, shape ``[customer]``."""
    start = hashlib.sha256(_text(name, version, salt).encode())
    digests: list[bytes] = []
    for customer in customer_ids:
        mine = start.copy()
        mine.update(customer.encode())
        digests.append(mine.digest()[:8])
    return np.frombuffer(b"".join(digests), dtype=">u8").astype(np.uint64)


def arm_sql(split: Split, customer_id: str = "customer_id") -> str:
    """The same as an expression of DuckDB: the arm's name, null outside the layer.

    Args:
        split: the experiment.
        customer_id: SQL of a text column.
    """
    ends = _ends([arm.weight for arm in split.arms])
    at = _point_sql(split.name, str(split.version), split.salt, customer_id)
    whens = " ".join(
        f"WHEN {at} < {end} THEN {quoted(arm.name)}"
        for arm, end in zip(split.arms[:-1], ends[:-1], strict=True)
    )
    arm = f"CASE {whens} ELSE {quoted(split.arms[-1].name)} END"
    if split.layer is None:
        return arm
    layer = split.layer
    where = _point_sql(layer.name, "", layer.salt, customer_id)
    low, high = _border(layer.start), _border(layer.end) - 1
    return f"CASE WHEN {where} BETWEEN {low} AND {high} THEN {arm} END"


def _text(name: str, version: str, salt: str) -> str:
    return SEPARATOR.join((name, version, salt, ""))


def _point_sql(name: str, version: str, salt: str, customer_id: str) -> str:
    start = quoted(_text(name, version, salt))
    return f"('0x' || sha256({start} || {customer_id})[:16])::UBIGINT"


def _ends(weights: Sequence[int]) -> list[int]:
    total = sum(weights)
    return [_SPACE * upto // total for upto in accumulate(weights)]


def _border(part: int) -> int:
    return _SPACE * part // LAYER_PARTS


def _below(at: Points, end: int) -> npt.NDArray[np.bool_]:
    # 2^64 itself is no uint64.
    return at <= np.uint64(end - 1) if end else np.zeros(len(at), dtype=np.bool_)


def _place(at: Points, ends: Sequence[int]) -> npt.NDArray[np.int16]:
    inner = np.array(ends[:-1], dtype=np.uint64)
    return np.searchsorted(inner, at, side="right").astype(np.int16)
