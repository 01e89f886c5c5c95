"""How a table of features becomes the matrix that LightGBM reads.

LightGBM knows the columns as ``f0`` to ``fn``; their names stay here, so that a
shop's column may have any name.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from features.history import Floats

KEYS = ("customer", "customer_id", "cutoff")


@dataclass(frozen=True)
class Encoding:
    """How a feature table becomes a matrix: columns in order, words of texts.

    A word that was not seen when the model was fitted is missing, as a null.
    """

    columns: tuple[str, ...]
    words: dict[str, tuple[str, ...]]

    def as_json(self) -> dict[str, Any]:
        """Lists and mappings only."""
        words = {name: list(words) for name, words in self.words.items()}
        return {"columns": list(self.columns), "words": words}

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Encoding:
        """What ``as_json`` gave, also by way of a file and among other values."""
        words = {name: tuple(words) for name, words in values["words"].items()}
        return cls(tuple(values["columns"]), words)

    @property
    def categorical(self) -> list[int]:
        """Positions of the columns that hold codes of words."""
        return [i for i, name in enumerate(self.columns) if name in self.words]

    def matrix(self, table: pa.Table) -> npt.NDArray[np.float32]:
        """Shape ``[row, feature]``; NaN: null.

        Raises:
            ValueError: the table lacks a column of the model.
        """
        given = set(table.column_names)  # the table makes a new list each time
        missing = [name for name in self.columns if name not in given]
        if missing:
            raise ValueError(
                f"features: expected the column {missing[0]}, got a table without it; "
                "build features and model with the same version"
            )
        matrix = np.empty((table.num_rows, len(self.columns)), dtype=np.float32)
        for place, name in enumerate(self.columns):
            column = table.column(name)
            if name in self.words:
                matrix[:, place] = _codes(column.combine_chunks(), self.words[name])
            else:
                if not pa.types.is_floating(column.type):
                    column = column.cast(pa.float64())
                # Nulls become NaN.
                matrix[:, place] = column.to_numpy()
        return matrix


def encoding_of(table: pa.Table) -> Encoding:
    """The encoding of a table of ``assemble``; columns without any value are left out."""
    columns: list[str] = []
    words: dict[str, tuple[str, ...]] = {}
    for name in table.column_names:
        column = table.column(name).combine_chunks()
        if name in KEYS or column.null_count == len(column):
            continue
        columns.append(name)
        if pa.types.is_dictionary(column.type):
            used: list[str] = column.cast(pa.string()).unique().drop_null().to_pylist()
            words[name] = tuple(sorted(used))
    return Encoding(tuple(columns), words)


def _codes(column: pa.Array, words: tuple[str, ...]) -> Floats:
    """Texts as positions in ``words``; NaN for null and for unknown words."""
    coded = column.cast(pa.string()).dictionary_encode()
    position = {word: float(code) for code, word in enumerate(words)}
    found = [position.get(word, np.nan) for word in coded.dictionary.to_pylist()]
    return np.array([*found, np.nan])[coded.indices.fill_null(-1).to_numpy()]
