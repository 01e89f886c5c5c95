"""One of the six dimensions: its streams of events and its declared features."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from features.contracts import PURCHASES, Table
from features.feature import Aggregate, Difference, Expression, Feature, Ratio
from features.history import Array, Events, Floats, History
from features.snapshot import DAY_US


@dataclass(frozen=True)
class Derived:
    """A column made of others of the same rows.

    Attributes:
        needs: the columns it is made of, by their names in ``Events``.
        make: those events and the history to the column, shape ``[row]``:
            boolean for a flag, int32 for codes (-1: null), else numbers.
    """

    needs: tuple[str, ...]
    make: Callable[[Events, History], Array]


@dataclass(frozen=True)
class Stream:
    """Events of a dimension, and what is computed of them.

    Attributes:
        table: where they come from.
        aggregates: the declared features.
        derived: columns that the declarations name and the table has not; only
            those in use are made.
        events: rows that are made of the history instead of the table's own,
            such as carts that were bought. Each row holds the time it belongs
            to and the moment from which all that it says was known.
        needs: by table name, the columns that ``events`` reads.
    """

    table: Table
    aggregates: tuple[Aggregate, ...]
    derived: Mapping[str, Derived] = field(default_factory=dict[str, Derived])
    events: Callable[[History], Events | None] | None = None
    needs: Mapping[str, tuple[str, ...]] = field(
        default_factory=dict[str, tuple[str, ...]]
    )

    @property
    def _named(self) -> set[str]:
        aggregates = self.aggregates
        named = ((a.column, a.weight, a.where, a.per) for a in aggregates)
        return {name for names in named for name in names if name}

    @property
    def columns(self) -> dict[str, set[str]]:
        """By table name, the columns that are read for the aggregates."""
        read = {table: set(columns) for table, columns in self.needs.items()}
        own: set[str] = set()
        for name in self._named:
            made = self.derived.get(name)
            own |= set(made.needs) if made else {name}
        if self.events is None:
            read.setdefault(self.table.name, set()).update(own)
        return read

    def read(self, history: History) -> Events | None:
        """The events with every column that the aggregates name.

        Returns:
            None where the table is missing.
        """
        events = (self.events or _rows_of(self.table))(history)
        if events is None:
            return None
        made = {
            name: self.derived[name].make(events, history)
            for name in sorted(self._named & self.derived.keys())
        }
        return with_columns(events, made)


def _rows_of(table: Table) -> Callable[[History], Events | None]:
    return lambda history: history.events(table)


@dataclass(frozen=True)
class Dimension:
    """One of the six that are made of events: streams, and expressions over them."""

    name: str
    streams: tuple[Stream, ...]
    expressions: tuple[Expression, ...]

    @property
    def table(self) -> Table:
        """The first; no row of it known before a cutoff: all null for everyone."""
        return self.streams[0].table

    @property
    def aggregates(self) -> tuple[Aggregate, ...]:
        """Those of all streams, in the order of their columns."""
        return tuple(a for stream in self.streams for a in stream.aggregates)

    @property
    def features(self) -> tuple[Feature, ...]:
        """All features in the order of their columns."""
        return (*self.aggregates, *self.expressions)

    def only(self, names: Collection[str]) -> Dimension:
        """The dimension with the named features, and what they are computed of."""
        wanted = set(names)
        for line in reversed(self.expressions):
            if line.name in wanted:
                wanted |= {line.top, _other(line)}
        return replace(
            self,
            streams=tuple(
                replace(
                    stream,
                    aggregates=tuple(a for a in stream.aggregates if a.name in wanted),
                )
                for stream in self.streams
            ),
            expressions=tuple(e for e in self.expressions if e.name in wanted),
        )


def dimension(
    name: str, *streams: Stream, expressions: tuple[Expression, ...] = ()
) -> Dimension:
    """The dimension, with its name written into every feature."""
    return Dimension(
        name,
        tuple(
            replace(
                stream,
                aggregates=tuple(replace(a, dimension=name) for a in stream.aggregates),
            )
            for stream in streams
        ),
        tuple(replace(line, dimension=name) for line in expressions),
    )


def columns_read(dimensions: Iterable[Dimension]) -> dict[str, set[str]]:
    """By table name, the columns of ``Events`` that the dimensions read."""
    read: dict[str, set[str]] = {PURCHASES.name: {"quantity"}}
    for stream in (s for d in dimensions for s in d.streams if s.aggregates):
        for table, columns in stream.columns.items():
            read.setdefault(table, set()).update(columns)
    return read


def _day(events: Events, _: History) -> Array:
    day = events.ts // DAY_US
    return (day - day.min(initial=0)).astype(np.int32)


BY_DAY = Derived((), _day)
"""A code for each calendar day, of the table's own clock."""


def is_word(column: str, word: str) -> Derived:
    """A flag: the column of a closed set holds the word."""

    def make(events: Events, _: History) -> Array:
        return events.columns[column] == events.words[column].index(word)

    return Derived((column,), make)


def of_product(attribute: str) -> Derived:
    """The product's ``category``, ``subcategory`` or ``brand``; -1: unknown.

    Also where the product was launched after the event: a cutoff in between does
    not know its row of ``products``.
    """

    def make(events: Events, history: History) -> Array:
        product, products = events.columns["product"], history.products
        # The last entry is met by -1, an unknown product.
        codes = np.append(getattr(products, attribute), np.int32(-1))[product]
        launched = np.append(products.launched, np.iinfo(np.int64).min)[product]
        return np.where(launched > events.ts, -1, codes).astype(np.int32)

    return Derived(("product",), make)


def computed(
    wide: Mapping[str, Floats], declared: Sequence[Expression]
) -> dict[str, Floats]:
    """Every expression over the columns of the wide table, NaN where undefined.

    Args:
        wide: columns by name, each of shape ``[row]``.
        declared: what to compute, in order; one may use those before it.
    """
    results: dict[str, Floats] = {}
    known = dict(wide)
    for line in declared:
        top, other = known[line.top], known[_other(line)]
        if isinstance(line, Difference):
            value = top - other
        else:
            value = line.times * top / np.where(other == 0, np.nan, other)
            value = 1.0 - value if line.complement else value
        known[line.name] = results[line.name] = value
    return results


def _other(line: Ratio | Difference) -> str:
    """The column that stands on the right of the expression's sign."""
    return line.minus if isinstance(line, Difference) else line.under


def with_columns(events: Events, columns: Mapping[str, Array]) -> Events:
    """The same events with further columns."""
    return replace(events, columns={**events.columns, **columns})
