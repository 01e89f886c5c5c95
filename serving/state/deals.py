"""Which list gave each product of an interleaved one: on disk before the list is given.

Who shows the list is not told, so that nobody can favour a side. A list changes with
the published version and with events; a click counts for whoever gave the product last
before it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from sqlalchemy import Connection, Engine, insert, select

from serving.state.database import reading, writing
from serving.state.tables import DEALT
from serving.state.tombstones import erased_among

_IDS_AT_ONCE = 500

Origins = Mapping[tuple[str, str], str]
"""Arm that gave a product, by customer and product."""


def record(engine: Engine, experiment: str, dealt: Origins, at: int) -> None:
    """Keeps origins that are new or changed, but of nobody who was erased.

    Args:
        engine: an upgraded database.
        experiment: its name.
        dealt: what is about to be shown.
        at: microseconds since 1970-01-01 UTC.

    Raises:
        StateAwayError: the database cannot be reached; do not give the lists.
    """
    customers = sorted({customer for customer, _ in dealt})
    with reading(engine) as connection:
        if not _new(dealt, _last(connection, experiment, customers)):
            return
    with writing(engine) as connection:
        # Another request may have come first.
        new = _new(dealt, _last(connection, experiment, customers))
        erased = erased_among(connection, customers)
        rows = [
            {
                "experiment": experiment,
                "customer_id": customer,
                "product_id": product,
                "arm": arm,
                "dealt_at": at,
            }
            for (customer, product), arm in new.items()
            if customer not in erased
        ]
        if rows:
            connection.execute(insert(DEALT), rows)


def _new(dealt: Origins, known: Origins) -> Origins:
    return {place: arm for place, arm in dealt.items() if known.get(place) != arm}


def _last(
    connection: Connection, experiment: str, customers: Sequence[str]
) -> dict[tuple[str, str], str]:
    found: dict[tuple[str, str], str] = {}
    columns = (DEALT.c.customer_id, DEALT.c.product_id, DEALT.c.arm)
    for start in range(0, len(customers), _IDS_AT_ONCE):
        query = select(*columns).where(
            DEALT.c.experiment == experiment,
            DEALT.c.customer_id.in_(customers[start : start + _IDS_AT_ONCE]),
        )
        for customer, product, arm in connection.execute(
            query.order_by(DEALT.c.sequence)
        ):
            found[str(customer), str(product)] = str(arm)
    return found
