"""What insight says of one customer, on the page of all that is published of them."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from serving.insight.health import DIMENSIONS
from serving.insight.portrait import (
    CLOSED_WORDS,
    HOUR,
    MONTHLY,
    SHOP_TAGS,
    TAG_WORDS,
    Insight,
    index_of,
)
from serving.insight.slim import FACTS, SATISFACTION

_FIFTHS = ("recency", "frequency", "monetary")
_OTHERS = ("abc", "frequency_tier", "value", "potential", "need", "strategy")


def told(insight: Insight | None, row: int) -> dict[str, Any]:
    """Tags, tiers, health, warning, strategy, satisfaction and the six dimensions.

    Args:
        insight: of the version; None: all is null.
        row: of the customer.
    """
    if insight is None:
        return dict.fromkeys(FIELDS)
    return {
        "tags": _tags(insight, row),
        "tiers": _tiers(insight, row),
        "tier_history": _history(insight, row),
        "health": _health(insight, row),
        "warning": {
            "is_warned": bool(insight.is_warned[row]),
            "driver": insight.word("driver", row),
            "chance": insight.number("chance", row),
            "expected_loss": insight.number("expected_loss", row),
        },
        "strategy": _strategy(insight, row),
        "satisfaction": {name: insight.number(name, row) for name in SATISFACTION},
        "dimensions": {
            dimension: {name: insight.number(name, row) for name in names}
            for dimension, names in FACTS.items()
        },
    }


FIELDS = (
    "tags",
    "tiers",
    "tier_history",
    "health",
    "warning",
    "strategy",
    "satisfaction",
    "dimensions",
)


def radar_of(insight: Insight, row: int) -> tuple[dict[str, float | None], ...]:
    """Scores by dimension, 0 to 100: of the cutoff, and of the first month."""
    return _named(insight.scores[row, -1]), _named(insight.scores[row, 0])


def _tags(insight: Insight, row: int) -> dict[str, Any]:
    hour = int(insight.column(HOUR)[row])
    tags = {name: insight.word(name, row) for name in (*TAG_WORDS, *SHOP_TAGS)}
    return {**tags, HOUR: None if hour < 0 else hour}


def _tiers(insight: Insight, row: int) -> dict[str, Any]:
    fifths = [insight.word(name, row) for name in _FIFTHS]
    known = [fifth for fifth in fifths if fifth is not None]
    return {
        "rfm": int("".join(known)) if len(known) == len(fifths) else None,
        **{name: insight.word(name, row) for name in _OTHERS},
    }


def _history(insight: Insight, row: int) -> list[dict[str, Any]]:
    return [
        {
            "at": f"{month.isoformat()}Z",
            **{
                name: None if code < 0 else CLOSED_WORDS[name][code]
                for name, code in zip(
                    MONTHLY, insight.tiers[row, place].tolist(), strict=True
                )
            },
        }
        for place, month in enumerate(insight.standards.months)
    ]


def _health(insight: Insight, row: int) -> dict[str, Any]:
    scores = insight.scores[row]
    index = [None if one != one else one for one in index_of(scores).tolist()]
    return {
        "index": index[-1],
        "level": insight.word("health_level", row),
        "trend": insight.word("health_trend", row),
        "radar": _named(scores[-1]),
        "history": [
            {"at": f"{month.isoformat()}Z", "index": value, "radar": _named(of_month)}
            for month, value, of_month in zip(
                insight.standards.months, index, scores, strict=True
            )
        ],
    }


def _named(scores: npt.NDArray[np.float32]) -> dict[str, float | None]:
    return {
        name: None if score != score else score
        for name, score in zip(DIMENSIONS, scores.tolist(), strict=True)
    }


def _strategy(insight: Insight, row: int) -> dict[str, Any] | None:
    """What is planned for the customer's segment; None: they are in none."""
    segment = insight.word("strategy", row)
    for name, plan in insight.strategy.plans.items():
        if name == segment:
            return {"segment": name, "action": plan.action, "channel": plan.channel}
    return None
