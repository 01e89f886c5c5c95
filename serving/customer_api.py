"""``/v1/customers/{id}``: what is published of a customer, and their erasure."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from pydantic_core import to_json
from sqlalchemy import Engine

from serving.asgi import ApiError, Call, Reply, Route, Routes
from serving.auth import away
from serving.customer import page
from serving.erased import Erased
from serving.erasure import receipt, unfit
from serving.published import Published
from serving.state.database import StateAwayError
from serving.state.tombstones import erase


class Customers:
    """The endpoints.

    Args:
        served: the version that answers; raises where there is none.
        current: the version as it was published; None: there is none.
        head: what every answer says of a version.
        engine: where tombstones are.
        erased: of this process.
        now_us: microseconds since 1970-01-01 UTC.
    """

    def __init__(
        self,
        served: Callable[[], Published],
        current: Callable[[], Published | None],
        head: Callable[[Published], Mapping[str, Any]],
        engine: Engine,
        erased: Erased,
        now_us: Callable[[], int],
    ) -> None:
        self._served = served
        self._current = current
        self._head = head
        self._engine = engine
        self._erased = erased
        self._now_us = now_us

    @property
    def routes(self) -> Routes:
        """The path."""
        return {
            "/v1/customers/{id}": {
                "GET": Route(self.customer, "read", with_call=True),
                "DELETE": Route(self.erase, "admin", in_thread=True, with_call=True),
            }
        }

    def customer(self, call: Call) -> Reply:
        """``GET /v1/customers/{id}``."""
        published = self._served()
        row = published.customers.row(call.parameter)
        if row is None:
            raise ApiError(
                404,
                "not_found",
                "customer: expected one with a purchase before the cutoff, got another",
            )
        answer = {**self._head(published), **page(published, row)}
        return Reply(200, to_json(answer))

    def erase(self, call: Call) -> Reply:
        """``DELETE /v1/customers/{id}``; again gives the same tombstone."""
        if said := unfit(call.parameter):
            raise ApiError(422, "invalid", f"id: {said}")
        current = self._current()
        try:
            erasure = erase(self._engine, call.parameter, self._now_us())
        except StateAwayError:
            raise away() from None
        self._erased.refresh(current)
        known = (
            current is not None and current.customers.row(call.parameter) is not None
        )
        return Reply(200, to_json(receipt(erasure, was_published=known)))
