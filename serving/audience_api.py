"""``POST /v1/audiences``: lists of customers, on record."""

from __future__ import annotations

from pydantic_core import to_json
from sqlalchemy import Engine

from features.contracts import SettingError
from serving.answering import Answering
from serving.asgi import ApiError, Call, Reply, Route, Routes
from serving.audience import WITHIN_DAYS, Ask, Ranking, lines, rank
from serving.audience_schema import MAX_PAGE, AudienceRequest
from serving.audience_text import as_csv
from serving.filters import AskError
from serving.paging import Place, place_of
from serving.published import Published
from serving.pulled import record
from serving.reverse import Rows, category_rows, product_rows

CSV = b"text/csv; charset=utf-8"

_ONLY = {
    "horizon_days": "repurchase",
    "within_days": "replenish",
    "product_ids": "product",
    "category": "product",
}
"""Fields of one goal."""


class Audiences:
    """The endpoint.

    Args:
        answering: from what.
        engine: where lists that are pulled go on record.
    """

    def __init__(self, answering: Answering, engine: Engine) -> None:
        self._from = answering
        self._engine = engine

    @property
    def routes(self) -> Routes:
        """The path."""
        return {
            "/v1/audiences": {
                "POST": Route(self.audience, "read", in_thread=True, with_call=True)
            },
        }

    def audience(self, call: Call) -> Reply:
        """``POST /v1/audiences``."""
        asked = AudienceRequest.model_validate_json(call.body)
        _check(asked)
        published = self._from.served()
        order = asked.model_dump(exclude={"n", "format", "cursor", "offers"})
        place = place_of(published, order, asked.cursor)
        try:
            ask = Ask(
                asked.goal,
                {k: [v] if isinstance(v, str) else v for k, v in asked.filters.items()},
                asked.horizon_days,
                WITHIN_DAYS if asked.within_days is None else asked.within_days,
                _products(published, asked),
            )
            ranking = rank(published, ask, place.offset + asked.n)
        except AskError as error:
            raise ApiError(422, "invalid", str(error), error.field) from None
        count = max(len(ranking.customer) - place.offset, 0)
        record(self._engine, self._from, call, asked.goal, order, count, published)
        end = place.moved(count)
        cursor = end.cursor() if end.offset < ranking.total and count else None
        if asked.format == "csv":
            return self._csv(published, ranking, place, asked, cursor)
        answer = {
            **self._from.head(published),
            "goal": asked.goal,
            "score_means": ranking.means,
            "evidence": ranking.evidence,
            "total": ranking.total,
            "next_cursor": cursor,
            "customers": list(lines(published, ranking, place.offset, asked.offers)),
        }
        return Reply(200, to_json(answer))

    def _csv(
        self,
        published: Published,
        ranking: Ranking,
        place: Place,
        asked: AudienceRequest,
        cursor: str | None,
    ) -> Reply:
        """A header, and lines that are made while they are sent."""
        said = {
            "content-disposition": f'attachment; filename="{asked.goal}.csv"',
            "x-model-version": published.model_version,
            "x-snapshot-version": published.version,
            "x-score-means": ranking.means,
            "x-total": str(ranking.total),
            "x-next-cursor": cursor or "",
        }
        if ranking.evidence:
            said["x-enough-evidence"] = str(ranking.evidence.enough).lower()
        headers = tuple((k.encode(), v.encode("latin-1")) for k, v in said.items())
        found = lines(published, ranking, place.offset, asked.offers)
        chunks = as_csv(found, asked.offers)
        return Reply(200, next(chunks), CSV, headers, chunks=chunks)


def _check(asked: AudienceRequest) -> None:
    """Fields that do not go together.

    Raises:
        ApiError: 422, which.
    """
    for name, goal in _ONLY.items():
        given = getattr(asked, name)
        if given not in (None, []) and asked.goal != goal:
            raise _unfit(name, f"expected with goal {goal} only, got {asked.goal}")
    if asked.format == "json" and asked.n > MAX_PAGE:
        raise _unfit(
            "n", f"expected at most {MAX_PAGE} of JSON, got {asked.n}; ask for csv"
        )
    if asked.product_ids and asked.category is not None:
        raise _unfit("category", "expected without product_ids, got both")


def _products(published: Published, asked: AudienceRequest) -> Rows | None:
    """The products of the goal; None: it has none.

    Raises:
        AskError: one is unknown.
    """
    field = "product_ids" if asked.category is None else "category"
    try:
        if asked.category is not None:
            return category_rows(published, asked.category)
        return product_rows(published, asked.product_ids) if asked.product_ids else None
    except SettingError as error:
        raise AskError(field, str(error).partition(": ")[2]) from None


def _unfit(field: str, said: str) -> ApiError:
    return ApiError(422, "invalid", f"{field}: {said}", field)
