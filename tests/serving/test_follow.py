"""Events of the log in the answers: at once, in every worker, after a restart."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from itertools import count
from typing import Any

import pyarrow as pa
import pytest

from features.snapshot import DAY_US, to_us
from serving import follow
from serving.fresh import lately_of
from serving.publish import publish, switch
from serving.published import Published
from serving.state.database import StateAwayError
from serving.state.log import EventLog
from training.since import BOUGHT, RETURNED, VIEWED

LISTS = "/v1/recommendations"


@pytest.fixture
def durable(tmp_path, predictions):
    """The hand-drawn shop, where p6, the best new product of anna, lasts a year."""
    products = predictions.products
    place = products.column_names.index("service_life_days")
    lives = pa.array([365.0 if row == 5 else None for row in range(8)], pa.float64())
    products = products.set_column(place, "service_life_days", lives)
    publish(tmp_path, replace(predictions, products=products), "m1")
    return tmp_path


@pytest.fixture
def event():
    numbers = count()

    def of(customer="anna", product="p6", ts="2017-10-17T11:00:00Z", **more) -> Any:
        n = next(numbers)
        made = {"event_id": f"e{n}", "customer_id": customer, "product_id": product}
        look = {"table": "browses", "kind": "view"}
        buy = {"order_id": f"o{n}", "quantity": 1, "amount": 4.5}
        kind = buy if more.get("table") == "purchases" else look
        return {**made, "ts": ts, **kind, **more}

    return of


@pytest.fixture
def buy(event):
    return lambda *args, **more: event(*args, table="purchases", **more)


def tell(client, *events) -> None:
    answer = client.post("/v1/events", events=list(events)).json()
    assert answer["accepted"] == len(events), answer


def lists(client, *customers: str, **more) -> dict[str, dict[str, Any]]:
    answer = client.post(LISTS, customer_ids=list(customers), n=8, **more)
    assert answer.status_code == 200, answer.text
    return {one["customer_id"]: one for one in answer.json()["recommendations"]}


def products(one) -> list[str]:
    return [item["product_id"] for item in one["items"]]


def test_a_durable_that_was_just_bought_is_not_offered_again(durable, new_client, buy):
    client = new_client(durable)
    before = products(lists(client, "anna")["anna"])
    tell(client, buy())
    after = products(lists(client, "anna")["anna"])
    assert "p6" in before
    assert "p6" not in after and set(after) == set(before) - {"p6"}


def test_a_stranger_gets_a_list_of_their_own_from_the_first_look(
    workspace, new_client, event
):
    client = new_client(workspace)
    cold = lists(client, "zoe")["zoe"]
    tell(client, event("zoe", "p5"))
    own = lists(client, "zoe")["zoe"]
    assert cold["cold_start"] and products(cold)[0] != "p5"
    assert not own["cold_start"] and products(own)[0] == "p5"


def test_each_customer_of_a_request_has_their_own_events(workspace, new_client, event):
    client = new_client(workspace)
    everyone = ("anna", "bert", "zoe", "yan")
    before = lists(client, *everyone, list="new")
    tell(client, event("bert", "p5"), event("zoe", "p2"))
    after = lists(client, *everyone, list="new")
    assert after["anna"] == before["anna"] and after["yan"] == before["yan"]
    assert products(after["bert"])[0] == "p5" != products(before["bert"])[0]
    assert products(after["zoe"])[0] == "p2"


def test_rules_hold_for_what_came_since(workspace, new_client, event):
    client = new_client(workspace)
    tell(client, event("zoe", "p5"))
    found = lists(client, "zoe", exclude_product_ids=["p5"], categories=["bread"])
    assert products(found["zoe"]) == ["p4"]


def test_workers_see_each_others_events(workspace, new_client, event):
    one, other = new_client(workspace), new_client(workspace)
    tell(one, event("zoe", "p5"))
    tell(other, event("yan", "p2"))
    one.follower.catch_up()
    for client in (one, other):
        found = lists(client, "zoe", "yan")
        assert products(found["zoe"])[0] == "p5"
        assert products(found["yan"])[0] == "p2"


def test_a_restart_reads_the_log_again(workspace, new_client, event, monkeypatch):
    monkeypatch.setattr(follow, "_ROWS_AT_ONCE", 2)
    tell(new_client(workspace), *(event(f"c{n}", "p5") for n in range(5)))
    again = new_client(workspace)
    assert again.follower.events == 5
    assert products(lists(again, "c4")["c4"])[0] == "p5"


def test_what_a_version_knew_is_no_news(workspace, new_client, published):
    client = new_client(workspace)
    cutoff = published.cutoff_us
    moments = {
        "seen": (-1, -1),
        "received at the cutoff": (-1, 0),
        "ahead of the clock": (DAY_US // 2, -1),
    }
    for name, (ts, received) in moments.items():
        log = EventLog(client.engine, lambda at=received: cutoff + at)
        row = dict.fromkeys(follow.LogRow._fields[9:]) | dict.fromkeys(
            ("action", "quantity", "amount")
        )
        made = {"table": "browses", "kind": "view", "ts": cutoff + ts}
        ids = {"event_id": name, "customer_id": name, "product_id": "p5"}
        log.append([{**row, **made, **ids}])
    client.follower.catch_up()
    held = {name: client.follower.of(name) is not None for name in moments}
    assert list(held.values()) == [False, True, True]


def test_a_new_version_drops_what_it_has_seen_and_a_rollback_reads_it_again(
    workspace, new_client, event, predictions
):
    client = new_client(workspace)
    old = client.live.current.version
    tell(client, event("zoe", "p5"))
    tomorrow = replace(predictions, cutoff=predictions.cutoff + timedelta(days=9))
    publish(workspace, tomorrow, "m2")
    client.live.load()
    client.follower.catch_up()
    assert lists(client, "zoe")["zoe"]["cold_start"]
    assert client.follower.events == 0
    switch(workspace / "published", old)
    client.live.load()
    client.follower.catch_up()
    assert products(lists(client, "zoe")["zoe"])[0] == "p5"


def test_answers_go_on_while_the_database_is_away(
    workspace, new_client, event, monkeypatch
):
    client = new_client(workspace)
    tell(client, event("zoe", "p5"))

    def away(*_):
        raise StateAwayError("gone")

    with monkeypatch.context() as patch:
        patch.setattr(follow, "events_since", away)
        client.seconds[0] += 7.0
        assert not client.follower.catch_up()
        assert products(lists(client, "zoe")["zoe"])[0] == "p5"
        text = client("GET", "/metrics").text
    assert "repurchase_log_lag_seconds 7.0" in text
    assert "repurchase_log_failures 1.0" in text
    assert "repurchase_log_events 1.0" in text
    assert client.follower.catch_up()
    assert "repurchase_log_lag_seconds 0.0" in client("GET", "/metrics").text


def test_unknown_products_are_counted_and_change_nothing(workspace, new_client, event):
    client = new_client(workspace)
    before = lists(client, "anna")
    tell(client, event(product="p99"), event(product=None, kind="search"))
    assert lists(client, "anna") == before
    assert "repurchase_log_unknown_products 1.0" in client("GET", "/metrics").text


def test_a_worker_follows_in_the_background(workspace, new_client, event):
    one, other = new_client(workspace), new_client(workspace)
    tell(one, event("zoe", "p5"))
    rounds: list[int] = []
    turned = follow.threading.Event()

    def after() -> None:
        rounds.append(other.follower.events)
        if len(rounds) == 2:
            turned.set()

    end = other.follower.follow(0.1, after)
    tell(one, event("yan", "p5"))
    assert turned.wait(10)
    end()
    assert rounds[:2] == [1, 2]


def test_offers_depend_on_some_kinds_and_known_products(workspace, new_client, event):
    client = new_client(workspace)
    since = "2017-10-15T00:00:00Z"
    tell(
        client,
        event(table="purchases", product="p1", quantity=3, amount=1, order_id="o"),
        event(table="purchases", product="p1", quantity=-2, amount=1, order_id="o"),
        event(kind="search", product="p8", ts=since),
        event(table="inquiries", kind="complaint"),
        event(product="p99"),
        event(product=None),
        event(ts="2017-10-14T23:59:59.999999Z"),
    )
    published = Published.open(workspace)
    rows = client.follower.of("anna")
    found = lately_of(published, rows, to_us(published.cutoff)).events
    assert found.kind.tolist() == [BOUGHT, RETURNED, VIEWED]
    assert found.product.tolist() == [0, 0, 7]
    assert found.quantity.tolist() == [3.0, 2.0, 1.0]
    assert lately_of(published, rows[3:], 0) is None


OUTLOOK = "/v1/propensity"


def outlooks(client, *customers: str, **more) -> dict[str, dict[str, Any]]:
    answer = client.post(OUTLOOK, customer_ids=list(customers), **more)
    assert answer.status_code == 200, answer.text
    return {one["customer_id"]: one for one in answer.json()["propensities"]}


def test_the_outlook_of_who_just_bought_is_of_this_moment(workspace, new_client, buy):
    client = new_client(workspace)
    everyone = ("anna", "bert", "zoe", "yan")
    before = outlooks(client, *everyone)
    tell(client, buy("bert"), buy("zoe"), buy("bert", "p1"))
    after = outlooks(client, *everyone)
    assert after["anna"] == before["anna"] and after["yan"] == before["yan"]
    assert before["zoe"]["cold_start"] and not after["zoe"]["cold_start"]
    # bert: three orders now, the last of an hour ago; the published curve says .02.
    assert after["bert"]["probability"] > before["bert"]["probability"] + 0.1
    assert any("less than a day ago" in said for said in after["bert"]["reasons"])
    assert after["zoe"]["expected_next_at"] > "2017-10-17"
    for one in ("bert", "zoe"):
        days = [outlooks(client, one, horizon_days=d)[one] for d in (1, 14, 180)]
        chances = [found["probability"] for found in days]
        assert chances == sorted(chances) and chances[0] < chances[-1]
        tag = "likely" if chances[1] >= client.live.current.tag_threshold else None
        assert days[0]["tag"] == (tag or "not_likely")


def test_looks_alone_make_no_outlook(workspace, new_client, event):
    client = new_client(workspace)
    before = outlooks(client, "zoe")
    tell(client, event("zoe"))
    assert outlooks(client, "zoe") == before
    assert before["zoe"]["cold_start"] and before["zoe"]["probability"] is None


def test_too_many_live_outlooks_at_once_are_refused(workspace, new_client, buy):
    client = new_client(workspace)
    tell(client, buy("bert"))
    client.app._in_threads = 32
    assert client.post(OUTLOOK, customer_ids=["bert"]).status_code == 503
    assert client.post(OUTLOOK, customer_ids=["anna"]).status_code == 200
