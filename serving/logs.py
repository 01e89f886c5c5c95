"""One form for every line that the service and its server log, on stderr.

JSON, one object a line, where a collector reads; plain lines on a terminal. Nothing
of what a caller sent is in a line: paths are told as routed, and of an error that
nobody expected its type and place, but not its message, which may quote an id.
"""

from __future__ import annotations

import json
import logging
import sys
import threading
import traceback
from collections.abc import Iterator
from datetime import UTC, datetime
from types import TracebackType
from typing import Any, Literal, TextIO

from features.contracts import ContractError, SettingError
from serving.state.database import StateAwayError

LogFormat = Literal["auto", "json", "text"]

FIELDS = ("path", "status", "code", "seconds")
"""Of a request, where a record is about one; given as ``extra``."""

_SAFE = (ContractError, SettingError, StateAwayError)
"""Ours: they name columns and counts, never customers."""

_OTHERS = ("bentoml", "circus", "uvicorn", "uvicorn.error")
"""Loggers that the server gives handlers and levels of its own."""

_TELLING = ("bentoml", "repurchase")
"""Loggers whose news are told, not only warnings."""


def error_text(error: BaseException) -> str:
    """An error and those that led to it: where, and of which type.

    The lines of code are shown, but of a message only what cannot quote a caller: that
    of the operating system, and our own.
    """
    parts = list[str]()
    for one in _chain(error):
        parts += traceback.format_tb(one.__traceback__)
        parts.append(f"{type(one).__module__}.{type(one).__qualname__}{_said(one)}\n")
    return "".join(parts).rstrip()


def _chain(error: BaseException) -> Iterator[BaseException]:
    """The causes first; each once."""
    found: list[BaseException] = []
    at: BaseException | None = error
    while at is not None and at not in found:
        found.append(at)
        at = at.__cause__ or (None if at.__suppress_context__ else at.__context__)
    return reversed(found)


def _said(error: BaseException) -> str:
    if isinstance(error, OSError) and error.strerror:
        return f": {error.strerror}"
    return f": {error}" if isinstance(error, _SAFE) else ""


def _message(record: logging.LogRecord) -> str:
    text = record.getMessage()
    # The lines below asyncio's first show the error with its message.
    return text.partition("\n")[0] if record.name == "asyncio" else text


def _error(record: logging.LogRecord) -> str | None:
    error = record.exc_info[1] if record.exc_info else None
    return None if error is None else error_text(error)


def _moment(record: logging.LogRecord) -> datetime:
    return datetime.fromtimestamp(record.created, UTC)


class JsonLines(logging.Formatter):
    """Time (UTC), level, logger, process, message, then ``FIELDS`` and traceback."""

    def format(self, record: logging.LogRecord) -> str:
        """One line, ASCII, whatever the message holds."""
        found: dict[str, Any] = {
            "time": f"{_moment(record):%Y-%m-%dT%H:%M:%S.%fZ}",
            "level": record.levelname.lower(),
            "logger": record.name,
            "process": record.process,
            "message": _message(record),
        }
        there = vars(record)
        found |= {name: there[name] for name in FIELDS if name in there}
        if text := _error(record):
            found["traceback"] = text
        return json.dumps(found)


class TextLines(logging.Formatter):
    """The same for people."""

    def format(self, record: logging.LogRecord) -> str:
        """One line, and those of a traceback."""
        there = vars(record)
        said = "".join(f" {name}={there[name]}" for name in FIELDS if name in there)
        when = f"{_moment(record):%H:%M:%S}"
        line = f"{when} {record.levelname.lower()} {_message(record)}{said}"
        text = _error(record)
        return line if text is None else f"{line}\n{text}"


def handler_of(form: LogFormat, stream: TextIO) -> logging.Handler:
    """What writes records to a stream in that form."""
    handler = logging.StreamHandler(stream)
    is_text = form == "text" or (form == "auto" and stream.isatty())
    handler.setFormatter(TextLines() if is_text else JsonLines())
    return handler


def set_up(form: LogFormat) -> None:
    """Every logger of this process writes in one form to stderr, warnings too."""
    root = logging.getLogger()
    root.handlers[:] = [handler_of(form, sys.stderr)]
    root.setLevel(logging.WARNING)
    for name in _OTHERS:
        other = logging.getLogger(name)
        other.handlers.clear()
        other.propagate = True
    for name in _TELLING:
        logging.getLogger(name).setLevel(logging.INFO)
    # One line a request costs more than the request; /metrics counts them. Without
    # any handler the server does not even make the line.
    access = logging.getLogger("uvicorn.access")
    access.handlers.clear()
    access.propagate = False
    logging.captureWarnings(True)
    sys.excepthook = _crashed
    threading.excepthook = _thread_crashed


def _crashed(
    kind: type[BaseException], error: BaseException, at: TracebackType | None
) -> None:
    if issubclass(kind, KeyboardInterrupt):
        return
    logger = logging.getLogger("repurchase.serving")
    logger.critical("the process ends", exc_info=(kind, error, at))


def _thread_crashed(args: threading.ExceptHookArgs) -> None:
    error = args.exc_value
    if error is None:
        return
    name = args.thread.name if args.thread else "a thread"
    logger = logging.getLogger("repurchase.serving")
    logger.error("%s ends", name, exc_info=(args.exc_type, error, args.exc_traceback))
