"""Generated requests, good and bad: every reply is one that the document promises.

A few hundred in the suite; with ``make thorough`` 20,000.
"""

from __future__ import annotations

import os
from collections import Counter
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from schemathesis.checks import not_a_server_error
from schemathesis.generation import GenerationMode
from schemathesis.specs.openapi import checks

from serving.openapi import document
from serving.publish import publish
from serving.state import keys

BASE = "http://127.0.0.1"
CHECKS = [
    not_a_server_error,
    checks.status_code_conformance,
    checks.content_type_conformance,
    checks.response_headers_conformance,
    checks.response_schema_conformance,
    checks.allow_header_conformance,
]
REQUESTS = 20_000 if os.environ.get("THOROUGH") else 220

# From the document as it is served, so that no path is left out.
OPERATIONS = {
    f"{method.upper()} {path}": (path, method)
    for path, methods in document()["paths"].items()
    for method in methods
}
WEIGHTS = {"/v1/recommendations": 4, "/v1/audiences": 4, "/v1/propensity": 3}
WEIGHTS |= {
    "/v1/kpis": 1,
    "/v1/events": 3,
    "/v1/alerts": 3,
    "/v1/alerts/{id}": 2,
    "/v1/customers/{id}": 2,
    "/metrics": 1,
}
_WHOLE = sum(WEIGHTS.get(path, 0) for path, _ in OPERATIONS.values())
_FEW = 8
"""For what takes no input."""


def share(path: str) -> int:
    """Requests of one operation; more where there is more to go wrong."""
    return max(REQUESTS * WEIGHTS.get(path, 0) // _WHOLE, _FEW)


@pytest.fixture(scope="module")
def shop(
    tmp_path_factory: Any, small: Any, measured: Any, insight: Any, new_client: Any
) -> Any:
    """A published shop with keys; who sends what."""
    workspace = tmp_path_factory.mktemp("workspace")
    publish(workspace, small, "m1", kpis=measured, insight=insight)
    client = new_client(workspace)
    holders = {"none": {}}
    for scope in ("read", "write", "admin"):
        key = keys.create(client.engine, scope, [scope], 1)
        holders[scope] = {"Authorization": f"Bearer {key}"}
    client.keyring.refresh()
    started(client, holders["admin"])
    schema = schemathesis.openapi.from_asgi("/openapi.json", client.app)
    return schema, holders


def started(client: Any, headers: dict[str, str]) -> None:
    """An experiment that runs."""
    arms = [{"name": name, "show": "mixed"} for name in ("old", "new")]
    plan = {"name": "spring", "owner": "mia", "arms": arms}
    own = "/v1/experiments/spring"
    for path, body in (
        ("/v1/experiments", plan),
        (f"{own}/status", {"status": "running"}),
        (f"{own}/assignments", {"customer_ids": ["anna", "carl"]}),
    ):
        client("POST", path, json=body, headers=headers).raise_for_status()


def headers_of(data: Any, holders: dict[str, dict[str, str]]) -> dict[str, str]:
    # Mostly one that is let in, or all requests would end at the door.
    names = st.sampled_from(["admin"] * 8 + ["none", "read", "write"])
    return holders[data.draw(names)]


def at_home(data: Any, case: Any) -> None:
    """Often somebody or something that the shop knows; else it would never answer."""
    known = {
        "customer_ids": st.lists(
            st.sampled_from(["anna", "bert", "carl", "?"]), max_size=3
        ),
        "product_ids": st.lists(st.sampled_from(["p1", "p8", "p9"]), max_size=3),
        "filters": st.sampled_from([{"region": "north"}, {"tag": ["likely"]}, {}]),
        "category": st.sampled_from(["tea", "none"]),
    }
    if not data.draw(st.booleans()):
        return
    if isinstance(case.body, dict):
        there = {name: data.draw(known[name]) for name in known if name in case.body}
        if there:
            case.body = {**case.body, **there}
    if "name" in (case.path_parameters or {}):
        case.path_parameters = {"name": "spring"}
    # Whom a request erases must be somebody else.
    elif case.path_parameters and case.method == "GET":
        case.path_parameters = {"id": data.draw(st.sampled_from(["anna", "carl"]))}


@pytest.mark.parametrize("name", OPERATIONS)
def test_any_request_is_answered_as_the_document_says(shop: Any, name: str) -> None:
    schema, holders = shop
    path, method = OPERATIONS[name]
    operation = schema[path][method]
    seen: Counter[int] = Counter()
    made = st.one_of(
        operation.as_strategy(generation_mode=GenerationMode.POSITIVE),
        operation.as_strategy(generation_mode=GenerationMode.NEGATIVE),
    )

    @settings(
        max_examples=share(path),
        deadline=None,
        database=None,
        derandomize=REQUESTS < 1000,
        phases=(Phase.generate,),
        suppress_health_check=list(HealthCheck),
    )
    @given(case=made, data=st.data())
    def send(case: Any, data: Any) -> None:
        headers = headers_of(data, holders)
        at_home(data, case)
        response = case.call(base_url=BASE, headers=headers)
        seen[response.status_code] += 1
        case.validate_response(response, checks=CHECKS, headers=headers)

    send()
    print(f"{name}: {dict(sorted(seen.items()))}")
    assert seen.total() >= 1
