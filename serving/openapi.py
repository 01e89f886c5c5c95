"""The one OpenAPI document of the API, built from ``schema`` and the contract."""

from __future__ import annotations

from importlib.metadata import version
from typing import Any

from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from features.contracts import Column, Dtype, Table
from serving import examples, openapi_audience, openapi_experiment, schema
from serving.events import MAX_EVENTS, MAX_TEXT
from serving.examples import EXAMPLES
from serving.state.keys import Scope
from serving.state.tables import EVENT_TABLES, event_columns

_ERRORS = {
    "400": "The body is no JSON.",
    "401": "No key, or one that is unknown or revoked.",
    "403": "The key lacks the scope.",
    "404": "There is no such customer, experiment or path.",
    "408": "The body did not arrive in time.",
    "409": "The list is no longer the one of the cursor, or the experiment is not in a "
    "state for it.",
    "413": "The body is too large.",
    "422": "A field is missing, unknown, mistyped or out of range.",
    "429": "The key has too many requests; `Retry-After` says when to come again.",
    "503": "Nothing usable is published, or the service's database does not answer.",
}
_OF_POST = ("400", "401", "403", "408", "413", "422", "429", "503")
_OF_GET = ("401", "403", "408", "413", "429", "503")

_JSON_TYPES: dict[Dtype, tuple[str, ...]] = {
    "id": ("string", "integer"),
    "text": ("string",),
    "number": ("number",),
    "flag": ("boolean",),
    "time": ("string",),
}


def document() -> dict[str, Any]:
    """OpenAPI 3.1: paths, limits, examples and the form of errors."""
    models: tuple[type[BaseModel], ...] = (
        schema.RecommendationsRequest,
        schema.RecommendationsAnswer,
        schema.PropensityRequest,
        schema.PropensityAnswer,
        schema.EventsAnswer,
        schema.ErrorAnswer,
        *openapi_audience.MODELS,
        *openapi_experiment.MODELS,
    )
    _, definitions = models_json_schema(
        [(model, "validation") for model in models],
        ref_template="#/components/schemas/{model}",
    )
    errors = {status: _error(said) for status, said in _ERRORS.items()}
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "repurchase",
            "version": version("repurchase"),
            "description": "Who buys again, and what to offer them. Every answer "
            "names the model and the snapshot that it rests on.",
        },
        "paths": {
            "/v1/recommendations": _post(
                "Top-n products for each customer",
                "Exactly `n` items where that many pass the filters, the cap of a "
                "category and the service lives of what the customer has. Of the "
                "rules, `min_new_arrivals` yields to these, `new_share` to both, and "
                "the order by `weight_by` and `diversity` to all. What a customer "
                "did since the snapshot counts at once. Unknown customers get the "
                "cold-start list until they look at or buy something.",
                _json(schema.RecommendationsRequest),
                schema.RecommendationsAnswer,
                "read",
            ),
            "/v1/propensity": _post(
                "Probability that each customer buys within a horizon",
                "From the snapshot's cutoff on; of a customer with events since, from "
                "now on, by the same features and model. Customers without a purchase "
                "are answered with nulls.",
                _json(schema.PropensityRequest),
                schema.PropensityAnswer,
                "read",
            ),
            "/v1/events": _post(
                "Takes up what happened since",
                "An accepted event is on disk. One that breaks its table's contract is "
                "rejected with a reason and does not hold up the others. Sending a "
                "batch again does no harm: an event counts once by its `event_id`, and "
                "another event of the same id is rejected. An event is known to builds "
                "from the moment of its receipt.",
                {
                    "application/json": {
                        "schema": {"$ref": "#/components/schemas/EventsRequest"},
                        "example": examples.EVENTS,
                    }
                },
                schema.EventsAnswer,
                "write",
            ),
            **openapi_audience.paths(_json, errors),
            **openapi_experiment.paths(_json, errors),
            "/livez": _get("Whether the process runs", "text/plain", "\n"),
            "/readyz": _get(
                "Whether a version is served and keys can be checked",
                "text/plain",
                "\n",
                errors=("503",),
            ),
            "/metrics": _get(
                "Prometheus metrics", "text/plain", examples.METRICS, "read", _OF_GET
            ),
            "/openapi.json": _get(
                "This document", "application/json", {"openapi": "3.1.0"}
            ),
        },
        "components": {
            "schemas": {**definitions["$defs"], **_event_schemas()},
            "securitySchemes": {
                "key": {
                    "type": "http",
                    "scheme": "bearer",
                    "description": "A key of `repurchase keys create` with the scope "
                    "named, or admin. Until a first key is made, the service answers "
                    "without one, on loopback addresses only.",
                }
            },
        },
    }


