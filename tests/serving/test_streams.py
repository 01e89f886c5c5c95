"""Replies in parts: in order, no faster than they are read, to nobody who has left."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from features.config import ServingConfig
from serving.asgi import Gateway, Reply, Route
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


def test_a_client_that_stops_to_read_is_given_up(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("serving.streams.PATIENCE_SECONDS", 0.01)

    class Idle(Reader):
        async def send(self, message: Any) -> None:
            await super().send(message)
            if len(self.sent) == 4:
                await asyncio.Event().wait()

    reader = Idle()
    with pytest.raises(TimeoutError):
        reader.read()
    assert len(reader.sent) == 4 and not reader.is_whole


def test_slow_readers_take_no_place_of_other_requests() -> None:
    async def run() -> list[int]:
        go, statuses = asyncio.Event(), list[int]()

        def csv(_: bytes) -> Reply:
            return Reply(200, b"head", chunks=iter([b"tail"]))

        def quick(_: bytes) -> Reply:
            return Reply(200, b"quick")

        routes = {
            "/csv": {"GET": Route(csv, None, in_thread=True)},
            "/quick": {"GET": Route(quick, None, in_thread=True)},
        }
        gateway = Gateway(
            lambda *_: None, routes, lambda *_: None, lambda *_: "", ServingConfig()
        )

        async def ask(path: str) -> None:
            body = iter([{"type": "http.request", "body": b""}])

            async def receive() -> dict[str, Any]:
                for message in body:
                    return message
                await asyncio.Event().wait()
                return {"type": "http.disconnect"}

            async def send(message: Any) -> None:
                if message["type"] == "http.response.start":
                    statuses.append(message["status"])
                elif message["body"] == b"head":
                    await go.wait()

            scope = {"type": "http", "path": path, "method": "GET", "headers": []}
            await gateway(scope, receive, send)

        slow = [asyncio.ensure_future(ask("/csv")) for _ in range(40)]
        while len(statuses) < 40:
            await asyncio.sleep(0.01)
        await ask("/quick")
        go.set()
        await asyncio.gather(*slow)
        return statuses

    statuses = asyncio.run(run())
    # Eight streams, no more; and what is asked beside them is answered.
    assert statuses[:40].count(200) == 8 and statuses[:40].count(503) == 32
    assert statuses[40] == 200
