"""What every endpoint answers from: the version in force and what came since."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from pydantic_core import to_json

from features.snapshot import to_us
from serving.asgi import ApiError
from serving.erased import Erased
from serving.follow import Follower
from serving.live import Live
from serving.published import Published
from serving.state.log import LogRow

_DAY = 86_400.0
_HOLDS_SECONDS = 0.04


def utc_now() -> datetime:
    """Naive UTC."""
    return datetime.now(UTC).replace(tzinfo=None)


class Answering:
    """The version in force, without those who were erased, and the events since.

    Args:
        live: what answers.
        follower: what came since.
        erased: who is in no answer.
        now: naive UTC; the age of the snapshot depends on it, and how long ago events
            were.
    """

    def __init__(
        self,
        live: Live,
        follower: Follower,
        erased: Erased,
        now: Callable[[], datetime] = utc_now,
    ) -> None:
        self.live = live
        self.erased = erased
        self.now = now
        self._follower = follower
        self._said: tuple[Published | None, float, bytes] = (None, 0.0, b"")

    def now_us(self) -> int:
        """Microseconds since 1970-01-01 UTC."""
        return to_us(self.now())

    def served(self) -> Published:
        """The version that answers.

        Raises:
            ApiError: 503, there is none.
        """
        self.live.poll()
        published = self.live.current
        if published is None:
            said = self.live.problem or "nothing is published"
            raise ApiError(503, "not_ready", said)
        return self.erased.seen(published)

    def since(self, customer_id: str) -> list[LogRow] | None:
        """What a customer did since about the cutoff; None: nothing, or erased."""
        rows = self._follower.of(customer_id)
        # Held events outlive the erasure in memory: nobody may be told of them.
        return None if rows is None or self.erased.has(customer_id) else rows

    def head(self, published: Published) -> dict[str, Any]:
        """What every answer says of its version."""
        age = (self.now() - published.cutoff).total_seconds() / _DAY
        return {
            "model_version": published.model_version,
            "snapshot": {
                "version": published.version,
                "cutoff": f"{published.cutoff.isoformat()}Z",
                "age_days": round(age, 6),
            },
        }

    def opening(self, published: Published) -> bytes:
        """The head as the beginning of a JSON object.

        Kept for so long as the age in it, which has six digits of a day, stays true.
        """
        now, (of, since, said) = time.monotonic(), self._said
        if of is not published or now - since > _HOLDS_SECONDS:
            said = to_json(self.head(published))[:-1]
            self._said = (published, now, said)
        return said
