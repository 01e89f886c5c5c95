"""A comparison from upload to report, through the service in this process."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any, NamedTuple, get_args

import numpy as np
import pandas as pd
import pytest
from sqlalchemy import event, select

from features.simulate.replies import Lift, replies
from serving import experiment_work as work
from serving.experiment_schema import MeasureName, ReportAnswer
from serving.experiments.measures import MEASURES
from serving.experiments.place import Place
from serving.publish import publish
from serving.state.tables import ASSIGNMENTS

CUSTOMERS, SLOTS, DAYS = 3000, 3, 28
OWN = "/v1/experiments/spring"
PLAN = {
    "name": "spring",
    "owner": "mia",
    "arms": [
        {"name": "manual", "show": "picks", "picks": "may"},
        {"name": "model", "show": "mixed"},
    ],
    "slots": SLOTS,
    "window_days": DAYS,
    "salt": "f3b1c5a97d2e4c10",
    "design": {"mde": 0.3, "assumed": 0.06, "looks": [0.5, 1.0]},
    "money": {"margin_rate": 0.3, "yearly_reach": 100_000, "yearly_cost": 20_000},
}
ALIKE = Lift(clicks=0.0, repurchase=0.0)


def told(answer: Any) -> Any:
    assert answer.status_code == 200, answer.text
    return answer.json()


def line(customer: str, product: str, at: Any, n: int) -> dict[str, Any]:
    return {
        "customer_id": customer,
        "product_id": product,
        "ts": at,
        "order_id": f"o{n}",
        "quantity": 1.0,
        "amount": 10.0 + n % 7,
    }


class Shop(NamedTuple):
    """A shop whose customers' replies have a known lift; when it opened its test."""

    client: Any
    data: Path
    start: Any
    ids: list[str]


def shop_of(folder: Path, many: Any, new_client: Any) -> Shop:
    publish(folder, many(CUSTOMERS, 6), "m1")
    data = folder / "data"
    client = new_client(folder, place=Place(data))
    return Shop(client, data, client.now, [f"c{row:08d}" for row in range(CUSTOMERS)])


def planned(shop: Shop) -> Any:
    """Picks and a running experiment; everyone is a customer, by their habit."""
    lines = [{"product_id": f"p{row:06d}"} for row in range(SLOTS + 2)]
    picks = {"list": "may", "owner": "mia", "lines": lines}
    told(shop.client.post("/v1/picks", **picks))
    draft = told(shop.client.post("/v1/experiments", **PLAN))
    told(shop.client.post(f"{OWN}/status", status="running"))
    return draft


def assigned(shop: Shop) -> list[Any]:
    """All customers, some hundreds an hour."""
    found: list[Any] = []
    for first in range(0, CUSTOMERS, 500):
        some = shop.ids[first : first + 500]
        answer = told(shop.client.post(f"{OWN}/assignments", customer_ids=some))
        found += answer["assignments"]
        shop.client.now += timedelta(hours=1)
    return found


def lived(shop: Shop, drawn: list[Any], lift: Lift, seed: int) -> None:
    """What was shown and clicked goes to the API, what was bought into the table."""
    habit = np.random.default_rng(seed).beta(6, 12, CUSTOMERS) * 0.8
    better = np.array([one["arm"] == "model" for one in drawn])
    did = replies(seed, better, habit, SLOTS, DAYS, lift)
    seen_at = shop.client.now
    # In time for every look: what is known later counts for none of them.
    shop.client.now = shop.start + timedelta(days=DAYS)
    exposures: list[dict[str, Any]] = []
    clicks: list[dict[str, Any]] = []
    for row, one in enumerate(drawn):
        for item in one["items"]:
            slot = {
                "event_id": f"{row}.{item['position']}",
                "customer_id": one["customer_id"],
                "product_id": item["product_id"],
                "ts": (seen_at + timedelta(hours=row % 240)).isoformat(),
            }
            exposures.append(slot | {"arm": one["arm"]})
            if did.clicked[row, item["position"] - 1]:
                clicks.append(slot)
    # Out of order, and the clicks before what they are on.
    for name, sent in (("outcomes", clicks), ("exposures", exposures[::-1])):
        answer = told(shop.client.post(f"{OWN}/{name}", **{name: sent}))
        assert answer["accepted"] == len(sent)
    # Of either list the first product, so that it says nothing of the lists.
    bought = [
        line(
            shop.ids[row],
            drawn[row]["items"][0]["product_id"],
            shop.start + timedelta(days=1, hours=23 * did.day[row]),
            row,
        )
        for row in np.flatnonzero(did.buys)
    ]
    past = np.argwhere(habit[:, None] > np.array([0.2, 0.3, 0.4])).tolist()
    before = [
        line(
            shop.ids[row], "p000001", shop.start - timedelta(days=40 + turn), 90_000 + n
        )
        for n, (row, turn) in enumerate(past)
    ]
    # Some lines come as events, of which half are in the table too.
    events = [
        one
        | {
            "event_id": one["order_id"],
            "table": "purchases",
            "ts": one["ts"].isoformat(),
        }
        for one in bought[:200]
    ]
    told(shop.client.post("/v1/events", events=events))
    shop.data.mkdir()
    shop.client.now += timedelta(days=1)
    table = pd.DataFrame([*bought[100:], *before])
    table.assign(ts=table["ts"].astype("datetime64[us]")).to_parquet(
        shop.data / "purchases.parquet"
    )


