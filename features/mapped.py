"""Arrays and tables that grow on disk and are read as if they were in memory.

What is mapped takes memory only while it is read: the system drops such pages when it
needs them, and ``let_go`` drops them at once, so that a process stays small while it
walks over files of any size.
"""

from __future__ import annotations

import mmap
import os
from collections.abc import Mapping
from io import RawIOBase
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from features.history import Array

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer


class Mapped:
    """Files of a folder that are mapped, once each.

    Args:
        folder: where files are. They may be removed while they are mapped.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._maps: list[mmap.mmap] = []

    def of(self, file: Path) -> mmap.mmap | None:
        """The bytes of a file, read-only; None: it is empty or not there."""
        if not file.exists() or not file.stat().st_size:
            return None
        with file.open("rb") as stream:
            found = mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ)
        self._maps.append(found)
        return found

    def let_go(self) -> None:
        """Drop what was read of the files from memory; it is read again when needed."""
        for one in self._maps:
            one.madvise(mmap.MADV_DONTNEED)


class Growing:
    """Arrays and a table, to whose ends rows are added.

    Args:
        files: of the folder to write to.
        name: of the first part of the files' names; nobody else has it.
    """

    def __init__(self, files: Mapped, name: str) -> None:
        self._files, self._name = files, name
        self._types: dict[str, np.dtype[Any]] = {}
        self._widths: dict[str, tuple[int, ...]] = {}
        self._batches = 0

    def add(self, arrays: Mapping[str, Array], table: pa.Table | None = None) -> None:
        """Append rows.

        Args:
            arrays: by name, ``[row, ...]``; every time of the same names, types and
                widths. Each grows by its own number of rows.
            table: further columns, of one schema every time, no dictionaries in it.

        Raises:
            OSError: the disk is full.
            ValueError: arrays are of another type or width than before.
        """
        for name, array in arrays.items():
            is_alike = self._types.setdefault(name, array.dtype) == array.dtype
            width = self._widths.setdefault(name, array.shape[1:])
            if not is_alike or width != array.shape[1:]:
                raise ValueError(
                    f"{self._name}.{name}: expected {self._types[name]} {width} as "
                    f"before, got {array.dtype} {array.shape[1:]}"
                )
            if array.size:
                with self._file(name).open("ab") as stream:
                    stream.write(np.ascontiguousarray(array).data)
        if table is not None:
            with (
                pa.OSFile(str(self._batch(self._batches)), "wb") as sink,
                pa.ipc.new_file(sink, table.schema) as writer,
            ):
                writer.write_table(table.combine_chunks())
            self._batches += 1

    def read(self) -> tuple[dict[str, Array], pa.Table | None]:
        """All rows so far, mapped."""
        tables = [self._table(n) for n in range(self._batches)]
        table = pa.concat_tables(tables) if tables else None
        return {name: self._array(name) for name in self._types}, table

    def _file(self, name: str) -> Path:
        return self._files.folder / f"{self._name}.{name}"

    def _batch(self, n: int) -> Path:
        return self._files.folder / f"{self._name}.{n}.arrow"

    def _array(self, name: str) -> Array:
        width, dtype = self._widths[name], self._types[name]
        found = self._files.of(self._file(name))
        if found is None:
            return np.empty((0, *width), dtype)
        return np.frombuffer(found, dtype).reshape(-1, *width)

    def _table(self, n: int) -> pa.Table:
        found = self._files.of(self._batch(n))
        if found is None:
            raise OSError(f"{self._batch(n)}: expected a table, found none")
        return pa.ipc.open_file(pa.BufferReader(pa.py_buffer(found))).read_all()


PIECE = 64_000_000
"""Bytes that are written at once of what is mapped."""


def save(array: npt.NDArray[Any], file: Path, files: Mapped | None = None) -> None:
    """Write an array as ``.npy`` and on the disk, piece by piece.

    Args:
        array: may be mapped.
        file: to write.
        files: let go of after each piece.
    """
    whole = np.ascontiguousarray(array)
    header = np.lib.format.header_data_from_array_1_0(whole)
    with file.open("wb") as stream:
        np.lib.format.write_array_header_1_0(stream, header)
        Steady(stream, files).write(whole.reshape(-1).view(np.uint8).data)
        stream.flush()
        os.fsync(stream.fileno())


class Steady(RawIOBase):
    """Writes what is mapped without having all of it in memory.

    Args:
        stream: to write to; whoever opened it closes it.
        files: let go of after each piece.
    """

    def __init__(self, stream: BinaryIO, files: Mapped | None) -> None:
        self._stream, self._files = stream, files

    def writable(self) -> bool:
        """It is."""
        return True

    def write(self, content: ReadableBuffer, /) -> int:
        """Write bytes, in pieces."""
        view = memoryview(content).cast("B")
        for low in range(0, len(view), PIECE):
            self._stream.write(view[low : low + PIECE])
            if self._files is not None:
                self._files.let_go()
        return len(view)
