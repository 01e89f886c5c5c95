"""Arrow columns from arrays: fixed-width ids, words, moments, late rows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

Array = npt.NDArray[Any]

TIME = pa.timestamp("us")


def digits(prefix: str, numbers: Array, width: int) -> pa.Array:
    """Text such as c0000017: the prefix and ``width`` digits, one per number."""
    columns = len(prefix) + width
    text = np.empty((len(numbers), columns), np.uint8)
    text[:, : len(prefix)] = np.frombuffer(prefix.encode(), np.uint8)
    rest = np.asarray(numbers, np.int64).copy()
    for place in range(columns - 1, len(prefix) - 1, -1):
        text[:, place] = 48 + rest % 10
        rest //= 10
    offsets = np.arange(len(numbers) + 1, dtype=np.int32) * columns
    return pa.StringArray.from_buffers(
        len(numbers), pa.py_buffer(offsets), pa.py_buffer(text)
    )


def coded(codes: Array, words: Sequence[str] | pa.Array) -> pa.Array:
    """Dictionary column of ``words[codes]``; a code below 0 is null."""
    texts = words if isinstance(words, pa.Array) else pa.array(words, pa.string())
    indices = pa.array(codes.astype(np.int32), mask=codes < 0)
    return pa.DictionaryArray.from_arrays(indices, texts)


def numbers(values: Array) -> pa.Array:
    """Doubles; NaN becomes null."""
    doubles = np.asarray(values, np.float64)
    return pa.array(doubles, mask=np.isnan(doubles))


def moments(us: Array, missing: Array | None = None) -> pa.Array:
    """Naive UTC timestamps from microseconds, null where ``missing``."""
    return pa.array(us.astype("datetime64[us]"), TIME, mask=missing)


def seconds(spans: Array) -> Array:
    """Microseconds of spans in seconds, whole seconds."""
    return spans.astype(np.int64) * 1_000_000


def known_at(
    rng: np.random.Generator, us: Array, late_share: float, late_days: float
) -> pa.Array:
    """Null for events known at once; for late ones a moment after ``us``."""
    late = rng.random(len(us)) < late_share
    known = us.copy()
    known[late] += seconds(1 + rng.exponential(late_days * 86_400, int(late.sum())))
    return moments(known, ~late)
