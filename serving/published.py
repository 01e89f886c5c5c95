"""A published version as memory-mapped arrays: the reader of ``publish``.

All worker processes map the same files, so they share their pages. Nothing is
copied except what is small: one entry per product, one id in 64.
"""

from __future__ import annotations

import json
from bisect import bisect_left, bisect_right
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from features.contracts import ContractError
from serving.publish import FORMAT, MANIFEST, POINTER, fingerprint, version_of

_STEP = 64
"""Every 64th id is held in memory; the rest of the search reads the map."""


class Texts:
    """An Arrow text column, read without copies; null reads as empty text."""

    def __init__(self, column: pa.Array) -> None:
        _, bounds, data = column.buffers()
        first, size = column.offset, len(column)
        # Arrow may leave out the bounds of an empty column.
        view = memoryview(bounds if size else bytes(4)).cast("B").cast("i")
        self._bounds = view[first : first + size + 1]
        self._data = memoryview(b"" if data is None else data).cast("B")

    def __len__(self) -> int:
        return len(self._bounds) - 1

    def raw(self, row: int) -> bytes:
        """UTF-8 of a row."""
        return bytes(self._data[self._bounds[row] : self._bounds[row + 1]])

    def __getitem__(self, row: int) -> str:
        """Text of a row."""
        return str(self._data[self._bounds[row] : self._bounds[row + 1]], "utf-8")


class SortedIds(Texts):
    """Distinct ids in ascending order of their UTF-8, found by binary search.

    A hash table of a million ids would cost each worker 100 MB and half a
    second at every swap; this costs 1 MB and a few microseconds a look-up.
    """

    def __init__(self, column: pa.Array) -> None:
        super().__init__(column)
        self._marks = [self.raw(row) for row in range(0, len(self), _STEP)]

    def row(self, identifier: str) -> int | None:
        """The row of an id, None if it is not there."""
        key = identifier.encode("utf-8", "surrogatepass")
        low = max(bisect_right(self._marks, key) - 1, 0) * _STEP
        high = min(low + _STEP, len(self))
        row = bisect_left(range(high), key, low, high, key=self.raw)
        return row if row < high and self.raw(row) == key else None


@dataclass(frozen=True)
class Offers:
    """Scored candidates, best first within a customer; all of length offer.

    Attributes:
        offsets: int64 ``[customer + 1]``, bounds of each customer's offers.
        product: row of the product table.
        is_new: 1 if the customer never bought the product.
        source: index into ``sources``, the strongest generator.
        reason: index into ``reasons``.
    """

    offsets: npt.NDArray[np.int64]
    product: npt.NDArray[np.int32]
    is_new: npt.NDArray[np.uint8]
    score: npt.NDArray[np.float32]
    probability: npt.NDArray[np.float32]
    source: npt.NDArray[np.int32]
    reason: npt.NDArray[np.int32]
    sources: tuple[str, ...]
    reasons: Texts


@dataclass(frozen=True)
class Catalogue:
    """Products, and the order in which they fill short lists.

    Attributes:
        ids: the product of an id.
        names: product ids, ascending; as objects, as each answer holds many.
        available: bool ``[product]``.
        category: int32 ``[product]``, index into ``categories``; -1: none.
        fill_order: int32 ``[product]``, every product once: those of the
            cold-start list, best first, then the rest by id.
        fill_place: int32 ``[product]``, the place of a product in it.
        scored: number of products of the cold-start list.
        score, probability: float32 ``[scored]``, in fill order.
        reasons: text for each of them, in fill order.
    """

    ids: SortedIds
    names: tuple[str, ...]
    available: npt.NDArray[np.bool_]
    category: npt.NDArray[np.int32]
    categories: Mapping[str, int]
    fill_order: npt.NDArray[np.int32]
    fill_place: npt.NDArray[np.int32]
    scored: int
    score: npt.NDArray[np.float32]
    probability: npt.NDArray[np.float32]
    reasons: Texts


@dataclass(frozen=True)
class Published:
    """One published version, read-only.

    Attributes:
        customers: ids; a customer's row indexes all that follows.
        curve: float32 ``[customer, 180]``, see ``Predictions.curve``.
        expected_next: datetime64[us] ``[customer]``; NaT: not within 180 days.
        reasons: list of texts of each customer.
        bought_offsets, bought_products: see ``Predictions``.
    """

    folder: Path
    version: str
    model_version: str
    cutoff: datetime
    horizon_days: int
    tag_threshold: float
    customers: SortedIds
    curve: npt.NDArray[np.float32]
    expected_next: npt.NDArray[np.datetime64]
    reasons: pa.ListArray
    offers: Offers
    catalogue: Catalogue
    bought_offsets: npt.NDArray[np.int64]
    bought_products: npt.NDArray[np.int32]

    @classmethod
    def open(cls, workspace: Path) -> Published:
        """The version in force.

        Raises:
            ContractError: nothing is published, or the version is damaged.
        """
        version = current_version(workspace)
        if version is None:
            raise ContractError(
                f"published/current: expected a published version in {workspace}, "
                "got none; run `repurchase publish` first"
            )
        return cls.open_version(workspace, version)

    @classmethod
    def open_version(cls, workspace: Path, version: str) -> Published:
        """A version by name, after every byte of it was checked.

        Raises:
            ContractError: a part is missing, altered or of another format.
        """
        folder = workspace / "published" / version
        manifest = _verified(folder, version)
        customers = _table(folder, "customers")
        return cls(
            folder=folder,
            version=version,
            model_version=str(manifest["model_version"]),
            cutoff=datetime.fromisoformat(manifest["cutoff"]),
            horizon_days=int(manifest["horizon_days"]),
            tag_threshold=float(manifest["tag_threshold"]),
            customers=SortedIds(_column(customers, "customer_id")),
            curve=_array(folder, "curve"),
            expected_next=np.asarray(_column(customers, "expected_next_at")),
            reasons=_column(customers, "reasons"),
            offers=_offers(folder),
            catalogue=_catalogue(folder),
            bought_offsets=_array(folder, "bought_offsets"),
            bought_products=_array(folder, "bought_products"),
        )


