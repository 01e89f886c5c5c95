"""Inquiries, feedback and touches, each by hand."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

from features.assemble import assemble
from features.history import History

ReadHistory = Callable[..., History]
CUTOFF = datetime(2024, 3, 1)
PURCHASES = [
    {
        "customer_id": "a",
        "product_id": "p1",
        "ts": CUTOFF - timedelta(days=30 + n),
        "order_id": f"o{n}",
        "quantity": 1.0,
        "amount": 1.0,
    }
    for n in range(2)
]


def event(days: float, **columns: Any) -> dict[str, Any]:
    return {"customer_id": "a", "ts": CUTOFF - timedelta(days=days), **columns}


def test_inquiries_by_kind_answer_and_resolution(read_history: ReadHistory) -> None:
    inquiries = [
        event(100, kind="complaint", response_seconds=90.0, resolved=False),
        event(50, kind="service", response_seconds=30.0, resolved=True),
        event(20, kind="complaint", response_seconds=None, resolved=None),
        event(10, kind="presale", response_seconds=60.0, resolved=False),
    ]
    tables = {"purchases": PURCHASES, "inquiries": inquiries}
    row = assemble(read_history(tables, CUTOFF), [CUTOFF]).to_pylist()[0]
    assert row["inquiries_count_90d"] == 3
    assert row["complaints_count"] == 2
    assert row["complaints_count_90d"] == 1
    assert row["days_since_last_complaint"] == 20
    assert row["response_mean"] == 60
    assert row["response_mean_90d"] == 45
    # The one that does not say is neither resolved nor unresolved.
    assert row["unresolved_count"] == 2
    assert row["resolved_share"] == 1 / 3
    assert row["complaint_share"] == 1 / 2


def test_feedback_by_kind_last_and_mean(read_history: ReadHistory) -> None:
    feedback = [
        event(100, kind="nps", score=4.0),
        event(50, kind="rating", score=5.0),
        event(30, kind="nps", score=9.0),
        event(20, kind="nps", score=None),
        event(9, kind="referral", score=None),
        event(8, kind="return", score=None),
        event(7, kind="share", score=None),
    ]
    tables = {"purchases": PURCHASES, "feedback": feedback}
    row = assemble(read_history(tables, CUTOFF), [CUTOFF]).to_pylist()[0]
    assert row["nps_last"] == 9
    assert row["nps_mean"] == 6.5
    assert row["rating_mean_90d"] == 5
    assert row["csat_last"] is None
    assert row["referrals_count"] == row["returns_count"] == row["shares_count"] == 1
    assert row["days_since_last_feedback"] == 7


def test_touches_by_action_and_campaign(read_history: ReadHistory) -> None:
    touches = [
        event(100, action="sent", campaign_id="k1"),
        event(60, action="sent", campaign_id="k1"),
        event(59, action="opened", campaign_id="k1"),
        event(20, action="sent", campaign_id="k2"),
        event(19, action="clicked", campaign_id="k2"),
        event(18, action="redeemed", campaign_id="k2"),
        event(18, action="redeemed", campaign_id="k2"),
    ]
    tables = {"purchases": PURCHASES, "touches": touches}
    row = assemble(read_history(tables, CUTOFF), [CUTOFF]).to_pylist()[0]
    assert [row[f"sent_count{w}"] for w in ("_30d", "_90d", "")] == [1, 2, 3]
    assert row["redeemed_count_30d"] == 2
    assert row["days_since_last_sent"] == 20
    assert row["days_since_last_redeemed"] == 18
    assert row["opened_share"] == 1 / 3
    # One of the two campaigns sent was redeemed, though twice.
    assert row["redemption_share"] == 1 / 2