def report(shop: Shop, **query: str) -> dict[str, Any]:
    answer = shop.client("GET", f"{OWN}/report", params=query)
    ReportAnswer.model_validate_json(answer.content)
    return told(answer)


@pytest.fixture(scope="module")
def tried(
    tmp_path_factory: pytest.TempPathFactory, many: Any, new_client: Any
) -> tuple[Shop, list[Any]]:
    shop = shop_of(tmp_path_factory.mktemp("lift"), many, new_client)
    planned(shop)
    drawn = assigned(shop)
    lived(shop, drawn, Lift(), 47)
    return shop, drawn


def test_the_true_lift_is_read_back(tried: tuple[Shop, list[Any]]) -> None:
    shop, _ = tried
    found = report(shop)
    measures = {one["measure"]: one for one in found["measures"]}
    for name, truth in (("click_rate", 0.47), ("repurchase_rate", 0.20)):
        assert measures[name]["uplift_low"] < truth < measures[name]["uplift_high"]
    (said,) = found["verdicts"]
    assert (said["outcome"], said["is_final"]) == ("won", True)
    assert said["estimate"]["uplift_low"] < 0.47 < said["estimate"]["uplift_high"]
    assert said["sentence"].startswith("model beats manual: click rate is")
    assert sum(one["analysed"] for one in found["customers"]) == CUSTOMERS
    assert found["sample_ratio"]["assigned"]["valid"]
    # Lines that came both ways count once: every buyer has one order.
    orders, buyers = measures["orders"], measures["repurchase_rate"]
    for side in ("mean_control", "mean_arm"):
        assert orders[side] == pytest.approx(buyers[side])
    assert measures["repurchase_rate"]["covariates"]
    worth = found["money"][0]
    assert worth["roi"] == pytest.approx(worth["margin"] / 20_000 - 1)
    by_segment, by_fifth = found["segments"]
    assert by_segment["column"] == "segment"
    assert [one["segment"] for one in by_fifth["segments"]] == list("12345")
    sizes = [o["customers_arm"] + o["customers_control"] for o in by_fifth["segments"]]
    assert sizes == [CUSTOMERS / 5] * 5
    assert {one["segment"] for one in by_segment["segments"]} == {"a", "b"}
    parts = [one["effect"] for one in by_segment["segments"]]
    weighed = by_segment["weighed"]
    assert min(parts) <= weighed["effect"] <= max(parts)
    assert weighed["low"] < weighed["effect"] < weighed["high"]
    assert len(found["over_time"][0]["days"]) > 5


def test_the_report_is_a_page_without_anything_from_elsewhere(
    tried: tuple[Shop, list[Any]],
) -> None:
    shop, _ = tried
    answer = shop.client("GET", f"{OWN}/report", params={"format": "html"})
    assert answer.headers["content-type"].startswith("text/html")
    assert answer.headers.get_list("content-security-policy") == [
        "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'"
    ]
    page = answer.text
    assert "model beats manual: click rate is" in page and "<svg" in page
    # The picture refers to its own parts only.
    assert not re.search(r"<script|src=|@import|url\((?!#)|https?://", page)


def test_before_the_first_look_nothing_is_decided(
    tried: tuple[Shop, list[Any]],
) -> None:
    shop, _ = tried
    early = (shop.start + timedelta(days=DAYS, minutes=1)).isoformat()
    (said,) = report(shop, as_of=early)["verdicts"]
    assert said["outcome"] == "inconclusive" and not said["is_final"]
    assert "look 1 of 2 comes at" in said["sentence"]
    # And nobody's window is over before.
    none = report(shop, as_of=(shop.start + timedelta(days=2)).isoformat())
    assert none["verdicts"][0]["sentence"].startswith("Nothing can be said yet")


