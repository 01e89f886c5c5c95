"""Pages of a list: a cursor names the version, so that none mixes two of them."""

from __future__ import annotations

import base64
import hashlib
import json
from dataclasses import dataclass

from serving.asgi import ApiError
from serving.published import Published


@dataclass(frozen=True)
class Place:
    """A place in a list.

    Attributes:
        version: that answers.
        erased: customers of it who were erased: with one more, places move.
        asked: hash of what was asked for.
        offset: lines before it.
    """

    version: str
    erased: int
    asked: str
    offset: int

    def moved(self, lines: int) -> Place:
        """The place so many lines on."""
        return self.at(self.offset + lines)

    def at(self, offset: int) -> Place:
        """Another place in the same list."""
        return Place(self.version, self.erased, self.asked, offset)

    def cursor(self) -> str:
        """The place as a text for the next request."""
        parts = [self.version, self.erased, self.asked, self.offset]
        return base64.urlsafe_b64encode(json.dumps(parts).encode()).decode()


def place_of(published: Published, asked: object, cursor: str | None) -> Place:
    """Where a page begins.

    Args:
        published: the version to answer from.
        asked: all that decides which lines there are and in which order, as JSON.
        cursor: of the page before; None: the first page.

    Raises:
        ApiError: 409, the list is no longer the one of the cursor; 422, it is no
            cursor, or one of another question.
    """
    text = json.dumps(asked, sort_keys=True, default=list).encode()
    digest = hashlib.sha256(text).hexdigest()[:16]
    first = Place(published.version, published.erased, digest, 0)
    if cursor is None:
        return first
    place = _read(cursor)
    if place.asked != digest:
        raise _unfit("that of the same goal, filters and further fields, got another")
    if (place.version, place.erased) != (first.version, first.erased):
        raise ApiError(
            409,
            "list_changed",
            f"cursor: expected one of the list in force, {first.version}, got that of "
            "an earlier list; begin again without a cursor",
            "cursor",
        )
    return place


def _read(cursor: str) -> Place:
    try:
        found: object = json.loads(base64.urlsafe_b64decode(cursor.encode()))
    except ValueError:
        found = None
    match found:
        case [str(version), int(erased), str(asked), int(offset)] if offset >= 0:
            return Place(version, erased, asked, offset)
        case _:
            raise _unfit("the next_cursor of an answer, got another text")


def _unfit(said: str) -> ApiError:
    return ApiError(422, "invalid", f"cursor: expected {said}", "cursor")
