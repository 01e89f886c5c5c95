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

_TABLE = "arrow"


class Mapped:
    """Files of a folder that are mapped; each holds one of a process's open files.

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


def packed(
    files: Mapped,
    name: str,
    arrays: Mapping[str, Array],
    tables: Mapping[str, pa.Table],
) -> tuple[dict[str, Array], dict[str, pa.Table]]:
    """Arrays and tables in one file, mapped: a process may have few files open.

    Args:
        files: of the folder to write to.
        name: of the file.
        arrays: by name, of any type and shape.
        tables: by name, no dictionaries in them.

    Raises:
        OSError: the disk is full.
    """
    file = files.folder / name
    with file.open("wb") as stream:
        starts = {key: _put(stream, array) for key, array in arrays.items()}
        spans = {key: _put_table(stream, table) for key, table in tables.items()}
    content = files.of(file) or b""
    return (
        {
            key: np.frombuffer(content, array.dtype, array.size, starts[key]).reshape(
                array.shape
            )
            if array.size
            else array
            for key, array in arrays.items()
        },
        {key: _table(content, span) for key, span in spans.items()},
    )


def _put(stream: BinaryIO, array: Array) -> int:
    """Write an array; where it starts."""
    start = _aligned(stream)
    if array.size:
        stream.write(np.ascontiguousarray(array).data)
    return start


def _put_table(stream: BinaryIO, table: pa.Table) -> tuple[int, int]:
    """Write a table; where it starts, and its bytes."""
    start, sink = _aligned(stream), pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table.combine_chunks())
    return start, stream.write(sink.getvalue())


def _table(content: bytes | mmap.mmap, span: tuple[int, int]) -> pa.Table:
    start, size = span
    source = pa.BufferReader(pa.py_buffer(content).slice(start, size))
    return pa.ipc.open_stream(source).read_all()


def _aligned(stream: BinaryIO) -> int:
    """Go on where a value of any type may start; where that is."""
    stream.write(bytes(-stream.tell() % 64))
    return stream.tell()


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
        self._spans: list[tuple[int, int]] = []

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
            with self._file(_TABLE).open("ab") as stream:
                self._spans.append(_put_table(stream, table))

    def read(self) -> tuple[dict[str, Array], pa.Table | None]:
        """All rows so far, mapped."""
        table = None
        if self._spans:
            content = self._files.of(self._file(_TABLE)) or b""
            table = pa.concat_tables([_table(content, span) for span in self._spans])
        return {name: self._array(name) for name in self._types}, table

    def _file(self, name: str) -> Path:
        return self._files.folder / f"{self._name}.{name}"

    def _array(self, name: str) -> Array:
        width, dtype = self._widths[name], self._types[name]
        found = self._files.of(self._file(name))
        if found is None:
            return np.empty((0, *width), dtype)
        return np.frombuffer(found, dtype).reshape(-1, *width)


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
