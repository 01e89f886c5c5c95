"""An interleaved experiment through the service: one list out of two, and who wins."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

from serving.experiment_schema import PreferenceAnswer
from serving.publish import publish
from serving.state.tables import DEALT

OWN = "/v1/experiments/taste"
CUSTOMERS, SLOTS = 60, 4
PLAN = {
    "name": "taste",
    "owner": "mia",
    "kind": "interleaved",
    "arms": [
        {"name": "manual", "show": "picks", "picks": "may"},
        {"name": "model", "show": "mixed"},
    ],
    "slots": SLOTS,
    "window_days": 7,
    "salt": "s",
}


def told(answer: Any) -> Any:
    assert answer.status_code == 200, answer.text
    return answer.json()


@pytest.fixture
def client(tmp_path: Path, many: Any, new_client: Callable[..., Any]) -> Any:
    publish(tmp_path, many(CUSTOMERS, 6), "m1")
    client = new_client(tmp_path)
    lines = [{"product_id": f"p{row:06d}"} for row in range(SLOTS)]
    told(client.post("/v1/picks", list="may", owner="mia", lines=lines))
    told(client.post("/v1/experiments", **PLAN))
    told(client.post(f"{OWN}/status", status="running"))
    return client


def dealt(client: Any) -> dict[tuple[str, str], str]:
    columns = (DEALT.c.customer_id, DEALT.c.product_id, DEALT.c.arm)
    with client.engine.connect() as connection:
        rows = connection.execute(select(*columns)).all()
    assert len({row[:2] for row in rows}) == len(rows)
    return {(row[0], row[1]): row[2] for row in rows}


def preference(client: Any) -> dict[str, Any]:
    answer = client("GET", f"{OWN}/preference")
    PreferenceAnswer.model_validate_json(answer.content)
    return told(answer)


def test_from_one_list_of_two_to_the_winner(client: Any) -> None:
    ids = [f"c{row:08d}" for row in range(CUSTOMERS)]
    found = told(client.post(f"{OWN}/assignments", customer_ids=ids))["assignments"]
    assert {(one["arm"], one["why"]) for one in found} == {("interleaved", "hash")}
    assert all(len(one["items"]) == SLOTS for one in found)
    assert found[0]["list_version"].startswith("may@1+")
    # Which list gave what is kept here, and not told.
    assert "manual" not in str(found) and "model" not in str(found)
    origins = dealt(client)
    assert len(origins) == CUSTOMERS * SLOTS
    for one in found:
        given = [origins[one["customer_id"], i["product_id"]] for i in one["items"]]
        assert given.count("manual") == given.count("model") == SLOTS / 2
        # Each pair of slots has one of either, in an order that is drawn.
        assert {*given[:2]} == {*given[2:]} == {"manual", "model"}
    # Asked again: the same list, and nothing more to keep.
    again = told(client.post(f"{OWN}/assignments", customer_ids=ids))["assignments"]
    assert again == found and dealt(client) == origins

    start = client.now
    client.now += timedelta(hours=1)
    exposures, clicks = [], []
    for row, one in enumerate(found):
        # Five in six prefer the model's products.
        wanted = "manual" if row % 6 == 0 else "model"
        for item in one["items"]:
            slot = {
                "event_id": f"{row}.{item['position']}",
                "customer_id": one["customer_id"],
                "product_id": item["product_id"],
                "ts": client.now.isoformat(),
            }
            exposures.append(slot | {"arm": "interleaved"})
            if origins[one["customer_id"], item["product_id"]] == wanted:
                clicks.append(slot)
    answer = told(client.post(f"{OWN}/exposures", exposures=exposures))
    assert (answer["accepted"], answer["other_arm"]) == (CUSTOMERS * SLOTS, 0)
    told(client.post(f"{OWN}/outcomes", outcomes=clicks))
    client.now += timedelta(days=1)
    so_far = preference(client)
    assert so_far["winner"] is None and so_far["sentence"].startswith("Still running")

    told(client.post(f"{OWN}/status", status="stopped"))
    client.now = start + timedelta(days=7, hours=1)
    said = preference(client)
    assert (said["winner"], said["is_final"]) == ("model", True)
    vote = {one["by"]: one for one in said["votes"]}["clicks"]
    assert (vote["first"], vote["second"], vote["tied"]) == (10, 50, 0)
    assert vote["low"] < 5 / 6 < vote["high"]
    # Who is erased has no vote and no origins.
    told(client("DELETE", f"/v1/customers/{ids[0]}"))
    said = preference(client)
    assert said["customers"] == CUSTOMERS - 1 and said["votes"][0]["first"] == 9
    assert not any(customer == ids[0] for customer, _ in dealt(client))


def test_a_kind_has_its_own_result(client: Any) -> None:
    answer = client("GET", f"{OWN}/report")
    assert (answer.status_code, answer.json()["error"]["field"]) == (409, "kind")
    arms = [{"name": name, "show": "mixed"} for name in ("old", "new")]
    told(client.post("/v1/experiments", name="spring", owner="mia", arms=arms))
    answer = client("GET", "/v1/experiments/spring/preference")
    assert (answer.status_code, answer.json()["error"]["field"]) == (409, "kind")
