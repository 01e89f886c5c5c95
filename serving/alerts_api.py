"""``/v1/alerts``: one feed of what asks for a message, and what became of it."""

from __future__ import annotations

from pydantic_core import to_json
from sqlalchemy import Engine

from features.snapshot import from_us
from serving.alert_ids import read
from serving.alerts import feed, lines, open_again_us, owner
from serving.answering import Answering
from serving.asgi import ApiError, Call, Reply, Route, Routes
from serving.audience_schema import AlertRequest, AlertsQuery
from serving.auth import away
from serving.paging import place_of
from serving.published import Published
from serving.pulled import record
from serving.query import parameters_of
from serving.state import alerts
from serving.state.alerts import BackwardsError, Mark
from serving.state.database import StateAwayError


class Alerts:
    """The endpoints.

    Args:
        answering: from what.
        engine: where it stands what became of alerts, and who pulled them.
    """

    def __init__(self, answering: Answering, engine: Engine) -> None:
        self._from = answering
        self._engine = engine

    @property
    def routes(self) -> Routes:
        """The paths."""
        return {
            "/v1/alerts": {
                "GET": Route(self.alerts, "read", in_thread=True, with_call=True)
            },
            "/v1/alerts/{id}": {
                "POST": Route(self.mark, "write", in_thread=True, with_call=True)
            },
        }

    def alerts(self, call: Call) -> Reply:
        """``GET /v1/alerts``."""
        query = AlertsQuery.model_validate(parameters_of(call.query))
        published = self._from.served()
        marks = self._marks()
        order = query.model_dump(include={"kind", "within_days", "state"})
        place = place_of(published, order, query.cursor)
        kind = None if query.kind == "all" else query.kind
        whole = feed(published, marks, kind, query.within_days)
        wanted = whole.in_state(None if query.state == "all" else query.state)
        # Places are those among all states: a mark moves no line, so that a reader
        # may mark a page before asking for the next one.
        rest = wanted[wanted >= place.offset]
        rows = rest[: query.n]
        page = whole.take(rows)
        record(
            self._engine,
            self._from,
            call,
            f"alerts {query.kind}",
            order,
            len(page),
            published,
        )
        is_end = len(rows) == len(rest)
        end = place if is_end else place.at(int(rows[-1]) + 1)
        answer = {
            **self._from.head(published),
            "kind": query.kind,
            "state": query.state,
            "total": len(wanted),
            "next_cursor": None if is_end else end.cursor(),
            "alerts": lines(published, page),
        }
        return Reply(200, to_json(answer))

    def mark(self, call: Call) -> Reply:
        """``POST /v1/alerts/{id}``."""
        asked = AlertRequest.model_validate_json(call.body)
        published = self._from.served()
        alert, now = call.parameter, self._from.now_us()
        customer_id = self._owner(published, alert)
        if customer_id is None:
            raise _unknown()
        new = Mark(alert, customer_id, asked.state, call.who, now, published.cutoff_us)
        named = read(alert)
        is_health = named is not None and named[0] == "health"
        again = open_again_us(published) if is_health else None
        try:
            found = alerts.mark(self._engine, new, again)
        except BackwardsError as error:
            said = f"expected a state after {error.state}, got {asked.state}"
            raise ApiError(409, "conflict", f"state: {said}", "state") from None
        except StateAwayError:
            raise away() from None
        if found is None:
            raise _unknown()
        at = f"{from_us(found.at).isoformat()}Z"
        return Reply(200, to_json({"id": alert, "state": found.state, "at": at}))

    def _owner(self, published: Published, alert: str) -> str | None:
        """Whose it is; one that was marked before may be of an earlier version."""
        found = owner(published, alert)
        if found is not None or read(alert) is None:
            return found
        marked = {one.alert: one.customer_id for one in self._marks()}
        return marked.get(alert)

    def _marks(self) -> list[Mark]:
        try:
            return alerts.every(self._engine)
        except StateAwayError:
            raise away() from None


def _unknown() -> ApiError:
    return ApiError(
        404,
        "not_found",
        "alert: expected one of the version in force, got another; ask GET /v1/alerts",
    )
