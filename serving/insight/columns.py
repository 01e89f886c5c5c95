"""Between tables and arrays: numbers with NaN for null, words as codes, standings."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from features.history import Floats

NONE = -1
"""Code of a null word."""

Codes = npt.NDArray[np.int8]


def number(table: pa.Table, name: str) -> Floats:
    """A column as float64, NaN: null; shape ``[row]``.

    Raises:
        KeyError: the table has no such column.
    """
    return table.column(name).cast(pa.float64()).to_numpy()


def words(codes: npt.NDArray[np.integer], names: Sequence[str]) -> pa.Array:
    """Codes as a dictionary of texts; ``NONE`` is null."""
    indices = pa.array(codes.astype(np.int32), mask=codes < 0)
    return pa.DictionaryArray.from_arrays(indices, pa.array(names, pa.string()))


def codes_of(column: pa.ChunkedArray | pa.Array, names: Sequence[str]) -> Codes:
    """Place of every text among the names, ``NONE`` for null and any other text."""
    if isinstance(column, pa.ChunkedArray):
        column = column.combine_chunks()
    if not isinstance(column, pa.DictionaryArray):
        column = column.dictionary_encode()
    place = {name: code for code, name in enumerate(names)}
    found = [place.get(word, NONE) for word in column.dictionary.to_pylist()]
    indices = column.indices.fill_null(len(found)).to_numpy(zero_copy_only=False)
    return np.array([*found, NONE], np.int8)[indices]


def level(values: Floats, low: float, high: float) -> Codes:
    """0 below ``low``, 2 above ``high``, 1 from one to the other, ``NONE`` for NaN.

    So a value at a threshold is in the middle, and so is everyone if all are equal.
    """
    codes = np.ones(len(values), np.int8)
    codes[values < low] = 0
    codes[values > high] = 2
    codes[np.isnan(values) | np.isnan(low) | np.isnan(high)] = NONE
    return codes


def quantiles(values: Floats, shares: Sequence[float]) -> tuple[float, ...]:
    """Linear quantiles of what is no NaN; NaN where nothing is."""
    known = values[~np.isnan(values)]
    if not len(known):
        return tuple(float("nan") for _ in shares)
    return tuple(float(value) for value in np.quantile(known, shares))


def standing(values: Floats, edges: Sequence[float]) -> Floats:
    """Edges below each value, those equal to it by half; NaN: NaN, or no edges.

    Ties take the middle: where all are equal, so that all edges are, everyone has
    half of the edges below.
    """
    at = np.asarray(edges, np.float64)
    below = np.searchsorted(at, values, side="left")
    not_above = np.searchsorted(at, values, side="right")
    found = (below + not_above) / 2
    found[np.isnan(values)] = np.nan
    return found if not np.isnan(at).any() else np.full(len(values), np.nan)


def must_match(features: pa.Table, scores: pa.Table, name: str) -> None:
    """Refuse scores of other customers, or in another order.

    Raises:
        ValueError: they are.
    """
    ids = [
        table.column("customer_id").cast(pa.string()).combine_chunks()
        for table in (features, scores)
    ]
    if not ids[0].equals(ids[1]):
        raise ValueError(
            f"{name}: expected rows of the {features.num_rows} customers of the "
            f"features, in their order, got {scores.num_rows} other rows"
        )


def find(
    ids: pa.Array | pa.ChunkedArray, among: pa.Array | pa.ChunkedArray
) -> pa.Array:
    """Place of each id among others, null: not there; texts of any width."""
    known = among.cast(pa.string())
    if isinstance(known, pa.ChunkedArray):
        known = known.combine_chunks()
    options = pc.SetLookupOptions(value_set=known)
    return pc.call_function("index_in", [ids.cast(pa.string())], options)
