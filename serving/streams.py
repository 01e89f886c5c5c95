"""Replies in parts: made in a thread, sent as they come, for as long as one reads."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from concurrent.futures import Executor

from starlette.types import Message, Receive, Send

PATIENCE_SECONDS = 30.0
"""A client that takes nothing for so long is given up."""


async def stream(
    start: Message,
    first: bytes,
    chunks: Iterator[bytes],
    threads: Executor,
    receive: Receive,
    send: Send,
) -> None:
    """Sends a reply whose end is not known yet.

    An error of ``chunks``, or a client that stops to read, goes to the server, which
    breaks the connection off: it is too late for another status, and what the client
    got has no end.

    Args:
        start: status and headers.
        first: the beginning of the body.
        chunks: the rest, made one at a time in ``threads``.
        threads: where the parts are made.
        receive: tells when the client has gone.
        send: takes the parts; it waits where the client reads slowly.

    Raises:
        TimeoutError: the client took nothing for ``PATIENCE_SECONDS``.
    """
    loop = asyncio.get_running_loop()
    left = asyncio.ensure_future(_left(receive))
    try:
        await send(start)
        chunk: bytes | None = first
        while chunk is not None and not left.done():
            body = {"type": "http.response.body", "body": chunk, "more_body": True}
            async with asyncio.timeout(PATIENCE_SECONDS):
                await send(body)
            chunk = await loop.run_in_executor(threads, lambda: next(chunks, None))
        if chunk is None:
            await send({"type": "http.response.body", "body": b""})
    finally:
        left.cancel()


async def _left(receive: Receive) -> None:
    """Returns when the client has gone."""
    while (await receive())["type"] != "http.disconnect":
        pass