def _event_schemas() -> dict[str, Any]:
    """Bodies of ``/v1/events``, out of the contract."""
    names = {name: f"{name.capitalize()}Event" for name in EVENT_TABLES}
    places = {name: f"#/components/schemas/{names[name]}" for name in names}
    events = {
        "type": "array",
        "minItems": 1,
        "maxItems": MAX_EVENTS,
        "items": {
            "oneOf": [{"$ref": place} for place in places.values()],
            "discriminator": {"propertyName": "table", "mapping": places},
        },
    }
    request = {
        "type": "object",
        "required": ["events"],
        "additionalProperties": False,
        "properties": {"events": events},
    }
    return {
        "EventsRequest": request,
        **{names[name]: _event(table) for name, table in EVENT_TABLES.items()},
    }


def _event(table: Table) -> dict[str, Any]:
    event_id = Column("event_id", "id", True, "one for each event, for good")
    columns = (event_id, *event_columns(table))
    return {
        "type": "object",
        "description": f"One {table.grain}.",
        "required": ["table", *(c.name for c in columns if c.required)],
        "additionalProperties": False,
        "properties": {
            "table": {"const": table.name},
            **{column.name: _value(column) for column in columns},
        },
    }


def _value(column: Column) -> dict[str, Any]:
    """A column as a value of JSON; null is allowed where the column is optional."""
    nulls = () if column.required else ("null",)
    found: dict[str, Any] = {"type": [*_JSON_TYPES[column.dtype], *nulls]}
    if column.kinds:
        found["enum"] = [*column.kinds, *(None for _ in nulls)]
    elif column.dtype in ("id", "text"):
        found |= {"maxLength": MAX_TEXT, "minLength": int(column.required)}
    if column.dtype == "time":
        found["format"] = "date-time"
    if column.low is not None:
        found["minimum"] = column.low
    if column.high is not None:
        found["maximum"] = column.high
    if column.unit:
        found["description"] = column.unit
    return found


def _security(scope: Scope | None) -> list[dict[str, list[str]]]:
    return [] if scope is None else [{"key": [scope]}]


def _post(
    summary: str,
    description: str,
    request: dict[str, Any],
    answer: type[BaseModel],
    scope: Scope,
) -> dict[str, Any]:
    errors = {
        status: _error(said) for status, said in _ERRORS.items() if status in _OF_POST
    }
    ok = {"description": "The answer.", "content": _json(answer)}
    return {
        "post": {
            "summary": summary,
            "description": description,
            "security": _security(scope),
            "requestBody": {"required": True, "content": request},
            "responses": {"200": ok, **errors},
        }
    }


def _get(
    summary: str,
    media: str,
    example: str | dict[str, str],
    scope: Scope | None = None,
    errors: tuple[str, ...] = (),
) -> dict[str, Any]:
    kind = "object" if isinstance(example, dict) else "string"
    content = {media: {"schema": {"type": kind}, "example": example}}
    ok = {"description": summary, "content": content}
    faults = {status: _error(_ERRORS[status]) for status in errors}
    return {
        "get": {
            "summary": summary,
            "security": _security(scope),
            "responses": {"200": ok, **faults},
        }
    }


def _json(model: type[BaseModel]) -> dict[str, Any]:
    content: dict[str, Any] = {
        "schema": {"$ref": f"#/components/schemas/{model.__name__}"}
    }
    if model in EXAMPLES:
        content["example"] = EXAMPLES[model]
    return {"application/json": content}


def _error(description: str) -> dict[str, Any]:
    return {"description": description, "content": _json(schema.ErrorAnswer)}
