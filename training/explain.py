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
from functools import cache

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from features.assemble import FEATURES
from features.history import Floats
from training.boosting import Matrix, batches
from training.propensity import Propensity
from training.trees import with_horizon

Row = dict[str, float | str | None]
Sentence = Callable[[Row, int | None], str | None]
_MAX_REASONS = 3


@dataclass(frozen=True)
class Story:
    """Features of one dimension, by a pattern in their names, that share a sentence.

    ``sentence`` reads one row of features, and the window in days of the feature
    that weighed most (None: all history); it returns None for nothing to say.
    """

    dimension: str
    pattern: str
    sentence: Sentence


def _whole(value: float | str, unit: str) -> str:
    number = round(float(value))
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
    return None if count is None else f"{_whole(count, 'order')} {when}"


def _trend(row: Row, _: int | None) -> str | None:
    now, before = row.get("orders_count_30d"), row.get("orders_count_90d")
    if now is None or not before:
        return None
    usual = float(before) / 3
    way = "more" if float(now) >= usual else "less"
    return f"orders {way} often than before ({float(now):.0f} in 30 days, usually {usual:.1f})"


def _spend(row: Row, window: int | None) -> str | None:
    spent, when = _in_window(row, "spend_sum", window, 90)
    return None if spent is None else f"spent {float(spent):,.2f} {when}"


def _basket(row: Row, _: int | None) -> str | None:
    lines = row.get("order_lines_mean")
    return None if lines is None else f"{float(lines):.1f} lines in an average order"


def _variety(row: Row, window: int | None) -> str | None:
    found, when = _in_window(row, "categories_distinct", window, 90)
    if found is None:
        return None
    number = round(float(found))
    return f"bought from {number} {'category' if number == 1 else 'categories'} {when}"


def _discount(row: Row, _: int | None) -> str | None:
    share = row.get("discount_share")
    if share is None:
        return None
    way = "less" if float(share) >= 0 else "more"
    return f"paid {abs(float(share)):.0%} {way} than list prices"


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
    lines = row.get("returned_lines_count")
    return None if lines is None else f"{_whole(lines, 'returned line')} so far"


def _browse(row: Row, _: int | None) -> str | None:
    events, carts = row.get("browses_count_30d"), row.get("carts_count_30d")
    if events is None or carts is None:
        return None
    return (
        f"browsed {_whole(events, 'time')}, {_whole(carts, 'time')} into the cart, "
        "in the last 30 days"
    )


def _inquiry(row: Row, _: int | None) -> str | None:
    asked, complained = row.get("inquiries_count_90d"), row.get("complaints_count_90d")
    if asked is None or complained is None:
        return None
    return (
        f"got in touch {_whole(asked, 'time')}, {_whole(complained, 'time')} to "
        "complain, in the last 90 days"
    )


def _feedback(row: Row, _: int | None) -> str | None:
    count = row.get("feedbacks_count")
    return None if count is None else f"gave feedback {_whole(count, 'time')}"


def _campaign(row: Row, _: int | None) -> str | None:
    sent, redeemed = row.get("sent_count"), row.get("redeemed_count")
    if sent is None or redeemed is None:
        return None
    return f"campaigns sent {_whole(sent, 'time')}, redeemed {_whole(redeemed, 'time')}"


_FLAGS = {
    "consent": ("consent refused", "consent given"),
    "is_member": ("no member", "a member"),
}


def _attribute(name: str, value: float | str | None) -> str:
    """A profile feature as it stands, with two decimals at most."""
    words = name.replace("_", " ")
    if value is None:
        return f"{words} not known"
    if name in _FLAGS:
        return _FLAGS[name][bool(value)]
    said = f"{round(value, 2):,.10g}" if isinstance(value, float) else value
    return f"{words} {said}"


_EVERY = ""

# In order: the first that matches a feature owns it; profile features have no
# story, they are said as they are.
STORIES = (
    Story("purchase", r"(orders|spend)_(trend|decay_trend)", _trend),
    Story("purchase", r"days_since_first_order|orders_per_day", _tenure),
    Story("purchase", r"days_since_last_order|overdue|days_gap", _rhythm),
    Story(
        "purchase", r"(orders|days)_(count|decay)|(weeks|fortnights)_active", _frequency
    ),
    Story("purchase", r"returned", _returns),
    Story("purchase", r"discount|listed", _discount),
    Story("purchase", r"spend|order_amount|line_amount", _spend),
    Story(
        "purchase",
        r"(products|categories|brands)_distinct|variety|(category|product|brand)_top"
        r"|repeat|new_lines",
        _variety,
    ),
    Story("purchase", r"order_lines|lines_count|quantity", _basket),
    Story("purchase", r"weekend|morning|evening|night|weekday|six_hours", _habit),
    Story("purchase", r"channels?_", _channel),
    Story("browse", _EVERY, _browse),
    Story("inquiry", _EVERY, _inquiry),
    Story("feedback", _EVERY, _feedback),
    Story("campaign", _EVERY, _campaign),
)
_DIMENSION = {feature.name: feature.dimension for feature in FEATURES}