def test_arms_have_the_same_slots_and_only_what_can_be_bought(
    tried: tuple[Shop, list[Any]],
) -> None:
    shop, drawn = tried
    assert {len(one["items"]) for one in drawn} == {SLOTS}
    by_hand = [one for one in drawn if one["arm"] == "manual"]
    assert {one["list_version"] for one in by_hand} == {"may@1"}
    picked = ["p000000", "p000001", "p000002"]
    assert all([i["product_id"] for i in one["items"]] == picked for one in by_hand)
    # The same customers again: the same arms.
    again = told(shop.client.post(f"{OWN}/assignments", customer_ids=shop.ids[:50]))
    assert [one["arm"] for one in again["assignments"]] == [
        one["arm"] for one in drawn[:50]
    ]


def test_lists_that_are_alike_win_nothing(tmp_path, many, new_client) -> None:
    shop = shop_of(tmp_path, many, new_client)
    draft = planned(shop)
    assert 500 < draft["design"]["customers"] < CUSTOMERS
    lived(shop, assigned(shop), ALIKE, 12)
    found = report(shop)
    (said,) = found["verdicts"]
    assert (said["outcome"], said["is_final"]) == ("inconclusive", True)
    assert all(one["p_corrected"] > 0.05 for one in found["measures"][1:])

    # Who is erased is in no figure any more, and the others are.
    told(shop.client("DELETE", f"/v1/customers/{shop.ids[0]}"))
    left = report(shop)["customers"]
    assert sum(one["analysed"] for one in left) == CUSTOMERS - 1
    # They are answered as somebody unknown is, and counted no more.
    again = told(shop.client.post(f"{OWN}/assignments", customer_ids=shop.ids[:1]))
    assert again["assignments"][0]["why"] == "hash"
    assert report(shop)["customers"] == left


