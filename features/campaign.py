"""Dimension 5: campaigns a customer was addressed by, and the response.

A response is a click, a redemption or an attendance. What kind a campaign is of
is known once it has started. A line depends on an offer if it belongs to a
campaign or cost less than its list amount; one with neither a campaign nor a list
amount does not say.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from features.contracts import CAMPAIGNS, PURCHASES, TOUCHES
from features.declare import ALL, Rows, ratio
from features.dimension import Derived, Stream, dimension, is_word
from features.followed import followed, known_from, only, within
from features.history import Array, Events, History, Longs
from features.snapshot import to_us

SENT, OPENED, CLICKED, REDEEMED, RESPONSES, SENT_OR_RESPONSE = (
    Rows(flag)
    for flag in ("sent", "opened", "clicked", "redeemed", "response", "either")
)
LINES = Rows("bought")
ORDERS = Rows("in_campaign", per="order")
WINDOWS = (30, 90, None)
KINDS = CAMPAIGNS.column("kind").kinds
ANSWER_DAYS = 30
EACH_TIME = "each opening or click counts, so it may exceed 1"
NOT_SENT = "also without a contact sent, so it may exceed 1"


def _is_response(rows: Events, _: History | None = None) -> Array:
    action, words = rows.columns["action"], rows.words["action"]
    codes = [words.index(word) for word in ("clicked", "redeemed", "attended")]
    return np.isin(action, codes)


def _is_sent(rows: Events) -> Array:
    return rows.columns["action"] == rows.words["action"].index("sent")


def _answered(history: History) -> Events | None:
    """Contacts sent that a response to the same campaign came after."""
    rows = history.touches
    if rows is None:
        return None
    sent, responses = (
        only(rows, which, "campaign_id")
        for which in (_is_sent(rows), _is_response(rows))
    )
    return followed(sent, responses, within(ANSWER_DAYS), by="campaign_id")


def _of_known_kind(history: History) -> Events | None:
    """Contacts of campaigns that say their kind, known once these have started."""
    rows, campaigns = history.touches, history.campaigns
    if rows is None:
        return None
    names = rows.words["campaign_id"]
    # The last entry is met by code -1, an unknown campaign.
    kind = np.full(len(names) + 1, -1, np.int32)
    starts: Longs = np.zeros(len(names) + 1, np.int64)
    place = {name: code for code, name in enumerate(names)}
    for row in campaigns.to_pylist() if campaigns is not None else ():
        code = place.get(row["campaign_id"], -1)
        if row["kind"] in KINDS and code >= 0:
            kind[code], starts[code] = KINDS.index(row["kind"]), to_us(row["starts_at"])
    of_row = kind[rows.columns["campaign_id"]]
    keep = of_row >= 0
    made = only(rows, keep, "campaign_id", "action")
    columns = {**made.columns, "campaign_kind": of_row[keep]}
    moment = np.maximum(made.known_at, starts[made.columns["campaign_id"]])
    return known_from(replace(made, columns=columns), moment)


def _of_kind(kind: str, *, response: bool) -> Derived:
    """A flag: contacts sent by a campaign of the kind, or responses to one."""

    def make(rows: Events, _: History) -> Array:
        action = _is_response(rows) if response else _is_sent(rows)
        return (rows.columns["campaign_kind"] == KINDS.index(kind)) & action

    return Derived(("campaign_kind", "action"), make)


def _on_offer(lines: Events, _: History) -> Array:
    """1 of a campaign or below the list amount, 0 not, NaN where neither is given."""
    paid, listed = lines.columns["amount"], lines.columns["list_amount"]
    below = np.where(np.isnan(listed) | np.isnan(paid), np.nan, paid < listed)
    return np.where(lines.columns["campaign_id"] >= 0, 1.0, below)


def _bought_in_campaign(lines: Events, _: History) -> Array:
    return lines.bought & (lines.columns["campaign_id"] >= 0)


DERIVED = {
    **{kind: is_word("action", kind) for kind in TOUCHES.column("action").kinds},
    "response": Derived(("action",), _is_response),
    "either": Derived(("action",), lambda rows, _: _is_sent(rows) | _is_response(rows)),
}

AGGREGATES = (
    *SENT.age("sent", of="contact sent"),
    *REDEEMED.age("redeemed", of="redemption"),
    *SENT.count("sent", *WINDOWS, of="contacts sent"),
    *OPENED.count("opened", *WINDOWS, of="contacts opened"),
    *CLICKED.count("clicked", *WINDOWS, of="contacts clicked"),
    *REDEEMED.count("redeemed", *WINDOWS, of="redemptions"),
    *Rows("attended").count("attended", of="events attended"),
    *Rows("held_out").count("held_out", of="contacts held out as control"),
    *SENT.distinct("campaigns_sent", "campaign_id", *WINDOWS),
    *REDEEMED.distinct("campaigns_redeemed", "campaign_id"),
    *RESPONSES.age("response"),
    *SENT.count("sent", 7, of="contacts sent"),
    *RESPONSES.count("responses", 90, None),
    *SENT_OR_RESPONSE.trailing(
        "sent_since_last_response", "response", of="contacts sent"
    ),
)
ANSWERED = (
    *ALL.count("answered_sent", 90, of="contacts sent that were answered"),
    *ALL.number(
        "sent_to_response_days",
        "mean",
        "days_apart",
        "days",
        meaning="mean days from a contact to the response to its campaign",
    ),
)
NAMED_KINDS = tuple(kind for kind in KINDS if kind != "other")
BY_KIND = tuple(
    feature
    for kind in NAMED_KINDS
    for feature in (
        *Rows(f"{kind}_sent").distinct(f"{kind}_campaigns_sent", "campaign_id"),
        *Rows(f"{kind}_response").distinct(f"{kind}_campaigns_answered", "campaign_id"),
    )
)
OF_KIND = {
    name: derived
    for kind in NAMED_KINDS
    for name, derived in (
        (f"{kind}_sent", _of_kind(kind, response=False)),
        (f"{kind}_response", _of_kind(kind, response=True)),
    )
}
OFFERS = (
    *LINES.share(
        "offer_lines",
        "on_offer",
        90,
        None,
        meaning="share of order lines below list amount or of a campaign, "
        "of those that give one of the two",
    ),
    *ORDERS.age("campaign_order", of="order of a campaign"),
    *ORDERS.count("campaign_orders", 90, None, of="orders of a campaign"),
)
OF_LINES = {
    "bought": Derived(("quantity",), lambda lines, _: lines.bought),
    "on_offer": Derived(("campaign_id", "amount", "list_amount"), _on_offer),
    "in_campaign": Derived(("quantity", "campaign_id"), _bought_in_campaign),
}

EXPRESSIONS = (
    ratio("opened_share", "opened_count", "sent_count", note=EACH_TIME),
    ratio(
        "redemption_share",
        "campaigns_redeemed_distinct",
        "campaigns_sent_distinct",
        note=NOT_SENT,
    ),
    ratio(
        "opened_share_90d",
        "opened_count_90d",
        "sent_count_90d",
        days=90,
        note=EACH_TIME,
    ),
    ratio("clicked_share", "clicked_count", "sent_count", note=EACH_TIME),
    ratio(
        "answered_share_90d",
        "answered_sent_count_90d",
        "sent_count_90d",
        unit="share",
        days=90,
    ),
    ratio("sent_trend_30d_90d", "sent_count_30d", "sent_count_90d", times=3.0),
    *(
        ratio(
            f"{kind}_response_share",
            f"{kind}_campaigns_answered_distinct",
            f"{kind}_campaigns_sent_distinct",
            note=NOT_SENT,
        )
        for kind in NAMED_KINDS
    ),
)

CAMPAIGN = dimension(
    "campaign",
    Stream(TOUCHES, AGGREGATES, DERIVED),
    Stream(
        TOUCHES,
        ANSWERED,
        events=_answered,
        needs={TOUCHES.name: ("action", "campaign_id")},
    ),
    Stream(
        TOUCHES,
        BY_KIND,
        OF_KIND,
        events=_of_known_kind,
        needs={TOUCHES.name: ("action", "campaign_id")},
    ),
    Stream(PURCHASES, OFFERS, OF_LINES),
    expressions=EXPRESSIONS,
)
