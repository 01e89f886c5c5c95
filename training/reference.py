"""How features and scores were spread when a model was trained: counts, no customers.

It lies beside the model, outside what its name vouches for. A number has bins between
its twentieths at the model's cutoff, a text one for each word. Every bin is counted at
the model's cutoff and at every cutoff that the model learned from.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from features.contracts import ContractError
from features.history import Floats, Longs
from features.scratch import whole
from features.snapshot import from_us
from training.encoding import KEYS

if TYPE_CHECKING:
    from training.propensity import Propensity

FILE = "reference.json"
SCORE = "probability of a purchase"
"""The model's own score, beside the features."""

MOST = 20_000
"""Customers counted at a moment, at most; of more, every so manyth."""

MOST_BEFORE = 2_000
"""The same at each cutoff before the model's."""

_FINE, _COARSE = 20, 10


@dataclass(frozen=True)
class Bins:
    """How values of one column are counted.

    Attributes:
        edges: of a number, ascending; a bin holds what is above its lower edge, up to
            its upper one. The first lies just below the smallest value, the last is the
            largest. Empty: there was no value.
        coarse: places of those edges that bound the bins of the stability index.
        words: of a text; None: a number.
    """

    edges: tuple[float, ...]
    coarse: tuple[int, ...]
    words: tuple[str, ...] | None = None

    def count(self, column: pa.ChunkedArray | None, rows: int) -> Longs:
        """Customers in each bin: nulls first; of a text unknown words last.

        Args:
            column: None: it is not there, which is the same as null everywhere.
            rows: of the column.
        """
        size = len(self.words if self.words is not None else self.edges) + 2
        if column is None:
            return np.array([rows] + [0] * (size - 1), dtype=np.int64)
        if self.words is not None:
            place = {word: at + 1 for at, word in enumerate(self.words)}
            told = column.cast(pa.string()).value_counts()
            counts = np.zeros(size, dtype=np.int64)
            for word, count in zip(
                told.field("values").to_pylist(),
                told.field("counts").to_pylist(),
                strict=True,
            ):
                counts[0 if word is None else place.get(word, size - 1)] += count
            return counts
        if is_text(column):  # it was a number: no bin but the last one fits
            nulls = column.null_count
            return np.array([nulls, *[0] * (size - 2), rows - nulls], dtype=np.int64)
        values = numbers(column)
        known = values[~np.isnan(values)]
        at = np.searchsorted(self.edges, known, side="left") + 1
        counts = np.bincount(at, minlength=size).astype(np.int64)
        counts[0] = len(values) - len(known)
        return counts

    def by_tenths(self, counts: Longs) -> Longs:
        """Counts by the bins of the stability index; those of a text are the same."""
        if self.words is not None or not self.edges:
            return counts
        starts = [0, 1, *(place + 2 for place in self.coarse)]
        return np.add.reduceat(counts, starts)


@dataclass(frozen=True)
class Spread:
    """One column: its bins, and counts at every moment, ``[moment][bin]``."""

    bins: Bins
    counts: tuple[tuple[int, ...], ...]

    @property
    def was_empty(self) -> bool:
        """There was no value at the model's cutoff."""
        return not sum(self.counts[-1][1:])

    @property
    def was_constant(self) -> bool:
        """Everybody had the same at every one of several cutoffs."""
        used = [np.flatnonzero(one).tolist() for one in self.counts]
        return len(used) > 1 and all(len(one) == 1 and one == used[0] for one in used)


