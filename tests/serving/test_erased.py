"""An erased customer is in no answer of any worker, and stays out."""

from __future__ import annotations

import hashlib
import time
from dataclasses import replace
from datetime import timedelta

import numpy as np
import pytest

from features.config import Config, StateConfig
from features.contracts import SettingError
from serving import audience_schema as schema
from serving.asgi import ApiError
from serving.erased import Erased, marks_of, rows_of
from serving.erasure import erased_of, purge
from serving.publish import publish
from serving.published import Published
from serving.state import tombstones
from serving.state.database import StateAwayError
from serving.state.tombstones import Tombstones

ANNA = "/v1/customers/anna"
VIEW = {
    "table": "browses",
    "customer_id": "anna",
    "ts": "2017-10-17T11:00:00Z",
    "kind": "view",
    "product_id": "p5",
}


def named(client):
    """Who is in any answer that names customers of itself."""
    found = set()
    for goal in ("repurchase", "replenish", "win_back", "value", "uplift"):
        body = client.post("/v1/audiences", goal=goal).json()
        found |= {line["customer_id"] for line in body["customers"]}
    body = client.post("/v1/audiences", goal="product", product_ids=["p1"]).json()
    found |= {line["customer_id"] for line in body["customers"]}
    alerts = client("GET", "/v1/alerts?within_days=99").json()["alerts"]
    return found | {line["customer_id"] for line in alerts}


def is_unknown(client):
    asked = {"customer_ids": ["anna"]}
    lists = client.post("/v1/recommendations", **asked).json()["recommendations"]
    outlooks = client.post("/v1/propensity", **asked).json()["propensities"]
    assert lists[0]["cold_start"] == outlooks[0]["cold_start"]
    return lists[0]["cold_start"] and client("GET", ANNA).status_code == 404


def test_erased_is_gone_from_every_answer_of_every_worker(
    workspace, new_client, state: StateConfig
):
    client, other = new_client(workspace, state), new_client(workspace, state)
    events = [{**VIEW, "event_id": f"e{n}"} for n in range(3)]
    events.append({**VIEW, "event_id": "b", "customer_id": "bert"})
    assert client.post("/v1/events", events=events).json()["accepted"] == 4
    assert named(client) == {"anna", "bert"} and not is_unknown(client)

    answer = client("DELETE", ANNA)
    assert answer.status_code == 200 and "anna" not in answer.text
    schema.ErasureAnswer.model_validate_json(answer.content)
    receipt = answer.json()
    assert (receipt["events_removed"], receipt["was_published"]) == (3, True)
    assert receipt["erased_at"] == "2017-10-17T12:00:00Z"
    assert named(client) == {"bert"} and is_unknown(client)
    assert not is_unknown(other)
    other.erased.refresh(other.live.current)
    assert named(other) == {"bert"} and is_unknown(other)
    assert client.erased.has("anna") and not client.erased.has("bert")

    later = client.post("/v1/events", events=[{**VIEW, "event_id": "e9"}, *events])
    body = later.json()
    assert (body["accepted"], body["duplicate"], body["rejected"]) == (0, 1, 4)
    assert "was not erased" in body["rejections"][0]["reason"]
    again = client("DELETE", ANNA).json()
    assert again == {**receipt, "events_removed": 0}
    if state.url is None:
        kept = b"".join(file.read_bytes() for file in workspace.glob("state.db*"))
        assert b"anna" not in kept and b"bert" in kept


def test_someone_unknown_can_be_erased_before_they_come(workspace, new_client):
    client = new_client(workspace)
    receipt = client("DELETE", "/v1/customers/who%2Felse").json()
    assert (receipt["events_removed"], receipt["was_published"]) == (0, False)
    event = {**VIEW, "event_id": "e", "customer_id": "who/else"}
    assert client.post("/v1/events", events=[event]).json()["rejected"] == 1
    assert named(client) == {"anna", "bert"}


@pytest.mark.parametrize("path", ["a%00b", "a" * 257])
def test_what_is_no_id_is_not_erased(workspace, new_client, path):
    answer = new_client(workspace)("DELETE", f"/v1/customers/{path}")
    assert answer.status_code == 422


def test_a_list_does_not_go_on_where_somebody_was_erased(workspace, new_client):
    client = new_client(workspace)
    page = client.post("/v1/audiences", goal="value", n=1).json()
    client("DELETE", ANNA)
    asked = {"goal": "value", "n": 1, "cursor": page["next_cursor"]}
    assert client.post("/v1/audiences", **asked).status_code == 409
    fresh = client.post("/v1/audiences", goal="value").json()
    assert [line["customer_id"] for line in fresh["customers"]] == ["bert"]
    assert (fresh["total"], fresh["next_cursor"]) == (1, None)


def test_a_version_that_still_has_them_hides_them_too(
    workspace, new_client, predictions
):
    client = new_client(workspace)
    client("DELETE", ANNA)
    later = replace(predictions, cutoff=predictions.cutoff + timedelta(days=7))
    version = publish(workspace, later, "m2").name
    client.live.load()
    body = client.post("/v1/audiences", goal="value").json()
    assert body["snapshot"]["version"] == version
    assert named(client) == {"bert"} and is_unknown(client)


def test_a_thread_notices_by_itself(workspace, new_client):
    client = new_client(workspace)
    ends = client.erased.follow(lambda: client.live.current, 0.05)
    tombstones.erase(client.engine, "anna", 1)
    until = time.monotonic() + 10
    while not client.erased.has("anna") and time.monotonic() < until:
        time.sleep(0.02)  # for the thread; no longer than it takes
    ends()
    assert named(client) == {"bert"} and is_unknown(client)


