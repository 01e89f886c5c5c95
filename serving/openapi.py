"""The one OpenAPI document of the API, built from ``schema``."""

from __future__ import annotations

from importlib.metadata import version
from typing import Any

from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from serving import schema
from serving.examples import EXAMPLES

_ERRORS = {
    "400": "The body is no JSON.",
    "408": "The body did not arrive in time.",
    "413": "The body is too large.",
    "422": "A field is missing, unknown, mistyped or out of range.",
    "503": "Nothing usable is published.",
}


def document() -> dict[str, Any]:
    """OpenAPI 3.1: paths, limits, examples and the form of errors."""
    models: tuple[type[BaseModel], ...] = (
        schema.RecommendationsRequest,
        schema.RecommendationsAnswer,
        schema.PropensityRequest,
        schema.PropensityAnswer,
        schema.ErrorAnswer,
    )
    _, definitions = models_json_schema(
        [(model, "validation") for model in models],
        ref_template="#/components/schemas/{model}",
    )
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
                "the order by `weight_by` and `diversity` to all. Unknown customers "
                "get the cold-start list.",
                schema.RecommendationsRequest,
                schema.RecommendationsAnswer,
            ),
            "/v1/propensity": _post(
                "Probability that each customer buys within a horizon",
                "Unknown customers are answered with nulls.",
                schema.PropensityRequest,
                schema.PropensityAnswer,
            ),
            "/livez": _get("Whether the process runs", "text/plain"),
            "/readyz": _get(
                "Whether a version is served", "text/plain", ("503", _ERRORS["503"])
            ),
            "/metrics": _get("Prometheus metrics", "text/plain"),
            "/openapi.json": _get("This document", "application/json"),
        },
        "components": {"schemas": definitions["$defs"]},
    }


def _post(
    summary: str, description: str, request: type[BaseModel], answer: type[BaseModel]
) -> dict[str, Any]:
    errors = {status: _error(said) for status, said in _ERRORS.items()}
    ok = {"description": "The answer.", "content": _json(answer)}
    return {
        "post": {
            "summary": summary,
            "description": description,
            "requestBody": {"required": True, "content": _json(request)},
            "responses": {"200": ok, **errors},
        }
    }


def _get(summary: str, media: str, *errors: tuple[str, str]) -> dict[str, Any]:
    ok = {"description": summary, "content": {media: {}}}
    responses = {"200": ok, **{status: _error(said) for status, said in errors}}
    return {"get": {"summary": summary, "responses": responses}}


def _json(model: type[BaseModel]) -> dict[str, Any]:
    content: dict[str, Any] = {
        "schema": {"$ref": f"#/components/schemas/{model.__name__}"}
    }
    if model in EXAMPLES:
        content["example"] = EXAMPLES[model]
    return {"application/json": content}


def _error(description: str) -> dict[str, Any]:
    return {"description": description, "content": _json(schema.ErrorAnswer)}
