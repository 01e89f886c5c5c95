"""API keys: without any, their limits, how they are kept, their commands."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select
from typer.testing import CliRunner

from features.config import StateConfig
from features.contracts import SettingError
from serving import launch
from serving.cli import app
from serving.publish import publish
from serving.state import database, keys
from serving.state.tables import KEYS

EVENT = {
    "event_id": "e1",
    "table": "browses",
    "customer_id": "anna",
    "ts": "2017-10-17T11:00:00Z",
    "kind": "view",
}


def bearer(key: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {key}"}


@pytest.mark.parametrize(
    ("base", "status"),
    [
        ("http://127.0.0.1", 200),
        ("http://127.8.9.1", 200),
        ("http://[::1]", 200),
        ("http://10.0.0.7", 401),
        ("http://[2001:db8::1]", 401),
        ("http://shop.example", 401),
    ],
)
def test_without_keys_only_loopback_addresses_answer(
    workspace, new_client, base, status
) -> None:
    client = new_client(workspace)
    body = {"customer_ids": ["anna"]}
    answer = client("POST", "/v1/propensity", base, json=body)
    assert answer.status_code == status
    assert client("GET", "/livez", base).status_code == 200


def test_the_last_key_revoked_opens_nothing(workspace, new_client) -> None:
    client = new_client(workspace)
    assert client("GET", "/metrics").status_code == 200
    key = keys.create(client.engine, "shop", ["read"], 1)
    keys.revoke(client.engine, key, 2)
    client.keyring.refresh()
    assert client("GET", "/metrics").status_code == 401


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Host": "localhost:3000"}, 200),
        ({"Host": "[::1]:3000"}, 200),
        ({"Origin": "http://localhost:8501"}, 200),
        # A page of the web, by a name that it made lead here.
        ({"Host": "evil.example:3000"}, 401),
        ({"Host": "127.0.0.1.evil.example"}, 401),
        # A page of the web that sends a form here.
        ({"Origin": "https://evil.example"}, 401),
        ({"Origin": "null"}, 401),
        # Somebody else, by way of a proxy on this machine.
        ({"X-Forwarded-For": "203.0.113.7"}, 401),
        ({"Forwarded": "for=203.0.113.7"}, 401),
        ({"Via": "1.1 proxy"}, 401),
    ],
)
def test_without_keys_pages_of_the_web_do_not_get_in(
    workspace, new_client, headers, status
) -> None:
    client = new_client(workspace)
    answer = client("POST", "/v1/events", json={"events": [EVENT]}, headers=headers)
    assert answer.status_code == status


@pytest.fixture
def execve(monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """What ``launch.run`` would become."""
    called: list[list[str]] = []
    monkeypatch.setattr(
        launch.os, "execve", lambda _, command, __: called.append(command)
    )
    return called


def test_a_key_lets_the_service_listen_to_others(
    tmp_path, small, state, execve
) -> None:
    publish(tmp_path, small, "m1")
    with pytest.raises(SettingError, match=r"loopback.*`repurchase keys create`"):
        launch.run(tmp_path, "0.0.0.0", 39_517, state=state)
    engine = database.ready(tmp_path, state)
    key = keys.create(engine, "shop", ["read"], 1)
    launch.run(tmp_path, "0.0.0.0", 39_517, state=state)
    assert "0.0.0.0" in execve[0]
    keys.revoke(engine, key, 2)
    with pytest.raises(SettingError, match="loopback"):
        launch.run(tmp_path, "0.0.0.0", 39_517, state=state)
    database.close(engine)


# -- what is kept --------------------------------------------------------------


def test_a_key_is_kept_as_its_hash_only(workspace, new_client, state) -> None:
    client = new_client(workspace, state)
    key = keys.create(client.engine, "shop", ["write", "read", "read"], 17)
    prefix, secret = key[:11], key[12:]
    assert len(secret) == 43  # 256 bits
    with database.reading(client.engine) as connection:
        (row,) = connection.execute(select(KEYS)).all()
    assert secret not in str(row)
    (found,) = keys.every(client.engine)
    assert found == keys.Key(
        prefix, keys.hashed(key.encode()), "shop", frozenset({"read", "write"}), 17
    )
    first = keys.revoke(client.engine, prefix, 18)
    assert keys.revoke(client.engine, prefix, 19) == first
    assert first.revoked_at == 18


def test_an_unknown_prefix_is_one_line_without_the_secret(
    workspace, new_client, state
) -> None:
    client = new_client(workspace, state)
    with pytest.raises(SettingError, match="see `repurchase keys list`") as refused:
        keys.revoke(client.engine, "rp_12345678_s3cret", 1)
    assert "s3cret" not in str(refused.value)


@pytest.mark.parametrize("name", ["", " ", "a\nb", "x" * 101, "\x1b[2J"])
def test_a_name_is_a_printable_line(workspace, new_client, name) -> None:
    with pytest.raises(SettingError, match="--name: expected"):
        keys.create(new_client(workspace).engine, name, ["read"], 1)


# -- limits --------------------------------------------------------------------


def test_a_key_has_so_many_requests_a_second(workspace, new_client) -> None:
    client = new_client(workspace, requests_per_second=2)
    one, other = (
        bearer(keys.create(client.engine, name, ["read"], 1)) for name in "ab"
    )
    client.keyring.refresh()

    def ask(headers: dict[str, str]) -> Any:
        return client("GET", "/metrics", headers=headers)

    assert [ask(one).status_code for _ in range(3)] == [200, 200, 429]
    refused = ask(one)
    assert refused.headers["retry-after"] == "1"
    assert refused.json()["error"]["code"] == "too_many_requests"
    assert ask(other).status_code == 200
    # Half a second refills one; a day no more than two.
    client.seconds[0] += 0.5
    assert [ask(one).status_code for _ in range(2)] == [200, 429]
    client.seconds[0] += 86_400
    client.keyring.refresh()
    assert [ask(one).status_code for _ in range(3)] == [200, 200, 429]


def test_less_than_one_request_a_second_says_how_long_to_wait(
    workspace, new_client
) -> None:
    client = new_client(workspace, requests_per_second=0.1)
    assert client("GET", "/metrics").status_code == 200
    client.seconds[0] += 2.5
    refused = client("GET", "/metrics")
    assert (refused.status_code, refused.headers["retry-after"]) == (429, "8")
    client.seconds[0] += 7.5
    assert client("GET", "/metrics").status_code == 200


# -- the commands --------------------------------------------------------------


def test_keys_are_made_listed_and_revoked_by_commands(
    tmp_path: Path, state: StateConfig
) -> None:
    there = ["--set", f"workspace={tmp_path}"]
    if state.url:
        there += ["--set", f"state.url={state.url}"]

    def run(*words: str) -> str:
        done = CliRunner().invoke(app, ["keys", *words, *there])
        assert done.exit_code == 0
        return done.stdout.strip()

    key = run("create", "--scope", "read", "--scope", "write", "--name", "shop")
    assert key.startswith("rp_") and "\n" not in key
    engine = database.ready(tmp_path, state)
    (kept,) = keys.every(engine)
    assert kept.hash == keys.hashed(key.encode()) and kept.scopes == {"read", "write"}
    assert run("revoke", key[:11]) == f"revoked: {key[:11]} (shop)"
    listed = run("list")
    assert key[:11] in listed and "shop" in listed and key[12:] not in listed
    database.close(engine)


def run(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", "from serving.cli import main; main()", *words],
        capture_output=True,
        text=True,
        check=False,
    )


def test_bad_arguments_are_status_2_and_one_line(tmp_path: Path) -> None:
    there = ("--set", f"workspace={tmp_path}")
    unknown = run("keys", "revoke", "rp_nobody", *there)
    assert unknown.returncode == 2 and unknown.stderr.count("\n") == 1
    assert run("keys", "create", "--scope", "all", "--name", "x").returncode == 2
    nothing = run("events", "export", "--out", str(tmp_path / "data"), *there)
    assert (nothing.returncode, nothing.stdout.strip()) == (0, "no events")
