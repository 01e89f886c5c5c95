"""The feature table on disk, with what it was made of.

A build writes beside the table and moves it into place at the end, so a build
that is killed leaves the last good table, and the next one starts afresh.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass, fields
from datetime import datetime
from functools import cache
from importlib.metadata import version
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from features.contracts import SettingError
from features.scratch import whole

_LIBRARIES = ("duckdb", "numba", "numpy", "pyarrow")


@dataclass(frozen=True)
class Stamp:
    """What a feature table was made of; equal stamps mean equal tables.

    Attributes:
        data: hash of the input files.
        code: hash of this package and of the versions of its libraries.
        cutoffs: of the rows, ascending, ISO.
        cutoff: of the build, ISO.
        horizon_days: label window that the cutoffs were chosen for.
    """

    data: str
    code: str
    cutoffs: str
    cutoff: str
    horizon_days: str

    @classmethod
    def of(cls, data: str, cutoffs: Sequence[datetime], horizon_days: int) -> Stamp:
        """The stamp of a build of this code, at the last of the cutoffs."""
        return cls(
            data=data,
            code=code_version(),
            cutoffs=" ".join(cutoff.isoformat() for cutoff in cutoffs),
            cutoff=cutoffs[-1].isoformat(),
            horizon_days=str(horizon_days),
        )

    @property
    def fingerprint(self) -> str:
        """One hash of all."""
        return hashlib.sha256(repr(self).encode()).hexdigest()


@cache
def code_version() -> str:
    """Hash of every module of this package, and of what computes beside it.

    Taken once: a process goes on with the code that it has loaded.
    """
    digest = hashlib.sha256()
    root = Path(__file__).parent
    for file in sorted(root.rglob("*.py")):
        digest.update(str(file.relative_to(root)).encode())
        digest.update(file.read_bytes())
    for library in _LIBRARIES:
        digest.update(f"{library} {version(library)}".encode())
    return digest.hexdigest()


def stamp_of(file: Path) -> Stamp | None:
    """What the table in the file was made of; None if there is none or no stamp."""
    try:
        said: dict[bytes, bytes] = pq.read_schema(file).metadata or {}
    except (OSError, pa.ArrowInvalid):
        return None
    names = [field.name for field in fields(Stamp)]
    if not all(name.encode() in said for name in names):
        return None
    return Stamp(**{name: said[name.encode()].decode() for name in names})


def write(file: Path, parts: Iterable[pa.Table], stamp: Stamp) -> None:
    """Write the table part by part, each as one row group.

    Codes of customers are left out: they hold within a part only.

    Raises:
        SettingError: there is no room, or the folder cannot be written.
        OSError: as of the parts.
    """
    said = {**asdict(stamp), "fingerprint": stamp.fingerprint}
    unread: list[OSError] = []

    def read() -> Iterator[pa.Table]:
        try:
            yield from parts
        except OSError as error:
            unread.append(error)
            raise

    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        with whole(file) as place, ExitStack() as opened:
            writer: pq.ParquetWriter | None = None
            for part in read():
                rows = part.drop_columns("customer").replace_schema_metadata(said)
                if writer is None:
                    writer = opened.enter_context(pq.ParquetWriter(place, rows.schema))
                writer.write_table(rows, row_group_size=max(1, rows.num_rows))
    except OSError as error:
        if unread:
            raise unread[0] from None
        raise SettingError(
            f"workspace: expected room for the feature table in {file.parent}, got "
            f"{(error.strerror or str(error)).lower()}; free some, or choose another workspace"
        ) from None


def read(file: Path, customers: Sequence[str] | None = None) -> pa.Table:
    """The table, ordered by cutoff, then customer.

    Args:
        file: as ``write`` left it.
        customers: ids in the order of their codes, ascending; only their rows are
            read, and the table has ``customer``, as of ``assemble``.
    """
    opened = pq.ParquetFile(file)
    groups = range(opened.num_row_groups)
    wanted = None if customers is None else pc.field("customer_id").isin(customers)
    # Part by part: rows of others are not held.
    table = pa.concat_tables(
        [_where(opened.read_row_group(group), wanted) for group in groups]
        or [opened.schema_arrow.empty_table()]
    )
    table = table.replace_schema_metadata(None).unify_dictionaries()
    table = pa.table(
        {name: _in_order(table.column(name)) for name in table.column_names}
    )
    if opened.num_row_groups > 1:
        table = table.sort_by([("cutoff", "ascending"), ("customer_id", "ascending")])
    if customers is not None:
        ids = table.column("customer_id").combine_chunks().dictionary_encode()
        code_of = {customer: code for code, customer in enumerate(customers)}
        codes = np.array([code_of[i] for i in ids.dictionary.to_pylist()], np.int32)
        table = table.add_column(0, "customer", pa.array(codes[ids.indices.to_numpy()]))
    return table.combine_chunks()


def _where(rows: pa.Table, wanted: pc.Expression | None) -> pa.Table:
    return rows if wanted is None else rows.filter(wanted)


def _in_order(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """A text whose words are in ascending order, so that codes are steady."""
    if not pa.types.is_dictionary(column.type) or not column.num_chunks:
        return column
    words = np.array(column.chunk(0).dictionary.to_pylist(), object)
    order = np.argsort(words)
    place = pa.array(np.argsort(order).astype(np.int32))
    ordered = pa.array(words[order], pa.string())
    return pa.chunked_array(
        [
            pa.DictionaryArray.from_arrays(place.take(chunk.indices), ordered)
            for chunk in column.chunks
        ],
        column.type,
    )
