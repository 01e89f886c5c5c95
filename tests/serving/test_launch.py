"""The started service, as ``repurchase serve`` starts it."""

from __future__ import annotations

import asyncio
import json
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from features.config import StateConfig
from features.contracts import ContractError
from serving.launch import run
from serving.publish import publish
from serving.state import database, keys
from serving.state.log import events_since

_START = (
    "import sys; from pathlib import Path; from serving.launch import run; "
    "run(Path(sys.argv[1]), '127.0.0.1', int(sys.argv[2]))"
)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@dataclass
class Service:
    workspace: Path
    url: str
    process: subprocess.Popen[str]
    lines: list[str]

    def client(self) -> httpx.Client:
        transport = httpx.HTTPTransport(retries=2)
        return httpx.Client(base_url=self.url, transport=transport, timeout=30)


def start(workspace: Path) -> Service:
    port = free_port()
    process = subprocess.Popen(
        [sys.executable, "-c", _START, str(workspace), str(port)],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    seen: list[str] = []
    assert process.stdout is not None
    for line in process.stdout:
        seen.append(line)
        if "Service repurchase initialized" in line:
            return Service(workspace, f"http://127.0.0.1:{port}", process, seen)
    raise AssertionError("".join(seen))


@pytest.fixture(scope="module")
def service(tmp_path_factory, small) -> Iterator[Service]:
    workspace = tmp_path_factory.mktemp("workspace")
    publish(workspace, small, "m1")
    started = start(workspace)
    yield started
    # The last test of the module stops it; this is for when that one was left out.
    started.process.terminate()
    assert started.process.wait(timeout=30) == 0


def ask(client: httpx.Client, customer_id: str, n: int = 5) -> httpx.Response:
    body = {"customer_ids": [customer_id], "n": n}
    return client.post("/v1/recommendations", json=body)


def test_the_service_is_alive_and_ready(service):
    with service.client() as client:
        assert client.get("/livez").status_code == 200
        assert client.get("/readyz").status_code == 200
        assert "repurchase_requests_total" in client.get("/metrics").text
        assert client.get("/openapi.json").json()["openapi"] == "3.1.0"


def test_two_hundred_concurrent_requests_are_answered(service):
    async def ask_all() -> list[httpx.Response]:
        limits = httpx.Limits(max_connections=200)
        async with httpx.AsyncClient(
            base_url=service.url, limits=limits, timeout=60
        ) as client:
            bodies = [
                {"customer_ids": [("anna", "bert", "carl", "nobody")[number % 4]]}
                for number in range(200)
            ]
            return await asyncio.gather(
                *(client.post("/v1/recommendations", json=body) for body in bodies)
            )

    answers = asyncio.run(ask_all())
    assert [answer.status_code for answer in answers] == [200] * 200
    for answer in answers:
        (one,) = answer.json()["recommendations"]
        assert len(one["items"]) == 7


def test_an_unknown_customer_gets_the_cold_start_list(service):
    with service.client() as client:
        (one,) = ask(client, "nobody").json()["recommendations"]
    assert one["cold_start"]
    assert [item["product_id"] for item in one["items"]][:2] == ["p3", "p1"]


def test_errors_keep_their_form_through_the_server(service):
    large = b'{"customer_ids": ["' + b"a" * 3_000_000 + b'"]}'
    with service.client() as client:
        for method, path, content, status in (
            ("POST", "/v1/recommendations", b"{", 400),
            ("POST", "/v1/recommendations", b'{"customer_ids": []}', 422),
            ("POST", "/v1/recommendations", large, 413),
            ("GET", "/v1/recommendations", b"", 405),
            ("GET", "/", b"", 404),
            ("GET", "/docs.json", b"", 404),
        ):
            answer = client.request(method, path, content=content)
            assert answer.status_code == status
            assert set(answer.json()["error"]) == {"code", "message", "field"}


def test_a_new_version_is_taken_up_without_a_failed_request(service, small):
    reached = threading.Barrier(5)

    def keep_asking() -> list[int]:
        statuses: list[int] = []
        with service.client() as client:
            statuses.append(ask(client, "anna").status_code)
            reached.wait()
            for _ in range(50_000):
                answer = ask(client, "anna")
                statuses.append(answer.status_code)
                if answer.json()["model_version"] == "m2":
                    return statuses
        raise AssertionError("the new version was never served")

    with ThreadPoolExecutor(4) as pool:
        running = [pool.submit(keep_asking) for _ in range(4)]
        reached.wait()
        publish(service.workspace, small, "m2")
        statuses = [status for one in running for status in one.result()]
    assert set(statuses) == {200}


def test_a_key_that_is_made_and_revoked_is_noticed_while_it_runs(service):
    engine = database.ready(service.workspace, StateConfig())
    key = keys.create(engine, "shop", ["write"], 1)
    headers = {"Authorization": f"Bearer {key}"}
    event = {
        "event_id": "e1",
        "table": "browses",
        "customer_id": "anna",
        "ts": "2017-10-15T09:00:00Z",
        "kind": "view",
    }

    def wait_for(status: int, headers: dict[str, str]) -> httpx.Response:
        for _ in range(500):
            answer = client.post(
                "/v1/events", json={"events": [event]}, headers=headers
            )
            if answer.status_code == status:
                return answer
            time.sleep(0.01)
        raise AssertionError(answer.text)

    with service.client() as client:
        assert wait_for(200, {}).json()["accepted"] == 1
        wait_for(401, {})
        # Not read to its end, and the connection goes on.
        large = b'{"events": [' + b" " * 3_000_000
        assert client.post("/v1/events", content=large).status_code == 401
        assert wait_for(200, headers).json()["duplicate"] == 1
        assert ask(client, "anna").status_code == 401
        keys.revoke(engine, key, 2)
        wait_for(401, headers)
        assert client.get("/readyz").status_code == 200
    assert len(events_since(engine, 0)) == 1
    database.close(engine)


def test_a_taken_port_is_one_clear_line(service):
    port = int(service.url.rpartition(":")[2])
    with pytest.raises(ValueError, match=f"port: expected a free port.*got {port}"):
        run(service.workspace, "127.0.0.1", port)


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.1"])
def test_others_cannot_reach_a_service_without_keys(workspace, host):
    with pytest.raises(ValueError, match="expected a loopback address"):
        run(workspace, host, free_port())


def test_a_name_that_is_no_address_is_refused(workspace):
    with pytest.raises(ValueError, match="expected an IP address or localhost"):
        run(workspace, "shop.example", free_port())


def test_nothing_published_is_refused_before_the_start(tmp_path):
    with pytest.raises(ContractError, match="run `repurchase publish` first"):
        run(tmp_path, "localhost", free_port())


def test_asked_to_stop_it_finishes_what_it_is_at(service):
    """The last test of the module: the body of a batch arrives after the signal."""
    engine = database.ready(service.workspace, StateConfig())
    key = keys.create(engine, "shop", ["write"], 3)
    event = {
        "event_id": "late",
        "table": "browses",
        "customer_id": "anna",
        "ts": "2017-10-15T09:00:00Z",
        "kind": "view",
    }
    body = json.dumps({"events": [event]}).encode()
    head = (
        "POST /v1/events HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json"
        f"\r\nAuthorization: Bearer {key}\r\nContent-Length: {len(body)}\r\n\r\n"
    ).encode()
    with service.client() as client:
        for _ in range(500):
            header = {"Authorization": f"Bearer {key}"}
            answer = client.post("/v1/events", content=b"{", headers=header)
            if answer.status_code == 400:
                break
            time.sleep(0.01)
    address = ("127.0.0.1", int(service.url.rpartition(":")[2]))
    with (
        socket.create_connection(address, timeout=20) as busy,
        socket.create_connection(address, timeout=20) as idle,
    ):
        busy.sendall(head + body[:10])
        idle.sendall(b"GET /livez HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
        replies = idle.makefile("rb")
        while replies.readline().strip():
            pass
        assert replies.read(1) == b"\n"
        service.process.send_signal(signal.SIGTERM)
        # Connections that wait for nothing are closed first: the worker has heard.
        assert replies.read(1) == b""
        busy.sendall(body[10:])
        answer = busy.makefile("rb").read()
    assert answer.startswith(b"HTTP/1.1 200") and b'"accepted":1' in answer
    assert service.process.wait(timeout=30) == 0
    assert len(events_since(engine, 0)) == 2
    database.close(engine)
    # Whoever collects them reads one form only, those of the server too.
    service.lines.extend(service.process.stdout)
    found = [json.loads(line) for line in service.lines]
    assert {"bentoml.serve", "repurchase.serving"} <= {line["logger"] for line in found}
