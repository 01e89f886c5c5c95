"""Why a customer's repurchase score is what it is, in a marketer's words.

Exact tree contributions (TreeSHAP, on log odds) are summed over features that
tell the same story; each of the strongest stories becomes one sentence from the
customer's own figures.

Source: Lundberg et al. (2020), "From local explanations to global understanding
with explainable AI for trees", as computed by LightGBM.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from features.history import Floats
from training.propensity import Propensity

Row = dict[str, float | str | None]
_MAX_REASONS = 3


@dataclass(frozen=True)
class Story:
    """Features (by name pattern) that one sentence speaks for.

    ``sentence`` reads one row of features; None: nothing to say.
    """

    pattern: str
    sentence: Callable[[Row], str | None]


def _whole(value: float | str | None, unit: str) -> str:
    number = round(float(value or 0))
    return f"{number} {unit}" if number == 1 else f"{number} {unit}s"


def _rhythm(row: Row) -> str | None:
    last, gap = row.get("days_since_last_order"), row.get("days_gap_mean")
    if last is None:
        return None
    said = (
        "last bought less than a day ago"
        if float(last) < 1
        else f"last bought {_whole(last, 'day')} ago"
    )
    return (
        said
        if gap is None
        else f"{said}, usually every {_whole(max(float(gap), 1), 'day')}"
    )


def _frequency(row: Row) -> str | None:
    return f"{_whole(row.get('orders_count_30d'), 'order')} in the last 30 days"


def _trend(row: Row) -> str | None:
    now, before = row.get("orders_count_30d"), row.get("orders_count_90d")
    if not before:
        return None
    usual = float(before) / 3
    way = "more" if float(now or 0) >= usual else "less"
    return f"orders {way} often than before ({float(now or 0):.0f} in 30 days, usually {usual:.1f})"


def _spend(row: Row) -> str | None:
    return f"spent {float(row.get('spend_sum_90d') or 0):,.2f} in the last 90 days"


def _basket(row: Row) -> str | None:
    lines = row.get("order_lines_mean")
    return None if lines is None else f"{float(lines):.1f} lines in an average order"


def _variety(row: Row) -> str | None:
    number = round(float(row.get("categories_distinct_90d") or 0))
    return f"bought from {number} {'category' if number == 1 else 'categories'} in the last 90 days"


def _discount(row: Row) -> str | None:
    share = row.get("discount_share")
    return None if share is None else f"paid {float(share):.0%} less than list prices"


def _habit(row: Row) -> str | None:
    share = row.get("weekend_orders_share")
    return None if share is None else f"{float(share):.0%} of orders at the weekend"


def _channel(row: Row) -> str | None:
    share = row.get("channel_top_share")
    return (
        None
        if share is None
        else f"{float(share):.0%} of purchases through one channel"
    )


def _tenure(row: Row) -> str | None:
    first = row.get("days_since_first_order")
    return None if first is None else f"first order {_whole(first, 'day')} ago"


def _returns(row: Row) -> str | None:
    return f"{_whole(row.get('returned_lines_count'), 'returned line')} so far"


def _browse(row: Row) -> str | None:
    views, carts = row.get("browses_count_30d"), row.get("carts_count_30d")
    return f"{_whole(views, 'visit')} online and {_whole(carts, 'cart')} in the last 30 days"


def _inquiry(row: Row) -> str | None:
    asked, complained = row.get("inquiries_count_90d"), row.get("complaints_count_90d")
    return f"{_whole(asked, 'question')}, {_whole(complained, 'complaint')} in the last 90 days"


def _feedback(row: Row) -> str | None:
    return f"gave feedback {_whole(row.get('feedbacks_count'), 'time')}"


def _campaign(row: Row) -> str | None:
    sent, redeemed = row.get("sent_count"), row.get("redeemed_count")
    return f"{_whole(sent, 'campaign')} sent, {_whole(redeemed, 'coupon')} redeemed"


# In order: the first pattern that matches a feature's name owns it.
STORIES = (
    Story(r"(orders|spend)_(trend|decay_trend)", _trend),
    Story(r"days_since_first_order|tenure|orders_per_day", _tenure),
    Story(r"days_since_last_order|overdue|days_gap", _rhythm),
    Story(r"(orders|days)_(count|decay)|(weeks|fortnights)_active", _frequency),
    Story(r"return(ed|s)_|returned", _returns),
    Story(r"discount|listed", _discount),
    Story(r"spend|order_amount|line_amount", _spend),
    Story(
        r"(products|categories|brands)_distinct|variety|(category|product)_top",
        _variety,
    ),
    Story(r"order_lines|lines_count|quantity", _basket),
    Story(r"weekend|morning|evening", _habit),
    Story(r"channels?_", _channel),
    Story(r"brows|view|cart|search|favourite|dwell", _browse),
    Story(r"inquir|complain|presale|service|unresolved|resolved|response", _inquiry),
    Story(r"feedback|nps|csat|ces_|rating|referral|suggestion|share[sd]_", _feedback),
    Story(
        r"sent|opened|clicked|redeem|redemption|attended|held_out|campaign", _campaign
    ),
)


def reasons(model: Propensity, features: pa.Table) -> list[list[str]]:
    """The strongest stories behind each score, strongest first.

    Args:
        model: a fitted model.
        features: rows of ``assemble``.

    Returns:
        For each row up to three sentences; each ends in ``(raises)`` or
        ``(lowers)``, the direction in which it moved the score.
    """
    effect, sentences = _effects(model, features), _sentences(model, features)
    order = np.argsort(-np.abs(effect), axis=1, kind="stable")
    found: list[list[str]] = []
    for row, ranking in enumerate(order):
        said: list[str] = []
        for story in ranking:
            sentence = sentences[story](row)
            if sentence is not None and len(said) < _MAX_REASONS:
                way = "raises" if effect[row, story] > 0 else "lowers"
                said.append(f"{sentence} ({way})")
        found.append(said)
    return found


def _owner(name: str) -> int:
    """The story of a feature; features of no story share the last place."""
    for number, story in enumerate(STORIES):
        if re.search(story.pattern, name):
            return number
    return len(STORIES)


def _effects(model: Propensity, features: pa.Table) -> Floats:
    """Summed contributions, shape ``[row, story + 1]``; the horizon is left out."""
    matrix = model.encoding.matrix(features)
    horizon = np.full((len(matrix), 1), model.horizon_days, dtype=np.float32)
    booster = model.boosters[0]
    parts = np.asarray(booster.predict(np.hstack([matrix, horizon]), pred_contrib=True))
    owner = np.array([_owner(name) for name in model.encoding.columns])
    total = np.zeros((len(matrix), len(STORIES) + 1))
    for story in range(len(STORIES) + 1):
        total[:, story] = parts[:, :-2][:, owner == story].sum(axis=1)
    return total


def _sentences(
    model: Propensity, features: pa.Table
) -> list[Callable[[int], str | None]]:
    rows: list[Row] = features.drop_columns(
        [n for n in ("customer", "customer_id", "cutoff") if n in features.column_names]
    ).to_pylist()
    other = [n for n in model.encoding.columns if _owner(n) == len(STORIES)]

    def profile(row: int) -> str | None:
        known = [
            f"{n.replace('_', ' ')} {rows[row][n]}"
            for n in other
            if rows[row][n] is not None
        ]
        return "profile: " + ", ".join(known[:3]) if known else None

    def of(story: Story) -> Callable[[int], str | None]:
        return lambda row: story.sentence(rows[row])

    return [*(of(story) for story in STORIES), profile]
