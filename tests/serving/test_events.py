"""``POST /v1/events``: what is taken, what is refused, and why."""

from __future__ import annotations

import asyncio
import json
import logging
import re
import threading
from datetime import datetime
from typing import Any

import httpx
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import text

from features.config import StateConfig
from features.contracts import TABLES
from features.engine import Tables
from features.snapshot import from_us
from serving import events, schema
from serving.examples import EVENTS as EXAMPLE
from serving.state import database
from serving.state.database import StateAwayError
from serving.state.log import EventLog, events_since
from serving.state.tables import EVENT_TABLES, KNOWN_AT, event_columns

NOW = datetime(2017, 10, 17, 12)
PATH = "/v1/events"

BUY = {
    "event_id": "e1",
    "table": "purchases",
    "customer_id": "anna",
    "product_id": "p1",
    "ts": "2017-10-17T11:00:00Z",
    "order_id": "o1",
    "quantity": 1,
    "amount": 2.5,
}
LOOK = {
    "event_id": "e2",
    "table": "browses",
    "customer_id": "anna",
    "ts": "2017-10-17T11:00:00Z",
    "kind": "view",
}
ASK = LOOK | {"table": "inquiries", "kind": "presale"}
RATE = LOOK | {"table": "feedback", "kind": "nps"}


def reason(event: object) -> str | None:
    found = events.check([event], NOW)
    assert len(found.events) + len(found.refused) == 1
    return found.refused[0].reason if found.refused else None


def test_every_event_table_of_the_contract_has_events() -> None:
    with_customers = {t.name for t in TABLES if t.happened == "ts"}
    assert set(EVENT_TABLES) == with_customers


@pytest.mark.parametrize("example", EXAMPLE["events"], ids=lambda one: one["table"])
def test_the_examples_are_taken(example) -> None:
    assert reason(example) is None


@pytest.mark.parametrize(
    ("event", "said"),
    [
        ([], "expected an object, got a list"),
        (None, "expected an object, got none"),
        (BUY | {"table": "picks"}, "table: expected one of purchases, browses"),
        (BUY | {"table": None}, "table: expected one of"),
        (BUY | {"table": ["purchases"]}, "table: expected one of"),
        (BUY | {"event_id": None}, "event_id: expected a value, got none"),
        (BUY | {"event_id": ""}, "event_id: expected a value, got none"),
        (BUY | {"event_id": "e" * 257}, "event_id: expected at most 256 characters"),
        (BUY | {"customer_id": None}, "customer_id: expected a value, got none"),
        (BUY | {"customer_id": " a"}, "customer_id: expected no blanks around it"),
        (BUY | {"customer_id": 17.0}, "customer_id: expected text or an integer"),
        (BUY | {"customer_id": 10**5000}, "customer_id: expected text or an integer"),
        (BUY | {"ts": 10**5000}, "ts: expected an ISO 8601 .* got a larger number"),
        (BUY | {"customer_id": True}, "customer_id: expected text or an integer"),
        (BUY | {"product_id": "p\0"}, "product_id: expected text, got a null"),
        (BUY | {"quantity": "1"}, "quantity: expected a number, got text"),
        (BUY | {"quantity": True}, "quantity: expected a number, got true or false"),
        (BUY | {"quantity": None}, "quantity: expected a value, got none"),
        (BUY | {"amount": 10**400}, "amount: expected a finite number"),
        (BUY | {"channel": 3}, "channel: expected text, got a number"),
        (BUY | {"colour": 1}, "colour: expected a column of purchases"),
        (BUY | {"known_at": BUY["ts"]}, "known_at: expected none: it is the moment"),
        (BUY | {"kind": "view"}, "kind: expected a column of purchases"),
        (BUY | {"ts": 1700000000}, "ts: expected an ISO 8601 timestamp"),
        (BUY | {"ts": "yesterday"}, "ts: expected an ISO 8601 timestamp"),
        (BUY | {"ts": "0001-01-01T00:00:00+14:00"}, "ts: expected an ISO 8601"),
        (BUY | {"ts": "1899-12-31T23:59:59.999999"}, "ts: expected a moment from 1900"),
        (BUY | {"ts": "2017-10-18T12:00:00.000001"}, "ts: expected .* a day from now"),
        (BUY | {"ts": "2017-10-18T12:00:01Z"}, "ts: expected .* a day from now"),
        (LOOK | {"kind": "buy"}, "kind: expected one of view, search, cart, favourite"),
        (LOOK | {"kind": ["view"]}, "kind: expected one of view"),
        (
            LOOK | {"dwell_seconds": -0.1},
            "dwell_seconds: expected at least 0, got -0.1",
        ),
        (ASK | {"resolved": "yes"}, "resolved: expected true or false, got 'yes'"),
        (ASK | {"resolved": 1}, "resolved: expected true or false, got 1"),
        (RATE | {"score": 10.5}, "score: expected 0 to 10, the scale of nps"),
        (RATE | {"score": -1}, "score: expected 0 to 10, the scale of nps"),
    ],
)
def test_a_bad_event_is_refused_with_a_reason(event, said) -> None:
    found = reason(event)
    assert found is not None and "\n" not in found
    assert re.match(said, found), found


