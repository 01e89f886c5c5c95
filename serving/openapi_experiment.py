"""The part of the OpenAPI document about experiments and manual picks."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from pydantic import BaseModel

from serving import experiment_schema as schema
from serving.experiment_design_schema import DesignAnswer, DesignRequest

MODELS: tuple[type[BaseModel], ...] = (
    schema.PicksRequest,
    schema.PicksAnswer,
    DesignRequest,
    DesignAnswer,
    schema.ExperimentRequest,
    schema.ExperimentAnswer,
    schema.StatusRequest,
    schema.AssignmentsRequest,
    schema.AssignmentsAnswer,
    schema.ExposuresRequest,
    schema.OutcomesRequest,
    schema.LoggedAnswer,
    schema.ReportAnswer,
    schema.PreferenceAnswer,
    schema.OffPolicyRequest,
    schema.OffPolicyAnswer,
)

_NAME = {
    "name": "name",
    "in": "path",
    "required": True,
    "schema": {"type": "string", "minLength": 1, "maxLength": 64},
    "example": "spring",
}
_GET = ("401", "403", "404", "408", "413", "503")
_POST = ("400", *_GET, "409", "422", "429")
_QUERY = {"format": "html", "as_of": "2017-11-15T00:00:00Z"}

Content = Callable[[type[BaseModel]], dict[str, Any]]


def paths(content: Content, errors: Mapping[str, dict[str, Any]]) -> dict[str, Any]:
    """The paths.

    Args:
        content: of a model, with its example.
        errors: by status.
    """

    def post(
        scope: str,
        said: tuple[str, str],
        asked: type[BaseModel],
        answer: type[BaseModel],
        *,
        named: bool = True,
    ) -> dict[str, Any]:
        body = {"required": True, "content": content(asked)}
        more = {"parameters": [_NAME]} if named else {}
        ok = {"description": "The answer.", "content": content(answer)}
        faults = {status: errors[status] for status in sorted({*_POST})}
        return {
            "post": {
                "summary": said[0],
                "description": said[1],
                "security": [{"key": [scope]}],
                **more,
                "requestBody": body,
                "responses": {"200": ok, **faults},
            }
        }

    own = "/v1/experiments/{name}"
    return {
        "/v1/picks": post(
            "write",
            (
                "Uploads a manual list",
                "Every upload is a version of its own and is never changed; the same "
                "lines again are the same version.",
            ),
            schema.PicksRequest,
            schema.PicksAnswer,
            named=False,
        ),
        "/v1/experiment-designs": post(
            "read",
            (
                "What a comparison could find",
                "Customers and days for an effect, or the smallest effect for a number "
                "of days or customers; the split that finds most; and the power at "
                "effects around it, from the shop's own history. Nothing is kept. One "
                "design or report is made at a time.",
            ),
            DesignRequest,
            DesignAnswer,
            named=False,
        ),
        "/v1/experiments": post(
            "write",
            (
                "Plans a comparison",
                "Keeps a draft in place of an earlier draft of the name, locks the last "
                "version of its picks by their hash, and works out customers and days "
                "from the shop's own history where a design is asked for. The same "
                "again does no harm; another plan of the name of an experiment that "
                "runs or ran is 409.",
            ),
            schema.ExperimentRequest,
            schema.ExperimentAnswer,
            named=False,
        ),
        own: {"get": _get(content(schema.ExperimentAnswer), errors)},
        f"{own}/status": post(
            "write",
            (
                "Starts or stops it",
                "From draft to running to stopped, and not back. It starts only if its "
                "picks are as locked and its part of its layer is free. Windows of "
                "customers go on after it was stopped.",
            ),
            schema.StatusRequest,
            schema.ExperimentAnswer,
        ),
        f"{own}/assignments": post(
            "write",
            (
                "Arm and list of each customer",
                "The arm is a hash of experiment and customer, so it is the same for "
                "ever and everywhere. The moment of the first request for a customer "
                "is kept for good: outcomes count from it on, and whoever was asked "
                "for counts in every figure. That is why it takes the scope write.",
            ),
            schema.AssignmentsRequest,
            schema.AssignmentsAnswer,
        ),
        f"{own}/exposures": post(
            "write",
            (
                "Logs what was really shown",
                "Accepted is on disk. A line counts once by its event_id; late and out "
                "of order is fine.",
            ),
            schema.ExposuresRequest,
            schema.LoggedAnswer,
        ),
        f"{own}/outcomes": post(
            "write",
            (
                "Logs clicks",
                "As exposures. A click counts for the last exposure of its product at or "
                "before it. Purchases come with the input tables or /v1/events.",
            ),
            schema.OutcomesRequest,
            schema.LoggedAnswer,
        ),
        f"{own}/report": {"get": _report(content(schema.ReportAnswer), errors)},
        f"{own}/off-policy": post(
            "read",
            (
                "What a rule would have earned",
                "A rule gives each segment an arm. The customers of a randomised "
                "experiment were given theirs with known shares, so the rule can be "
                "judged by them: inverse propensity, self-normalised and doubly robust "
                "estimates, or why there can be none. An estimate, not a verdict; "
                "nothing is kept.",
            ),
            schema.OffPolicyRequest,
            schema.OffPolicyAnswer,
        ),
        f"{own}/preference": {
            "get": _preference(content(schema.PreferenceAnswer), errors)
        },
    }


def _get(answer: dict[str, Any], errors: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "summary": "An experiment as it is kept",
        "description": "Plan, locked picks, design and status.",
        "security": [{"key": ["read"]}],
        "parameters": [_NAME],
        "responses": {
            "200": {"description": "The answer.", "content": answer},
            **{status: errors[status] for status in (*_GET, "429")},
        },
    }


def _preference(answer: dict[str, Any], errors: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "summary": "Which of two interleaved lists is preferred",
        "description": "Kept like a report. 409: the experiment is randomised.",
        "security": [{"key": ["read"]}],
        "parameters": [_NAME, *_query(schema.PreferenceQuery)],
        "responses": {
            "200": {"description": "The answer.", "content": answer},
            **{status: errors[status] for status in (*_GET, "409", "422", "429")},
        },
    }


def _query(model: type[BaseModel]) -> list[dict[str, Any]]:
    return [
        {
            "name": name,
            "in": "query",
            "required": False,
            "schema": field,
            "example": _QUERY[name],
        }
        for name, field in model.model_json_schema()["properties"].items()
    ]


def _report(answer: dict[str, Any], errors: Mapping[str, Any]) -> dict[str, Any]:
    page = {"text/html": {"schema": {"type": "string"}, "example": "<!doctype html>…"}}
    return {
        "summary": "Who won, by how much, how sure",
        "description": "A report is kept until something new is known, an hour at most; "
        "as_of says of when it is. One is made at a time: 503 while another one is.",
        "security": [{"key": ["read"]}],
        "parameters": [_NAME, *_query(schema.ReportQuery)],
        "responses": {
            "200": {"description": "The answer.", "content": {**answer, **page}},
            **{status: errors[status] for status in (*_GET, "409", "422", "429")},
        },
    }
