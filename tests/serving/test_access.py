"""Every endpoint with every kind of key: who gets in where."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import pytest

from serving import schema
from serving.publish import publish
from serving.state import keys

EVENT = {
    "event_id": "e1",
    "table": "browses",
    "customer_id": "anna",
    "ts": "2017-10-17T11:00:00Z",
    "kind": "view",
}
PICKS = {"list": "may", "owner": "mia", "lines": [{"product_id": "p1"}]}
EXPERIMENT = {
    "name": "spring",
    "owner": "mia",
    "arms": [
        {"name": "manual", "show": "picks", "picks": "may"},
        {"name": "model", "show": "mixed"},
    ],
}
BERTS_TEA = "r-c341620e8e09a1db"
"""The same in every version, and in every release."""
CLICK = {
    "event_id": "x1",
    "customer_id": "carl",
    "product_id": "p1",
    "ts": "2017-10-17T11:00:00Z",
}
TASTE = {
    "name": "taste",
    "owner": "mia",
    "kind": "interleaved",
    "arms": [{"name": name, "show": name} for name in ("again", "mixed")],
}
RULE = {"otherwise": "model"}
SEEN = CLICK | {"arm": "model"}
ENDPOINTS: dict[tuple[str, str], tuple[str | None, dict[str, Any] | None]] = {
    ("POST", "/v1/recommendations"): ("read", {"customer_ids": ["anna"]}),
    ("POST", "/v1/propensity"): ("read", {"customer_ids": ["anna"]}),
    ("POST", "/v1/events"): ("write", {"events": [EVENT]}),
    ("POST", "/v1/audiences"): ("read", {"goal": "value"}),
    ("GET", "/v1/alerts"): ("read", None),
    ("POST", "/v1/alerts/{id}"): ("write", {"state": "sent"}),
    ("GET", "/v1/customers/{id}"): ("read", None),
    ("GET", "/v1/customers/{id}/radar"): ("read", None),
    ("GET", "/v1/kpis"): ("read", None),
    ("DELETE", "/v1/customers/{id}"): ("admin", None),
    ("POST", "/v1/picks"): ("write", PICKS),
    ("POST", "/v1/experiment-designs"): ("read", {"customers": 900, "assumed": 0.1}),
    ("POST", "/v1/experiments"): ("write", EXPERIMENT),
    ("GET", "/v1/experiments/{name}"): ("read", None),
    ("POST", "/v1/experiments/{name}/status"): ("write", {"status": "running"}),
    ("POST", "/v1/experiments/{name}/assignments"): (
        "write",
        {"customer_ids": ["carl"]},
    ),
    ("POST", "/v1/experiments/{name}/exposures"): ("write", {"exposures": [SEEN]}),
    ("POST", "/v1/experiments/{name}/outcomes"): ("write", {"outcomes": [CLICK]}),
    ("GET", "/v1/experiments/{name}/report"): ("read", None),
    ("POST", "/v1/experiments/{name}/off-policy"): ("read", RULE),
    ("GET", "/v1/experiments/{name}/preference"): ("read", None),
    ("GET", "/metrics"): ("read", None),
    ("GET", "/livez"): (None, None),
    ("GET", "/readyz"): (None, None),
    ("GET", "/openapi.json"): (None, None),
}
"""Scope that each needs, and a good body; None: open."""

CLOSED = [place for place, (scope, _) in ENDPOINTS.items() if scope is not None]

SCOPES = {
    "read": {"read"},
    "write": {"write"},
    "read and write": {"read", "write"},
    "admin": {"admin"},
    "all": {"read", "write", "admin"},
}
"""Of the keys in force, by holder."""

STRANGERS = ("none", "unknown", "other secret", "cut short", "revoked", "in address")
"""Those without a key in force."""


class Shop(NamedTuple):
    """A service with keys; what each holder sends."""

    client: Any
    headers: dict[str, dict[str, str]]
    in_force: str


def bearer(key: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {key}"}


def spelt(path: str) -> str:
    if path.startswith("/v1/alerts/"):
        return path.replace("{id}", BERTS_TEA)
    name = "taste" if path.endswith("/preference") else "spring"
    return path.replace("{id}", "anna").replace("{name}", name)


@pytest.fixture(scope="module")
def shop(
    tmp_path_factory: pytest.TempPathFactory,
    small: Any,
    measured: Any,
    insight: Any,
    new_client: Callable[..., Any],
) -> Shop:
    workspace = tmp_path_factory.mktemp("workspace")
    publish(workspace, small, "m1", kpis=measured, insight=insight)
    client = new_client(workspace)
    made = {
        name: keys.create(client.engine, name, sorted(scopes), 1)
        for name, scopes in (*SCOPES.items(), ("revoked", {"admin"}))
    }
    keys.revoke(client.engine, made["revoked"], 2)
    client.keyring.refresh()
    admin = made["admin"]
    for path, body in (
        ("/v1/picks", PICKS),
        ("/v1/experiments", EXPERIMENT),
        ("/v1/experiments", TASTE),
        ("/v1/experiments/spring/status", {"status": "running"}),
    ):
        client("POST", path, json=body, headers=bearer(admin)).raise_for_status()
    made |= {
        "unknown": "rp_00000000_" + "A" * 43,
        "other secret": admin[:12] + "A" * 43,
        "cut short": admin[:-1],
    }
    headers = {name: bearer(key) for name, key in made.items()}
    # A key belongs in the header: addresses end up in logs.
    return Shop(client, {**headers, "none": {}, "in address": {}}, admin)


def test_the_table_has_every_endpoint(shop: Shop) -> None:
    found = {
        (method, path): route.scope
        for path, methods in shop.client.api.routes.items()
        for method, route in methods.items()
    }
    assert found == {place: scope for place, (scope, _) in ENDPOINTS.items()}


@pytest.mark.parametrize("holder", [*STRANGERS, *SCOPES])
@pytest.mark.parametrize("place", ENDPOINTS, ids=" ".join)
def test_who_gets_in_where(shop: Shop, place: tuple[str, str], holder: str) -> None:
    needed, body = ENDPOINTS[place]
    method, path = place[0], spelt(place[1])
    if holder == "in address":
        path = f"{path}?key={shop.in_force}&access_token={shop.in_force}"
    answer = shop.client(method, path, json=body, headers=shop.headers[holder])
    if needed is None or SCOPES.get(holder, set()) & {needed, "admin"}:
        assert answer.status_code == 200
        return
    assert answer.status_code == (403 if holder in SCOPES else 401)
    schema.ErrorAnswer.model_validate_json(answer.content)
    code = "forbidden" if holder in SCOPES else "unauthorized"
    assert answer.json()["error"]["code"] == code
    challenge = answer.headers.get("www-authenticate", "")
    assert challenge.startswith("Bearer") == (holder not in SCOPES)


@pytest.mark.parametrize("place", CLOSED, ids=" ".join)
def test_no_other_spelling_of_a_path_or_method_gets_in(
    shop: Shop, place: tuple[str, str]
) -> None:
    method, path = place[0], spelt(place[1])
    paths = (path + "/", "/." + path, path.upper(), f"/livez/..{path}", path + "%00")
    methods = ("HEAD", "OPTIONS", "TRACE", "PUT", "PATCH")
    asked = [*((method, one) for one in paths), *((one, path) for one in methods)]
    for one in asked:
        assert shop.client(*one).status_code in (401, 404, 405), one


@pytest.mark.parametrize("place", CLOSED, ids=" ".join)
def test_of_who_is_not_let_in_no_body_is_read(
    shop: Shop, place: tuple[str, str]
) -> None:
    """Nor does it count what stands in it: 401, and neither 400, 413 nor 422."""
    method, path = place[0], spelt(place[1])

    def body() -> Any:
        raise AssertionError("read")

    async def chunks() -> Any:
        yield body()

    answer = shop.client(method, path, content=chunks())
    assert answer.status_code == 401


def test_who_is_not_let_in_changes_nothing(shop: Shop) -> None:
    # Not the one whom the requests above have erased.
    body = {"events": [EVENT | {"event_id": "e2", "customer_id": "bert"}]}
    for holder in (*STRANGERS, "read"):
        shop.client("POST", "/v1/events", json=body, headers=shop.headers[holder])
    answer = shop.client("POST", "/v1/events", json=body, headers=shop.headers["write"])
    assert answer.json()["accepted"] == 1


@pytest.mark.parametrize(
    ("given", "status"),
    [
        ("Bearer {}", 200),
        ("bearer {}", 200),
        ("BEARER  {} ", 200),
        ("{}", 401),
        ("Basic {}", 401),
        ("Bearer", 401),
        ("Bearer ", 401),
        ("Bearer {}x", 401),
        ("Bearer {}, {}", 401),
    ],
)
def test_the_header_has_one_form(shop: Shop, given: str, status: int) -> None:
    key = shop.headers["read"]["Authorization"].removeprefix("Bearer ")
    header = {"Authorization": given.replace("{}", key)}
    answer = shop.client("GET", "/metrics", headers=header)
    assert answer.status_code == status
    assert key not in answer.text


def test_a_revoked_key_stops_at_the_next_reading(shop: Shop) -> None:
    client = shop.client
    key = keys.create(client.engine, "for a while", ["read"], 1)
    client.keyring.refresh()
    keys.revoke(client.engine, key[:11], 3)
    assert client("GET", "/metrics", headers=bearer(key)).status_code == 200
    client.keyring.refresh()
    assert client("GET", "/metrics", headers=bearer(key)).status_code == 401


def test_the_thread_reads_the_keys_by_itself(workspace, new_client) -> None:
    client = new_client(workspace)
    end = client.keyring.follow(0.05)
    keys.create(client.engine, "shop", ["read"], 1)
    found = (client("GET", "/metrics").status_code for _ in range(2000))
    assert any(status == 401 for status in found)
    end()