def test_while_a_new_version_is_looked_through_the_one_before_answers(
    published, predictions, tmp_path
):
    salt = b"salt"
    gone = hashlib.sha256(salt + b"anna").digest()
    erased = Erased(lambda _: Tombstones(salt, (gone,), 1))
    ends = erased.follow(lambda: published, 3600)
    publish(tmp_path, replace(predictions, horizon_days=15), "m2")
    newer = Published.open(tmp_path)
    assert erased.seen(newer).version == published.version
    erased.refresh(newer)
    assert erased.seen(newer).version == newer.version
    assert erased.seen(newer).customers.row("anna") is None
    ends()


def test_while_the_database_is_away_they_stay_hidden(published):
    salt, is_away = b"salt", False

    def load(last):
        if is_away:
            raise StateAwayError("gone")
        return Tombstones(salt, (hashlib.sha256(salt + b"anna").digest(),), 1)

    erased = Erased(load)
    with pytest.raises(ApiError) as raised:
        erased.seen(published)
    assert raised.value.status == 503
    erased.refresh(published)
    is_away = True
    erased.refresh(published)
    assert erased.seen(published).customers.row("anna") is None
    # Nobody else is touched, and the version itself is not.
    assert erased.seen(published).customers.row("bert") == 1
    assert published.customers.row("anna") == 0 and published.consent[0]


def test_rows_are_found_by_their_hashes(tmp_path, many):
    publish(tmp_path, many(300, 2), "m1")
    ids, salt = Published.open(tmp_path).customers, b"\x00\xff"
    marks = marks_of(ids, salt)
    gone = {hashlib.sha256(salt + ids.raw(row)).digest() for row in (0, 7, 299)}
    unknown = hashlib.sha256(salt + b"nobody").digest()
    # Equal in the part that is compared first, and somebody else.
    alike = hashlib.sha256(salt + ids.raw(5)).digest()[:8] + bytes(24)
    found = rows_of(ids, marks, salt, frozenset({*gone, unknown, alike}))
    assert found.tolist() == [0, 7, 299]
    assert rows_of(ids, marks, b"x", frozenset(gone)).tolist() == []


def test_each_installation_has_its_own_tombstone(tmp_path, new_client):
    marks = set()
    for name in ("a", "b"):
        client = new_client(tmp_path / name)
        marks.add(tombstones.erase(client.engine, "anna", 1).tombstone)
    assert len(marks) == 2 and hashlib.sha256(b"anna").hexdigest() not in marks


def test_builds_know_whom_to_leave_out(workspace, new_client):
    config = Config(workspace=workspace)
    assert erased_of(Config(workspace=workspace / "none")).hashes == frozenset()
    assert not (workspace / "none").exists()
    mark = tombstones.erase(new_client(workspace).engine, "anna", 1).tombstone
    found = erased_of(config)
    assert {one.hex() for one in found.hashes} == {mark} and len(found.salt) == 32
    (workspace / "state.db").write_bytes(b"no database at all")
    with pytest.raises(SettingError, match="state: expected a database"):
        erased_of(config)


@pytest.mark.parametrize("place", ["%7Bid%7D", "%20anna", "anna%20", "a%00b"])
def test_a_text_that_is_nobodys_id_leaves_no_tombstone(workspace, new_client, place):
    client = new_client(workspace)
    answer = client("DELETE", f"/v1/customers/{place}")
    if place == "%7Bid%7D":
        # Somebody may be called so: it is an id like any other.
        assert answer.status_code == 200
        assert client.erased.has("{id}") and not client.erased.has("")
        return
    assert answer.status_code == 422
    assert not tombstones.since(client.engine).hashes


def test_hiding_a_customer_keeps_what_was_read_of_the_version(workspace):
    published = Published.open(workspace)
    model, shop = published.propensity, published.shop
    hidden = published.without(np.array([0]))
    assert hidden.propensity is model and hidden.shop is shop


def test_only_versions_that_hold_an_erased_customer_are_removed(
    workspace, new_client, predictions
):
    client, config = new_client(workspace), Config(workspace=workspace)
    assert purge(config) == 0
    with_anna = Published.open(workspace).folder
    own = predictions.customers.set_column(
        0, "customer_id", _ids("ada", "bert", "carl")
    )
    tables = {
        name: getattr(predictions, name).set_column(
            0, "customer_id", own["customer_id"]
        )
        for name in ("value", "churn", "uplift", "profiles")
    }
    due = predictions.replenishment.slice(0, 0)
    without = replace(
        predictions,
        customers=own,
        **tables,
        replenishment=due,
    )
    kept = publish(workspace, without, "m1")
    current = publish(workspace, replace(without, horizon_days=15), "m1")
    tombstones.erase(client.engine, "anna", 1)
    assert purge(config) == 1
    assert not with_anna.exists() and kept.exists() and current.exists()
    # One in force is never removed: a service must have something to answer from.
    tombstones.erase(client.engine, "ada", 1)
    assert purge(config) == 1
    assert not kept.exists() and current.exists()


def _ids(*texts):
    import pyarrow as pa

    return pa.chunked_array([pa.array(texts)])


def test_ids_that_are_hidden_are_not_found_and_nothing_else_changes(published):
    hidden = published.without(np.array([1], dtype=np.int64))
    assert [hidden.customers.row(name) for name in ("anna", "bert", "carl")] == [
        0,
        None,
        2,
    ]
    assert hidden.consent.tolist() == [True, False, False] and hidden.erased == 1
