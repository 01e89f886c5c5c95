"""Audiences, alerts and single customers over HTTP, and who is on record for them."""

from __future__ import annotations

import csv
import io
import json
import subprocess
import sys
from dataclasses import replace
from datetime import timedelta
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from features.config import StateConfig
from serving import audience_schema as schema
from serving.audience_api import Audiences
from serving.publish import publish
from serving.published import Published, current_version
from serving.state import audits, keys
from serving.state.database import StateAwayError

AUDIENCES, ALERTS = "/v1/audiences", "/v1/alerts"


@pytest.fixture
def client(workspace, new_client):
    return new_client(workspace)


def ids(body):
    return [line["customer_id"] for line in body["customers"]]


def test_an_audience_is_answered_in_the_form_of_the_document(client, workspace):
    answer = client.post(AUDIENCES, goal="value", n=1, filters={"region": "north"})
    assert answer.status_code == 200
    schema.AudienceAnswer.model_validate_json(answer.content)
    body = answer.json()
    assert (ids(body), body["total"]) == (["bert"], 2)
    assert body["score_means"].startswith("expected spend within 365 days")
    assert body["snapshot"]["version"] == current_version(workspace)
    assert body["customers"][0]["score"] == 450.0
    assert len(body["customers"][0]["products"]) == 3


@pytest.mark.parametrize("goal", ["repurchase", "replenish", "win_back", "value"])
@pytest.mark.parametrize("form", ["json", "csv"])
def test_pages_put_together_are_the_whole_list(client, goal, form):
    whole = client.post(AUDIENCES, goal=goal, n=100, offers=0).json()
    assert whole["next_cursor"] is None
    cursor, found = None, []
    for _ in range(9):
        answer = client.post(
            AUDIENCES, goal=goal, n=1, offers=0, cursor=cursor, format=form
        )
        if form == "json":
            body = answer.json()
            found += body["customers"]
            cursor = body["next_cursor"]
        else:
            lines = csv.DictReader(io.StringIO(answer.text))
            found += [(line["customer_id"], int(line["rank"])) for line in lines]
            cursor = answer.headers["x-next-cursor"] or None
        if cursor is None:
            break
    expected = whole["customers"]
    if form == "csv":
        expected = [(line["customer_id"], line["rank"]) for line in expected]
    assert found == expected and len(found) == whole["total"]


@pytest.fixture(scope="module")
def drawn(tmp_path_factory, many):
    folder = tmp_path_factory.mktemp("drawn")
    publish(folder, many(120, 4), "m1")
    return Published.open(folder)


