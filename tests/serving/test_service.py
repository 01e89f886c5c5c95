from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from queue import Queue
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from serving import schema
from serving.audience_schema import AudienceAnswer
from serving.audience_text import as_csv
from serving.examples import CSV, EXAMPLES
from serving.live import Live
from serving.outlook import warm
from serving.publish import publish
from serving.published import current_version
from serving.render import rounded


@pytest.fixture
def client(workspace: Path, new_client):
    return new_client(workspace, max_body_bytes=40_000)


RECOMMENDATIONS, PROPENSITY = "/v1/recommendations", "/v1/propensity"


def test_recommendations_are_answered_in_the_order_asked(client):
    answer = client.post(RECOMMENDATIONS, customer_ids=["bert", "anna", "bert"], n=2)
    assert answer.status_code == 200
    body = answer.json()
    schema.RecommendationsAnswer.model_validate_json(answer.content)
    lists = body["recommendations"]
    assert [one["customer_id"] for one in lists] == ["bert", "anna", "bert"]
    assert [item["product_id"] for item in lists[1]["items"]] == ["p4", "p1"]
    assert lists[1]["items"][1] == {
        "product_id": "p1",
        "rank": 2,
        "score": rounded(np.float32(0.8)),
        "probability": rounded(np.float32(0.45)),
        "reason": "bought 3 times",
        "source": "history",
    }


def test_every_answer_names_model_and_snapshot(client, workspace):
    for path in (RECOMMENDATIONS, PROPENSITY):
        body = client.post(path, customer_ids=["anna"]).json()
        assert body["model_version"] == "m1"
        assert body["snapshot"] == {
            "version": current_version(workspace),
            "cutoff": "2017-10-15T00:00:00Z",
            "age_days": 2.5,
        }


def test_filters_of_a_request_are_obeyed(client):
    body = client.post(
        RECOMMENDATIONS,
        customer_ids=["anna"],
        n=5,
        list="new",
        categories=["bread", "tea"],
        exclude_product_ids=["p4"],
        in_cart_product_ids=["p5"],
        available_only=False,
    ).json()
    (one,) = body["recommendations"]
    assert body["list"] == "new"
    assert [item["product_id"] for item in one["items"]] == ["p6"]


@pytest.mark.parametrize(
    ("rules", "found"),
    [
        ({"max_per_category": 1}, ["p4", "p1", "p6"]),
        ({"weight_by": "value"}, ["p2", "p4", "p6"]),
        ({"weight_by": "margin"}, ["p6", "p2", "p1"]),
        ({"min_new_arrivals": 2, "new_arrival_days": 28}, ["p4", "p6", "p3"]),
        ({"new_share": 1}, ["p4", "p6", "p3"]),
        ({"diversity": 1, "n": 5}, ["p4", "p1", "p2", "p6", "p8"]),
    ],
)
def test_rules_of_a_request_are_obeyed(client, rules, found):
    body = {"customer_ids": ["anna"], "n": 3, **rules}
    answer = client.post(RECOMMENDATIONS, **body)
    schema.RecommendationsAnswer.model_validate_json(answer.content)
    (one,) = answer.json()["recommendations"]
    assert [item["product_id"] for item in one["items"]] == found


def test_the_defaults_given_in_full_are_the_list_without_rules(client):
    plain = client.post(RECOMMENDATIONS, customer_ids=["anna", "carl", "nobody"])
    given = client.post(
        RECOMMENDATIONS,
        customer_ids=["anna", "carl", "nobody"],
        max_per_category=None,
        diversity=0,
        weight_by="probability",
        min_new_arrivals=0,
        new_arrival_days=28,
        new_share=None,
    )
    assert given.status_code == 200 and given.content == plain.content


def test_a_rule_that_this_shop_cannot_keep_is_refused_with_a_reason(
    tmp_path, predictions, new_client
):
    at = predictions.products.column_names.index("margin_rate")
    unknown = pa.nulls(8, pa.float64())
    products = predictions.products.set_column(at, "margin_rate", unknown)
    publish(tmp_path, replace(predictions, products=products), "m1")
    answer = new_client(tmp_path).post(
        RECOMMENDATIONS, customer_ids=["anna"], weight_by="margin"
    )
    assert answer.status_code == 422
    assert answer.json()["error"] == {
        "code": "invalid",
        "message": "weight_by: expected prices and margin rates, got products without",
        "field": "weight_by",
    }


def test_an_unknown_customer_gets_the_cold_start_list(client):
    answer = client.post(RECOMMENDATIONS, customer_ids=["nobody", "anna"], n=7)
    unknown, known = answer.json()["recommendations"]
    assert unknown["cold_start"] and not known["cold_start"]
    assert [i["product_id"] for i in unknown["items"]][:3] == ["p3", "p1", "p4"]
    assert len(unknown["items"]) == len(known["items"]) == 7


