"""Bodies of the API that a reader can send and expect."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel

from serving import schema

_SNAPSHOT = {
    "version": "20171015T000000-1f0c2a9b7d5e4c31",
    "cutoff": "2017-10-15T00:00:00Z",
    "age_days": 0.4,
}

EVENTS: dict[str, Any] = {
    "events": [
        {
            "event_id": "order-8812-line-1",
            "table": "purchases",
            "customer_id": "2070",
            "product_id": "1082185",
            "ts": "2017-10-15T09:30:00Z",
            "order_id": "8812",
            "quantity": 2,
            "amount": 3.98,
        },
        {
            "event_id": "view-55102",
            "table": "browses",
            "customer_id": "2070",
            "ts": "2017-10-15T09:12:41Z",
            "kind": "view",
            "product_id": "995242",
            "dwell_seconds": 14.5,
        },
        {
            "event_id": "contact-77",
            "table": "touches",
            "customer_id": "2070",
            "campaign_id": "18",
            "ts": "2017-10-15T09:00:00+02:00",
            "action": "opened",
        },
    ]
}
"""A batch of events; tested."""

EXAMPLES: dict[type[BaseModel], dict[str, Any]] = {
    schema.RecommendationsRequest: {
        "customer_ids": ["2070"],
        "n": 1,
        "list": "again",
        "max_per_category": 2,
    },
    schema.RecommendationsAnswer: {
        "model_version": "3",
        "snapshot": _SNAPSHOT,
        "list": "again",
        "recommendations": [
            {
                "customer_id": "2070",
                "cold_start": False,
                "items": [
                    {
                        "product_id": "1082185",
                        "rank": 1,
                        "score": 2.31,
                        "probability": 0.64,
                        "reason": "bought 9 times, last 6 days before",
                        "source": "history",
                    }
                ],
            }
        ],
    },
    schema.PropensityRequest: {"customer_ids": ["2070", "nobody"], "horizon_days": 14},
    schema.PropensityAnswer: {
        "model_version": "3",
        "snapshot": _SNAPSHOT,
        "horizon_days": 14,
        "tag_horizon_days": 14,
        "propensities": [
            {
                "customer_id": "2070",
                "cold_start": False,
                "probability": 0.91,
                "tag": "likely",
                "expected_next_at": "2017-10-18T09:00:00Z",
                "reasons": ["bought 4 days before"],
            },
            {
                "customer_id": "nobody",
                "cold_start": True,
                "probability": None,
                "tag": None,
                "expected_next_at": None,
                "reasons": [],
            },
        ],
    },
    schema.EventsAnswer: {
        "accepted": 2,
        "duplicate": 0,
        "rejected": 1,
        "rejections": [
            {
                "index": 2,
                "event_id": "contact-77",
                "reason": "action: expected one of sent, opened, clicked, redeemed, "
                "attended, held_out, got 'open'",
            }
        ],
    },
    schema.ErrorAnswer: {
        "error": {
            "code": "invalid",
            "message": "n: input should be less than or equal to 100, got 101",
            "field": "n",
        }
    },
}
"""Bodies that a reader of the document can send and expect; tested."""
