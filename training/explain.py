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
import numpy.typing as npt
import pyarrow as pa

from features.assemble import FEATURES
from features.history import Floats
from training.propensity import Propensity
from training.trees import with_horizon

Row = dict[str, float | str | None]
_MAX_REASONS = 3


@dataclass(frozen=True)
class Story:
    """Features (by name pattern) that one sentence speaks for.

    ``sentence`` reads one row of features, and the window in days of the feature
    that weighed most (None: all history); it returns None for nothing to say.
    """

    pattern: str
    sentence: Callable[[Row, int | None], str | None]


def _whole(value: float | str | None, unit: str) -> str:
    number = round(float(value or 0))
    return f"{number} {unit}" if number == 1 else f"{number} {unit}s"


def _in_window(
    row: Row, name: str, window: int | None, usual: int
) -> tuple[float | str | None, str]:
    """A figure in the window that weighed most, else in the usual one."""
    days = window if f"{name}_{window}d" in row else usual
    return row.get(f"{name}_{days}d"), f"in the last {days} days"


def _rhythm(row: Row, _: int | None) -> str | None:
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


def _frequency(row: Row, window: int | None) -> str | None:
    count, when = _in_window(row, "orders_count", window, 30)
    return f"{_whole(count, 'order')} {when}"


def _trend(row: Row, _: int | None) -> str | None:
    now, before = row.get("orders_count_30d"), row.get("orders_count_90d")
    if not before:
        return None
    usual = float(before) / 3
    way = "more" if float(now or 0) >= usual else "less"
    return f"orders {way} often than before ({float(now or 0):.0f} in 30 days, usually {usual:.1f})"


def _spend(row: Row, window: int | None) -> str | None:
    spent, when = _in_window(row, "spend_sum", window, 90)
    return f"spent {float(spent or 0):,.2f} {when}"


def _basket(row: Row, _: int | None) -> str | None:
    lines = row.get("order_lines_mean")
    return None if lines is None else f"{float(lines):.1f} lines in an average order"


def _variety(row: Row, window: int | None) -> str | None:
    found, when = _in_window(row, "categories_distinct", window, 90)
    number = round(float(found or 0))
    return f"bought from {number} {'category' if number == 1 else 'categories'} {when}"


def _discount(row: Row, _: int | None) -> str | None:
    share = row.get("discount_share")
    return None if share is None else f"paid {float(share):.0%} less than list prices"


def _habit(row: Row, _: int | None) -> str | None:
    share = row.get("weekend_orders_share")
    return None if share is None else f"{float(share):.0%} of orders at the weekend"


def _channel(row: Row, _: int | None) -> str | None:
    share = row.get("channel_top_share")
    return (
        None
        if share is None
        else f"{float(share):.0%} of purchases through one channel"
    )


def _tenure(row: Row, _: int | None) -> str | None:
    first = row.get("days_since_first_order")
    return None if first is None else f"first order {_whole(first, 'day')} ago"


def _returns(row: Row, _: int | None) -> str | None:
    return f"{_whole(row.get('returned_lines_count'), 'returned line')} so far"


def _browse(row: Row, _: int | None) -> str | None:
    views, carts = row.get("browses_count_30d"), row.get("carts_count_30d")
    return f"{_whole(views, 'visit')} online and {_whole(carts, 'cart')} in the last 30 days"


def _inquiry(row: Row, _: int | None) -> str | None:
    asked, complained = row.get("inquiries_count_90d"), row.get("complaints_count_90d")
    return f"{_whole(asked, 'question')}, {_whole(complained, 'complaint')} in the last 90 days"


def _feedback(row: Row, _: int | None) -> str | None:
    return f"gave feedback {_whole(row.get('feedbacks_count'), 'time')}"


def _campaign(row: Row, _: int | None) -> str | None:
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
    effect, strongest = _effects(model, features)
    sentences = _sentences(model, features)
    order = np.argsort(-np.abs(effect), axis=1, kind="stable")
    found: list[list[str]] = []
    for row, ranking in enumerate(order):
        said: list[str] = []
        for story in ranking:
            if len(said) == _MAX_REASONS:
                break
            sentence = sentences[story](row, strongest[row, story])
            if sentence is not None:
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


def _effects(
    model: Propensity, features: pa.Table
) -> tuple[Floats, npt.NDArray[np.int64]]:
    """What each story did, and which of its features did most of it.

    Returns:
        Summed contributions, shape ``[row, story + 1]`` (the last: features of no
        story), the horizon left out; and the strongest feature's place in
        ``model.encoding.columns``, same shape.
    """
    matrix = with_horizon(model.encoding.matrix(features), model.horizon_days)
    boosters = model.trees.boosters
    # The score is the boosters' mean, so its parts are the means of theirs.
    parts = np.mean(
        [np.asarray(b.predict(matrix, pred_contrib=True)) for b in boosters], axis=0
    )[:, :-2]  # without the horizon and the expected value
    owner = np.array([_owner(name) for name in model.encoding.columns])
    total = np.zeros((len(matrix), len(STORIES) + 1))
    strongest = np.zeros(total.shape, dtype=np.int64)
    for story in np.unique(owner):
        mine = np.flatnonzero(owner == story)
        total[:, story] = parts[:, mine].sum(axis=1)
        agree = parts[:, mine] * np.sign(total[:, [story]])
        strongest[:, story] = mine[np.argmax(agree, axis=1)]
    return total, strongest


def _sentences(
    model: Propensity, features: pa.Table
) -> list[Callable[[int, int], str | None]]:
    """For each story: row and strongest feature in, sentence out."""
    columns = model.encoding.columns
    rows: list[Row] = features.select(columns).to_pylist()
    windows = {feature.name: feature.window_days for feature in FEATURES}
    other = [name for name in columns if _owner(name) == len(STORIES)]

    def of(story: Story) -> Callable[[int, int], str | None]:
        return lambda row, feature: story.sentence(
            rows[row], windows.get(columns[feature])
        )

    def profile(row: int, feature: int) -> str | None:
        first = [columns[feature]] if columns[feature] in other else []
        names = [*first, *(name for name in other if name not in first)]
        known = [n for n in names if rows[row][n] is not None][:2]
        said = ", ".join(f"{n.replace('_', ' ')} {rows[row][n]}" for n in known)
        return f"profile: {said}" if known else None

    return [*(of(story) for story in STORIES), profile]
