"""Bodies of the API that a reader can send and expect."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel

from serving import (
    audience_schema,
    experiment_examples,
    insight_examples,
    kpis_schema,
    schema,
)

_SNAPSHOT = {
    "version": "20171015T000000-1f0c2a9b7d5e4c31",
    "cutoff": "2017-10-15T00:00:00Z",
    "age_days": 0.4,
}

_DUE = {
    "product_group": "CHEESES",
    "due_at": "2017-10-17T12:00:00Z",
    "due_p10": "2017-10-15T06:00:00Z",
    "due_p90": "2017-10-23T00:00:00Z",
    "probability": 0.93,
    "probability_soon": 0.81,
    "alert": True,
}
_OFFER = {
    "product_id": "1082185",
    "probability": 0.64,
    "reason": "bought 9 times, last 6 days before",
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

METRICS = """\
# TYPE repurchase_requests_total counter
repurchase_requests_total{path="/v1/recommendations",status="200"} 8123.0
# TYPE repurchase_snapshot_age_seconds gauge
repurchase_snapshot_age_seconds 34560.0
"""

SVG = '<svg xmlns="http://www.w3.org/2000/svg" role="img">...</svg>'

CSV = (
    "customer_id,rank,score,product_group,due_at,alert,churn_risk,product_id_1,"
    "probability_1,reason_1\n"
    "2070,1,0.81,CHEESES,2017-10-17T12:00:00Z,true,,1082185,0.64,"
    '"bought 9 times, last 6 days before"\n'
)
"""The same as the JSON of an audience; tested."""

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
    audience_schema.AudienceRequest: {
        "goal": "replenish",
        "n": 1,
        "filters": {"tag": "likely"},
        "within_days": 7,
        "offers": 1,
    },
    audience_schema.AudienceAnswer: {
        "model_version": "3",
        "snapshot": _SNAPSHOT,
        "goal": "replenish",
        "score_means": "probability that the group is bought in the alert's window; "
        "alerts come first",
        "evidence": None,
        "total": 481,
        "next_cursor": "WyIyMDE3MTAxNVQwMDAwMDAiLCAwLCAiYWIiLCAxXQ==",
        "customers": [
            {
                "customer_id": "2070",
                "rank": 1,
                "score": 0.81,
                **{name: _DUE[name] for name in ("product_group", "due_at", "alert")},
                "churn_risk": None,
                "products": [_OFFER],
            }
        ],
    },
    audience_schema.AlertsAnswer: {
        "model_version": "3",
        "snapshot": _SNAPSHOT,
        "kind": "replenishment",
        "state": "open",
        "total": 1,
        "next_cursor": None,
        "alerts": [
            {
                "id": "r-1f0c2a9b7d5e4c31",
                "kind": "replenishment",
                "state": "open",
                "customer_id": "2070",
                "confidence": 0.81,
                "reason": "CHEESES: due on 2017-10-17, 81% to be bought within days",
                "channel": "email",
                "product_id": "1082185",
                **_DUE,
                "driver": None,
                "health": None,
                "expected_loss": None,
            }
        ],
    },
    audience_schema.AlertRequest: {"state": "sent"},
    audience_schema.AlertAnswer: {
        "id": "r-1f0c2a9b7d5e4c31",
        "state": "sent",
        "at": "2017-10-15T09:30:00Z",
    },
    audience_schema.CustomerAnswer: {
        "model_version": "3",
        "snapshot": _SNAPSHOT,
        "customer_id": "2070",
        "consent": True,
        "profile": {"segment": "family", "member_tier": None},
        "propensity": [
            {"days": 7, "probability": 0.82},
            {"days": 14, "probability": 0.91},
            {"days": 30, "probability": 0.97},
            {"days": 90, "probability": 0.99},
        ],
        "tag": "likely",
        "expected_next_at": "2017-10-18T09:00:00Z",
        "expected_next_p10": "2017-10-15T08:00:00Z",
        "expected_next_p90": "2017-10-24T21:00:00Z",
        "reasons": ["bought 4 days before"],
        "due": [_DUE],
        "value": {"expected_spend_365d": 412.5, "clv": None},
        "churn": {"churn_risk": 0.12, "expected_loss": 8.4},
        "uplift": {"uplift": 0.02, "expected_extra_spend": 1.1},
        "uplift_evidence": {
            "enough": False,
            "said": "No past campaign held customers out at random.",
        },
        "lists": {
            "mixed": [{**_OFFER, "rank": 1}],
            "again": [{**_OFFER, "rank": 1}],
            "new": [],
        },
        **insight_examples.CUSTOMER,
    },
    audience_schema.ErasureAnswer: {
        "erased_at": "2017-10-15T09:30:00Z",
        "tombstone": "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
        "events_removed": 3,
        "was_published": True,
        "remaining": "Answers no longer know the customer. ...",
    },
    kpis_schema.KpisAnswer: {
        "model_version": "3",
        "snapshot": _SNAPSHOT,
        "by": "segment",
        "period": {
            "name": "2017-09",
            "kind": "month",
            "starts_at": "2017-09-01T00:00:00Z",
            "ends_at": "2017-10-01T00:00:00Z",
            "complete": True,
        },
        "kpis": [
            {
                "name": "repurchase_rate",
                "group": "family",
                "numerator": 420.0,
                "denominator": 500.0,
                "value": 0.84,
                "unit": "share",
                "better": "high",
                "target": 0.85,
                "previous": {
                    "period": "2017-08",
                    "value": 0.8,
                    "change": 0.04,
                    "relative": 0.05,
                },
                "year_before": {
                    "period": None,
                    "value": None,
                    "change": None,
                    "relative": None,
                },
                "trend": {"slope": 0.01, "low": -0.005, "high": 0.025, "periods": 6},
            }
        ],
        "definitions": [
            {
                "name": "repurchase_rate",
                "title": "repurchase rate",
                "numerator": "customers with two orders or more in the period",
                "denominator": "customers with an order in the period",
                "times": 1.0,
                "null": "nobody ordered in the period",
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
    **experiment_examples.EXAMPLES,
}
"""Bodies that a reader of the document can send and expect; tested."""
