"""One of the six dimensions: its events, its declared features, its ratios."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import numpy as np

from features.declare import Aggregate, Feature, Ratio
from features.history import Array, Events, Floats, History


@dataclass(frozen=True)
class Dimension:
    """One of the six: where its events come from, and its declared features.

    ``events`` returns None where the table is missing.
    """

    name: str
    events: Callable[[History], Events | None]
    aggregates: tuple[Aggregate, ...]
    ratios: tuple[Ratio, ...]

    @property
    def features(self) -> tuple[Feature, ...]:
        """All features in the order of their columns."""
        return (*self.aggregates, *self.ratios)


def dimension(
    name: str,
    events: Callable[[History], Events | None],
    aggregates: tuple[Aggregate, ...],
    ratios: tuple[Ratio, ...] = (),
) -> Dimension:
    """The dimension, with its name written into every feature."""
    return Dimension(
        name,
        events,
        tuple(replace(a, dimension=name) for a in aggregates),
        tuple(replace(r, dimension=name) for r in ratios),
    )


def ratios(
    wide: Mapping[str, Floats], declared: tuple[Ratio, ...]
) -> dict[str, Floats]:
    """Every ratio over the columns of the wide table, NaN where undefined.

    Args:
        wide: columns by name, each of shape ``[row]``.
        declared: what to compute, in order; one may use those before it.
    """
    results: dict[str, Floats] = {}
    for line in declared:
        top, under = ({**wide, **results}[name] for name in (line.top, line.under))
        value = line.times * top / np.where(under == 0, np.nan, under)
        results[line.name] = 1.0 - value if line.complement else value
    return results


def with_columns(events: Events, columns: Mapping[str, Array]) -> Events:
    """The same events with further columns."""
    return replace(events, columns={**events.columns, **columns})


def with_kinds(events: Events, column: str) -> Events:
    """The same events with one boolean column per word of a closed set."""
    codes = events.columns[column]
    words = enumerate(events.words[column])
    return with_columns(events, {word: codes == code for code, word in words})
