"""What a version says of each customer besides curve and offers, by row.

``tables_of`` makes of the tables of a build what is published: a row of each table is
a row of ``customers``, so that no id stands in them, and numbers have NaN for null,
so that readers map them as they are. ``Known`` reads it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from serving.texts import Texts
from training.predictions import Predictions

Floats = npt.NDArray[np.float64]

NUMBERS = ("value", "churn", "uplift")
"""Tables of numbers with one row for each customer."""

PROFILES = "profiles"
REPLENISHMENT = "replenishment"

_ID = "customer_id"


@dataclass(frozen=True)
class Due:
    """Product groups that customers need again; all of length pair.

    Ordered by customer, then group.

    Attributes:
        offsets: int64 ``[customer + 1]``, bounds of each customer's pairs.
        group: codes of ``groups``.
        due_at, low, high: datetime64[us]; median and 80 % interval.
        probability: bought within the horizon.
        abstain: too uncertain for a date.
        soon: bought within the alert's window.
        alert: worth a message today.
    """

    offsets: npt.NDArray[np.int64]
    group: npt.NDArray[np.int32]
    groups: Texts
    due_at: npt.NDArray[np.datetime64]
    low: npt.NDArray[np.datetime64]
    high: npt.NDArray[np.datetime64]
    probability: Floats
    abstain: npt.NDArray[np.bool_]
    soon: Floats
    alert: npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Profile:
    """A column of the profile in force at the cutoff.

    Attributes:
        codes: into ``words``, ``[customer]``; -1: unknown.
        words: every value, ascending.
    """

    codes: npt.NDArray[np.int16]
    words: tuple[str, ...]


@dataclass(frozen=True)
class Evidence:
    """Whether a ranking by uplift can be relied on, and why."""

    enough: bool
    said: str


@dataclass(frozen=True)
class Known:
    """What is known of each customer.

    Attributes:
        due: product groups that come due.
        value, uplift: columns of the build's tables by name, float64 ``[customer]``;
            NaN: unknown.
        churn: the same; None: no churn model was published.
        profiles: text columns of ``customers`` by name, without those that say
            nothing of anybody or have too many words to filter by.
        evidence: by the column of ``uplift`` that it speaks of.
    """

    due: Due
    value: Mapping[str, Floats]
    churn: Mapping[str, Floats] | None
    uplift: Mapping[str, Floats]
    profiles: Mapping[str, Profile]
    evidence: Mapping[str, Evidence]


def tables_of(p: Predictions) -> Iterator[tuple[str, pa.Table]]:
    """Tables to publish but the profiles, by name, each made when it is asked for."""
    for name in NUMBERS:
        table = getattr(p, name)
        if table is not None:
            yield name, _numbers(table)
    yield REPLENISHMENT, _due(p.replenishment)


def due_offsets(p: Predictions) -> npt.NDArray[np.int64]:
    """Bounds of each customer's due groups, ``[customer + 1]``."""
    row = rows_of(p.replenishment[_ID], p.customers[_ID])
    return np.searchsorted(row, np.arange(len(p.customers) + 1)).astype(np.int64)


def _due(replenishment: pa.Table) -> pa.Table:
    due = replenishment.drop_columns([_ID])
    at = due.column_names.index("product_group")
    due = due.set_column(at, "product_group", due["product_group"].dictionary_encode())
    for name in ("abstain", "alert"):
        # Arrow packs flags into bits, which NumPy cannot view.
        at = due.column_names.index(name)
        due = due.set_column(at, name, due[name].cast(pa.uint8()))
    return due


def rows_of(ids: pa.ChunkedArray, customers: pa.ChunkedArray) -> npt.NDArray[np.int64]:
    """The row of each id among the customers; -1: it is not there."""
    return _codes(ids.cast(pa.string()).combine_chunks(), customers.combine_chunks())


def _codes(texts: pa.Array, words: pa.Array) -> npt.NDArray[np.int64]:
    """The place of each text among distinct words; -1: null, or it is none of them."""
    options = pc.SetLookupOptions(words, skip_nulls=True)
    found = pc.call_function("index_in", [texts], options)
    return np.asarray(found.cast(pa.int64()).fill_null(-1))


def _numbers(table: pa.Table) -> pa.Table:
    return pa.table(
        {
            name: table[name].cast(pa.float64()).fill_null(np.nan)
            for name in table.column_names
            if name != _ID
        }
    )


def coded(profiles: pa.Table) -> tuple[pa.Table, dict[str, list[str]]]:
    """Profiles to publish, and the words of each column."""
    columns: dict[str, Any] = {}
    words: dict[str, list[str]] = {}
    for name in profiles.column_names:
        if name == _ID or profiles[name].null_count == len(profiles):
            continue
        column = profiles[name].cast(pa.string()).combine_chunks()
        words[name] = sorted(column.drop_null().unique().to_pylist())
        codes = _codes(column, pa.array(words[name], pa.string()))
        columns[name] = codes.astype(np.int16)
    return pa.table(columns), words


def known_of(
    tables: Mapping[str, pa.Table],
    offsets: npt.NDArray[np.int64],
    manifest: Mapping[str, Any],
) -> Known:
    """What ``tables_of`` made.

    Args:
        tables: by name, mapped; ``churn`` may be missing.
        offsets: bounds of each customer's due groups.
        manifest: of the version.
    """
    due = tables[REPLENISHMENT]
    group = _chunk(due["product_group"])
    profiles = tables[PROFILES]
    return Known(
        due=Due(
            offsets,
            np.asarray(group.indices),
            Texts(group.dictionary),
            np.asarray(_chunk(due["due_at"])),
            np.asarray(_chunk(due["due_p10"])),
            np.asarray(_chunk(due["due_p90"])),
            np.asarray(_chunk(due["probability"])),
            np.asarray(_chunk(due["abstain"])).view(np.bool_),
            np.asarray(_chunk(due["probability_soon"])),
            np.asarray(_chunk(due["alert"])).view(np.bool_),
        ),
        value=_columns(tables["value"]),
        churn=_columns(tables["churn"]) if "churn" in tables else None,
        uplift=_columns(tables["uplift"]),
        profiles={
            name: Profile(np.asarray(_chunk(profiles[name])), tuple(words))
            for name, words in manifest["profiles"].items()
        },
        evidence={
            name: Evidence(manifest[name]["enough_evidence"], manifest[name]["said"])
            for name in ("uplift", "expected_extra_spend")
        },
    )


def _columns(table: pa.Table) -> dict[str, Floats]:
    return {name: np.asarray(_chunk(table[name])) for name in table.column_names}


def _chunk(column: pa.ChunkedArray) -> Any:
    return column.chunk(0) if column.num_chunks else pa.array([], column.type)
