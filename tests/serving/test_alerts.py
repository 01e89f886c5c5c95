"""One feed of alerts: whose, why, how sure, and what became of each."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from features.config import StateConfig
from features.snapshot import DAY_US
from serving.alert_ids import read, replenishment_ids, spelt
from serving.audience_schema import AlertAnswer, AlertsAnswer
from serving.publish import publish
from serving.published import Published
from serving.state import alerts, database, tombstones
from serving.state.alerts import BackwardsError, Mark
from training.predictions import Predictions

PATH = "/v1/alerts"


@pytest.fixture
def client(
    tmp_path: Path, small: Any, insight: Any, new_client: Callable[..., Any]
) -> Any:
    publish(tmp_path, small, "m1", insight=insight)
    return new_client(tmp_path)


def found(client: Any, query: str = "within_days=10") -> list[dict[str, Any]]:
    answer = client("GET", f"{PATH}?{query}")
    AlertsAnswer.model_validate_json(answer.content)
    return answer.json()["alerts"]


def test_both_kinds_are_in_one_feed_the_urgent_and_surest_first(client: Any) -> None:
    told = [
        (a["customer_id"], a["product_group"], a["confidence"]) for a in found(client)
    ]
    # carl refused; bert is not warned; without an alert the surest is the latest.
    assert told == [
        ("anna", "dairy", 0.8),
        ("anna", None, 0.5),
        ("bert", "tea", 0.4),
        ("anna", "bread", 0.3),
    ]
    kinds = [a["kind"] for a in found(client, "kind=health")]
    assert kinds == ["health"]
    assert len(found(client, "kind=replenishment&within_days=10")) == 3


def test_an_alert_says_why_what_and_where(client: Any) -> None:
    dairy, health, *_ = found(client)
    assert dairy["reason"] == "dairy: due on 2017-10-17, 80% to be bought within days"
    # Of the group, what anna buys again likeliest.
    assert (dairy["product_id"], dairy["channel"]) == ("p1", "app")
    assert dairy["alert"] is True and dairy["expected_loss"] is None
    assert health["reason"].startswith("by churn risk: 50% to spend less than half")
    assert (health["health"], health["expected_loss"]) == (50.0, 150.0)
    assert health["driver"] == "churn risk" and health["due_at"] is None
    assert health["product_id"] == "p4"


def test_what_was_dealt_with_is_not_open_any_more(client: Any) -> None:
    ids = [alert["id"] for alert in found(client)]
    assert len(set(ids)) == 4
    for at, state in enumerate(("sent", "done", "dismissed")):
        answer = client.post(f"{PATH}/{ids[at]}", state=state)
        assert AlertAnswer.model_validate_json(answer.content).state == state
        (one,) = found(client, f"within_days=10&state={state}")
        assert (one["id"], one["state"]) == (ids[at], state)
    assert [alert["id"] for alert in found(client)] == ids[3:]
    assert len(found(client, "within_days=10&state=all")) == 4


def test_pages_may_be_marked_one_by_one(client: Any) -> None:
    """Each is sent before the next page is asked for: none is missed or told twice."""
    ids = [alert["id"] for alert in found(client)]
    seen: list[str] = []
    more = ""
    for left in (4, 3, 2, 1):
        page = client("GET", f"{PATH}?within_days=10&n=1{more}").json()
        assert page["total"] == left
        seen += [alert["id"] for alert in page["alerts"]]
        client.post(f"{PATH}/{seen[-1]}", state="sent")
        more = f"&cursor={page['next_cursor']}"
    assert seen == ids and page["next_cursor"] is None
    # Who marked the last ones meanwhile leaves an empty page, and no error.
    sent = client("GET", f"{PATH}?within_days=10&n=3&state=sent").json()
    for alert in ids:
        client.post(f"{PATH}/{alert}", state="done")
    rest = client(
        "GET", f"{PATH}?within_days=10&n=3&state=sent&cursor={sent['next_cursor']}"
    )
    assert (rest.status_code, rest.json()["alerts"]) == (200, [])


def test_states_go_forward_only(client: Any) -> None:
    one = found(client)[0]["id"]
    for state, status in (
        ("sent", 200),
        ("sent", 200),
        ("done", 200),
        ("sent", 409),
        ("dismissed", 409),
        ("done", 200),
        ("open", 422),
    ):
        assert client.post(f"{PATH}/{one}", state=state).status_code == status, state
    for unknown in ("r-0000000000000000", "x", f"h{one[1:]}"):
        assert client.post(f"{PATH}/{unknown}", state="sent").status_code == 404


def later(p: Predictions, days: int) -> Predictions:
    return replace(p, cutoff=p.cutoff + timedelta(days=days))


def test_a_new_version_does_not_reopen_what_is_done(
    tmp_path: Path, client: Any, small: Any, insight: Any
) -> None:
    everything = found(client)
    for alert in everything:
        client.post(f"{PATH}/{alert['id']}", state="done").raise_for_status()
    assert found(client) == []
    # A week later; by then anna bought milk, so dairy is another alert.
    last = small.last_bought.copy()
    last[0] += 3 * DAY_US
    bought = replace(later(small, 7), last_bought=last)
    publish(tmp_path, bought, "m1", insight=insight)
    client.live.load()
    (dairy,) = found(client)
    assert dairy["product_group"] == "dairy" and dairy["id"] != everything[0]["id"]
    # Health is open again 90 days after it was dealt with, not a day before.
    publish(tmp_path, later(bought, 83), "m1", insight=insight)
    client.live.load()
    assert found(client, "kind=health") == []
    publish(tmp_path, later(bought, 84), "m1", insight=insight)
    client.live.load()
    (health,) = found(client, "kind=health")
    assert health["id"] == everything[1]["id"]
    assert client.post(f"{PATH}/{health['id']}", state="sent").status_code == 200


def test_ids_are_the_same_for_any_company(small: Any) -> None:
    whole = replenishment_ids(small)
    assert len(set(whole.tolist())) == 5
    # Without anna, everybody's rows and codes are others.
    keep = np.array([1, 2])
    alone = replace(
        small,
        customers=small.customers.take(keep),
        replenishment=small.replenishment.slice(2),
        bought_offsets=small.bought_offsets[1:] - small.bought_offsets[1],
        bought_products=small.bought_products[3:],
        last_bought=small.last_bought[3:],
    )
    assert replenishment_ids(alone).tolist() == whole[2:].tolist()
    assert read(spelt("health", int(whole[0]))) == ("health", int(whole[0]))
    for text in ("", "r-", "r-12", "q-0000000000000000", "r-000000000000000G"):
        assert read(text) is None


@pytest.fixture
def engine(tmp_path: Path, state: StateConfig) -> Iterator[Any]:
    opened = database.ready(tmp_path, state)
    yield opened
    database.close(opened)


def test_marks_stand_in_either_database_until_the_customer_is_erased(
    engine: Any,
) -> None:
    sent = Mark("h-1", "anna", "sent", "local", 10, 1000)
    assert alerts.mark(engine, sent) == sent
    # The first to say so is on record.
    assert alerts.mark(engine, replace(sent, at=11, who="other")) == sent
    done = replace(sent, state="done", at=12)
    assert alerts.mark(engine, done) == done
    with pytest.raises(BackwardsError, match="done"):
        alerts.mark(engine, sent)
    # At the moment it is still closed, a microsecond later it is open again.
    with pytest.raises(BackwardsError):
        alerts.mark(engine, sent, 1000)
    assert alerts.mark(engine, sent, 1001) == sent
    bert = Mark("h-2", "bert", "dismissed", "local", 20, 1000)
    alerts.mark(engine, bert)
    assert alerts.every(engine) == [sent, bert]
    tombstones.erase(engine, "anna", 30)
    assert alerts.every(engine) == [bert]
    assert alerts.mark(engine, sent) is None


def test_a_version_without_insight_has_no_health_alerts(
    published: Published, workspace: Path, new_client: Callable[..., Any]
) -> None:
    assert published.insight is None
    client = new_client(workspace)
    assert found(client, "kind=health") == []
    assert len(found(client)) == 3
