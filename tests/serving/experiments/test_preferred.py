"""Interleaved lists: clicks and purchases go to whoever gave the product last before."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any

import duckdb
import pandas as pd
import pytest

from features.connection import connect
from serving.experiment_schema import ExperimentRequest
from serving.experiments.plan import Plan
from serving.experiments.preferred import preferred, told

T0 = datetime(2024, 3, 1)
US = timedelta(microseconds=1)
DAYS = 10
LATER = T0 + timedelta(days=60)


def planned(**more: Any) -> Plan:
    arms = [{"name": "manual", "show": "again"}, {"name": "model", "show": "mixed"}]
    body = {"name": "taste", "owner": "mia", "arms": arms, "kind": "interleaved"}
    asked = ExperimentRequest.model_validate(body | {"window_days": DAYS} | more)
    return Plan(asked, "salt", {}, None)


def day(d: float) -> datetime:
    return T0 + timedelta(days=d)


DEALT = [
    ("a", "p", "manual", T0),
    ("a", "q", "model", T0),
    # A new version: the other list gives p now.
    ("a", "p", "model", day(2)),
    ("b", "p", "model", T0),
    ("c", "p", "manual", T0),
    ("c", "q", "model", T0),
    ("staff", "p", "model", T0),
]
CLICKS = [
    ("1", "a", "p", day(2) - US),  # manual's
    ("2", "a", "p", day(2)),  # model's
    ("3", "a", "q", day(3)),  # model's: 2 to 1
    ("4", "a", "p", day(4)),  # model's again, counts no more
    ("5", "b", "p", T0 - US),  # of before
    ("6", "b", "p", day(DAYS)),  # too late
    ("7", "c", "p", day(1)),
    ("8", "c", "q", day(1)),  # tied
    ("9", "c", "x", day(1)),  # in neither list
    ("10", "staff", "p", day(1)),
]
BOUGHT = [("b", "p", "o1", day(1), 1.0), ("c", "p", "o2", day(1), -1.0)]


@pytest.fixture
def db() -> Iterator[duckdb.DuckDBPyConnection]:
    db = connect()
    assigned = [(c, "interleaved", "hash", T0) for c in "abcd"]
    assigned.append(("staff", "model", "override", T0))
    columns = ["customer_id", "arm", "reason", "assigned_at"]
    db.register("assigned", pd.DataFrame(assigned, columns=columns))
    columns = ["customer_id", "product_id", "arm", "dealt_at"]
    db.register("dealt", pd.DataFrame(DEALT, columns=columns))
    clicks = pd.DataFrame(
        CLICKS, columns=["event_id", "customer_id", "product_id", "ts"]
    )
    # The third of them is known late.
    clicks["known_at"] = clicks["ts"].where(clicks["event_id"] != "3", day(30))
    db.register("clicks", clicks)
    columns = ["customer_id", "product_id", "order_id", "ts", "quantity"]
    db.register("bought", pd.DataFrame(BOUGHT, columns=columns))
    yield db
    db.close()


def votes(found: Any) -> dict[str, tuple[int, int, int]]:
    return {by: (v.first, v.second, v.tied) for by, v in found.votes.items()}


def test_the_last_dealing_before_gets_the_click(db) -> None:
    found = preferred(db, planned(), None, LATER)
    # a leans to model, c is tied; b and d clicked nothing that counts.
    assert votes(found) == {"clicks": (0, 1, 1), "purchases": (0, 1, 0)}
    # d was drawn and never dealt to.
    assert (found.customers, found.is_final) == (3, False)
    early = preferred(db, planned(), None, day(30))
    assert votes(early)["clicks"] == (0, 0, 2)


@pytest.mark.parametrize(
    ("stopped", "as_of", "final"),
    [
        (T0, day(DAYS) - US, False),
        (T0, day(DAYS), True),
        (day(DAYS) + US, day(DAYS), False),
        (None, LATER, False),
    ],
)
def test_it_is_decided_when_it_was_stopped_and_all_windows_are_over(
    db, stopped: datetime | None, as_of: datetime, final: bool
) -> None:
    found = preferred(db, planned(), stopped, as_of)
    assert found.is_final is final
    assert told(found)["sentence"].startswith("Inconclusive" if final else "Still")


def test_it_says_who_wins_by_what_was_registered(db) -> None:
    db.execute(
        """CREATE OR REPLACE TABLE many AS SELECT 'x' || i AS customer_id,
        'interleaved' AS arm, 'hash' AS reason, TIMESTAMP '2024-03-01' AS assigned_at
        FROM range(20) t(i)"""
    )
    db.execute("CREATE OR REPLACE TEMP VIEW assigned AS FROM many")
    db.execute(
        """CREATE OR REPLACE TEMP VIEW dealt AS SELECT customer_id, 'p' AS product_id,
        CASE WHEN customer_id IN ('x1', 'x2') THEN 'manual' ELSE 'model' END AS arm,
        assigned_at AS dealt_at FROM many"""
    )
    db.execute(
        """CREATE OR REPLACE TEMP VIEW clicks AS SELECT customer_id AS event_id, customer_id,
        'p' AS product_id, assigned_at AS ts FROM many"""
    )
    said = told(preferred(db, planned(), T0, LATER))
    # 18 of 20; the sign test: 2 * (1 + 20 + 190) / 2^20.
    assert (said["winner"], said["votes"][0]["share"]) == ("model", 0.9)
    assert said["votes"][0]["p_value"] == pytest.approx(422 / 2**20)
    assert said["sentence"].startswith(
        "model is preferred: of 20 customers who clicked"
    )
    by_purchase = told(preferred(db, planned(primary="conversion"), T0, LATER))
    assert by_purchase["winner"] is None
    assert "bought from one list" in by_purchase["sentence"]


@pytest.mark.parametrize(
    "wrong",
    [
        {"primary": "revenue"},
        {"design": {"mde": 0.1, "assumed": 0.1}},
        {"arms": [{"name": "a", "show": "again"}, {"name": "b", "show": "nothing"}]},
        {"arms": [{"name": n, "show": "again"} for n in "abc"]},
        {"arms": [{"name": n, "show": "new"} for n in ("a", "interleaved")]},
    ],
)
def test_only_two_lists_are_interleaved(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="expected"):
        planned(**wrong)