def reasons(
    model: Propensity, features: pa.Table, matrix: Matrix | None = None
) -> list[list[str]]:
    """The strongest stories behind each score, strongest first.

    Args:
        model: a fitted model.
        features: rows of ``assemble``.
        matrix: their encoding, where it is at hand.

    Returns:
        For each row up to three sentences; each ends in ``(raises)`` or
        ``(lowers)``, the direction in which it moved the score.
    """
    return [
        said
        for part in batches(features.num_rows)
        for said in _reasons(
            model, features[part], None if matrix is None else matrix[part]
        )
    ]


def _reasons(
    model: Propensity, features: pa.Table, matrix: Matrix | None
) -> list[list[str]]:
    effect, strongest = effects(model, features, matrix)
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


@cache
def owner_of(name: str) -> int:
    """The story of a feature; profile features share the last place.

    A further column of ``customers`` is of the profile, whatever its name says.
    """
    for number, story in enumerate(STORIES):
        if _DIMENSION.get(name) == story.dimension and re.search(story.pattern, name):
            return number
    return len(STORIES)


def effects(
    model: Propensity, features: pa.Table, matrix: Matrix | None = None
) -> tuple[Floats, npt.NDArray[np.int64]]:
    """What each story did, and which of its features did most of it.

    Returns:
        Summed contributions, shape ``[row, story + 1]`` (the last: features of no
        story), the horizon left out; and the strongest feature's place in
        ``model.encoding.columns``, same shape.
    """
    parts = contributions(model, features, matrix)
    owner = np.array([owner_of(name) for name in model.encoding.columns])
    total = np.zeros((len(parts), len(STORIES) + 1))
    strongest = np.zeros(total.shape, dtype=np.int64)
    for story in np.unique(owner):
        mine = np.flatnonzero(owner == story)
        total[:, story] = parts[:, mine].sum(axis=1)
        agree = parts[:, mine] * np.sign(total[:, [story]])
        strongest[:, story] = mine[np.argmax(agree, axis=1)]
    return total, strongest


def contributions(
    model: Propensity, features: pa.Table, matrix: Matrix | None = None
) -> Floats:
    """What each feature did to each score at the model's horizon.

    Args:
        model: a fitted model.
        features: rows of ``assemble``.
        matrix: their encoding, where it is at hand.

    Returns:
        Exact contributions on log odds, shape ``[row, column]`` in the order of
        ``model.encoding.columns``; the horizon is left out.
    """
    if matrix is None:
        matrix = model.encoding.matrix(features)
    matrix = with_horizon(matrix, model.horizon_days)
    # Threads cost more than they save for one row; 0: all.
    threads = 1 if len(matrix) == 1 else 0
    # The score is the boosters' mean, so its parts are the means of theirs.
    parts = [
        np.asarray(booster.predict(matrix, pred_contrib=True, num_threads=threads))
        for booster in model.trees.boosters
    ]
    return np.mean(parts, axis=0)[:, :-2]  # without horizon and expected value


def _sentences(
    model: Propensity, features: pa.Table
) -> list[Callable[[int, int], str | None]]:
    """For each story: row and strongest feature in, sentence out."""
    columns = model.encoding.columns
    rows: list[Row] = features.select(columns).to_pylist()
    windows = {feature.name: feature.window_days for feature in FEATURES}
    other = {name for name in columns if owner_of(name) == len(STORIES)}

    def of(story: Story) -> Callable[[int, int], str | None]:
        return lambda row, feature: story.sentence(
            rows[row], windows.get(columns[feature])
        )

    def profile(row: int, feature: int) -> str | None:
        # What weighed most, and no more: that it is not known can be what weighed.
        name = columns[feature]
        return (
            f"profile: {_attribute(name, rows[row][name])}" if name in other else None
        )

    return [*(of(story) for story in STORIES), profile]