@pytest.mark.parametrize(
    "event",
    [
        BUY | {"ts": "2017-10-18T12:00:00"},
        BUY | {"ts": "1900-01-01"},
        BUY | {"quantity": -1, "amount": -2.5, "channel": ""},
        BUY | {"customer_id": 17, "event_id": 4},
        BUY | {"event_id": "e" * 256},
        LOOK | {"dwell_seconds": 0, "product_id": None},
        RATE | {"score": 0},
        RATE | {"score": 10},
        RATE | {"score": None},
        RATE | {"kind": "rating", "score": 99},
    ],
)
def test_what_lies_on_the_edge_is_taken(event) -> None:
    assert reason(event) is None


@pytest.mark.parametrize(
    "ts", ["2017-10-17T11:00:00", "2017-10-17 11:00:00Z", "2017-10-17T13:00:00+02:00"]
)
def test_a_time_without_a_zone_is_utc(ts) -> None:
    (event,) = events.check([BUY | {"ts": ts}], NOW).events
    assert from_us(event["ts"]) == datetime(2017, 10, 17, 11)


TEXTS = st.text(max_size=4) | st.sampled_from(
    ["x", " x", "17.0", "\u00a0x", "é", "x\n"]
)
VALUES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-3, 12),
    st.floats(),
    TEXTS,
    st.sampled_from(["2017-10-16", "1900-01-01T00:00:00Z", "2199-12-31", "0900-01-01"]),
)


@st.composite
def drawn(draw: st.DrawFn) -> dict[str, Any]:
    table = draw(st.sampled_from(list(EVENT_TABLES.values())))
    event: dict[str, Any] = {"event_id": draw(TEXTS), "table": table.name}
    for column in event_columns(table):
        likely = {
            "id": st.just("a"),
            "text": st.sampled_from(column.kinds or ("web",)),
            "number": st.floats(-1, 11),
            "flag": st.booleans(),
            "time": st.just("2017-10-16T10:00:00.5Z"),
        }[column.dtype]
        if column.required or draw(st.booleans()):
            event[column.name] = draw(st.one_of(likely, likely, likely, VALUES))
    return event


@given(st.lists(drawn(), min_size=1, max_size=8))
@settings(max_examples=40, deadline=None)
def test_what_is_taken_is_no_bad_row_of_a_build(tmp_path_factory, batch) -> None:
    """The rules of ``events`` and of ``features.rules`` are the same."""
    found = events.check(batch, NOW)
    assert len(found.events) + len(found.refused) == len(batch)
    # One good purchase, since builds want the table.
    rows = [*found.events, *events.check([BUY], NOW).events]
    folder = tmp_path_factory.mktemp("data")
    for name, table in EVENT_TABLES.items():
        mine = [row for row in rows if row["table"] == name]
        columns = {
            c.name: [
                from_us(row[c.name]) if c.dtype == "time" else row[c.name]
                for row in mine
            ]
            for c in event_columns(table)
        }
        if mine:
            pq.write_table(pa.table(columns), folder / f"{name}.parquet")
    with Tables(folder) as tables:
        assert set(tables.quarantined.values()) == {0}


ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(list(BUY)) | st.text(), inner, max_size=4)
    ),
    max_leaves=8,
)