@settings(
    max_examples=25,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(
    st.sampled_from(["repurchase", "replenish", "win_back", "value", "uplift"]),
    st.lists(st.integers(1, 90), min_size=8, max_size=8),
    st.integers(0, 2**32 - 1),
)
def test_pages_of_any_size_are_the_whole_list_of_who_consents(
    monkeypatch, drawn, goal, sizes, seed
):
    monkeypatch.setattr(audits, "record", lambda *_: None)
    consent = np.random.default_rng(seed).random(120) < 0.7
    version = replace(drawn, consent=consent)
    api = Audiences(
        SimpleNamespace(served=lambda: version, head=lambda _: {}, now_us=lambda: 0),
        None,
    )

    def ask(n, cursor=None):
        body = {"goal": goal, "n": n, "offers": 0, "cursor": cursor}
        call = api_call(json.dumps(body).encode())
        return json.loads(api.audience(call).body)

    whole = ask(1000)
    found, cursor = [], None
    for size in [*sizes, 1000]:
        page = ask(size, cursor)
        found += page["customers"]
        cursor = page["next_cursor"]
        if cursor is None:
            break
    assert found == whole["customers"]
    named = {line["customer_id"] for line in found}
    refused = {version.customers[row] for row in np.flatnonzero(~consent)}
    assert not named & refused


def api_call(body):
    from serving.asgi import Call

    return Call(body, "local", "", b"")


def test_a_page_never_mixes_two_versions(client, workspace, predictions):
    first = client.post(AUDIENCES, goal="value", n=1).json()
    later = replace(predictions, cutoff=predictions.cutoff + timedelta(days=7))
    publish(workspace, later, "m2")
    client.live.load()
    answer = client.post(AUDIENCES, goal="value", n=1, cursor=first["next_cursor"])
    assert answer.status_code == 409
    assert answer.json()["error"]["code"] == "list_changed"
    assert client.post(AUDIENCES, goal="value", n=1).status_code == 200


def test_a_cursor_is_of_one_question(client):
    cursor = client.post(AUDIENCES, goal="value", n=1).json()["next_cursor"]
    for other in (
        {"goal": "win_back"},
        {"goal": "value", "filters": {"tag": "likely"}},
    ):
        answer = client.post(AUDIENCES, **other, cursor=cursor)
        assert answer.status_code == 422
        assert answer.json()["error"]["field"] == "cursor"
    for wrong in ("", "x", "WzFd", "bnVsbA==", "é"):
        answer = client.post(AUDIENCES, goal="value", cursor=wrong)
        assert (answer.status_code, answer.json()["error"]["field"]) == (422, "cursor")


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "goal"),
        ({"goal": "love"}, "goal"),
        ({"goal": "value", "n": 0}, "n"),
        ({"goal": "value", "n": 10_001}, "n"),
        ({"goal": "value", "size": 1}, "size"),
        ({"goal": "value", "filters": {"colour": "red"}}, "filters.colour"),
        ({"goal": "value", "filters": {"segment": ["x"]}}, "filters.segment"),
        ({"goal": "value", "filters": []}, "filters"),
        ({"goal": "value", "horizon_days": 7}, "horizon_days"),
        ({"goal": "repurchase", "horizon_days": 181}, "horizon_days"),
        ({"goal": "value", "within_days": 7}, "within_days"),
        ({"goal": "value", "product_ids": ["p1"]}, "product_ids"),
        ({"goal": "product"}, "product_ids"),
        ({"goal": "product", "product_ids": ["p9"]}, "product_ids"),
        ({"goal": "product", "category": "ham"}, "category"),
        ({"goal": "product", "category": "tea", "product_ids": ["p1"]}, "category"),
        ({"goal": "value", "offers": 11}, "offers"),
    ],
)
def test_a_question_that_does_not_fit_is_422_and_on_no_record(client, body, field):
    answer = client.post(AUDIENCES, **body)
    assert answer.status_code == 422
    found = answer.json()["error"]
    assert found["field"].startswith(field) and found["message"].startswith(field)
    assert audits.latest(client.engine, 9) == []


def test_the_goals_product_and_category_are_answered(client):
    body = client.post(AUDIENCES, goal="product", product_ids=["p1"]).json()
    assert ids(body) == ["anna", "bert"]
    assert body["customers"][0]["products"][0]["product_id"] == "p1"
    assert client.post(AUDIENCES, goal="product", category="dairy").status_code == 200


def test_csv_is_streamed_in_parts_with_a_header(tmp_path, many, new_client):
    publish(tmp_path, many(2500, 2), "m1")
    client = new_client(tmp_path)
    answer = client.post(AUDIENCES, goal="value", n=1_000_000, offers=1, format="csv")
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "text/csv; charset=utf-8"
    assert answer.headers["x-total"] == "2500" and "x-next-cursor" in answer.headers
    assert "content-length" not in answer.headers
    lines = list(csv.DictReader(io.StringIO(answer.text)))
    assert len(lines) == 2500 and len({line["customer_id"] for line in lines}) == 2500
    scores = [float(line["score"]) for line in lines]
    assert scores == sorted(scores, reverse=True)
    assert all(line["product_id_1"] for line in lines)


def test_who_pulled_which_list_is_on_record(workspace, new_client, state: StateConfig):
    client = new_client(workspace, state)
    client.post(AUDIENCES, goal="value", n=1, filters={"tag": "not_likely"})
    key = keys.create(client.engine, "shop", ["read"], 1)
    client.keyring.refresh()
    sent = {"Authorization": f"Bearer {key}"}
    client("GET", f"{ALERTS}?within_days=9", headers=sent)
    client("POST", AUDIENCES, json={"goal": "win_back", "format": "csv"}, headers=sent)
    found = audits.latest(client.engine, 9)
    prefix = "_".join(key.split("_")[:2])
    assert [(one.who, one.goal, one.customers) for one in found] == [
        (prefix, "win_back", 1),
        (prefix, "alerts all", 2),
        ("local", "value", 1),
    ]
    assert json.loads(found[2].asked) == {"filters": {"tag": "not_likely"}}
    assert found[0].version == current_version(workspace)
    client("GET", f"{ALERTS}?within_days=0", headers=sent)
    assert json.loads(audits.latest(client.engine, 1)[0].asked)["within_days"] == 0


