"""What is published of one customer, on one page.

Pure: a published version and a row in, a page out.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from serving.due import due_words, moment
from serving.filters import TAGS
from serving.insight_page import told
from serving.known import Floats
from serving.published import Published
from serving.recommend import recommend, wishes
from serving.wishes import Lane

CURVE_DAYS = (7, 14, 30, 90)
TOP = 5

_LANES: tuple[Lane, ...] = ("mixed", "again", "new")
_VALUE = (
    "expected_orders",
    "expected_spend",
    "expected_spend_365d",
    "clv",
    "average_order_value",
    "repurchases_per_year",
    "remaining_lifetime_years",
    "acquisition_cost",
)
_CHURN = ("churn_risk", "expected_loss")


def page(published: Published, row: int) -> dict[str, Any]:
    """All that the version says of a customer.

    Args:
        published: the version to answer from.
        row: of the customer.

    Returns:
        As ``CustomerAnswer``, without what is said of the version.
    """
    known, due = published.known, published.known.due
    low, high = due.offsets[row : row + 2].tolist()
    curve = published.curve[row]
    evidence = known.evidence["uplift"]
    is_likely = curve[published.horizon_days - 1] >= np.float32(published.tag_threshold)
    return {
        "customer_id": published.customers[row],
        "consent": bool(published.consent[row]),
        "profile": {
            name: None if (code := int(column.codes[row])) < 0 else column.words[code]
            for name, column in known.profiles.items()
        },
        "propensity": [
            {"days": days, "probability": float(curve[days - 1])} for days in CURVE_DAYS
        ],
        "tag": TAGS[0] if is_likely else TAGS[1],
        "expected_next_at": moment(published.expected_next[row]),
        "expected_next_p10": moment(published.next_low[row]),
        "expected_next_p90": moment(published.next_high[row]),
        "reasons": published.reasons[row].as_py() or [],
        "due": [due_words(due, pair) for pair in range(low, high)],
        "value": _figures(known.value, row, _VALUE),
        "churn": None if known.churn is None else _figures(known.churn, row, _CHURN),
        "uplift": _figures(known.uplift, row, tuple(known.uplift)),
        "uplift_evidence": evidence,
        "lists": {lane: _list(published, row, lane) for lane in _LANES},
        **told(published.insight, row),
    }


def _figures(
    columns: Mapping[str, Floats], row: int, names: tuple[str, ...]
) -> dict[str, float | None]:
    found = {name: float(columns[name][row]) for name in names}
    return {name: None if value != value else value for name, value in found.items()}


def _list(published: Published, row: int, lane: Lane) -> list[dict[str, Any]]:
    items = recommend(published, row, wishes(published, TOP, lane))
    names = ("product_id", "rank", "probability", "reason")
    return [{name: item[name] for name in names} for item in items]
