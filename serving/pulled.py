"""Lists of customers go on record before they are given."""

from __future__ import annotations

from collections.abc import Mapping

from sqlalchemy import Engine

from serving.answering import Answering
from serving.asgi import Call
from serving.auth import away
from serving.published import Published
from serving.state import audits
from serving.state.database import StateAwayError


def record(
    engine: Engine,
    answering: Answering,
    call: Call,
    goal: str,
    asked: Mapping[str, object],
    count: int,
    published: Published,
) -> None:
    """Puts a list on disk before the answer begins.

    Args:
        engine: of the state.
        answering: knows what time it is.
        call: whose it is.
        goal: of the list.
        asked: what else was asked; what is empty is left out.
        count: lines given.
        published: that answers.

    Raises:
        ApiError: 503, the database does not answer.
    """
    said = {k: v for k, v in asked.items() if v not in (None, [], {}) and k != "goal"}
    version = published.version
    try:
        audits.record(engine, answering.now_us(), call.who, goal, said, count, version)
    except StateAwayError:
        raise away() from None
