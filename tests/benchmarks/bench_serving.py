"""The service under load beside BentoML's empty endpoints, and through hot swaps.

    python -m pytest tests/benchmarks/bench_serving.py -s

One worker each, ``BENCH_CUSTOMERS`` (a million) published with 100 offers each, this
process asks. The rivals answer ``{}``: one as BentoML comes, one as an ASGI app mounted
in a BentoML that is tuned as ours is, behind its middleware, and one ahead of that, as
ours is. All are asked in turn, twice, with 1 and with 16
connections, each request for another customer. ``-k swap`` keeps 70 % of what ours can
do for ``BENCH_SECONDS`` (600) while the version changes every 30 seconds. Prints
figures and ratios; fails on wrong answers only.
"""

from __future__ import annotations

import asyncio
import json
import os
import re
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from importlib.util import module_from_spec, spec_from_file_location
from itertools import count, cycle, islice
from pathlib import Path

import numpy as np
import psutil
import pytest
from rich.console import Console
from rich.table import Table

from serving.publish import publish, switch

CUSTOMERS = int(os.environ.get("BENCH_CUSTOMERS", "1000000"))
SECONDS = float(os.environ.get("BENCH_SECONDS", "600"))
OFFERS, SWAP_SECONDS, ROUNDS = 100, 30.0, 2
COUNTS = {1: 4_000, 16: 20_000}
"""Requests of a measurement, by connections."""

_EMPTY = """
import bentoml

@bentoml.service(workers=1)
class Empty:
    @bentoml.api
    async def ping(self) -> dict:
        return {}
"""
_TUNED = """
import logging
import bentoml

AHEAD = %s
access = logging.getLogger("uvicorn.access")
access.handlers.clear()
access.propagate = False
START = {
    "type": "http.response.start",
    "status": 200,
    "headers": [(b"content-type", b"application/json"), (b"content-length", b"2")],
}
BODY = {"type": "http.response.body", "body": b"{}"}

class Front:
    def __init__(self, app):
        self.app = app

    async def __call__(self, scope, receive, send):
        if AHEAD and scope["type"] == "lifespan":
            rest = scope["app"].middleware_stack

            async def first(scope, receive, send):
                handler = answer if scope["type"] == "http" else rest
                await handler(scope, receive, send)

            scope["app"].middleware_stack = first
        handler = answer if scope["type"] == "http" else self.app
        await handler(scope, receive, send)

async def answer(scope, receive, send):
    while (await receive()).get("more_body"):
        pass
    await send(START)
    await send(BODY)

@bentoml.service(
    workers=1,
    traffic={"timeout": 10},
    metrics={"enabled": False},
    logging={"access": {"enabled": False}},
    tracing={"excluded_urls": ".*"},
)
class Empty:
    pass

Empty.add_asgi_middleware(Front)
"""
_OURS = (
    "import sys; from pathlib import Path; from serving.launch import run; "
    "run(Path(sys.argv[1]), '127.0.0.1', int(sys.argv[2]))"
)


@dataclass(frozen=True)
class Load:
    """What one measurement found; milliseconds from the request to the whole reply."""

    rate: float
    median: float
    p99: float

    @classmethod
    def of(cls, times: list[float], seconds: float) -> Load:
        low, high = np.quantile(times, [0.5, 0.99]) * 1e3
        return cls(len(times) / seconds, float(low), float(high))

    @classmethod
    def best(cls, found: Sequence[Load]) -> Load:
        """The round with most requests: what the machine did beside is in the others."""
        return max(found, key=lambda one: one.rate)


class Connection(asyncio.Protocol):
    """Asks anew as soon as the reply is whole, or when ``wait`` says so.

    Args:
        following: the next request; None: it was the last one.
        times: seconds of each request are appended.
        wait: moment of the loop's clock before which the next one is not sent; None:
            at once.
    """

    def __init__(
        self,
        following: Callable[[], bytes | None],
        times: list[float],
        wait: Callable[[], float] | None = None,
    ) -> None:
        self.following, self.times, self.wait = following, times, wait
        self.loop = asyncio.get_running_loop()
        self.done = self.loop.create_future()
        self.seen = b""

    def connection_made(self, transport) -> None:
        self.transport = transport
        self.ask()

    def connection_lost(self, exc) -> None:
        if not self.done.done():
            self.done.set_exception(ConnectionError("closed before the last reply"))

    def ask(self) -> None:
        request = self.following()
        if request is None:
            self.done.set_result(None)
            self.transport.close()
            return
        self.sent = time.perf_counter()
        self.transport.write(request)

    def data_received(self, data: bytes) -> None:
        self.seen += data
        head, ends, body = self.seen.partition(b"\r\n\r\n")
        if not ends:
            return
        length = head.lower().partition(b"content-length: ")[2].split(b"\r")[0]
        if len(body) < int(length):
            return
        if not head.startswith(b"HTTP/1.1 200"):
            self.done.set_exception(AssertionError(self.seen[:500]))
            self.transport.abort()
            return
        self.times.append(time.perf_counter() - self.sent)
        self.seen = b""
        if self.wait is None:
            self.ask()
        else:
            self.loop.call_at(self.wait(), self.ask)


