"""``/v1/recommendations``: lists as bytes, mostly straight from the mapped arrays."""

from __future__ import annotations

from pydantic_core import to_json

from serving.answering import Answering
from serving.asgi import ApiError, Reply, Route, Routes
from serving.fresh import lately_of, view_of
from serving.metrics import Metrics
from serving.published import Published
from serving.recommend import listed, written
from serving.rules import RuleError, Rules
from serving.schema import RecommendationsRequest
from serving.wishes import Wishes, wishes

_PATH = "/v1/recommendations"
_PLAIN = {"customer_ids", "n", "list_", "available_only"}
"""Fields of a request for lists without filters and rules."""


class Lists:
    """The endpoint.

    Args:
        answering: from what.
        metrics: told how many customers are known.
    """

    def __init__(self, answering: Answering, metrics: Metrics) -> None:
        self._from = answering
        self._metrics = metrics
        self._asked: tuple[Published | None, dict[tuple[int, str, bool], Wishes]]
        self._asked = (None, {})

    @property
    def routes(self) -> Routes:
        """The path."""
        return {_PATH: {"POST": Route(self.recommendations, "read")}}

    def recommendations(self, body: bytes) -> Reply:
        """``POST /v1/recommendations``."""
        asked = RecommendationsRequest.model_validate_json(body)
        published = self._from.served()
        ask = self._wishes(published, asked)
        lists: list[bytes] = []
        cold = 0
        for customer_id in asked.customer_ids:
            items = self._items(published, customer_id, ask)
            is_cold = items is None
            cold += is_cold
            lists.append(
                b'{"customer_id":%b,"cold_start":%b,"items":%b}'
                % (
                    to_json(customer_id),
                    b"true" if is_cold else b"false",
                    to_json(listed(None, ask)) if items is None else items,
                )
            )
        self._metrics.customers(_PATH, len(lists) - cold, cold)
        return Reply(
            200,
            b'%b,"list":"%b","recommendations":[%b]}'
            % (
                self._from.opening(published),
                asked.list_.encode(),
                b",".join(lists),
            ),
        )

    def _wishes(self, published: Published, asked: RecommendationsRequest) -> Wishes:
        """What is asked for; requests without filters and rules share theirs."""
        if not asked.model_fields_set <= _PLAIN:
            return _wishes(published, asked)
        if self._asked[0] is not published:
            self._asked = (published, {})
        kept = self._asked[1]
        key = (asked.n, asked.list_, asked.available_only)
        if key not in kept:
            kept[key] = _wishes(published, asked)
        return kept[key]

    def _items(
        self, published: Published, customer_id: str, ask: Wishes
    ) -> bytes | None:
        """The list of a customer as JSON; None: nothing is known of them."""
        row, lately = published.customers.row(customer_id), None
        rows = self._from.since(customer_id)
        if rows is not None:
            lately = lately_of(published, rows, self._from.now_us())
        elif row is not None:
            items = written(published, row, ask)
            if items is not None:
                return items
        view = view_of(published, row, lately)
        return None if view is None else to_json(listed(view, ask))


def _wishes(published: Published, asked: RecommendationsRequest) -> Wishes:
    try:
        return wishes(
            published,
            asked.n,
            asked.list_,
            asked.categories,
            (*asked.exclude_product_ids, *asked.in_cart_product_ids),
            available_only=asked.available_only,
            rules=Rules(
                asked.max_per_category,
                asked.diversity,
                asked.weight_by,
                asked.min_new_arrivals,
                asked.new_arrival_days,
                asked.new_share,
            ),
        )
    except RuleError as error:
        raise ApiError(422, "invalid", str(error), error.field) from None
