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
    schema.ErrorAnswer: {
        "error": {
            "code": "invalid",
            "message": "n: input should be less than or equal to 100, got 101",
            "field": "n",
        }
    },
}
"""Bodies that a reader of the document can send and expect; tested."""