@given(st.lists(ANYTHING | drawn() | st.builds(lambda x: BUY | {"ts": x}, ANYTHING)))
@settings(max_examples=200, deadline=None)
def test_whatever_comes_is_taken_or_refused_in_one_line(batch) -> None:
    found = events.check(batch, NOW)
    assert len(found.events) + len(found.refused) == len(batch)
    for one in found.refused:
        assert "\n" not in one.reason and len(one.reason) < 400


def test_known_at_is_of_every_event_table() -> None:
    for table in EVENT_TABLES.values():
        assert table.column(KNOWN_AT).dtype == "time"


# -- the endpoint --------------------------------------------------------------


def test_each_event_is_accepted_a_duplicate_or_rejected(
    workspace, new_client, state
) -> None:
    client = new_client(workspace, state)
    batch = [BUY, LOOK, LOOK | {"kind": "buy"}, BUY, BUY | {"amount": 3}, 7]
    answer = client.post(PATH, events=batch)
    assert answer.status_code == 200
    schema.EventsAnswer.model_validate_json(answer.content)
    body = answer.json()
    assert (body["accepted"], body["duplicate"], body["rejected"]) == (2, 1, 3)
    assert [(one["index"], one["event_id"]) for one in body["rejections"]] == [
        (2, "e2"),
        (4, "e1"),
        (5, None),
    ]
    assert client.post(PATH, events=[BUY, LOOK]).json()["duplicate"] == 2
    assert len(events_since(client.engine, 0)) == 2
    text = client("GET", "/metrics").text
    assert 'repurchase_events_total{outcome="accepted"} 2.0' in text
    assert 'repurchase_events_total{outcome="duplicate"} 3.0' in text
    assert 'repurchase_events_total{outcome="rejected"} 3.0' in text


@pytest.mark.parametrize(
    ("body", "status", "field"),
    [
        (b"{events", 400, None),
        (b"", 400, None),
        (b'{"events": [NaN]}', 400, None),
        (b'{"events": ["\\ud800"]}', 400, None),
        (b"[" * 9000, 400, None),
        (b"[]", 422, None),
        (b"{}", 422, "events"),
        (b'{"events": null}', 422, "events"),
        (b'{"events": {}}', 422, "events"),
        (b'{"events": []}', 422, "events"),
        (b'{"events": [' + b"1," * 10_000 + b"1]}", 422, "events"),
        (b'{"events": [1], "more": 2}', 422, "more"),
        (b" " * 30_001, 413, None),
    ],
)
def test_a_body_that_is_no_batch_is_refused(
    workspace, new_client, body, status, field
) -> None:
    client = new_client(workspace, max_events_bytes=30_000)
    answer = client("POST", PATH, content=body)
    assert answer.status_code == status
    schema.ErrorAnswer.model_validate_json(answer.content)
    assert answer.json()["error"]["field"] == field


def test_ten_thousand_events_with_every_column_fit_the_limit(
    workspace, new_client
) -> None:
    full = BUY | {
        "list_amount": 1234567.89,
        "channel": "w" * 40,
        "campaign_id": "c" * 36,
    }
    full |= dict.fromkeys(("customer_id", "product_id", "order_id"), "x" * 36)
    batch = [full | {"event_id": f"{n:036}"} for n in range(10_000)]
    answer = new_client(workspace).post(PATH, events=batch)
    assert answer.json()["accepted"] == 10_000


def test_events_are_taken_before_anything_is_published(tmp_path, new_client) -> None:
    client = new_client(tmp_path)
    assert client("GET", "/readyz").status_code == 503
    assert client.post(PATH, events=[BUY]).json()["accepted"] == 1


