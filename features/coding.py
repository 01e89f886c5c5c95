"""Between Arrow and NumPy: texts become codes, null numbers NaN, and back."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pyarrow as pa

from features.history import Array, Floats


def arrays_of(
    rows: pa.Table,
    words: Mapping[str, tuple[str, ...]] | None = None,
    as_text: Sequence[str] = (),
) -> tuple[dict[str, Array], dict[str, tuple[str, ...]]]:
    """Arrow columns as NumPy: texts become codes (-1: null), numbers NaN for null.

    Args:
        rows: columns of any type.
        words: closed sets; every other text gets its sorted distinct values.
        as_text: columns to keep as text.

    Returns:
        Arrays by name, and the words of every coded column.
    """
    arrays: dict[str, Array] = {}
    known = dict(words or {})
    for name in rows.column_names:
        column = rows.column(name).combine_chunks()
        if name in as_text:
            arrays[name] = column.to_numpy(zero_copy_only=False).astype(object)
        elif pa.types.is_string(column.type) or pa.types.is_null(column.type):
            coded = column.cast(pa.string()).dictionary_encode()
            distinct: list[str] = coded.dictionary.to_pylist()
            known.setdefault(name, tuple(sorted(distinct)))
            position = {word: code for code, word in enumerate(known[name])}
            # The last entry is met by index -1, which stands for null.
            code_of = np.array([*(position[w] for w in distinct), -1], dtype=np.int32)
            arrays[name] = code_of[coded.indices.fill_null(-1).to_numpy()]
        else:
            if pa.types.is_floating(column.type):
                column = column.fill_null(float("nan"))
            arrays[name] = np.ascontiguousarray(column.to_numpy(zero_copy_only=False))
    return arrays, known


def nullable(values: Floats) -> pa.Array:
    """The values as a column, NaN as null; they are not copied.

    Args:
        values: shape ``[row]``, contiguous; must not be changed afterwards.
    """
    known = values == values
    nulls = len(values) - int(np.count_nonzero(known))
    bits = pa.py_buffer(np.packbits(known, bitorder="little")) if nulls else None
    return pa.Array.from_buffers(
        pa.float64(), len(values), [bits, pa.py_buffer(values)], nulls
    )
