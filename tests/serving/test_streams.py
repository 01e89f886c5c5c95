"""Replies in parts: in order, no faster than they are read, to nobody who has left."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from serving.streams import stream

START = {"type": "http.response.start", "status": 200, "headers": []}


class Reader:
    """A client that leaves after some messages; what it was sent, what was made."""

    def __init__(self, leaves_after: int | None = None, fails_at: int = -1) -> None:
        self.sent: list[dict[str, Any]] = []
        self.made = 0
        self._leaves_after = leaves_after
        self._fails_at = fails_at
        self._left = asyncio.Event()

    def chunks(self) -> Iterator[bytes]:
        for number in range(100):
            if number == self._fails_at:
                raise RuntimeError("broken")
            self.made += 1
            yield b"%d," % number

    async def receive(self) -> dict[str, Any]:
        await self._left.wait()
        return {"type": "http.disconnect"}

    async def send(self, message: Any) -> None:
        self.sent.append(dict(message))
        if len(self.sent) == self._leaves_after:
            self._left.set()
            await asyncio.sleep(0)  # so that the news arrives
        # What is made ahead of the reader is one part at most.
        assert self.made <= len(self.sent)

    def read(self) -> None:
        async def run() -> None:
            with ThreadPoolExecutor(1) as threads:
                chunks = self.chunks()
                await stream(START, b"head,", chunks, threads, self.receive, self.send)

        asyncio.run(run())

    @property
    def is_whole(self) -> bool:
        return not self.sent[-1].get("more_body", False)


def test_all_parts_come_in_order_and_the_end_is_told() -> None:
    reader = Reader()
    reader.read()
    body = b"".join(message["body"] for message in reader.sent[1:])
    assert body == b"head," + b"".join(b"%d," % number for number in range(100))
    assert reader.sent[0] == START and reader.is_whole


def test_for_who_has_left_nothing_more_is_made() -> None:
    reader = Reader(leaves_after=5)
    reader.read()
    assert reader.made <= 6 and not reader.is_whole


def test_a_part_that_cannot_be_made_leaves_the_answer_without_an_end() -> None:
    reader = Reader(fails_at=3)
    with pytest.raises(RuntimeError, match="broken"):
        reader.read()
    assert reader.made == 3 and not reader.is_whole