def test_other_requests_are_answered_while_events_wait_for_the_disk(
    workspace, new_client, monkeypatch
) -> None:
    client = new_client(workspace)
    go_on = threading.Event()
    append = EventLog.append

    def slow(log: EventLog, batch: Any) -> Any:
        assert go_on.wait(10)
        return append(log, batch)

    monkeypatch.setattr(EventLog, "append", slow)

    async def ask() -> tuple[httpx.Response, list[httpx.Response]]:
        transport = httpx.ASGITransport(client.app)
        async with httpx.AsyncClient(
            transport=transport, base_url="http://127.0.0.1"
        ) as http:
            waiting = [
                asyncio.create_task(http.post(PATH, json={"events": [BUY]}))
                for _ in range(33)
            ]
            await asyncio.sleep(0.05)
            body = {"customer_ids": ["anna"]}
            quick = await http.post("/v1/propensity", json=body)
            assert sum(task.done() for task in waiting) == 1
            go_on.set()
            return quick, list(await asyncio.gather(*waiting))

    quick, answers = asyncio.run(ask())
    assert quick.status_code == 200
    # One more than may wait: told to come again, not kept in memory.
    (busy,) = (answer for answer in answers if answer.status_code != 200)
    assert busy.status_code == 503 and busy.headers["retry-after"] == "1"
    assert busy.json()["error"]["code"] == "busy"
    assert sum(a.json().get("accepted", 0) for a in answers) == 1
    assert sum(a.json().get("duplicate", 0) for a in answers) == 31


def test_a_database_that_is_away_is_503_and_then_comes_back(
    workspace, new_client, caplog, own_postgres
) -> None:
    server = own_postgres
    client = new_client(workspace, StateConfig(url=server.get_uri()))
    assert client.post(PATH, events=[BUY]).json()["accepted"] == 1
    server.stop()
    with caplog.at_level(logging.ERROR):
        answer = client.post(PATH, events=[LOOK])
    assert answer.status_code == 503 and answer.headers["retry-after"] == "1"
    schema.ErrorAnswer.model_validate_json(answer.content)
    assert answer.json()["error"]["code"] == "state_away"
    # No id of a customer is in the log of the service.
    assert "events: " in caplog.text and "anna" not in caplog.text
    client.keyring.refresh()
    assert client.post("/v1/propensity", customer_ids=["anna"]).status_code == 200
    server.ensure_postgres_running()
    again = client.post(PATH, events=[BUY, LOOK]).json()
    assert (again["accepted"], again["duplicate"]) == (1, 1)


def test_a_statement_that_fails_leaves_no_id_in_the_log(
    workspace, new_client, state, caplog
) -> None:
    client = new_client(workspace, state)
    with database.writing(client.engine) as connection:
        connection.execute(text("ALTER TABLE events DROP COLUMN amount"))
    answer = client.post(PATH, events=[BUY])
    assert answer.status_code in (500, 503)
    assert "amount" in caplog.text and "anna" not in caplog.text


def test_keys_that_could_not_be_read_for_long_are_not_relied_on(
    workspace, new_client
) -> None:
    client = new_client(workspace)

    def gone() -> Any:
        raise StateAwayError("gone")

    client.keyring._load = gone
    for seconds, status in ((300, 200), (300.1, 503)):
        client.seconds[0] = 1000 + seconds
        client.keyring.refresh()
        answer = client.post("/v1/propensity", customer_ids=["anna"])
        assert answer.status_code == status
        assert client("GET", "/readyz").status_code == status
    assert client("GET", "/livez").status_code == 200


def test_the_document_describes_events_as_the_check_has_them(
    workspace, new_client
) -> None:
    document = new_client(workspace)("GET", "/openapi.json").json()
    schemas = document["components"]["schemas"]
    assert schemas["EventsRequest"]["properties"]["events"]["maxItems"] == 10_000
    browses = schemas["BrowsesEvent"]
    assert browses["required"] == ["table", "event_id", "customer_id", "ts", "kind"]
    assert browses["properties"]["kind"]["enum"][:2] == ["view", "search"]
    assert browses["properties"]["dwell_seconds"] == {
        "type": ["number", "null"],
        "minimum": 0.0,
        "description": "seconds",
    }
    posted = document["paths"][PATH]["post"]["requestBody"]["content"]
    assert posted["application/json"]["example"] == json.loads(json.dumps(EXAMPLE))
