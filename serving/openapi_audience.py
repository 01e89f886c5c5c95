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
    schema.AlertRequest,
    schema.AlertAnswer,
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
    "state": "open",
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

    svg = {"image/svg+xml": {"schema": {"type": "string"}, "example": examples.SVG}}
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
                "What asks for a message: product groups due, customers who fall",
                "Those worth a message today first, then the surest. Every alert is "
                "there once, with a stable id; what was sent, done or dismissed is in "
                "no list of open ones, also not after a new version. A replenishment "
                "alert ends when the group is bought again; a health alert is open "
                "again 90 days after it was dealt with, if the customer is warned of "
                "then. On record as audiences are.",
                "read",
                content(schema.AlertsAnswer),
                ("409", *_GET),
                parameters=_parameters(schema.AlertsQuery),
            )
        },
        "/v1/alerts/{id}": {
            "post": operation(
                "Says what became of an alert",
                "open, then sent, then done or dismissed; 409: it is past this state. "
                "The same again does no harm.",
                "write",
                content(schema.AlertAnswer),
                ("400", "404", "409", *_GET),
                parameters=[{**_ID, "example": "r-1f0c2a9b7d5e4c31"}],
                requestBody={
                    "required": True,
                    "content": content(schema.AlertRequest),
                },
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
                "Profile, propensity, due groups, value, churn, uplift and lists; tags, "
                "tiers and their history, health with its radar and history, early "
                "warning, strategy, satisfaction and figures of the six dimensions.",
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
        "/v1/customers/{id}/radar": {
            "get": operation(
                "The radar chart of a customer's health",
                "The five dimensions, 0 to 100; in grey as they were in the first month "
                "that is known. The numbers are in `health` of the customer.",
                "read",
                svg,
                ("404", *_GET),
                parameters=[_ID],
            )
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
