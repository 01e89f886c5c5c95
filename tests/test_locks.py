"""The lock files, and the audit of what they pin."""

from __future__ import annotations

import json
import sys
import threading
from collections.abc import Iterator
from datetime import date
from http.server import BaseHTTPRequestHandler, HTTPServer
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

ROOT = Path(__file__).parents[1]
TODAY = date(2026, 11, 28)
LOCK = f"""# a comment
jinja2==3.1.0 \\
    --hash=sha256:{"a" * 64} \\
    --hash=sha256:{"b" * 64}
    # via mlflow
psycopg[binary]==3.2 ; sys_platform == 'linux' \\
    --hash=sha256:{"c" * 64}
"""


@pytest.fixture(scope="module")
def audit() -> ModuleType:
    spec = spec_from_file_location("audit", ROOT / "tests" / "audit.py")
    assert spec is not None and spec.loader is not None
    module = module_from_spec(spec)
    sys.modules["audit"] = module
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("name", ["requirements.lock", "requirements-dev.lock"])
def test_every_pin_has_hashes_and_no_line_names_an_address(audit, name) -> None:
    text = (ROOT / name).read_text()
    # Where a lock was made is nobody's business: files are named, folders are not.
    assert [
        line for line in text.splitlines() if " /" in line or "-c ../" in line
    ] == []
    pins = audit.pins_of(text)
    assert len(pins) > 100
    assert [pin.name for pin in pins if not pin.hashes] == []
    assert "://" not in text and "--index" not in text and "--find-links" not in text


def test_what_runs_is_pinned_alike_for_developers(audit) -> None:
    runtime, dev = (
        {pin.name: pin.version for pin in audit.pins_of((ROOT / name).read_text())}
        for name in audit.LOCKS
    )
    assert runtime.items() <= dev.items()


def test_pins_are_read_with_their_hashes(audit) -> None:
    assert audit.pins_of(LOCK) == [
        audit.Pin("jinja2", "3.1.0", 2),
        audit.Pin("psycopg", "3.2", 1),
    ]
    for bad in ("-r other.txt", "jinja2>=3", "https://a.example/x.whl"):
        with pytest.raises(ValueError, match="line 8: expected a pin or a hash"):
            audit.pins_of(f"{LOCK}{bad}\n")


@pytest.fixture
def service() -> Iterator[Any]:
    """A stand-in for the service: gives ``reply``, keeps what it was asked."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            length = int(self.headers["Content-Length"])
            server.asked = json.loads(self.rfile.read(length))
            self.send_response(server.status)
            self.end_headers()
            self.wfile.write(server.reply)

        def log_message(self, *_: Any) -> None:
            pass

    server: Any = HTTPServer(("127.0.0.1", 0), Handler)
    server.status, server.url = 200, f"http://127.0.0.1:{server.server_port}"
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    yield server
    server.shutdown()
    server.server_close()


@pytest.fixture
def run(audit, tmp_path, service) -> Any:
    (tmp_path / "some.lock").write_text(LOCK)

    def ask(reply: Any, accepted: str = "", must_reach: bool = False, status=200):
        service.reply = (
            reply if isinstance(reply, bytes) else json.dumps(reply).encode()
        )
        service.status = status
        (tmp_path / "pyproject.toml").write_text(accepted)
        return audit.audit(
            tmp_path / "some.lock",
            tmp_path / "pyproject.toml",
            service.url,
            TODAY,
            must_reach=must_reach,
        )

    return ask


FOUND = {"results": [{"vulns": [{"id": "GHSA-1"}, {"id": "PYSEC-2"}]}, {}]}
ACCEPTED = """
[[tool.audit.accepted]]
id = "GHSA-1"
reason = "we do not render what others write"
until = {until}
"""


def test_one_request_asks_for_all_pins(run, service) -> None:
    status, lines = run({"results": [{}, {}]})
    assert (status, lines) == (
        0,
        ["some.lock: 2 packages, no known vulnerability"],
    )
    assert service.asked["queries"] == [
        {"package": {"name": "jinja2", "ecosystem": "PyPI"}, "version": "3.1.0"},
        {"package": {"name": "psycopg", "ecosystem": "PyPI"}, "version": "3.2"},
    ]


def test_a_finding_fails_unless_it_is_accepted_and_not_for_good(run) -> None:
    one, two = "some.lock: jinja2 3.1.0: GHSA-1", "some.lock: jinja2 3.1.0: PYSEC-2"
    assert run(FOUND) == (1, [one, two])
    assert run(FOUND, ACCEPTED.format(until="2026-11-28")) == (1, [two])
    assert run(FOUND, ACCEPTED.format(until="2026-11-27")) == (1, [one, two])


@pytest.mark.parametrize(
    ("reply", "status"),
    [(b"<html>", 200), ({"results": [{}]}, 200), ([], 200), ({}, 503)],
)
def test_without_an_answer_the_audit_says_so(run, reply, status) -> None:
    code, (line,) = run(reply, status=status)
    assert code == 0 and line.startswith("some.lock: not audited, the service gave no")
    assert run(reply, status=status, must_reach=True)[0] == 2