def current_version(workspace: Path) -> str | None:
    """Name of the version in force; None: nothing was ever published."""
    try:
        return (workspace / "published" / POINTER).read_text().strip()
    except FileNotFoundError:
        return None


def _verified(folder: Path, version: str) -> dict[str, Any]:
    try:
        manifest: dict[str, Any] = json.loads((folder / MANIFEST).read_bytes())
        named = manifest.pop("version")
        listed: dict[str, Any] = manifest["files"]
        earned = version_of(manifest)
    except FileNotFoundError:
        raise _damaged(version, f"a {MANIFEST}", "none") from None
    except (ValueError, KeyError, TypeError, AttributeError):
        raise _damaged(version, f"a readable {MANIFEST}", "another text") from None
    if manifest.get("format") != FORMAT:
        got = f"format {manifest.get('format')}"
        raise _damaged(version, f"format {FORMAT}", got)
    if not version == named == earned:
        raise _damaged(version, f"the {MANIFEST} of this version", "an altered one")
    for name, expected in listed.items():
        file = folder / name
        got = fingerprint(file) if file.is_file() else {"bytes": 0, "sha256": "none"}
        if got["bytes"] != expected["bytes"]:
            size = f"{name} of {expected['bytes']} bytes"
            raise _damaged(version, size, f"{got['bytes']} bytes")
        if got != expected:
            raise _damaged(version, f"{name} with its checksum", "altered content")
    return manifest


def _damaged(version: str, expected: str, got: str) -> ContractError:
    return ContractError(
        f"published/{version}: expected {expected}, got {got}; "
        "publish again, or put an earlier version in force"
    )


def _array(folder: Path, name: str) -> npt.NDArray[Any]:
    # A plain view: slicing np.memmap itself costs a microsecond more.
    mapped = np.load(folder / f"{name}.npy", mmap_mode="r", allow_pickle=False)
    return np.asarray(mapped).view(np.ndarray)


def _table(folder: Path, name: str) -> pa.Table:
    with pa.memory_map(str(folder / f"{name}.arrow")) as source:
        return pa.ipc.open_file(source).read_all()


def _column(table: pa.Table, name: str) -> Any:
    column = table[name]
    return column.chunk(0) if column.num_chunks else pa.array([], column.type)


def _offers(folder: Path) -> Offers:
    table = _table(folder, "offers")
    source, reason = _column(table, "source"), _column(table, "reason")
    return Offers(
        offsets=_array(folder, "offer_offsets"),
        product=_column(table, "product").to_numpy(),
        is_new=_column(table, "is_new").to_numpy(),
        score=_column(table, "score").to_numpy(),
        probability=_column(table, "probability").to_numpy(),
        source=source.indices.to_numpy(),
        reason=reason.indices.to_numpy(),
        sources=tuple(source.dictionary.to_pylist()),
        reasons=Texts(reason.dictionary),
    )


def _catalogue(folder: Path) -> Catalogue:
    products, popular = _table(folder, "products"), _table(folder, "cold_start")
    encoded = _column(products, "category").dictionary_encode()
    names = encoded.dictionary.to_pylist()
    first = _column(popular, "product").to_numpy()
    rest = np.setdiff1d(np.arange(len(products), dtype=np.int32), first)
    order = np.concatenate([first, rest]).astype(np.int32)
    place = np.empty_like(order)
    place[order] = np.arange(order.size, dtype=np.int32)
    available = _column(products, "available").fill_null(True)
    return Catalogue(
        ids=SortedIds(_column(products, "product_id")),
        names=tuple(_column(products, "product_id").to_pylist()),
        available=available.to_numpy(zero_copy_only=False),
        category=encoded.indices.fill_null(-1).to_numpy(zero_copy_only=False),
        categories={name: code for code, name in enumerate(names)},
        fill_order=order,
        fill_place=place,
        scored=len(popular),
        score=_column(popular, "score").to_numpy(),
        probability=_column(popular, "probability").to_numpy(),
        reasons=Texts(_column(popular, "reason")),
    )