def test_ids_given_as_integers_are_read_as_text(client):
    body = client.post(RECOMMENDATIONS, customer_ids=[7], n=1).json()
    assert body["recommendations"][0]["customer_id"] == "7"


def test_propensity_reads_the_curve_at_the_horizon(client, predictions):
    for days in (1, 30, 180):
        answer = client.post(PROPENSITY, customer_ids=["anna"], horizon_days=days)
        schema.PropensityAnswer.model_validate_json(answer.content)
        body = answer.json()
        assert body["horizon_days"] == days
        (one,) = body["propensities"]
        assert np.float32(one["probability"]) == predictions.curve[0, days - 1]


def test_propensity_defaults_to_the_published_horizon(client, predictions):
    body = client.post(PROPENSITY, customer_ids=["anna", "bert"]).json()
    anna, bert = body["propensities"]
    assert body["horizon_days"] == body["tag_horizon_days"] == 14
    assert np.float32(anna["probability"]) == predictions.curve[0, 13]
    assert anna["expected_next_at"] == "2017-10-20T06:00:00.000000Z"
    assert anna["reasons"] == ["bought 4 days before", "often"]
    # anna stands exactly at the threshold, bert far below.
    assert (anna["tag"], bert["tag"]) == ("likely", "not_likely")
    assert bert["expected_next_at"] is None and bert["reasons"] == []


def test_the_tag_stays_at_the_published_horizon(client):
    body = client.post(PROPENSITY, customer_ids=["anna"], horizon_days=1).json()
    assert body["propensities"][0]["tag"] == "likely"


def test_an_unknown_customer_has_no_propensity(client):
    body = client.post(PROPENSITY, customer_ids=["nobody"]).json()
    assert body["propensities"] == [
        {
            "customer_id": "nobody",
            "cold_start": True,
            "probability": None,
            "tag": None,
            "expected_next_at": None,
            "reasons": [],
        }
    ]


IDS = {"customer_ids": ["anna"]}
BAD = [
    ("not JSON", b"{customer_ids", 400, "bad_json", None),
    ("empty", b"", 400, "bad_json", None),
    ("not UTF-8", b'{"customer_ids": ["\xff"]}', 400, "bad_json", None),
    ("too deep", b"[" * 9000, 400, "bad_json", None),
    ("a list", b"[]", 422, "invalid", None),
    ("no ids", {}, 422, "invalid", "customer_ids"),
    ("ids null", {"customer_ids": None}, 422, "invalid", "customer_ids"),
    ("ids text", {"customer_ids": "anna"}, 422, "invalid", "customer_ids"),
    ("empty ids", {"customer_ids": []}, 422, "invalid", "customer_ids"),
    ("1001 ids", {"customer_ids": ["a"] * 1001}, 422, "invalid", "customer_ids"),
    ("an id null", {"customer_ids": [None]}, 422, "invalid", "customer_ids.0"),
    ("an id true", {"customer_ids": [True]}, 422, "invalid", "customer_ids.0"),
    ("an empty id", {"customer_ids": ["a", ""]}, 422, "invalid", "customer_ids.1"),
    ("unknown field", {**IDS, "size": 3}, 422, "invalid", "size"),
    ("too large", b" " * 40_001, 413, "too_large", None),
]
BAD_LISTS = [
    ("n 0", {**IDS, "n": 0}, 422, "invalid", "n"),
    ("n 101", {**IDS, "n": 101}, 422, "invalid", "n"),
    ("n text", {**IDS, "n": "5"}, 422, "invalid", "n"),
    ("n half", {**IDS, "n": 5.5}, 422, "invalid", "n"),
    ("n true", {**IDS, "n": True}, 422, "invalid", "n"),
    ("unknown list", {**IDS, "list": "old"}, 422, "invalid", "list"),
    ("flag text", {**IDS, "available_only": "no"}, 422, "invalid", "available_only"),
    ("categories", {**IDS, "categories": "tea"}, 422, "invalid", "categories"),
    *(
        (f"{field} {value}", {**IDS, field: value}, 422, "invalid", field)
        for field, values in {
            "max_per_category": (0, 101, "2", 1.5, True),
            "diversity": (-0.01, 1.01, "0.5", None, True),
            "weight_by": ("price", None, 1),
            "min_new_arrivals": (-1, 101, "1", 0.5, None),
            "new_arrival_days": (0, 3651, None, 1.5),
            "new_share": (-0.01, 1.01, "0.5", True),
        }.items()
        for value in values
    ),
    (
        "more arrivals than n",
        {**IDS, "n": 3, "min_new_arrivals": 4},
        422,
        "invalid",
        "min_new_arrivals",
    ),
    (
        "a share of one lane",
        {**IDS, "list": "again", "new_share": 0.5},
        422,
        "invalid",
        "new_share",
    ),
]
BAD_HORIZONS = [
    ("day 0", {**IDS, "horizon_days": 0}, 422, "invalid", "horizon_days"),
    ("day 181", {**IDS, "horizon_days": 181}, 422, "invalid", "horizon_days"),
    ("day text", {**IDS, "horizon_days": "9"}, 422, "invalid", "horizon_days"),
]
CASES = [
    *((RECOMMENDATIONS, *case) for case in BAD + BAD_LISTS),
    *((PROPENSITY, *case) for case in BAD + BAD_HORIZONS),
]


