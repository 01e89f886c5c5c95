"""Bodies about experiments that a reader of the document can send and expect."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel

from serving import experiment_schema as schema
from serving.experiment_design_schema import DesignAnswer, DesignRequest

_SHA = "5f0a6c3f5f3b0a1f7a8c0d0f2c9c7f27e7e6b1c2a86f3f5f1f0f5a8f6b0c1d2e"
_MOMENTS = {
    "created_at": "2017-10-15T08:00:00Z",
    "started_at": "2017-10-15T09:00:00Z",
    "stopped_at": None,
}
_PICKS = [{"arm": "manual", "list": "may", "version": 1, "sha256": _SHA}]
_PLAN: dict[str, Any] = {
    "name": "spring",
    "owner": "mia",
    "arms": [
        {"name": "manual", "show": "picks", "picks": "may"},
        {"name": "model", "show": "mixed"},
    ],
    "slots": 10,
    "window_days": 28,
    "primary": "click_rate",
    "design": {"mde": 0.2, "looks": [0.5, 1.0], "assumed": 0.05},
    "money": {"margin_rate": 0.3, "yearly_reach": 120000, "yearly_cost": 20000},
}
_DESIGN = {"customers": 3304, "days": 64, "mde": 0.2, "primary": "click_rate"}
_CLICK = {
    "event_id": "click-77",
    "customer_id": "2070",
    "product_id": "1082185",
    "position": 1,
    "ts": "2017-10-15T09:31:00Z",
}
_ESTIMATE = {
    "mean_control": 0.05,
    "mean_arm": 0.0735,
    "uplift": 0.47,
    "uplift_low": 0.38,
    "uplift_high": 0.56,
}

EXAMPLES: dict[type[BaseModel], dict[str, Any]] = {
    schema.PicksRequest: {
        "list": "may",
        "owner": "mia",
        "lines": [
            {"product_id": "1082185"},
            {"product_id": "995242"},
            {"product_id": "840361", "segment": "family"},
        ],
    },
    schema.PicksAnswer: {
        "list": "may",
        "version": 1,
        "sha256": _SHA,
        "lines": 3,
        "owner": "mia",
        "at": "2017-10-15T07:55:00Z",
    },
    DesignRequest: {
        "arms": ["manual", "model"],
        "holdout": 0.1,
        "primary": "click_rate",
        "assumed": 0.05,
        "days": 56,
    },
    DesignAnswer: {
        "sentence": "2,800 customers in about 56 days show an effect of 16.0% on click "
        "rate (now 0.05) with a power of 80%.",
        "primary": "click_rate",
        "arms": [
            {"name": "manual", "weight": 4500, "share": 0.45, "holdout": False},
            {"name": "model", "weight": 4500, "share": 0.45, "holdout": False},
            {"name": "holdout", "weight": 1000, "share": 0.1, "holdout": True},
        ],
        "customers": 2800,
        "days": 56,
        "mde": 0.16,
        "alpha": 0.05,
        "power": 0.8,
        "power_by_uplift": [
            {"uplift": 0.08, "power": 0.3},
            {"uplift": 0.16, "power": 0.8},
        ],
        "baseline": {"mean": 0.05, "kept_variance": 1.0, "customers": 0},
    },
    schema.ExperimentRequest: _PLAN,
    schema.ExperimentAnswer: {
        "name": "spring",
        "owner": "mia",
        "status": "running",
        **_MOMENTS,
        "salt": "f3b1c5a97d2e4c10",
        "shares": {"manual": 0.5, "model": 0.5},
        "picks": _PICKS,
        "design": _DESIGN,
        "plan": _PLAN,
    },
    schema.StatusRequest: {"status": "running"},
    schema.AssignmentsRequest: {"customer_ids": ["2070"]},
    schema.AssignmentsAnswer: {
        "model_version": "3",
        "snapshot": {
            "version": "20171015T000000-1f0c2a9b7d5e4c31",
            "cutoff": "2017-10-15T00:00:00Z",
            "age_days": 0.4,
        },
        "experiment": "spring",
        "assignments": [
            {
                "customer_id": "2070",
                "arm": "model",
                "why": "hash",
                "list_version": "20171015T000000-1f0c2a9b7d5e4c31",
                "items": [
                    {
                        "product_id": "1082185",
                        "position": 1,
                        "reason": "bought 9 times, last 6 days before",
                    }
                ],
            }
        ],
    },
    schema.ExposuresRequest: {
        "exposures": [
            {
                **_CLICK,
                "event_id": "shown-77",
                "arm": "model",
                "list_version": "20171015T000000-1f0c2a9b7d5e4c31",
                "ts": "2017-10-15T09:30:00Z",
            }
        ]
    },
    schema.OutcomesRequest: {"outcomes": [_CLICK]},
    schema.LoggedAnswer: {
        "accepted": 1,
        "duplicate": 0,
        "rejected": 0,
        "other_arm": 0,
        "rejections": [],
    },
    schema.ReportAnswer: {
        "experiment": "spring",
        "status": "running",
        "owner": "mia",
        "as_of": "2017-12-20T00:00:00Z",
        **_MOMENTS,
        "primary": "click_rate",
        "control": "manual",
        "window_days": 28,
        "verdicts": [
            {
                "arm": "model",
                "outcome": "won",
                "sentence": "model beats manual: click rate is 47.0% higher (95% "
                "interval +38.0% to +56.0%), p < 0.001.",
                "more_days": None,
                "rests_on": "look 2 of 2 of the design",
                "is_final": True,
                "came_late": {"purchases": 4, "exposures": 0, "clicks": 0},
                "estimate": _ESTIMATE,
            }
        ],
        "money": [{"arm": "model", "margin": 61000.0, "low": 22000.0, "roi": 2.05}],
        "customers": [
            {"arm": "manual", "assigned": 1702, "analysed": 1698},
            {"arm": "model", "assigned": 1698, "analysed": 1690},
        ],
        "sample_ratio": {
            "assigned": {"p_value": 0.95, "valid": True},
            "with_exposures": None,
        },
        "apart": {"exposures_of_another_arm": 3, "overrides": 1},
        "late": {"purchases": 0, "exposures": 0, "clicks": 0},
        "measures": [{"measure": "click_rate", "arm": "model", **_ESTIMATE}],
        "beside_holdout": [],
        "over_time": [{"arm": "model", "measure": "click_rate", "days": []}],
        "over_time_measure": "click_rate",
        "segments": [],
        "picks": _PICKS,
        "design": _DESIGN,
        "plan": _PLAN,
        "definitions": [{"word": "look", "means": "A moment fixed before the start."}],
    },
    schema.OffPolicyRequest: {
        "reward": "clicks",
        "by_segment": {"family": "manual"},
        "otherwise": "model",
    },
    schema.OffPolicyAnswer: {
        "experiment": "spring",
        "as_of": "2017-12-20T00:00:00Z",
        "reward": "clicks",
        "sentence": "Would have earned 0.71 each (95% interval 0.67 to 0.75), from 3,388 "
        "logged rows that tell as much as 1,690 of its own.",
        "rows": 3388,
        "customers": 3388,
        "effective": 1690.0,
        "mean_weight": 0.998,
        "largest_weight": 2.0,
        "ips": {"value": 0.708, "low": 0.66, "high": 0.756},
        "snips": {"value": 0.71, "low": 0.668, "high": 0.752},
        "doubly_robust": {"value": 0.71, "low": 0.67, "high": 0.75},
        "refused": None,
    },
    schema.PreferenceAnswer: {
        "experiment": "taste",
        "status": "stopped",
        "as_of": "2017-11-20T00:00:00Z",
        "first": "manual",
        "second": "model",
        "customers": 400,
        "decided_by": "clicks",
        "winner": "model",
        "is_final": True,
        "sentence": "model is preferred: of 180 customers who clicked on one list more "
        "than the other, 66.7% (95% interval 59.3% to 73.5%) did so of model's, the "
        "others of manual's, p < 0.001. What it is worth, a randomised test tells.",
        "votes": [
            {
                "by": "clicks",
                "first": 60,
                "second": 120,
                "tied": 14,
                "share": 0.667,
                "low": 0.593,
                "high": 0.735,
                "p_value": 0.00001,
            }
        ],
    },
}
"""Merged into ``examples.EXAMPLES``; tested."""