def test_a_report_is_made_once_for_as_long_as_nothing_is_new(
    tried: tuple[Shop, list[Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    shop, drawn = tried
    made: list[Any] = []
    make = work.make_report

    def counted(*args: Any) -> Any:
        made.append(args[3])
        return make(*args)

    monkeypatch.setattr(work, "make_report", counted)
    first = report(shop)
    start = len(made)
    assert report(shop) == first
    page = shop.client("GET", f"{OWN}/report", params={"format": "html"})
    assert page.status_code == 200 and len(made) == start
    # A moment that is over has a report of its own, which no event changes.
    early = (shop.start + timedelta(days=DAYS, minutes=1)).isoformat()
    then = report(shop, as_of=early)
    one = {
        "event_id": "once more",
        "customer_id": drawn[0]["customer_id"],
        "product_id": drawn[0]["items"][0]["product_id"],
        "ts": shop.start.isoformat(),
    }
    told(shop.client.post(f"{OWN}/outcomes", outcomes=[one]))
    assert report(shop, as_of=early) == then and len(made) == start + 1
    # The latest is made anew after an event, an erasure, and an hour.
    assert report(shop)["as_of"] == first["as_of"] and len(made) == start + 2
    told(shop.client("DELETE", f"/v1/customers/{shop.ids[-1]}"))
    left = report(shop)["customers"]
    assert len(made) == start + 3
    assert sum(one["analysed"] for one in left) == CUSTOMERS - 1
    shop.client.now += timedelta(minutes=59)
    assert report(shop)["as_of"] == first["as_of"] and len(made) == start + 3
    shop.client.now += timedelta(minutes=1)
    assert report(shop)["as_of"] > first["as_of"] and len(made) == start + 4


# -- small ones -----------------------------------------------------------------


@pytest.fixture
def client(workspace: Path, new_client: Callable[..., Any]) -> Any:
    return new_client(workspace)


ARMS = [{"name": name, "show": "mixed"} for name in ("old", "new")]
SMALL = {"name": "spring", "owner": "mia", "arms": ARMS, "primary": "orders"}


def error(answer: Any) -> tuple[int, str]:
    return answer.status_code, answer.json()["error"]["field"]


def test_a_manual_list_passes_the_stock_filter_and_own_lines_come_first(client) -> None:
    lines = [
        {"product_id": "p7"},  # not available
        {"product_id": "p9"},  # not of the range
        {"product_id": "p2"},
        {"product_id": "p4", "segment": "family"},
        {"product_id": "p5", "customer_id": "bert"},
    ]
    told(client.post("/v1/picks", list="may", owner="mia", lines=lines))
    arms = [
        {"name": "hand", "show": "picks", "picks": "may", "weight": 10_000},
        {"name": "text", "show": "nothing"},
    ]
    forced = dict.fromkeys(("anna", "bert", "nobody"), "hand")
    forced["carl"] = "text"
    plan = SMALL | {"arms": arms, "overrides": forced, "slots": 2}
    told(client.post("/v1/experiments", **plan, excluded_customer_ids=["dora"]))
    told(client.post(f"{OWN}/status", status="running"))
    ids = ["anna", "bert", "carl", "nobody", "dora"]
    found = told(client.post(f"{OWN}/assignments", customer_ids=ids))["assignments"]
    shown = {
        one["customer_id"]: [item["product_id"] for item in one["items"]]
        for one in found
    }
    assert shown == {
        "anna": ["p4", "p2"],
        "bert": ["p5", "p2"],
        "carl": [],
        "nobody": ["p2"],
        "dora": [],
    }
    assert [one["why"] for one in found] == ["override"] * 4 + ["excluded"]
    client.now += timedelta(seconds=1)
    assert report(Shop(client, Path(), None, []))["apart"]["overrides"] == 4


def test_what_names_another_arm_is_counted_apart(client) -> None:
    told(client.post("/v1/experiments", **SMALL))
    told(client.post(f"{OWN}/status", status="running"))
    (one,) = told(client.post(f"{OWN}/assignments", customer_ids=["anna"]))[
        "assignments"
    ]
    seen = {
        "customer_id": "anna",
        "product_id": "p1",
        "ts": client.now.isoformat(),
        "arm": one["arm"],
    }
    other = "old" if one["arm"] == "new" else "new"
    late = (client.now + timedelta(days=2)).isoformat()
    sent = [
        seen | {"event_id": "e1"},
        seen | {"event_id": "e2", "arm": other},
        seen | {"event_id": "e3", "customer_id": "bert"},
        seen | {"event_id": "e4", "ts": late},
        seen | {"event_id": "e1"},
    ]
    answer = told(client.post(f"{OWN}/exposures", exposures=sent))
    assert {k: v for k, v in answer.items() if k != "rejections"} == {
        "accepted": 2,
        "duplicate": 1,
        "rejected": 2,
        "other_arm": 1,
    }
    assert [one["index"] for one in answer["rejections"]] == [2, 3]
    # Nothing at the moment of the report itself is of before it.
    assert (
        report(Shop(client, Path(), None, []))["apart"]["exposures_of_another_arm"] == 0
    )
    client.now += timedelta(hours=1)
    found = report(Shop(client, Path(), None, []))
    assert found["apart"]["exposures_of_another_arm"] == 1


def test_what_cannot_be_is_refused_with_its_field(client) -> None:
    post = client.post
    picks = [{"name": "a", "show": "picks", "picks": "june"}, ARMS[0]]
    assert error(post("/v1/experiments", **SMALL | {"arms": picks})) == (
        422,
        "arms.0.picks",
    )
    # Nothing is known of the past of this shop.
    asked = SMALL | {"design": {"mde": 0.1}}
    assert error(post("/v1/experiments", **asked)) == (422, "primary")
    asked |= {"primary": "click_rate"}
    assert error(post("/v1/experiments", **asked)) == (422, "design.assumed")
    assert error(post(f"{OWN}/assignments", customer_ids=["anna"])) == (404, None)
    told(post("/v1/experiments", **SMALL))
    assert error(post(f"{OWN}/assignments", customer_ids=["anna"])) == (409, "status")
    assert error(post(f"{OWN}/status", status="stopped")) == (409, "status")
    told(post(f"{OWN}/status", status="running"))
    assert error(post("/v1/experiments", **SMALL | {"slots": 5})) == (409, "name")
    assert told(post("/v1/experiments", **SMALL))["status"] == "running"
    twice = [{"product_id": "p1"}, {"product_id": "p1"}]
    answer = post("/v1/picks", list="may", owner="mia", lines=twice)
    assert error(answer) == (422, "lines.1.product_id")
    answer = client("GET", f"{OWN}/report?format=json&format=html")
    assert error(answer) == (422, "format")


def test_what_runs_is_read_once_and_again_after_an_erasure(client) -> None:
    lines = [{"product_id": "p5", "customer_id": "bert"}, {"product_id": "p2"}]
    told(client.post("/v1/picks", list="may", owner="mia", lines=lines))
    arms = [{"name": "hand", "show": "picks", "picks": "may", "weight": 10_000}]
    arms.append({"name": "text", "show": "nothing"})
    plan = SMALL | {"arms": arms, "excluded_customer_ids": ["anna"]}
    told(client.post("/v1/experiments", **plan | {"overrides": {"bert": "hand"}}))
    told(client.post(f"{OWN}/status", status="running"))
    asked: list[str] = []
    event.listen(
        client.engine,
        "before_cursor_execute",
        lambda _, __, statement, *___: asked.append(statement),
    )

    def drawn() -> tuple[dict[str, str], list[str], bool]:
        """Why, what is shown to bert, and whether more than the status was read."""
        asked.clear()
        ids = ["anna", "bert"]
        found = told(client.post(f"{OWN}/assignments", customer_ids=ids))["assignments"]
        why = {one["customer_id"]: one["why"] for one in found}
        shown = [item["product_id"] for item in found[1]["items"]]
        return why, shown, any("pick_lines" in one for one in asked)

    first = {"anna": "excluded", "bert": "override"}
    assert drawn() == (first, ["p5", "p2"], True)
    assert drawn() == (first, ["p5", "p2"], False)
    told(client("DELETE", "/v1/customers/anna"))
    told(client("DELETE", "/v1/customers/bert"))
    why, shown, was_read = drawn()
    assert why == {"anna": "hash", "bert": "hash"}
    assert "p5" not in shown and was_read
    told(client.post(f"{OWN}/status", status="stopped"))
    answer = client.post(f"{OWN}/assignments", customer_ids=["carl"])
    assert error(answer) == (409, "status")


def test_picks_are_checked_where_it_starts_and_not_again(client) -> None:
    def drafted(name: str, owner: str) -> None:
        lines = [{"product_id": "p2", "customer_id": one} for one in (owner, "dora")]
        told(client.post("/v1/picks", list="may", owner="mia", lines=lines))
        arms = [{"name": "hand", "show": "picks", "picks": "may"}, ARMS[0]]
        told(client.post("/v1/experiments", **SMALL | {"name": name, "arms": arms}))

    def start(name: str) -> Any:
        return client.post(f"/v1/experiments/{name}/status", status="running")

    drafted("one", "anna")
    first = told(start("one"))
    drafted("two", "bert")
    # An erasure takes lines of both: who runs goes on, who does not cannot start.
    told(client("DELETE", "/v1/customers/dora"))
    assert told(start("one")) == first
    assert error(start("two")) == (409, "picks")


@pytest.mark.parametrize("name", ["a%00b", "spring%0A", "-a", "a" * 65, "%F0%9F%8C%B1"])
def test_what_can_be_no_name_is_not_found(tmp_path, small, new_client, state, name):
    publish(tmp_path, small, "m1")
    client = new_client(tmp_path, state)
    path = f"/v1/experiments/{name}"
    click = {
        "event_id": "x",
        "customer_id": "anna",
        "product_id": "p1",
        "ts": client.now.isoformat(),
    }
    answers = [
        client("GET", path),
        client("GET", f"{path}/report"),
        client.post(f"{path}/status", status="running"),
        client.post(f"{path}/assignments", customer_ids=["anna"]),
        client.post(f"{path}/outcomes", outcomes=[click]),
    ]
    assert [answer.status_code for answer in answers] == [404] * 5


def test_strata_are_kept_as_they_were_at_the_assignment(client) -> None:
    forced = dict.fromkeys(("anna", "bert", "nobody"), "old")
    strata = ["region", "member_tier"]
    told(client.post("/v1/experiments", **SMALL, strata=strata, overrides=forced))
    told(client.post(f"{OWN}/status", status="running"))
    told(client.post(f"{OWN}/assignments", customer_ids=list(forced)))
    columns = (ASSIGNMENTS.c.customer_id, ASSIGNMENTS.c.segment)
    with client.engine.connect() as connection:
        kept = dict(connection.execute(select(*columns)).all())
    assert kept == {"anna": "north, gold", "bert": "north, unknown", "nobody": None}


def test_two_that_share_a_part_of_a_layer_do_not_run_at_once(client) -> None:
    def layered(name: str, start: int, end: int) -> Any:
        layer = {"name": "home", "start": start, "end": end}
        told(client.post("/v1/experiments", **SMALL | {"name": name, "layer": layer}))
        return client.post(f"/v1/experiments/{name}/status", status="running")

    told(layered("one", 0, 5000))
    assert error(layered("two", 4999, 6000)) == (409, "layer")
    told(layered("three", 5000, 10_000))
    arms = [
        told(client.post(f"/v1/experiments/{name}/assignments", customer_ids=["anna"]))
        for name in ("one", "three")
    ]
    # Whoever is in one is not in the other.
    assert [one["assignments"][0]["arm"] is None for one in arms].count(True) == 1


def test_every_measure_can_be_asked_for() -> None:
    assert get_args(MeasureName) == tuple(one.name for one in MEASURES)