@pytest.mark.parametrize(
    ("path", "name", "body", "status", "code", "field"),
    CASES,
    ids=[f"{case[0]} {case[1]}" for case in CASES],
)
def test_a_malformed_body_is_refused_in_the_error_form(
    client, path, name, body, status, code, field
):
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    answer = client("POST", path, content=content)
    assert answer.status_code == status
    schema.ErrorAnswer.model_validate_json(answer.content)
    error = answer.json()["error"]
    assert (error["code"], error["field"]) == (code, field)
    assert "\n" not in error["message"]


@pytest.mark.parametrize("n", [1, 100])
@pytest.mark.parametrize("count", [1, 1000])
def test_the_limits_themselves_are_allowed(client, n, count):
    body = {"customer_ids": ["anna"] * count, "n": n}
    assert client.post(RECOMMENDATIONS, **body).status_code == 200


def test_an_unknown_path_and_a_wrong_method_have_the_error_form(client):
    unknown = client("GET", "/v2/anything")
    assert unknown.status_code == 404
    assert unknown.json()["error"]["code"] == "not_found"
    wrong = client("GET", PROPENSITY)
    assert wrong.status_code == 405 and wrong.headers["allow"] == "POST"
    assert wrong.json()["error"]["code"] == "method_not_allowed"


def test_a_fault_of_ours_shows_no_inside(client, monkeypatch):
    served = client.live.current
    client.live.current = replace(served, offers=None)
    answer = client.post(RECOMMENDATIONS, customer_ids=["anna"])
    assert answer.status_code == 500
    assert answer.json()["error"] == {
        "code": "internal",
        "message": "the service failed; see its log",
        "field": None,
    }


def test_a_body_that_never_comes_is_given_up(workspace, new_client):
    client = new_client(workspace, body_timeout_seconds=0.01)
    sent: list[dict[str, Any]] = []

    async def receive() -> dict[str, Any]:
        return await asyncio.get_running_loop().create_future()

    async def send(message: dict[str, Any]) -> None:
        sent.append(message)

    scope = {"type": "http", "path": PROPENSITY, "method": "POST", "headers": []}
    scope["server"] = ("127.0.0.1", 3000)
    asyncio.run(client.app(scope, receive, send))
    assert sent[0]["status"] == 408
    assert json.loads(sent[1]["body"])["error"]["code"] == "timeout"


def test_without_a_published_version_the_service_is_alive_but_not_ready(
    tmp_path, new_client
):
    client = new_client(tmp_path)
    assert client("GET", "/livez").status_code == 200
    for answer in (
        client("GET", "/readyz"),
        client.post(RECOMMENDATIONS, customer_ids=["anna"]),
    ):
        assert answer.status_code == 503
        assert answer.json()["error"]["code"] == "not_ready"
        assert "repurchase publish" in answer.json()["error"]["message"]


def test_a_new_version_is_served_once_loaded(client, workspace, predictions):
    publish(workspace, predictions, "m2")
    client.live.load()
    body = client.post(PROPENSITY, customer_ids=["anna"]).json()
    assert body["model_version"] == "m2"


def test_a_first_version_makes_the_service_ready(tmp_path, predictions, new_client):
    client = new_client(tmp_path)
    assert client("GET", "/readyz").status_code == 503
    publish(tmp_path, predictions, "m1")
    client.live.load()
    assert client("GET", "/readyz").status_code == 200


def test_a_damaged_version_is_refused_and_the_old_one_kept(
    client, workspace, predictions
):
    later = replace(predictions, cutoff=predictions.cutoff + timedelta(days=1))
    folder = publish(workspace, later, "m2")
    (folder / "curve.npy").write_bytes(b"")
    client.live.load()
    body = client.post(PROPENSITY, customer_ids=["anna"]).json()
    assert body["model_version"] == "m1"
    assert folder.name in str(client.live.problem)
    assert "repurchase_snapshots_refused 1.0" in client("GET", "/metrics").text


def test_the_pointer_is_read_no_more_than_once_an_interval(workspace, predictions):
    clock = [100.0]
    live = Live(workspace, every_seconds=1.0, clock=lambda: clock[0])
    started: list[bool] = []
    live.load = lambda: started.append(True)  # type: ignore[method-assign]
    live.poll()
    publish(workspace, predictions, "m2")
    clock[0] = 100.999
    live.poll()
    assert not started
    clock[0] = 101.0
    live.poll()
    assert started == [True]


