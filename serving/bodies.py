"""Bodies of requests, within their limits of size and time."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Any

from starlette.types import Receive

from serving.replies import ApiError

_PATIENCE = 64
"""Times the limit that is read before the connection is given up."""

_ROUNDS = 4
"""In the time that a body has, so often is looked who is late."""


class Bodies:
    """Reads bodies; who takes too long is given up.

    A timer for each request would cost more than most requests: all that are being
    read are looked through every now and then. A body may so take a quarter longer.

    Args:
        timeout: seconds that a body has.
        clock: seconds.
    """

    def __init__(
        self, timeout: float, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._timeout = timeout
        self._clock = clock
        self._since: dict[asyncio.Task[Any], float] = {}
        self._late: set[asyncio.Task[Any]] = set()
        self._watches = False

    async def read(self, receive: Receive, limit: int) -> bytes:
        """The body; of one that is too large, no more than the limit is kept.

        Raises:
            ApiError: 400, 408 or 413.
        """
        task = asyncio.current_task()
        if task is None:
            raise RuntimeError("read: expected to be called in a task")
        self._since[task] = self._clock()
        if not self._watches:
            self._watches = True
            self._watch()
        try:
            return await _read(receive, limit)
        except asyncio.CancelledError:
            if task not in self._late or task.uncancel():
                raise
            raise ApiError(
                408, "timeout", f"body: expected within {self._timeout:g} seconds"
            ) from None
        finally:
            del self._since[task]
            self._late.discard(task)

    def _watch(self) -> None:
        """Gives up who is late, again and again while anybody is read."""
        self._watches = bool(self._since)
        if not self._watches:
            return
        before = self._clock() - self._timeout
        for task, since in self._since.items():
            if since <= before and task not in self._late:
                self._late.add(task)
                task.cancel()
        asyncio.get_running_loop().call_later(self._timeout / _ROUNDS, self._watch)


async def _read(receive: Receive, limit: int) -> bytes:
    chunks: list[bytes] = []
    size, more = 0, True
    # What is too much is read and dropped for a while: a client that still sends
    # when the connection closes never sees its 413.
    while more and size <= limit * _PATIENCE:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ApiError(400, "bad_json", "body: the client went away")
        chunk: bytes = message.get("body", b"")
        size += len(chunk)
        more = message.get("more_body", False)
        if size <= limit:
            chunks.append(chunk)
    if size > limit:
        raise ApiError(
            413,
            "too_large",
            f"body: expected at most {limit} bytes, got more; send fewer ids or "
            "events at a time",
        )
    return chunks[0] if len(chunks) == 1 else b"".join(chunks)
