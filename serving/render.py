"""Lists as JSON, written straight from the mapped arrays by compiled loops.

A request is mostly the writing of its answer: twenty lines as Python objects cost more
than all the rest. What these loops cannot do (rules, fresh events, lists that have to
be filled) is done by ``recommend``, whose lines have the same form.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from numba import njit

from serving.texts import Texts

Bytes = npt.NDArray[np.uint8]

DIGITS = 9
"""Significant digits of a number: so many tell any two of single precision apart."""

_ROOM = 4096
"""Bytes that a list starts with for each line; it gets more where that is too few."""

_LANES = {"mixed": -1, "again": 0, "new": 1}

_PRODUCT = np.frombuffer(b'{"product_id":"', np.uint8)
_RANK = np.frombuffer(b'","rank":', np.uint8)
_SCORE = np.frombuffer(b',"score":', np.uint8)
_PROBABILITY = np.frombuffer(b',"probability":', np.uint8)
_REASON = np.frombuffer(b',"reason":"', np.uint8)
_SOURCE = np.frombuffer(b'","source":"', np.uint8)
_END = np.frombuffer(b'"}', np.uint8)
_NULL = np.frombuffer(b"null", np.uint8)
_HEX = np.frombuffer(b"0123456789abcdef", np.uint8)
_LONGEST_NUMBER = 48


def rounded(number: float) -> float:
    """A number of single precision with the digits that answers show."""
    return float(f"{number:.{DIGITS}g}")


class Renderer:
    """Writes the offers of a published version.

    Args:
        offers: columns product (int32), is_new (uint8), score and probability
            (float32), source and reason (int32), all ``[offer]``.
        names, reasons, sources: texts by code.
    """

    def __init__(
        self,
        offers: tuple[npt.NDArray[Any], ...],
        names: Texts,
        reasons: Texts,
        sources: Texts,
    ) -> None:
        texts = (names, reasons, sources)
        self._columns: tuple[Any, ...] = (
            *offers,
            *(a for t in texts for a in (t.data, t.bounds)),
        )
        # Compiled before the first request waits for it.
        self.lines(0, 0, "mixed", np.zeros(0, dtype=bool), 1)

    def lines(
        self, start: int, stop: int, lane: str, allowed: npt.NDArray[np.bool_], n: int
    ) -> bytes | None:
        """A JSON array of the first ``n`` offers that pass; None: fewer do.

        Args:
            start: of the customer's offers.
            stop: behind the last of them.
            lane: ``mixed``, ``again`` or ``new``.
            allowed: ``[product]``.
            n: at least 1.
        """
        room = _ROOM + 256 * n
        while True:
            out = np.empty(room, np.uint8)
            written, size = _write(
                out, allowed, _LANES[lane], start, stop, n, *self._columns
            )
            if size >= 0:
                return out[:size].tobytes() if written == n else None
            room *= 4


@njit(cache=True, nogil=True)  # pyright: ignore[reportUntypedFunctionDecorator]
def _write(
    out: Bytes,
    allowed: npt.NDArray[np.bool_],
    lane: int,
    start: int,
    stop: int,
    n: int,
    product: npt.NDArray[np.int32],
    is_new: npt.NDArray[np.uint8],
    score: npt.NDArray[np.float32],
    probability: npt.NDArray[np.float32],
    source: npt.NDArray[np.int32],
    reason: npt.NDArray[np.int32],
    names: Bytes,
    name_bounds: npt.NDArray[np.int32],
    reasons: Bytes,
    reason_bounds: npt.NDArray[np.int32],
    sources: Bytes,
    source_bounds: npt.NDArray[np.int32],
) -> tuple[int, int]:
    """Lines written, and bytes; -1 bytes: there was no room."""
    size = out.size - 2
    at, rank = 0, 0
    out[at] = 91  # [
    at += 1
    for row in range(start, stop):
        if rank == n:
            break
        code = int(product[row])
        if not allowed[code] or (lane >= 0 and is_new[row] != lane):
            continue
        why, by = int(reason[row]), int(source[row])
        long = (
            name_bounds[code + 1]
            - name_bounds[code]
            + reason_bounds[why + 1]
            - reason_bounds[why]
            + source_bounds[by + 1]
            - source_bounds[by]
        )
        # A byte takes six at most, as \u001f does.
        if at + 6 * long + 3 * _LONGEST_NUMBER + 128 > size:
            return rank, -1
        if rank:
            out[at] = 44  # ,
            at += 1
        rank += 1
        at = _put(out, at, _PRODUCT)
        at = _put_text(out, at, names, name_bounds[code], name_bounds[code + 1])
        at = _put(out, at, _RANK)
        at = _put_integer(out, at, rank)
        at = _put(out, at, _SCORE)
        at = _put_number(out, at, np.float64(score[row]))
        at = _put(out, at, _PROBABILITY)
        at = _put_number(out, at, np.float64(probability[row]))
        at = _put(out, at, _REASON)
        at = _put_text(out, at, reasons, reason_bounds[why], reason_bounds[why + 1])
        at = _put(out, at, _SOURCE)
        at = _put_text(out, at, sources, source_bounds[by], source_bounds[by + 1])
        at = _put(out, at, _END)
    out[at] = 93  # ]
    return rank, at + 1


@njit(cache=True, nogil=True)  # pyright: ignore[reportUntypedFunctionDecorator]
def _put(out: Bytes, at: int, text: Bytes) -> int:
    for byte in text:
        out[at] = byte
        at += 1
    return at


@njit(cache=True, nogil=True)  # pyright: ignore[reportUntypedFunctionDecorator]
def _put_text(out: Bytes, at: int, data: Bytes, low: int, high: int) -> int:
    """Text within quotes: UTF-8, with what JSON has to escape escaped."""
    for k in range(low, high):
        byte = data[k]
        if byte < 32:
            for escape in (92, 117, 48, 48):  # \u00
                out[at] = escape
                at += 1
            out[at] = _HEX[byte >> 4]
            out[at + 1] = _HEX[byte & 15]
            at += 2
            continue
        if byte in (34, 92):  # " and \
            out[at] = 92
            at += 1
        out[at] = byte
        at += 1
    return at


@njit(cache=True, nogil=True)  # pyright: ignore[reportUntypedFunctionDecorator]
def _put_integer(out: Bytes, at: int, number: int) -> int:
    """A number from 0."""
    end = at + 1
    left = number // 10
    while left:
        end += 1
        left //= 10
    for place in range(end - 1, at - 1, -1):
        out[place] = 48 + number % 10
        number //= 10
    return end


@njit(cache=True, nogil=True)  # pyright: ignore[reportUntypedFunctionDecorator]
def _put_number(out: Bytes, at: int, number: float) -> int:
    """A number of single precision with ``DIGITS`` digits; null: not finite."""
    if not np.isfinite(number):
        return _put(out, at, _NULL)
    if number < 0:
        out[at] = 45  # -
        at += 1
        number = -number
    if number == 0:
        out[at] = 48
        return at + 1
    exponent = int(np.floor(np.log10(number)))
    digits = int(np.rint(number * 10.0 ** (DIGITS - 1 - exponent)))
    # The logarithm errs beside powers of ten, and rounding reaches the next one.
    if digits >= 10**DIGITS:
        exponent += 1
        digits = int(np.rint(number * 10.0 ** (DIGITS - 1 - exponent)))
    elif digits < 10 ** (DIGITS - 1):
        exponent -= 1
        digits = int(np.rint(number * 10.0 ** (DIGITS - 1 - exponent)))
    count = DIGITS
    while count > 1 and digits % 10 == 0:
        digits //= 10
        count -= 1
    if exponent < -7 or exponent >= DIGITS:
        return _put_scientific(out, at, digits, count, exponent)
    if exponent < 0:
        out[at] = 48
        out[at + 1] = 46  # .
        at += 2
        for _ in range(-1 - exponent):
            out[at] = 48
            at += 1
        return _put_integer(out, at, digits)
    whole = exponent + 1
    if count <= whole:
        at = _put_integer(out, at, digits)
        for _ in range(whole - count):
            out[at] = 48
            at += 1
        return at
    return _put_point(out, at, digits, whole)


@njit(cache=True, nogil=True)  # pyright: ignore[reportUntypedFunctionDecorator]
def _put_point(out: Bytes, at: int, digits: int, whole: int) -> int:
    """Digits with a point after the first ``whole``."""
    end = _put_integer(out, at, digits)
    for place in range(end, at + whole, -1):
        out[place] = out[place - 1]
    out[at + whole] = 46
    return end + 1


@njit(cache=True, nogil=True)  # pyright: ignore[reportUntypedFunctionDecorator]
def _put_scientific(out: Bytes, at: int, digits: int, count: int, exponent: int) -> int:
    at = _put_point(out, at, digits, 1) if count > 1 else _put_integer(out, at, digits)
    out[at] = 101  # e
    at += 1
    if exponent < 0:
        out[at] = 45
        at += 1
        exponent = -exponent
    return _put_integer(out, at, exponent)