def test_without_a_record_there_is_no_list(client, monkeypatch):
    def away(*_):
        raise StateAwayError("gone")

    monkeypatch.setattr(audits, "record", away)
    for answer in (
        client.post(AUDIENCES, goal="value", format="csv"),
        client("GET", ALERTS),
    ):
        assert answer.status_code == 503
        assert answer.json()["error"]["code"] == "state_away"


def test_an_error_in_the_middle_of_a_stream_is_no_whole_answer(client, monkeypatch):
    def broken(*_):
        yield b"customer_id\n"
        raise RuntimeError("broken")

    monkeypatch.setattr("serving.audience_api.as_csv", broken)
    with pytest.raises(RuntimeError, match="broken"):
        client.post(AUDIENCES, goal="value", format="csv")
    assert client.post(AUDIENCES, goal="value").status_code == 200


# -- alerts ----------------------------------------------------------------------


def test_alerts_are_what_is_due_alerts_first(client):
    answer = client("GET", f"{ALERTS}?kind=replenishment&within_days=10")
    schema.AlertsAnswer.model_validate_json(answer.content)
    body = answer.json()
    # carl refused; bert's bread has no date and no alert.
    assert [(a["customer_id"], a["product_group"]) for a in body["alerts"]] == [
        ("anna", "dairy"),
        ("bert", "tea"),
        ("anna", "bread"),
    ]
    assert [a["alert"] for a in body["alerts"]] == [True, False, False]
    assert body["total"] == 3
    page = client("GET", f"{ALERTS}?within_days=10&n=2").json()
    rest = client(
        "GET", f"{ALERTS}?within_days=10&n=2&cursor={page['next_cursor']}"
    ).json()
    assert page["alerts"] + rest["alerts"] == body["alerts"]
    assert rest["next_cursor"] is None


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("kind=churn", "kind"),
        ("state=new", "state"),
        ("within_days=x", "within_days"),
        ("within_days=-1", "within_days"),
        ("colour=red", "colour"),
        ("n=1&n=2", "n"),
        ("n=99999", "n"),
    ],
)
def test_a_query_that_does_not_fit_is_refused(client, query, field):
    answer = client("GET", f"{ALERTS}?{query}")
    assert (answer.status_code, answer.json()["error"]["field"]) == (422, field)


def test_a_kind_that_does_not_exist_names_those_that_do(client):
    said = client("GET", f"{ALERTS}?kind=churn").json()["error"]["message"]
    assert "'replenishment' or 'health'" in said


# -- one customer ----------------------------------------------------------------


def test_a_customer_is_what_is_published_of_them(client, predictions):
    answer = client("GET", "/v1/customers/anna")
    schema.CustomerAnswer.model_validate_json(answer.content)
    body = answer.json()
    assert body["profile"] == {
        "segment": "family",
        "region": "north",
        "member_tier": "gold",
    }
    curve = predictions.curve[0]
    assert [one["days"] for one in body["propensity"]] == [7, 14, 30, 90]
    assert body["propensity"][2]["probability"] == float(curve[29])
    assert (body["tag"], body["consent"]) == ("likely", True)
    assert body["expected_next_p90"] == "2017-10-20T06:00:00.000000Z"
    assert [one["product_group"] for one in body["due"]] == ["bread", "dairy"]
    assert body["value"]["clv"] == 24.0 and body["churn"]["churn_risk"] == 0.4
    assert body["uplift"] == {"uplift": 0.1, "expected_extra_spend": 2.5}
    assert not body["uplift_evidence"]["enough"]
    assert [one["product_id"] for one in body["lists"]["again"]] == ["p1", "p2"]
    assert len(body["lists"]["mixed"]) == 5