def test_a_new_version_is_looked_for_though_nobody_asks(client, workspace, predictions):
    started = Queue()
    client.live.load = lambda: started.put(True)
    client.api.note()
    assert started.empty()
    publish(workspace, predictions, "m2")
    client.api.note()
    assert started.get(timeout=10)


def test_a_refused_version_is_read_again_only_after_a_while(workspace, predictions):
    clock = [100.0]
    live = Live(workspace, every_seconds=1.0, clock=lambda: clock[0])
    folder = publish(workspace, predictions, "m2")
    (folder / "curve.npy").write_bytes(b"")
    live.load()
    started: list[float] = []
    live.load = lambda: started.append(clock[0])  # type: ignore[method-assign]
    for moment in (101.0, 129.0, 130.0):
        clock[0] = moment
        live.poll()
    assert started == [130.0]
    # Another version does not have to wait.
    publish(workspace, predictions, "m3")
    clock[0] = 131.0
    live.poll()
    assert started == [130.0, 131.0]


def test_metrics_count_requests_errors_and_cold_starts(client):
    client.post(RECOMMENDATIONS, customer_ids=["anna", "x", "y"])
    client.post(RECOMMENDATIONS, customer_ids=[])
    client("GET", "/somewhere")
    text = client("GET", "/metrics").text
    for line in (
        f'repurchase_requests_total{{path="{RECOMMENDATIONS}",status="200"}} 1.0',
        f'repurchase_requests_total{{path="{RECOMMENDATIONS}",status="422"}} 1.0',
        'repurchase_requests_total{path="other",status="404"} 1.0',
        f'repurchase_errors_total{{code="invalid",path="{RECOMMENDATIONS}"}} 1.0',
        f'repurchase_request_seconds_count{{path="{RECOMMENDATIONS}"}} 2.0',
        f'repurchase_customers_total{{cold_start="true",path="{RECOMMENDATIONS}"}} 2.0',
        f'repurchase_customers_total{{cold_start="false",path="{RECOMMENDATIONS}"}} 1.0',
        "repurchase_snapshot_age_seconds 216000.0",
    ):
        assert line in text.splitlines()


def test_the_document_names_every_path_and_its_examples_hold(client):
    document = client("GET", "/openapi.json").json()
    routes = client.api.routes
    assert set(document["paths"]) == set(routes)
    for path, methods in document["paths"].items():
        assert {method.upper() for method in methods} == set(routes[path])
        for method, operation in methods.items():
            scope = routes[path][method.upper()].scope
            assert operation["security"] == ([{"key": [scope]}] if scope else [])
    for model, example in EXAMPLES.items():
        model.model_validate_json(json.dumps(example))
    text = json.dumps(document)
    for reference in set(text.split('"$ref": "')[1:]):
        name = reference.split('"')[0].rpartition("/")[2]
        assert name in document["components"]["schemas"]


def test_every_operation_has_an_example_of_all_that_goes_in_and_out(client):
    document = client("GET", "/openapi.json").json()
    for path, methods in document["paths"].items():
        for operation in methods.values():
            found = [*operation.get("requestBody", {}).get("content", {}).values()]
            for reply in operation["responses"].values():
                found += reply["content"].values()
            found += operation.get("parameters", [])
            assert all("example" in one for one in found), path
    lines = EXAMPLES[AudienceAnswer]["customers"]
    assert b"".join(as_csv(lines, 1)).decode() == CSV


def test_a_thousand_customers_of_many_are_answered(
    tmp_path, many: Callable[[int, int], Any], new_client
):
    publish(tmp_path, many(5_000, 200), "m1")
    client = new_client(tmp_path)
    asked = [f"c{row * 5:08d}" for row in range(1000)]
    body = client.post(RECOMMENDATIONS, customer_ids=asked, n=100).json()
    for one in body["recommendations"]:
        assert not one["cold_start"]
        assert len({item["product_id"] for item in one["items"]}) == 100
        scores = [item["score"] for item in one["items"]]
        assert scores == sorted(scores, reverse=True)


def test_each_version_that_begins_to_answer_is_made_ready(workspace, predictions):
    ready: Queue[str] = Queue()
    live = Live(workspace, every_seconds=0, taken_up=lambda one: ready.put(one.version))
    first = live.current.version
    later = replace(predictions, cutoff=predictions.cutoff + timedelta(days=1))
    publish(workspace, later, "m2")
    live.load()
    assert {ready.get(timeout=10), ready.get(timeout=10)} == {
        first,
        live.current.version,
    }
    warm(live.current)
    assert "propensity" in vars(live.current)
