"""Events as a caller sends them, checked against the contract of their table.

A bad event is refused with a reason and does not hold up the others. What is good
here is good in a build: the rules are those of ``features.rules``.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, TypeAlias

from pydantic_core import from_json

from features.contracts import Column
from features.snapshot import to_us
from serving.asgi import ApiError
from serving.state.log import Event
from serving.state.tables import CONTENT, EVENT_TABLES, KNOWN_AT, event_columns

MAX_EVENTS = 10_000
MAX_TEXT = 256
"""Characters of an id or a text."""

AHEAD = timedelta(days=1)
"""So far may a clock be ahead, or its zone be taken for UTC."""

_LARGE = 2**64
_EARLIEST = datetime(1900, 1, 1)
_NPS = (0, 10)

Check: TypeAlias = Callable[[Any], Any]
"""A value of JSON in, a value for the log out; raises ``_UnfitError``."""

_BLANK: dict[str, Any] = dict.fromkeys(CONTENT)


class _UnfitError(Exception):
    """What was expected of a value, and what came."""

    def __init__(self, expected: str, got: object) -> None:
        super().__init__(f"expected {expected}, got {got}")


@dataclass(frozen=True)
class Refused:
    """An event that is not taken.

    Attributes:
        index: its place in the request, from 0.
        event_id: None: it has none that could be read.
        reason: one line.
    """

    index: int
    event_id: str | None
    reason: str


@dataclass(frozen=True)
class Checked:
    """A request after its check.

    Attributes:
        events: the good ones.
        places: of these in the request.
        refused: the others, in order.
    """

    events: list[Event]
    places: list[int]
    refused: list[Refused]


def read(body: bytes) -> list[object]:
    """The events of a body ``{"events": [...]}``, unchecked.

    Raises:
        ApiError: 400 if it is no JSON; 422 if it is not such an object, or has no
            events or too many.
    """
    try:
        found: object = from_json(body, allow_inf_nan=False)
    except ValueError as error:
        raise ApiError(
            400, "bad_json", f"body: expected a JSON object, {error}"
        ) from None
    if not isinstance(found, dict):
        raise _invalid(None, f"body: expected a JSON object, got {_called(found)}")
    for name in found:
        if name != "events":
            raise _invalid(name, f"{name!r:.80}: expected only events, got this too")
    events: object = found.get("events")
    if not isinstance(events, list):
        raise _invalid("events", f"events: expected a list, got {_called(events)}")
    if not 1 <= len(events) <= MAX_EVENTS:
        raise _invalid(
            "events", f"events: expected 1 to {MAX_EVENTS:,}, got {len(events):,}"
        )
    return events


def check(events: Sequence[object], now: datetime) -> Checked:
    """Each event against its contract.

    Args:
        events: as ``read`` gives them.
        now: naive UTC; what happens more than a day later is refused.
    """
    found = Checked([], [], [])
    latest = now + AHEAD
    for place, event in enumerate(events):
        try:
            found.events.append(_event(event, latest))
            found.places.append(place)
        except _UnfitError as error:
            event_id: object = (
                event.get("event_id") if isinstance(event, dict) else None
            )
            known = event_id if isinstance(event_id, str) else None
            found.refused.append(Refused(place, known and known[:MAX_TEXT], str(error)))
    return found


def _event(event: object, latest: datetime) -> Event:
    if not isinstance(event, dict):
        raise _UnfitError("an object", _called(event))
    table: object = event.get("table")
    checks = _CHECKS.get(table) if isinstance(table, str) else None
    if checks is None:
        raise _named(
            "table", _UnfitError(f"one of {', '.join(_CHECKS)}", _shown(table))
        )
    found: dict[str, Any] = {**_BLANK, "table": table}
    for name, value in event.items():
        known = checks.get(name)
        if known is None:
            if name != "table":
                raise _named(f"{name!r:.80}"[1:-1], _unknown(name, str(table)))
        elif value is not None:
            try:
                found[name] = known(value)
            except _UnfitError as error:
                raise _named(name, error) from None
    for name in _REQUIRED[str(table)]:
        if found.get(name) is None:
            raise _named(name, _UnfitError("a value", "none"))
    _must_keep_rules(found, latest)
    found["ts"] = to_us(found["ts"])
    return found


def _must_keep_rules(event: Mapping[str, Any], latest: datetime) -> None:
    """What more than the type of a single value is needed for."""
    if not _EARLIEST <= event["ts"] <= latest:
        allowed = f"a moment from {_EARLIEST.year} to a day from now"
        raise _named("ts", _UnfitError(allowed, event["ts"].isoformat()))
    score = event["score"]
    if event["kind"] == "nps" and score is not None:
        low, high = _NPS
        if not low <= score <= high:
            raise _named(
                "score", _UnfitError(f"{low} to {high}, the scale of nps", score)
            )


def _named(name: str, error: _UnfitError) -> _UnfitError:
    error.args = (f"{name}: {error}",)
    return error


def _unknown(name: str, table: str) -> _UnfitError:
    if name == KNOWN_AT:
        return _UnfitError("none: it is the moment of receipt", "one")
    return _UnfitError(f"a column of {table}", "another name")


def _id(value: Any) -> str | None:
    if type(value) is int and abs(value) < _LARGE:
        return str(value)
    if not isinstance(value, str):
        raise _UnfitError("text or an integer", _called(value))
    if value != value.strip():
        raise _UnfitError("no blanks around it", "some")
    return _text(value)


def _text(value: Any) -> str | None:
    if not isinstance(value, str):
        raise _UnfitError("text", _called(value))
    if len(value) > MAX_TEXT:
        raise _UnfitError(f"at most {MAX_TEXT} characters", f"{len(value):,}")
    if "\0" in value:
        # PostgreSQL cannot keep it.
        raise _UnfitError("text", "a null character in it")
    return value or None


def _time(value: Any) -> datetime:
    if isinstance(value, str):
        try:
            moment = datetime.fromisoformat(value)
            return (
                moment.astimezone(UTC).replace(tzinfo=None) if moment.tzinfo else moment
            )
        except (ValueError, OverflowError):
            pass
    raise _UnfitError(
        "an ISO 8601 timestamp such as 2024-03-01T12:00:00Z", _shown(value)
    )


def _flag(value: Any) -> bool:
    if not isinstance(value, bool):
        raise _UnfitError("true or false", _shown(value))
    return value


def _number(column: Column) -> Check:
    low = -math.inf if column.low is None else column.low
    high = math.inf if column.high is None else column.high

    def number(value: Any) -> float:
        if type(value) not in (int, float):
            raise _UnfitError("a number", _called(value))
        try:
            found = float(value)
        except OverflowError:
            found = math.inf
        if not math.isfinite(found):
            raise _UnfitError("a finite number", "a larger one")
        if not low <= found <= high:
            bound = f"at least {low:g}" if found < low else f"at most {high:g}"
            raise _UnfitError(bound, f"{found:g}")
        return found

    return number


def _word(column: Column) -> Check:
    def word(value: Any) -> str:
        if value not in column.kinds:
            raise _UnfitError(f"one of {', '.join(column.kinds)}", _shown(value))
        return value

    return word


def _check_of(column: Column) -> Check:
    if column.kinds:
        return _word(column)
    match column.dtype:
        case "id":
            return _id
        case "text":
            return _text
        case "time":
            return _time
        case "flag":
            return _flag
        case "number":
            return _number(column)


_CHECKS: dict[str, dict[str, Check]] = {
    table.name: {
        "event_id": _id,
        **{column.name: _check_of(column) for column in event_columns(table)},
    }
    for table in EVENT_TABLES.values()
}
_REQUIRED: dict[str, tuple[str, ...]] = {
    table.name: ("event_id", *(c.name for c in event_columns(table) if c.required))
    for table in EVENT_TABLES.values()
}


def _called(value: object) -> str:
    """The type of a value of JSON, for messages."""
    match value:
        case None:
            return "none"
        case bool():
            return "true or false"
        case str():
            return "text"
        case dict():
            return "an object"
        case list():
            return "a list"
        case _:
            return "a number"


def _shown(value: object) -> str:
    """A short value itself, for messages."""
    if isinstance(value, int) and abs(value) >= _LARGE:
        # Python writes no number of thousands of digits.
        return "a larger number"
    return f"{value!r:.60}" if isinstance(value, str | int | float) else _called(value)


def _invalid(field: str | None, message: str) -> ApiError:
    return ApiError(422, "invalid", message, field)
