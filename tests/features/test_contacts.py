"""Inquiries, feedback and touches, each by hand."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import pytest

from features.assemble import assemble
from features.campaign import CAMPAIGN
from features.history import History

ReadHistory = Callable[..., History]
CUTOFF = datetime(2024, 3, 1)
US = timedelta(microseconds=1)
LATER = CUTOFF + timedelta(days=60)
OPENED_TWICE = ("sent", "opened", "opened")
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


def order(days: float, name: str, **more: Any) -> dict[str, Any]:
    ts = CUTOFF - timedelta(days=days)
    return {**PURCHASES[0], "ts": ts, "order_id": name, "known_at": None} | more


def one_row(history: History) -> dict[str, Any]:
    return assemble(history, [CUTOFF]).to_pylist()[0]


def test_inquiries_of_late_and_how_answers_changed(read_history: ReadHistory) -> None:
    inquiries = [
        event(100, kind="service", response_seconds=90.0, resolved=False),
        event(50, kind="service", response_seconds=30.0, resolved=True),
        event(14, kind="presale", response_seconds=10.0, resolved=None),
        event(10, kind="complaint", response_seconds=50.0, resolved=True),
    ]
    tables = {"purchases": PURCHASES, "inquiries": inquiries}
    row = one_row(read_history(tables, CUTOFF))
    assert row["days_since_last_presale"] == 14
    assert row["inquiries_count_14d"] == 2
    assert row["presales_count_14d"] == 1
    ages = (100, 50, 14, 10)
    decay = sum(0.5 ** (age / 14) for age in ages)
    assert row["inquiries_decay_h14d"] == pytest.approx(decay)
    assert row["response_last"] == 50
    assert row["response_trend_90d"] == pytest.approx(30 / 45)
    assert row["resolved_share_90d"] == 1
    assert row["complaint_share_90d"] == pytest.approx(1 / 3)
    assert row["inquiries_trend_14d_90d"] == pytest.approx(90 / 14 * 2 / 3)


@pytest.mark.parametrize(
    ("shift", "count"), [(-US, 0), (timedelta(0), 1), (US, 1)], ids=["out", "at", "in"]
)
def test_a_fortnight_of_inquiries_is_half_open(
    read_history: ReadHistory, shift: timedelta, count: int
) -> None:
    edge = event(14, kind="presale")
    edge["ts"] += shift
    tables = {"purchases": PURCHASES, "inquiries": [edge]}
    row = one_row(read_history(tables, CUTOFF))
    assert row["inquiries_count_14d"] == row["presales_count_14d"] == count


def test_orders_after_a_presale_contact_and_contacts_before_an_order(
    read_history: ReadHistory,
) -> None:
    inquiries = [
        event(60, kind="presale"),
        event(52, kind="complaint"),
        event(20, kind="presale"),
        event(18, kind="presale"),
    ]
    # Of two lines; 8 days after a contact; long after any; 5 and 3 days after two.
    purchases = [
        order(52, "o1"),
        order(52, "o1", product_id="p2"),
        order(40, "o2"),
        order(15, "o3"),
        order(14, "o4", quantity=-1.0),
    ]
    tables = {"purchases": purchases, "inquiries": inquiries}
    row = one_row(read_history(tables, CUTOFF))
    assert row["orders_after_presale_count"] == 2
    assert row["orders_after_presale_count_90d"] == 2
    assert row["days_since_last_order_after_presale"] == 15
    assert row["presales_before_order_count_90d"] == 3
    assert row["presales_before_order_share_90d"] == 1
    assert row["presale_to_order_days_mean"] == pytest.approx((8 + 5 + 3) / 3)


@pytest.mark.parametrize(
    ("gap", "count"),
    [
        (timedelta(days=-14) - US, 0),
        (timedelta(days=-14), 1),
        (timedelta(0), 1),
        (US, 0),
    ],
)
def test_a_contact_comes_before_an_order_by_a_fortnight_at_most(
    read_history: ReadHistory, gap: timedelta, count: int
) -> None:
    contact = event(20, kind="presale")
    contact["ts"] += gap
    inquiries = [contact, event(5, kind="presale")]
    tables = {"purchases": [order(70, "o1"), order(20, "o2")], "inquiries": inquiries}
    assert one_row(read_history(tables, CUTOFF))["orders_after_presale_count"] == count


@pytest.mark.parametrize(
    ("late", "known_at", "count"),
    [
        ("order", CUTOFF - US, 1),
        ("order", CUTOFF, 0),
        ("order", CUTOFF + US, 0),
        ("contact", CUTOFF - US, 1),
        ("contact", CUTOFF, 0),
        ("contact", CUTOFF + US, 0),
    ],
)
def test_an_order_after_a_contact_is_one_once_both_are_known(
    read_history: ReadHistory, late: str, known_at: datetime, count: int
) -> None:
    contact = event(
        21, kind="presale", known_at=known_at if late == "contact" else None
    )
    bought = order(20, "o2", known_at=known_at if late == "order" else None)
    other = event(99, kind="service", known_at=None)
    tables = {
        "purchases": [order(70, "o0"), order(71, "o1"), bought],
        "inquiries": [other, contact],
    }
    row = one_row(read_history(tables, LATER))
    assert row["orders_after_presale_count"] == count
    assert row["presales_before_order_count_90d"] == count


@pytest.mark.parametrize(("ts", "count"), [(CUTOFF - US, 1), (CUTOFF, 0)])
def test_an_order_after_the_cutoff_follows_no_contact(
    read_history: ReadHistory, ts: datetime, count: int
) -> None:
    inquiries = [event(3, kind="presale")]
    purchases = [order(70, "o0"), order(71, "o1"), order(0, "o2", ts=ts)]
    tables = {"purchases": purchases, "inquiries": inquiries}
    row = one_row(read_history(tables, LATER))
    assert row["orders_after_presale_count"] == count
    assert row["presales_before_order_share_90d"] == count


def test_scores_rise_or_fall_against_the_usual(read_history: ReadHistory) -> None:
    feedback = [
        event(100, kind="nps", score=10.0),
        event(90, kind="nps", score=9.0),
        event(50, kind="nps", score=None),
        event(30, kind="nps", score=5.0),
        event(29, kind="csat", score=3.0),
        event(28, kind="csat", score=5.0),
        event(27, kind="ces", score=2.0),
        event(99, kind="rating", score=5.0),
        event(26, kind="rating", score=2.0),
        event(9, kind="return", score=None),
        event(8, kind="referral", score=None),
    ]
    tables = {"purchases": PURCHASES, "feedback": feedback}
    row = one_row(read_history(tables, CUTOFF))
    assert row["nps_count"] == 4
    assert row["promoter_share"] == pytest.approx(2 / 3)
    assert row["detractor_share"] == pytest.approx(1 / 3)
    assert row["nps_trend"] == 5 - 8
    assert row["csat_trend"] == 1
    assert row["ces_trend"] == 0
    assert row["rating_trend"] == 2 - 3.5
    assert row["rating_trend_90d"] == 2 - 3.5
    assert row["days_since_last_return"] == 9
    assert row["days_since_last_referral"] == 8


@pytest.mark.parametrize(
    ("score", "promoter", "detractor"),
    [(10, 1, 0), (9, 1, 0), (8, 0, 0), (7, 0, 0), (6, 0, 1), (0, 0, 1)],
)
def test_promoters_and_detractors_by_score(
    read_history: ReadHistory, score: float, promoter: int, detractor: int
) -> None:
    feedback = [event(1, kind="nps", score=float(score))]
    tables = {"purchases": PURCHASES, "feedback": feedback}
    row = one_row(read_history(tables, CUTOFF))
    assert (row["promoter_share"], row["detractor_share"]) == (promoter, detractor)


@pytest.mark.parametrize(("ts", "trend"), [(CUTOFF - US, 3.0), (CUTOFF, 0.0)])
def test_a_score_after_the_cutoff_is_no_trend(
    read_history: ReadHistory, ts: datetime, trend: float
) -> None:
    feedback = [
        event(9, kind="nps", score=2.0),
        event(0, kind="nps", score=8.0) | {"ts": ts},
    ]
    tables = {"purchases": PURCHASES, "feedback": feedback}
    assert one_row(read_history(tables, LATER))["nps_trend"] == trend


def touch(days: float, action: str, campaign: str, **more: Any) -> dict[str, Any]:
    row = event(days, action=action, campaign_id=campaign, known_at=None)
    return row | more


def campaign(name: str, kind: str, starts: datetime) -> dict[str, Any]:
    ends = starts + timedelta(days=9)
    return {"campaign_id": name, "kind": kind, "starts_at": starts, "ends_at": ends}


TOUCHES = [
    touch(60, "sent", "k1"),
    touch(59, "opened", "k1"),
    touch(40, "sent", "k1"),
    touch(30, "clicked", "k1"),
    touch(7, "sent", "k2"),
    touch(6, "sent", "k3"),
    touch(5, "sent", "k3"),
    touch(4, "opened", "k3"),
]


def test_fatigue_is_what_was_sent_since_the_last_response(
    read_history: ReadHistory,
) -> None:
    row = one_row(read_history({"purchases": PURCHASES, "touches": TOUCHES}, CUTOFF))
    assert row["sent_since_last_response"] == 3
    assert row["days_since_last_response"] == 30
    assert row["responses_count"] == row["responses_count_90d"] == 1
    assert row["sent_count_7d"] == 3
    assert row["sent_trend_30d_90d"] == pytest.approx(3 * 3 / 5)
    assert row["opened_share_90d"] == 2 / 5
    assert row["clicked_share"] == 1 / 5
    # The click came 30 days after the first contact, too late, 10 after the second.
    assert row["answered_sent_count_90d"] == 1
    assert row["answered_share_90d"] == 1 / 5
    assert row["sent_to_response_days_mean"] == 10


@pytest.mark.parametrize(
    ("ts", "known_at", "since"),
    [
        (CUTOFF - US, None, 0),
        (CUTOFF, None, 3),
        (CUTOFF - timedelta(days=1), CUTOFF - US, 0),
        (CUTOFF - timedelta(days=1), CUTOFF, 3),
        (CUTOFF - timedelta(days=5, hours=12), CUTOFF - US, 1),
    ],
)
def test_a_response_ends_the_fatigue_once_it_is_known(
    read_history: ReadHistory, ts: datetime, known_at: datetime | None, since: int
) -> None:
    response = touch(0, "redeemed", "k3", ts=ts, known_at=known_at)
    tables = {"purchases": PURCHASES, "touches": [*TOUCHES, response]}
    row = one_row(read_history(tables, LATER))
    assert row["sent_since_last_response"] == since
    # k3 was sent 6 and 5 days ago.
    answered = 1 + {0: 2, 3: 0, 1: 1}[since]
    assert row["answered_sent_count_90d"] == answered


@pytest.mark.parametrize(("shift", "answered"), [(-US, 1), (timedelta(0), 0)])
def test_an_answer_comes_within_thirty_days(
    read_history: ReadHistory, shift: timedelta, answered: int
) -> None:
    response = touch(10, "attended", "k1")
    response["ts"] += shift
    touches = [touch(40, "sent", "k1"), touch(12, "sent", "k2"), response]
    row = one_row(read_history({"purchases": PURCHASES, "touches": touches}, CUTOFF))
    assert row["answered_sent_count_90d"] == answered


LONG_AGO = CUTOFF - timedelta(days=70)
KINDS = ("discount", "bundle", "gift", "event", "kol", "coupon")


@pytest.mark.parametrize("kind", KINDS)
def test_response_by_kind_of_campaign(read_history: ReadHistory, kind: str) -> None:
    other = KINDS[(KINDS.index(kind) + 1) % len(KINDS)]
    tables = {
        "purchases": PURCHASES,
        "touches": TOUCHES,
        "campaigns": [
            campaign("k1", kind, LONG_AGO),
            campaign("k2", kind, LONG_AGO),
            campaign("k3", other, LONG_AGO),
        ],
    }
    row = one_row(read_history(tables, CUTOFF))
    assert row[f"{kind}_campaigns_sent_distinct"] == 2
    assert row[f"{kind}_campaigns_answered_distinct"] == 1
    assert row[f"{kind}_response_share"] == 1 / 2
    assert row[f"{other}_campaigns_sent_distinct"] == 1
    assert row[f"{other}_response_share"] == 0


@pytest.mark.parametrize(("shift", "sent"), [(-US, 1), (timedelta(0), 0), (US, 0)])
def test_a_campaign_s_kind_is_known_once_it_has_started(
    read_history: ReadHistory, shift: timedelta, sent: int
) -> None:
    tables = {
        "purchases": PURCHASES,
        "touches": TOUCHES,
        "campaigns": [
            campaign("k2", "gift", CUTOFF + shift),
            campaign("k9", "gift", LONG_AGO),
        ],
    }
    row = one_row(read_history(tables, LATER))
    assert row["gift_campaigns_sent_distinct"] == sent
    assert row["sent_count"] == 5


def test_dependence_on_offers(read_history: ReadHistory) -> None:
    purchases = [
        order(99, "o1", campaign_id="k1", list_amount=1.0),
        order(50, "o2", campaign_id=None, list_amount=2.0),
        order(40, "o3", campaign_id=None, list_amount=1.0),
        order(30, "o4", campaign_id="k1", list_amount=None),
        order(30, "o4", campaign_id="k1", list_amount=None),
        order(9, "o5", campaign_id="k1", list_amount=9.0, quantity=-1.0),
    ]
    row = one_row(read_history({"purchases": purchases, "touches": TOUCHES}, CUTOFF))
    assert row["offer_lines_share"] == 4 / 5
    assert row["offer_lines_share_90d"] == 3 / 4
    assert row["campaign_orders_count"] == 2
    assert row["campaign_orders_count_90d"] == 1
    assert row["days_since_last_campaign_order"] == 30


def test_lines_with_neither_campaign_nor_list_amount_say_nothing_of_offers(
    read_history: ReadHistory,
) -> None:
    none: dict[str, Any] = {"campaign_id": None, "list_amount": None}
    absent = [order(99, "o0"), order(98, "o1")]
    silent = [row | none for row in absent]
    of_campaign = order(50, "o2", **none | {"campaign_id": "k1"})
    listed = order(40, "o3", **none | {"list_amount": 1.0})
    for purchases, share in (
        (absent, None),
        (silent, None),
        ([*silent, listed], 0),
        ([*silent, listed, of_campaign], 1 / 2),
    ):
        tables = {"purchases": purchases, "touches": TOUCHES}
        row = one_row(read_history(tables, CUTOFF))
        assert row["offer_lines_share"] == share


def test_shares_of_responses_are_ratios_that_may_exceed_1(
    read_history: ReadHistory,
) -> None:
    touches = [touch(9 - n, action, "k1") for n, action in enumerate(OPENED_TWICE)]
    row = one_row(read_history({"purchases": PURCHASES, "touches": touches}, CUTOFF))
    assert row["opened_share"] == row["opened_share_90d"] == 2
    units = {feature.name: feature.unit for feature in CAMPAIGN.features}
    assert units["opened_share"] == units["clicked_share"] == "ratio"
    assert units["answered_share_90d"] == "share"


@pytest.mark.parametrize(
    ("days", "shift", "known_at", "count"),
    [
        (90, -US, None, 0),
        (90, timedelta(0), None, 1),
        (0, -US, None, 1),
        (0, timedelta(0), None, 0),
        (9, timedelta(0), CUTOFF - US, 1),
        (9, timedelta(0), CUTOFF, 0),
    ],
)
def test_orders_of_campaigns_before_the_cutoff_and_in_the_window(
    read_history: ReadHistory,
    days: float,
    shift: timedelta,
    known_at: datetime | None,
    count: int,
) -> None:
    of_campaign = order(days, "o3", campaign_id="k1", known_at=known_at)
    of_campaign["ts"] += shift
    plain = [order(100 + n, f"o{n}", campaign_id=None) for n in range(2)]
    tables = {"purchases": [*plain, of_campaign], "touches": TOUCHES}
    row = one_row(read_history(tables, LATER))
    assert row["campaign_orders_count_90d"] == count
    assert row["offer_lines_share_90d"] == (1 if count else None)