@dataclass(frozen=True)
class Reference:
    """All columns of a model's features, and its score.

    Attributes:
        moments: cutoffs, ascending; the last one is the model's.
        columns: by feature, and ``SCORE``.
    """

    moments: tuple[datetime, ...]
    columns: Mapping[str, Spread]

    def save(self, folder: Path) -> None:
        """Write it beside a model, whole or not at all."""
        values = {
            "moments": [moment.isoformat() for moment in self.moments],
            "columns": {name: asdict(one) for name, one in self.columns.items()},
        }
        with whole(folder / FILE) as place:
            place.write_text(json.dumps(values, sort_keys=True))

    @classmethod
    def load(cls, folder: Path) -> Reference:
        """What lies beside a model.

        Raises:
            ContractError: there is none, or it cannot be read.
        """
        try:
            values = json.loads((folder / FILE).read_text())
            moments = tuple(map(datetime.fromisoformat, values["moments"]))
            columns = {n: _spread(one) for n, one in values["columns"].items()}
        except (OSError, ValueError, KeyError, TypeError):
            raise ContractError(
                f"model: expected {FILE} with how features were spread in {folder}, got "
                "none or a damaged one; run repurchase train again"
            ) from None
        return cls(moments, columns)


def _spread(values: Mapping[str, Any]) -> Spread:
    bins = values["bins"]
    words = bins["words"]
    return Spread(
        Bins(
            tuple(bins["edges"]),
            tuple(bins["coarse"]),
            None if words is None else tuple(words),
        ),
        tuple(map(tuple, values["counts"])),
    )


def reference_of(features: pa.Table, model: Propensity | None) -> Reference:
    """Count every column of a feature table at every one of its cutoffs.

    Args:
        features: rows of ``assemble``; the latest cutoff is the model's.
        model: gives the score; None: it is left out.
    """
    us = features.column("cutoff").cast(pa.int64()).to_numpy()
    moments = np.unique(us)
    parts = [
        some(features.filter(pa.array(us == moment)), most)
        for moment, most in zip(
            moments, [MOST_BEFORE] * (len(moments) - 1) + [MOST], strict=True
        )
    ]
    parts = [scored(part, model) for part in parts]
    columns: dict[str, Spread] = {}
    for name in parts[-1].column_names:
        if name in KEYS:
            continue
        bins = bins_of(parts[-1].column(name))
        counts = [bins.count(part.column(name), part.num_rows) for part in parts]
        columns[name] = Spread(bins, tuple(tuple(one.tolist()) for one in counts))
    return Reference(tuple(from_us(int(moment)) for moment in moments), columns)


def some(rows: pa.Table, most: int) -> pa.Table:
    """Every so manyth row, so that there are ``most`` at most."""
    step = -(-rows.num_rows // most)
    return rows if step <= 1 else rows.take(pa.array(range(0, rows.num_rows, step)))


def scored(rows: pa.Table, model: Propensity | None) -> pa.Table:
    """The same rows with the model's probability at its own horizon."""
    if model is None:
        return rows
    probability = model.probability(rows, model.horizon_days)
    return rows.append_column(SCORE, pa.array(probability))


def bins_of(column: pa.ChunkedArray) -> Bins:
    """Bins for a column, by its values at the model's cutoff."""
    if is_text(column):
        used: Sequence[str] = column.cast(pa.string()).unique().drop_null().to_pylist()
        return Bins((), (), tuple(sorted(used)))
    values = numbers(column)
    known = values[np.isfinite(values)]
    if not len(known):
        return Bins((), ())
    # Also below the smallest, or a constant that became less would not be seen.
    ends = [np.nextafter(known.min(), -np.inf), known.max()]
    fine = np.union1d(_quantiles(known, _FINE), ends)
    coarse = np.union1d(_quantiles(known, _COARSE), ends)
    places = np.searchsorted(fine, coarse)
    return Bins(tuple(fine.tolist()), tuple(places.tolist()))


def _quantiles(values: Floats, parts: int) -> Floats:
    return np.quantile(values, np.arange(1, parts) / parts, method="lower")


def is_text(column: pa.ChunkedArray) -> bool:
    """A text, as words or as codes of words."""
    return pa.types.is_dictionary(column.type) or pa.types.is_string(column.type)


def numbers(column: pa.ChunkedArray) -> Floats:
    """Values in double precision; NaN: null."""
    return column.cast(pa.float64()).to_numpy().astype(np.float64)
