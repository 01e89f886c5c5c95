"""What insight says of a customer, as an example of the document."""

from __future__ import annotations

from typing import Any

_RADAR = {
    "consumption_frequency": 71.5,
    "interaction_depth": 50.0,
    "product_fit": 100.0,
    "service_rating": 62.5,
    "social_influence": 0.0,
}
_INDEX = 56.8

CUSTOMER: dict[str, Any] = {
    "tags": {
        "spending_power": "high",
        "purchase_frequency": "weekly",
        "price_sensitivity": "medium",
        "lifecycle": "active",
        "preferred_category": "CHEESES",
        "preferred_channel": "email",
        "preferred_hour": 17,
    },
    "tiers": {
        "rfm": 545,
        "abc": "A",
        "frequency_tier": "high",
        "value": "high",
        "potential": "low",
        "need": "rational",
        "strategy": "loyal",
    },
    "tier_history": [
        {
            "at": "2017-10-15T00:00:00Z",
            "abc": "A",
            "frequency_tier": "high",
            "strategy": "loyal",
        }
    ],
    "health": {
        "index": _INDEX,
        "level": "watch",
        "trend": "falling",
        "radar": _RADAR,
        "history": [{"at": "2017-10-15T00:00:00Z", "index": _INDEX, "radar": _RADAR}],
    },
    "warning": {
        "is_warned": False,
        "driver": "churn risk",
        "chance": 0.12,
        "expected_loss": 49.5,
    },
    "strategy": {
        "segment": "loyal",
        "action": "keep the habit: a reminder when products are due",
        "channel": "e-mail",
    },
    "satisfaction": {"nps_last": 8.0, "csat_last": 4.0, "rating_mean": None},
    "dimensions": {"purchase": {"orders_count_365d": 41.0, "spend_sum_365d": 981.2}},
}
