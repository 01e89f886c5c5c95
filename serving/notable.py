"""Requests that are worth a line in the log: slow ones, and faults of ours."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping

_PAUSE_SECONDS = 1.0
"""Between two lines of a kind: where all requests fail, the log must not fill a disk."""

logger = logging.getLogger("repurchase.serving")


class Notable:
    """Tells of requests; of those like one told a moment ago, only how many.

    Args:
        slow_seconds: a request that takes as long is told.
        clock: seconds.
    """

    def __init__(
        self, slow_seconds: float, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._slow = slow_seconds
        self._clock = clock
        self._told: dict[tuple[str, str], float] = {}
        self._passed: dict[tuple[str, str], int] = {}

    def request(self, path: str, status: int, code: str | None, seconds: float) -> None:
        """A reply that was made.

        Args:
            path: as routed, without what stands in the place of ``{…}``.
            status: of HTTP.
            code: of the error, None: none.
            seconds: that it took; of one in parts, until the first.
        """
        if status < 500 and seconds < self._slow:
            return
        extra = {"path": path, "status": status, "seconds": round(seconds, 6)}
        extra |= {"code": code} if code else {}
        self._tell("slow request" if status < 500 else "not served", extra)

    def fault(self, path: str, error: Exception) -> None:
        """An error that nobody expected."""
        extra = {"path": path, "status": 500, "code": "internal"}
        self._tell("request failed", extra, error)

    def _tell(
        self, said: str, extra: Mapping[str, object], error: Exception | None = None
    ) -> None:
        kind = (said, f"{extra['path']} {extra['status']} {extra.get('code')}")
        now = self._clock()
        if now < self._told.get(kind, -_PAUSE_SECONDS) + _PAUSE_SECONDS:
            self._passed[kind] = self._passed.get(kind, 0) + 1
            return
        self._told[kind] = now
        if passed := self._passed.pop(kind, 0):
            said = f"{said}, and {passed} more since the last line like this"
        level = logging.WARNING if error is None else logging.ERROR
        logger.log(level, "%s", said, exc_info=error, extra=extra)
