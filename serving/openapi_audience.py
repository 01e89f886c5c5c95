"""The part of the OpenAPI document about audiences, alerts and single customers."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from pydantic import BaseModel

from serving import audience_schema as schema
from serving import examples
from serving.kpis_schema import KpisAnswer, KpisQuery

MODELS: tuple[type[BaseModel], ...] = (
    schema.AudienceRequest,
    schema.AudienceAnswer,
    schema.AlertsAnswer,
    schema.CustomerAnswer,
    schema.ErasureAnswer,
    KpisAnswer,
)

_ID = {
    "name": "id",
    "in": "path",
    "required": True,
    "schema": {"type": "string", "minLength": 1, "maxLength": 256},
    "example": "2070",
}
_CURSOR = examples.EXAMPLES[schema.AudienceAnswer]["next_cursor"]
_QUERY = {"kind": "replenishment", "within_days": 3, "n": 100, "cursor": _CURSOR} | {
    "by": "segment",
    "period": "2017-10",
}

_GET = ("401", "403", "408", "413", "422", "429", "503")


def paths(
    content: Callable[[type[BaseModel]], dict[str, Any]],
    errors: Mapping[str, dict[str, Any]],
) -> dict[str, Any]:
    """The paths.

    Args:
        content: of a model, with its example.
        errors: by status.
    """

    def operation(
        summary: str,
        description: str,
        scope: str,
        answer: dict[str, Any],
        statuses: tuple[str, ...],
        **more: Any,
    ) -> dict[str, Any]:
        ok = {"description": "The answer.", "content": answer}
        faults = {status: errors[status] for status in statuses}
        return {
            "summary": summary,
            "description": description,
            "security": [{"key": [scope]}],
            **more,
            "responses": {"200": ok, **faults},
        }

    csv = {"text/csv": {"schema": {"type": "string"}, "example": examples.CSV}}
    return {
        "/v1/audiences": {
            "post": operation(
                "The best customers for a goal, with products to offer",
                "Nobody who refused consent is in it; ties go to the lower id. Every "
                "list is on record before it is given: the key's prefix, the moment, "
                "goal, filters and how many. CSV is streamed; what JSON says of the "
                "whole list stands in its headers (`x-total`, `x-next-cursor`, "
                "`x-score-means`, `x-model-version`, `x-snapshot-version`).",
                "read",
                {**content(schema.AudienceAnswer), **csv},
                ("400", "401", "403", "408", "409", "413", "422", "429", "503"),
                requestBody={
                    "required": True,
                    "content": content(schema.AudienceRequest),
                },
            )
        },
        "/v1/alerts": {
            "get": operation(
                "Product groups that customers need again",
                "Those with an alert first, then by the probability that they are "
                "bought soon. On record as audiences are.",
                "read",
                content(schema.AlertsAnswer),
                ("409", *_GET),
                parameters=_parameters(schema.AlertsQuery),
            )
        },
        "/v1/kpis": {
            "get": operation(
                "KPIs of a period, by group",
                "Numerator, denominator, value, target, the period before, the same "
                "one of the year before, and trend, as of the snapshot's cutoff. 404: "
                "the version was published without KPIs.",
                "read",
                content(KpisAnswer),
                ("404", *_GET),
                parameters=_parameters(KpisQuery),
            )
        },
        "/v1/customers/{id}": {
            "get": operation(
                "What is published of a customer",
                "Profile, propensity, due groups, value, churn, uplift and lists.",
                "read",
                content(schema.CustomerAnswer),
                ("404", *_GET),
                parameters=[_ID],
            ),
            "delete": operation(
                "Erases a customer",
                "Gone from this worker's answers at once, from others' within seconds; "
                "their events are deleted, later ones refused, and builds leave them "
                "out. Again does no harm.",
                "admin",
                content(schema.ErasureAnswer),
                _GET,
                parameters=[_ID],
            ),
        },
    }


def _parameters(model: type[BaseModel]) -> list[dict[str, Any]]:
    fields = model.model_json_schema()["properties"]
    return [
        {
            "name": name,
            "in": "query",
            "required": False,
            "schema": field,
            "example": _QUERY[name],
        }
        for name, field in fields.items()
    ]