def test_what_is_unknown_of_a_customer_is_null(client):
    bert = client("GET", "/v1/customers/bert").json()
    assert bert["churn"] == {"churn_risk": None, "expected_loss": None}
    assert bert["profile"]["member_tier"] is None and bert["value"]["clv"] is None
    assert bert["due"][0]["due_at"] is None and bert["due"][1]["due_at"] is not None
    assert client("GET", "/v1/customers/carl").json()["consent"] is False


@pytest.mark.parametrize("path", ["nobody", "an%2Fna", "%ff", "a" * 300])
def test_an_unknown_customer_is_404_in_the_form_of_errors(client, path):
    answer = client("GET", f"/v1/customers/{path}")
    assert answer.status_code == 404
    assert answer.json()["error"]["code"] == "not_found"
    assert path not in answer.text


@pytest.mark.parametrize("path", ["", "/", "/anna/", "/anna/x"])
def test_a_parameter_is_one_part_of_a_path(client, path):
    assert client("GET", f"/v1/customers{path}").status_code == 404


def test_an_id_may_have_any_character(tmp_path, predictions, new_client):
    import pyarrow as pa

    odd = pa.array(["a/b?c", "bert", "é %2F"])
    tables = {
        name: getattr(predictions, name).set_column(0, "customer_id", odd)
        for name in ("customers", "value", "churn", "uplift", "profiles")
    }
    publish(
        tmp_path,
        replace(
            predictions,
            **tables,
            replenishment=predictions.replenishment.slice(0, 0),
        ),
        "m1",
    )
    client = new_client(tmp_path)
    for path, name in (("a%2Fb%3Fc", "a/b?c"), ("%C3%A9%20%252F", "é %2F")):
        body = client("GET", f"/v1/customers/{path}").json()
        assert body["customer_id"] == name


def test_metrics_and_logs_name_the_path_and_not_the_customer(client, caplog):
    client("GET", "/v1/customers/anna")
    client("DELETE", "/v1/customers/anna")
    text = client("GET", "/metrics").text
    assert 'path="/v1/customers/{id}",status="200"' in text and "anna" not in text
    assert "anna" not in caplog.text


def test_other_methods_on_a_customer_are_405(client):
    answer = client("POST", "/v1/customers/anna")
    assert answer.status_code == 405 and answer.headers["allow"] == "DELETE, GET, HEAD"


# -- the command -----------------------------------------------------------------


def run(*words: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", "from serving.cli import main; main()"]
    return subprocess.run(
        [*command, *map(str, words)], capture_output=True, text=True, check=False
    )


def test_the_command_writes_the_list_of_the_api(client, workspace, tmp_path):
    out, state = tmp_path / "list.csv", ("--set", f"workspace={workspace}")
    done = run(
        *("audience", "--goal", "repurchase", "--horizon", 30, "--out", out),
        *("--filter", "region=north", "--filter", "tag=likely", *state),
    )
    assert done.returncode == 0, done.stderr
    body = {"region": ["north"], "tag": ["likely"]}
    answer = client.post(
        AUDIENCES, goal="repurchase", horizon_days=30, filters=body, format="csv"
    )
    assert out.read_text() == answer.text
    api, command = audits.latest(client.engine, 9)
    assert (command.who, command.goal, command.customers) == ("local", "repurchase", 1)
    assert json.loads(api.asked) == json.loads(command.asked)
    listed = run("audits", "list", *state)
    assert listed.returncode == 0 and listed.stdout.count("repurchase") == 2


def test_a_filter_that_does_not_fit_is_one_line(workspace, tmp_path):
    state = ("--set", f"workspace={workspace}", "--out", tmp_path / "a.csv")
    for word, line in (
        ("tier", "--filter: expected COLUMN=VALUE, got 'tier'"),
        ("tier=tin", "filters.tier: expected some of gold, silver, got 'tin'"),
    ):
        done = run("audience", "--goal", "value", "--filter", word, *state)
        assert done.returncode == 2 and done.stderr.startswith(f"error: {line}")
        assert done.stderr.count("\n") == 1 and not (tmp_path / "a.csv").exists()
