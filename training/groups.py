"""Is the score as good for every kind of customer? Figures by group.

Groups are made of the feature table at the cutoff, so that they are known then:
texts of the profile, the number of orders, and which dimensions say anything.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from features.assemble import FEATURES
from features.feature import Aggregate, Feature, Statistic
from features.history import Array, Bools, Floats
from training import metrics
from training.calibration import expected_calibration_error
from training.metrics import MODEL

ORDERS = "orders so far"
ORDER_GROUPS = (("1", 1), ("2 to 4", 4), ("5 to 12", 12), ("13 or more", np.inf))
"""Name and largest number of orders, ascending."""

DATA_OF = "data of "
"""Begins the name of a property that says whether a dimension has rows."""

NOT_KNOWN, OTHERS = "not known", "others"
MOST_GROUPS = 12
BINS = 10


@dataclass(frozen=True)
class Group:
    """Figures of one group.

    Attributes:
        name: of the group.
        customers: rows of the sample.
        base_rate: share who bought.
        promised: our mean probability.
        auc: by model; NaN where all or none bought.
        ece: our expected calibration error.
        ece_by_chance: what it would be about if every probability was right: the
            smaller the group, the larger.
    """

    name: str
    customers: int
    base_rate: float
    promised: float
    auc: dict[str, float]
    ece: float
    ece_by_chance: float


@dataclass(frozen=True)
class Breakdown:
    """All customers by one property.

    Attributes:
        name: of the property.
        groups: those that are large enough, the others together at the end.
        pooled: how many groups these others are.
        dropped: customers of the others, where they are too few for a line.
    """

    name: str
    groups: tuple[Group, ...]
    pooled: int
    dropped: int


def groups_of(rows: pa.Table) -> dict[str, Array]:
    """The group of every customer, by property; None: not known.

    Args:
        rows: of ``assemble`` at one cutoff.

    Returns:
        ``ORDERS``, the texts of the profile in order of the table, then
        ``DATA_OF`` every dimension: ``with`` or ``without`` a row known. A dimension
        of events has a row if one of its counts over all history is neither null
        nor 0; the profile if one of its columns is not null.
    """
    found: dict[str, Array] = {ORDERS: _by_orders(rows)}
    for name in rows.column_names:
        column = rows.column(name)
        if pa.types.is_dictionary(column.type):
            texts = column.cast(pa.string()).to_pylist()
            found[name] = np.array([*texts, None], dtype=object)[:-1]
    for dimension in dict.fromkeys(feature.dimension for feature in FEATURES):
        has = _has_rows(rows, dimension)
        found[DATA_OF + dimension] = np.where(has, "with", "without").astype(object)
    return found


def by_group(
    label: Floats, scores: Mapping[str, Floats], group: Array, least: int
) -> tuple[tuple[Group, ...], int, int]:
    """Figures of every group of one property.

    Args:
        label: 0 or 1, shape ``[row]``.
        scores: by model, same shape.
        group: name or None, same shape.
        least: smaller groups, and all beyond the ``MOST_GROUPS`` largest, are pooled.

    Returns:
        The groups: numbers of orders ascending, others by size, descending; how
        many were pooled; and how many rows were dropped, since even the pooled
        ones are fewer than ``least``.
    """
    parts = parts_of(group, least)
    found = tuple(_group(n, label, scores, rows) for n, rows in parts.rows.items())
    return found, parts.pooled, parts.dropped


@dataclass(frozen=True)
class Parts:
    """Rows parted by one property.

    Attributes:
        rows: which rows, by name of the group; numbers of orders ascending, others
            by size, descending.
        pooled: how many groups are in ``OTHERS``.
        dropped: rows of the others, where they are too few for a group.
    """

    rows: dict[str, Bools]
    pooled: int
    dropped: int


def parts_of(group: Array, least: int) -> Parts:
    """The groups of one property that are large enough, the others together.

    Args:
        group: name or None, shape ``[row]``.
        least: smaller groups, and all beyond the ``MOST_GROUPS`` largest, are pooled.
    """
    names = np.array([NOT_KNOWN if g is None else str(g) for g in group], dtype=object)
    unique, sizes = np.unique(names, return_counts=True)
    size = dict(zip(unique.tolist(), sizes.tolist(), strict=True))
    ranked = sorted(size, key=lambda name: (-size[name], name))
    kept = [name for name in ranked[:MOST_GROUPS] if size[name] >= least]
    rest = np.isin(names, kept, invert=True)
    place = {title: n for n, (title, _) in enumerate(ORDER_GROUPS)}
    if set(kept) <= set(place):
        kept.sort(key=lambda name: place[name])
    rows = {name: names == name for name in kept}
    dropped = int(rest.sum()) if 0 < rest.sum() < least else 0
    if rest.any() and not dropped:
        rows[OTHERS] = rest
    return Parts(rows, len(size) - len(kept), dropped)


def breakdowns(
    label: Floats, scores: Mapping[str, Floats], groups: Mapping[str, Array], least: int
) -> tuple[Breakdown, ...]:
    """Every property that tells customers apart.

    Args:
        label: 0 or 1, shape ``[row]``.
        scores: by model, same shape.
        groups: of ``groups_of``, same shape.
        least: see ``by_group``.

    Returns:
        Properties without two groups that are large enough are left out.
    """
    found: list[Breakdown] = []
    for name, group in groups.items():
        lines, pooled, dropped = by_group(label, scores, group, least)
        if len(lines) > 1:
            found.append(Breakdown(name, lines, pooled, dropped))
    return tuple(found)


def availability(groups: Mapping[str, Array]) -> dict[str, float]:
    """Share of customers of whom a dimension knows a row, by dimension."""
    return {
        name.removeprefix(DATA_OF): float(np.mean(group == "with"))
        for name, group in groups.items()
        if name.startswith(DATA_OF)
    }


def _group(
    name: str, label: Floats, scores: Mapping[str, Floats], rows: Bools
) -> Group:
    mine, ours = label[rows], scores[MODEL][rows]
    return Group(
        name=name,
        customers=len(mine),
        base_rate=float(mine.mean()),
        promised=float(ours.mean()),
        auc={model: metrics.auc(mine, score[rows]) for model, score in scores.items()},
        ece=expected_calibration_error(ours, mine, BINS),
        ece_by_chance=_chance_error(ours),
    )


def _chance_error(probability: Floats) -> float:
    """Expected calibration error of right probabilities, by the normal distribution."""
    order = np.argsort(probability, kind="stable")
    variance = [
        float(np.sum(probability[part] * (1 - probability[part])))
        for part in np.array_split(order, BINS)
    ]
    return float(np.sum(np.sqrt(2 / np.pi * np.array(variance)))) / len(probability)


def _by_orders(rows: pa.Table) -> Array:
    orders = rows.column("orders_count").to_numpy()
    limits = np.array([most for _, most in ORDER_GROUPS])
    names = np.array([name for name, _ in ORDER_GROUPS], dtype=object)
    return names[np.searchsorted(limits, orders)]


def _has_rows(rows: pa.Table, dimension: str) -> Bools:
    mine = [feature for feature in FEATURES if feature.dimension == dimension]
    counts = [feature.name for feature in mine if _counts_all(feature)]
    has = np.zeros(rows.num_rows, dtype=np.bool_)
    for name in counts or [feature.name for feature in mine]:
        column = rows.column(name).combine_chunks()
        known = column.is_valid().to_numpy(zero_copy_only=False)
        if counts:
            known &= column.fill_null(0).to_numpy(zero_copy_only=False) > 0
        has |= known
    return has


def _counts_all(feature: Feature) -> bool:
    return (
        isinstance(feature, Aggregate)
        and feature.statistic == Statistic.COUNT
        and feature.window_days is None
    )