def request(path: str, body: bytes) -> bytes:
    head = f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1\r\n"
    kind = f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    return f"{head}{kind}".encode() + body


def asks(path: str, per_request: int = 1, **more: object) -> list[bytes]:
    """Requests for customers drawn from all."""
    drawn = np.random.default_rng(3).integers(0, CUSTOMERS, (4_096, per_request))
    ids = ([f"c{row:08d}" for row in rows] for rows in drawn)
    return [
        request(path, json.dumps({"customer_ids": i, **more}).encode()) for i in ids
    ]


def load(port: int, requests: Sequence[bytes], connections: int, times: int) -> Load:
    """As many requests as the service answers; a tenth of them before, unmeasured."""
    asyncio.run(_all_of(port, requests, connections, times // 10))
    started = time.perf_counter()
    spent = asyncio.run(_all_of(port, requests, connections, times))
    return Load.of(spent, time.perf_counter() - started)


async def _all_of(
    port: int, requests: Sequence[bytes], connections: int, times: int
) -> list[float]:
    asked, spent = islice(cycle(requests), times), list[float]()
    await _connected(
        port, connections, lambda: Connection(partial(next, asked, None), spent)
    )
    return spent


async def _connected(port: int, connections: int, make: Callable[[], Connection]):
    loop = asyncio.get_running_loop()
    made = [
        await loop.create_connection(make, "127.0.0.1", port)
        for _ in range(connections)
    ]
    await asyncio.gather(*(protocol.done for _, protocol in made))


async def _paced(
    port: int, requests: Sequence[bytes], rate: float, root: Path, versions: list[str]
) -> tuple[list[float], int]:
    """Seconds of each request at ``rate`` a second, and how often was swapped."""
    loop = asyncio.get_running_loop()
    started, times, swaps = loop.time(), list[float](), 0
    until = started + SECONDS
    asked, slots = cycle(requests), count()

    def following() -> bytes | None:
        return None if loop.time() > until else next(asked)

    def slot() -> float:
        return started + next(slots) / rate

    async def swap() -> None:
        nonlocal swaps
        while loop.time() + SWAP_SECONDS < until:
            await asyncio.sleep(SWAP_SECONDS)
            swaps += 1
            switch(root, versions[swaps % len(versions)])

    swapping = asyncio.create_task(swap())
    await _connected(port, 16, lambda: Connection(following, times, slot))
    await swapping
    return times, swaps


@contextmanager
def started(command: list[str], home: Path) -> Iterator[int]:
    """A service on a free port; ``{port}`` in the command is replaced."""
    port = free_port()
    process = subprocess.Popen(
        [sys.executable, *(word.format(port=port) for word in command)],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        env={**os.environ, "BENTOML_HOME": str(home)},
        text=True,
    )
    assert process.stdout is not None
    # The access log of the rival would fill a pipe that nobody reads.
    lines = iter(process.stdout.readline, "")
    next(line for line in lines if "initialized" in line)
    reader = subprocess.Popen(["cat"], stdin=process.stdout, stdout=subprocess.DEVNULL)
    try:
        yield port
    finally:
        process.terminate()
        process.wait(30)
        reader.wait(30)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def private_mb(port: int) -> float:
    """Memory of the worker behind ``port`` but for the files that it maps."""
    # The parent holds the socket as well; the worker is the larger one.
    return max(
        _anonymous(process.pid)
        for process in psutil.process_iter(["cmdline"])
        if str(port) in " ".join(process.info["cmdline"] or ())
        for process in (process, *process.children())
    )


def _anonymous(pid: int) -> float:
    found = re.search(
        r"^Anonymous:\s+(\d+) kB",
        Path(f"/proc/{pid}/smaps_rollup").read_text(),
        re.MULTILINE,
    )
    return int(found[1]) / 1024 if found else 0.0


def draw_many(customers: int):
    file = Path(__file__).parents[1] / "serving" / "conftest.py"
    spec = spec_from_file_location("serving_conftest", file)
    assert spec is not None and spec.loader is not None
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.draw_many(customers, OFFERS)


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[str]]:
    """The published shop in two versions, which differ in the model's name only."""
    folder = tmp_path_factory.mktemp("shop")
    predictions = draw_many(CUSTOMERS)
    versions = [publish(folder, predictions, name).name for name in ("blue", "green")]
    return folder, versions


RECOMMENDED = "/v1/recommendations, n = 20"
OUTLOOK = "/v1/propensity, 90 days"
DEFAULT, WITHIN = "BentoML default, empty", "mounted, tuned, empty"
AHEAD = "mounted as ours, empty"


def _measured(folder: Path, workspace: Path) -> dict[tuple[str, int], list[Load]]:
    ping = [request("/ping", b"{}")]
    ours = ["-c", _OURS, str(workspace), "{port}"]
    services = {
        "ours": (
            ours,
            {
                RECOMMENDED: asks("/v1/recommendations", n=20),
                OUTLOOK: asks("/v1/propensity", horizon_days=90),
            },
        )
    }
    for name, module, code in (
        (DEFAULT, "empty", _EMPTY),
        (WITHIN, "within", _TUNED % False),
        (AHEAD, "ahead", _TUNED % True),
    ):
        (folder / f"{module}.py").write_text(code)
        options = ["--working-dir", str(folder), "--port", "{port}"]
        command = ["-m", "bentoml", "serve", f"{module}:Empty", *options]
        services[module] = (command, {name: ping})
    found: dict[tuple[str, int], list[Load]] = {}
    for _ in range(ROUNDS):
        for command, asked in services.values():
            with started(command, folder) as port:
                for name, requests in asked.items():
                    for connections, count in COUNTS.items():
                        one = load(port, requests, connections, count)
                        found.setdefault((name, connections), []).append(one)
    return found


def test_requests_beside_empty_endpoints(workspace, tmp_path, capsys):
    found = {k: Load.best(v) for k, v in _measured(tmp_path, workspace[0]).items()}
    table = Table(title=f"{CUSTOMERS:,} customers, one worker; best of {ROUNDS} rounds")
    ratios = ("x default", "x mounted", "x as ours")
    for column in ("", "connections", "a second", *ratios, "p50 ms", "p99 ms"):
        table.add_column(column, justify="left" if not column else "right")
    for (name, connections), one in found.items():
        rivals = [found[rival, connections] for rival in (DEFAULT, WITHIN, AHEAD)]
        table.add_row(
            name,
            str(connections),
            f"{one.rate:,.0f}",
            *(f"{one.rate / rival.rate:.2f}" for rival in rivals),
            f"{one.median:.2f}",
            f"{one.p99:.2f}",
        )
    with capsys.disabled():
        Console(width=120).print("\n", table)


def test_batches_and_memory(workspace, tmp_path, capsys):
    command = ["-c", _OURS, str(workspace[0]), "{port}"]
    lines: list[str] = []
    with started(command, tmp_path) as port:
        for path, more in (("/v1/recommendations", {"n": 20}), ("/v1/propensity", {})):
            many = load(port, asks(path, 1_000, **more)[:64], 1, 64)
            lines.append(f"{path}, 1,000 customers: p50 {many.median:.1f} ms, ")
            lines[-1] += f"p99 {many.p99:.1f} ms"
        requests = asks("/v1/recommendations", n=20)
        load(port, requests, 16, 20_000)
        before = private_mb(port)
        load(port, requests, 16, 200_000)
        after = private_mb(port)
    lines.append(
        f"worker's own memory: {before:.0f} MB, after 220,000 requests more {after:.0f}"
    )
    with capsys.disabled():
        print("\n" + "\n".join(lines))


def test_swap_under_load(workspace, tmp_path, capsys):
    folder, versions = workspace
    requests = asks("/v1/recommendations", n=20)
    with started(["-c", _OURS, str(folder), "{port}"], tmp_path) as port:
        most = load(port, requests, 16, COUNTS[16])
        rate = 0.7 * most.rate
        begun = time.perf_counter()
        times, swaps = asyncio.run(
            _paced(port, requests, rate, folder / "published", versions)
        )
        held = Load.of(times, time.perf_counter() - begun)
    with capsys.disabled():
        print(
            f"\n{len(times):,} requests at {held.rate:,.0f}/s (70 % of "
            f"{most.rate:,.0f}), {swaps} swaps, none failed: p50 {held.median:.2f} ms, "
            f"p99 {held.p99:.2f} ms, slowest {max(times) * 1e3:.0f} ms"
        )
