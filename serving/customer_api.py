"""``/v1/customers/{id}``: what is published of a customer, and their erasure."""

from __future__ import annotations

from pydantic_core import to_json
from sqlalchemy import Engine

from serving.answering import Answering
from serving.asgi import ApiError, Call, Reply, Route, Routes
from serving.auth import away
from serving.customer import page
from serving.erasure import receipt, unfit
from serving.insight_page import radar_of
from serving.published import Published
from serving.state.database import StateAwayError
from serving.state.tombstones import erase

SVG = b"image/svg+xml"


class Customers:
    """The endpoints.

    Args:
        answering: from what.
        engine: where tombstones are.
    """

    def __init__(self, answering: Answering, engine: Engine) -> None:
        self._from = answering
        self._engine = engine

    @property
    def routes(self) -> Routes:
        """The path."""
        return {
            "/v1/customers/{id}": {
                "GET": Route(self.customer, "read", with_call=True),
                "DELETE": Route(self.erase, "admin", in_thread=True, with_call=True),
            },
            "/v1/customers/{id}/radar": {
                "GET": Route(self.radar, "read", in_thread=True, with_call=True)
            },
        }

    def customer(self, call: Call) -> Reply:
        """``GET /v1/customers/{id}``."""
        published = self._from.served()
        row = _row(published, call.parameter)
        answer = {**self._from.head(published), **page(published, row)}
        return Reply(200, to_json(answer))

    def radar(self, call: Call) -> Reply:
        """``GET /v1/customers/{id}/radar``."""
        published = self._from.served()
        row = _row(published, call.parameter)
        if published.insight is None:
            raise ApiError(
                404, "not_found", "radar: expected health in this version, got none"
            )
        # Late: the library that draws takes a second to load.
        from serving.insight.radar import radar_svg

        return Reply(200, radar_svg(*radar_of(published.insight, row)).encode(), SVG)

    def erase(self, call: Call) -> Reply:
        """``DELETE /v1/customers/{id}``; again gives the same tombstone."""
        if said := unfit(call.parameter):
            raise ApiError(422, "invalid", f"id: {said}")
        current = self._from.live.current
        try:
            erasure = erase(self._engine, call.parameter, self._from.now_us())
        except StateAwayError:
            raise away() from None
        self._from.erased.refresh(current)
        known = (
            current is not None and current.customers.row(call.parameter) is not None
        )
        return Reply(200, to_json(receipt(erasure, was_published=known)))


def _row(published: Published, customer_id: str) -> int:
    row = published.customers.row(customer_id)
    if row is None:
        raise ApiError(
            404,
            "not_found",
            "customer: expected one with a purchase before the cutoff, got another",
        )
    return row
