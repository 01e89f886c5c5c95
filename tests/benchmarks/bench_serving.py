"""Requests per second of ``/v1/recommendations`` beside BentoML's empty endpoint.

One worker each, 16 connections, one customer with n = 20 out of 5,000 customers
with 200 offers. Prints figures and their ratio; fails on wrong answers only.
"""

from __future__ import annotations

import asyncio
import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path

from serving.publish import publish

CONNECTIONS, REQUESTS = 16, 6_000

_EMPTY = """
import bentoml

@bentoml.service(workers=1)
class Empty:
    @bentoml.api
    async def ping(self) -> dict:
        return {}
"""
_OURS = (
    "import sys; from pathlib import Path; from serving.launch import run; "
    "run(Path(sys.argv[1]), '127.0.0.1', int(sys.argv[2]))"
)


class Connection(asyncio.Protocol):
    """Sends its request again as soon as the answer is whole."""

    def __init__(self, request: bytes, left: list[int], times: list[float]) -> None:
        self.request, self.left, self.times = request, left, times
        self.done = asyncio.get_running_loop().create_future()
        self.seen = b""

    def connection_made(self, transport) -> None:
        self.transport = transport
        self.ask()

    def ask(self) -> None:
        if self.left[0] <= 0:
            self.transport.close()
            self.done.set_result(None)
            return
        self.left[0] -= 1
        self.sent = time.perf_counter()
        self.transport.write(self.request)

    def data_received(self, data: bytes) -> None:
        self.seen += data
        head, ends, body = self.seen.partition(b"\r\n\r\n")
        length = head.lower().partition(b"content-length: ")[2].split(b"\r")[0]
        if ends and len(body) >= int(length):
            assert head.startswith(b"HTTP/1.1 200"), self.seen
            self.times.append(time.perf_counter() - self.sent)
            self.seen = b""
            self.ask()


def load(port: int, path: str, body: bytes) -> tuple[float, float, float]:
    """Requests per second, median and 99th percentile in milliseconds."""
    head = (
        f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
    )
    request = f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body

    async def all_of(count: int) -> list[float]:
        left, times = [count], []
        loop = asyncio.get_running_loop()
        made = [
            await loop.create_connection(
                lambda: Connection(request, left, times), "127.0.0.1", port
            )
            for _ in range(CONNECTIONS)
        ]
        await asyncio.gather(*(protocol.done for _, protocol in made))
        return times

    asyncio.run(all_of(REQUESTS // 10))
    started = time.perf_counter()
    times = sorted(asyncio.run(all_of(REQUESTS)))
    rate = len(times) / (time.perf_counter() - started)
    return rate, times[len(times) // 2] * 1e3, times[len(times) * 99 // 100] * 1e3


@contextmanager
def started(command: list[str], home: Path) -> Iterator[None]:
    environment = {**os.environ, "BENTOML_HOME": str(home)}
    process = subprocess.Popen(
        [sys.executable, *command],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        env=environment,
        text=True,
    )
    assert process.stdout is not None
    # The access log of the rival would fill a pipe that nobody reads.
    lines = iter(process.stdout.readline, "")
    next(line for line in lines if "initialized" in line)
    reader = subprocess.Popen(["cat"], stdin=process.stdout, stdout=subprocess.DEVNULL)
    try:
        yield
    finally:
        process.terminate()
        process.wait(30)
        reader.wait(30)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def draw_many():
    file = Path(__file__).parents[1] / "serving" / "conftest.py"
    spec = spec_from_file_location("serving_conftest", file)
    assert spec is not None and spec.loader is not None
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.draw_many(5_000, 200)


def test_recommendations_beside_an_empty_endpoint(tmp_path, capsys):
    (tmp_path / "rival").mkdir()
    (tmp_path / "rival" / "empty.py").write_text(_EMPTY)
    publish(tmp_path, draw_many(), "bench")
    ours, rival = free_port(), free_port()
    with started(["-c", _OURS, str(tmp_path), str(ours)], tmp_path):
        body = json.dumps({"customer_ids": ["c00001234"], "n": 20}).encode()
        found = load(ours, "/v1/recommendations", body)
        live = load(ours, "/v1/propensity", b'{"customer_ids": ["c00001234"]}')
    options = ["--working-dir", str(tmp_path / "rival"), "--port", str(rival)]
    with started(["-m", "bentoml", "serve", "empty:Empty", *options], tmp_path):
        empty = load(rival, "/ping", b"{}")
    with capsys.disabled():
        print()
        for name, (rate, median, slow) in (
            ("/v1/recommendations, 1 customer, n = 20", found),
            ("/v1/propensity, 1 customer", live),
            ("BentoML default, empty endpoint", empty),
        ):
            print(f"{name:40} {rate:7.0f}/s  p50 {median:5.1f} ms  p99 {slow:5.1f} ms")
        print(f"ratio of requests per second: {found[0] / empty[0]:.1f}")
