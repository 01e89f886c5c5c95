"""``/v1/propensity``: outlooks as published, or as of now where something came since."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pydantic_core import to_json

from serving.answering import Answering
from serving.asgi import Later, Reply, Route, Routes
from serving.drift import Answers
from serving.metrics import Metrics
from serving.outlook import Outlook, Told, live_outlooks, published_outlook, told
from serving.published import Published
from serving.schema import PropensityRequest

_PATH = "/v1/propensity"


class Outlooks:
    """The endpoint.

    Args:
        answering: from what.
        metrics: told how many customers are known.

    Attributes:
        scores: that were answered.
    """

    def __init__(self, answering: Answering, metrics: Metrics) -> None:
        self._from = answering
        self._metrics = metrics
        self.scores = Answers()

    @property
    def routes(self) -> Routes:
        """The path."""
        return {_PATH: {"POST": Route(self.propensity, "read")}}

    def propensity(self, body: bytes) -> Reply | Later:
        """``POST /v1/propensity``; what has to be computed is, in a thread."""
        asked = PropensityRequest.model_validate_json(body)
        published = self._from.served()
        changed = self._changed(published, asked.customer_ids)
        if changed:
            now_us = self._from.now_us()
            return lambda: self._outlooks(
                published, asked, live_outlooks(published, changed, now_us), changed
            )
        return self._outlooks(published, asked, [], [])

    def _changed(self, published: Published, customer_ids: list[str]) -> list[Told]:
        """Customers whose outlook is no longer the published one."""
        found: dict[str, Told] = {}
        for customer_id in customer_ids:
            rows = self._from.since(customer_id)
            one = None if rows is None else told(published, customer_id, rows)
            if one is not None:
                found[customer_id] = one
        return list(found.values())

    def _outlooks(
        self,
        published: Published,
        asked: PropensityRequest,
        live: Sequence[Outlook | None],
        changed: Sequence[Told],
    ) -> Reply:
        horizon = asked.horizon_days or published.horizon_days
        fresh = {one.customer_id: new for one, new in zip(changed, live, strict=True)}
        outlooks: list[dict[str, Any]] = []
        chances: list[float] = []
        at = published.horizon_days - 1
        for customer_id in asked.customer_ids:
            outlook = fresh.get(customer_id)
            if outlook is None:
                row = published.customers.row(customer_id)
                outlook = None if row is None else published_outlook(published, row)
            if outlook is None:
                outlooks.append(_cold(customer_id))
                continue
            outlooks.append(outlook.answer(published, customer_id, horizon))
            chances.append(float(outlook.curve[at]))
        self.scores.add(published.version, published.curve[:, at], chances)
        known = len(chances)
        self._metrics.customers(_PATH, known, len(outlooks) - known)
        return Reply(
            200,
            b'%b,"horizon_days":%d,"tag_horizon_days":%d,"propensities":%b}'
            % (
                self._from.opening(published),
                horizon,
                published.horizon_days,
                to_json(outlooks),
            ),
        )


def _cold(customer_id: str) -> dict[str, Any]:
    """The outlook of a customer without a purchase."""
    return {
        "customer_id": customer_id,
        "cold_start": True,
        "probability": None,
        "tag": None,
        "expected_next_at": None,
        "reasons": [],
    }
