"""``GET /v1/kpis``: figures of a period, from the sums that were published."""

from __future__ import annotations

from pydantic_core import to_json

from serving.answering import Answering
from serving.asgi import ApiError, Call, Reply, Route, Routes
from serving.insight.figures import KpiError, asked, definitions, lines
from serving.kpis_schema import KpisQuery
from serving.query import parameters_of


class KpiFigures:
    """The endpoint.

    Args:
        answering: from what.
    """

    def __init__(self, answering: Answering) -> None:
        self._from = answering

    @property
    def routes(self) -> Routes:
        """The path."""
        return {
            "/v1/kpis": {
                "GET": Route(self.kpis, "read", in_thread=True, with_call=True)
            }
        }

    def kpis(self, call: Call) -> Reply:
        """``GET /v1/kpis``."""
        query = KpisQuery.model_validate(parameters_of(call.query))
        published = self._from.served()
        kpis = published.kpis
        if kpis is None:
            raise ApiError(
                404, "not_found", "kpis: expected some in this version, got none"
            )
        try:
            question = asked(kpis, query.by, query.period)
        except KpiError as error:
            raise ApiError(422, "invalid", str(error), error.field) from None
        answer = {
            **self._from.head(published),
            "by": query.by,
            "period": question.period,
            "kpis": list(lines(kpis, question)),
            "definitions": definitions(question),
        }
        return Reply(200, to_json(answer))
