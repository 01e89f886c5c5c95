"""A customer's page and an audience's filters, with what insight says."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from serving.audience_schema import CustomerAnswer
from serving.filters import AskError, choices, eligible
from serving.publish import publish
from serving.published import Published


@pytest.fixture
def shop(tmp_path: Path, small: Any, insight: Any) -> Path:
    publish(tmp_path, small, "m1", insight=insight)
    return tmp_path


@pytest.fixture
def version(shop: Path) -> Published:
    return Published.open(shop)


def test_a_page_joins_everything(shop: Path, new_client: Callable[..., Any]) -> None:
    answer = new_client(shop)("GET", "/v1/customers/anna")
    CustomerAnswer.model_validate_json(answer.content)
    body = answer.json()
    assert body["tags"]["lifecycle"] == "at risk"
    assert (body["tags"]["preferred_hour"], body["tags"]["price_sensitivity"]) == (
        17,
        None,
    )
    assert (body["tiers"]["rfm"], body["tiers"]["abc"]) == (545, "A")
    assert [month["abc"] for month in body["tier_history"]] == ["C", "B", "B", "A"]
    assert body["tier_history"][0]["at"] == "2017-07-15T00:00:00Z"
    health = body["health"]
    assert [month["index"] for month in health["history"]] == [80, 70, 60, 50]
    assert (health["index"], health["level"], health["trend"]) == (
        50,
        "watch",
        "falling",
    )
    assert health["radar"]["interaction_depth"] == 40
    assert health["radar"]["social_influence"] is None
    assert body["warning"] == {
        "is_warned": True,
        "driver": "churn risk",
        "chance": 0.5,
        "expected_loss": 150,
    }
    assert body["strategy"]["segment"] == "loyal"
    assert body["strategy"]["channel"] == "e-mail"
    assert body["satisfaction"]["nps_last"] == 9
    assert body["dimensions"]["purchase"]["orders_count"] == 3
    assert set(body["dimensions"]) == {
        "purchase",
        "browse",
        "inquiry",
        "feedback",
        "campaign",
        "profile",
    }


def test_what_is_not_known_yet_is_null(
    shop: Path, new_client: Callable[..., Any]
) -> None:
    bert = new_client(shop)("GET", "/v1/customers/bert").json()
    assert [month["index"] for month in bert["health"]["history"]] == [
        None,
        None,
        None,
        100,
    ]
    assert bert["tags"]["preferred_hour"] is None
    carl = new_client(shop)("GET", "/v1/customers/carl").json()
    assert carl["tiers"]["rfm"] is None and carl["tags"]["preferred_hour"] == 0


def test_a_version_without_insight_says_nothing_of_it(
    workspace: Path, new_client: Callable[..., Any]
) -> None:
    plain = new_client(workspace)("GET", "/v1/customers/anna").json()
    assert plain["health"] is None and plain["tags"] is None


def test_the_radar_is_a_picture(shop: Path, new_client: Callable[..., Any]) -> None:
    answer = new_client(shop)("GET", "/v1/customers/anna/radar")
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "image/svg+xml"
    assert "consumption frequency 60" in answer.text and "<svg" in answer.text


def test_without_health_there_is_no_radar(
    workspace: Path, new_client: Callable[..., Any]
) -> None:
    plain = new_client(workspace)
    for who in ("anna", "nobody"):
        assert plain("GET", f"/v1/customers/{who}/radar").status_code == 404


@pytest.mark.parametrize(
    ("filters", "keep"),
    [
        ({"tier": ["A"]}, [True, False, False]),
        ({"tier": ["A", "C"]}, [True, True, False]),
        ({"abc": ["B"]}, [False, False, False]),  # carl refused
        ({"lifecycle": ["at risk", "lost"]}, [True, False, False]),
        ({"preferred_category": ["bread"]}, [False, True, False]),
        ({"warning": ["yes"], "tag": ["likely"]}, [True, False, False]),
        ({"need": ["rational"]}, [True, False, False]),
        ({"member_tier": ["gold"]}, [True, False, False]),
    ],
)
def test_filters_by_tag_and_tier(
    version: Published, filters: dict[str, list[str]], keep: list[bool]
) -> None:
    assert eligible(version, filters).tolist() == keep


def test_a_filter_that_is_not_known_names_those_that_are(version: Published) -> None:
    with pytest.raises(
        AskError, match="expected some of A, B, C, got 'gold'; tiers of"
    ):
        eligible(version, {"tier": ["gold"]})
    with pytest.raises(AskError, match="some of new, active, dormant, at risk, lost"):
        eligible(version, {"lifecycle": ["asleep"]})
    with pytest.raises(AskError, match=r"expected one of .*health_level, .*lifecycle"):
        eligible(version, {"mood": ["good"]})
    assert choices(version)["tag"] == ("likely", "not_likely")


def test_the_channel_is_that_of_pages_and_names_of_ours_stay_ours(
    tmp_path: Path, small: Any, insight: Any
) -> None:
    """Stated: anna store, carl app; said by insight: anna app, carl store."""
    own = {
        "preferred_channel": ["store", None, "app"],
        "lifecycle": ["new", "new", "old"],
        "tier": ["x", "y", "x"],
        "tag": ["vip", "vip", "new"],
    }
    profiles = pa.table({"customer_id": small.customers["customer_id"], **own})
    everyone = np.ones(3, np.bool_)
    found: dict[str, Published] = {}
    for name, said in (("with", insight), ("without", None)):
        publish(tmp_path / name, replace(small, profiles=profiles), "m1", insight=said)
        found[name] = replace(Published.open(tmp_path / name), consent=everyone)
    for name, column, word, customers in (
        ("with", "channel", "app", ["anna"]),
        ("with", "preferred_channel", "app", ["carl"]),
        ("with", "lifecycle", "active", ["bert"]),
        ("with", "customers.lifecycle", "old", ["carl"]),
        ("with", "tier", "B", ["carl"]),
        ("with", "customers.tier", "y", ["bert"]),
        ("without", "channel", "app", ["carl"]),
        ("without", "lifecycle", "old", ["carl"]),
        ("without", "tier", "y", ["bert"]),
        ("without", "customers.tag", "new", ["carl"]),
    ):
        shop = found[name]
        rows = np.flatnonzero(eligible(shop, {column: [word]})).tolist()
        assert [shop.customers[row] for row in rows] == customers, (name, column)
    with pytest.raises(AskError, match="at risk, lost, got 'old'"):
        eligible(found["with"], {"lifecycle": ["old"]})
    with pytest.raises(AskError, match=r"of abc, channel, customers\.life"):
        eligible(found["with"], {"colour": ["red"]})
