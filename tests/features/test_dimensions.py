"""Features that join tables or sum by code equal their SQL at every cutoff."""

from __future__ import annotations

from collections import defaultdict
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pytest

from features.assemble import assemble
from features.engine import Tables

CUTOFFS = tuple(datetime(2024, 3, 2) + timedelta(days=60 * i) for i in range(5))

CARTS = (
    "SELECT b.customer_id, b.ts, b.rowid AS id FROM browses b JOIN purchases p "
    "ON p.customer_id = b.customer_id AND p.product_id = b.product_id "
    "AND p.quantity >= 0 AND p.ts >= b.ts AND p.ts < b.ts + INTERVAL 30 DAY "
    "WHERE b.kind = 'cart'"
)
REPEATS = (
    "SELECT l.customer_id, l.ts, l.rowid AS id FROM purchases l JOIN purchases e "
    "ON e.customer_id = l.customer_id AND e.product_id = l.product_id "
    "AND e.ts < l.ts AND e.quantity >= 0 WHERE l.quantity >= 0"
)
AFTER_PRESALE = (
    "SELECT p.customer_id, p.ts, p.order_id AS id FROM purchases p JOIN inquiries i "
    "ON i.customer_id = p.customer_id AND i.kind = 'presale' "
    "AND i.ts <= p.ts AND i.ts >= p.ts - INTERVAL 14 DAY WHERE p.quantity >= 0"
)
RESPONSE = "action IN ('clicked', 'redeemed', 'attended')"
ANSWERED = (
    "SELECT s.customer_id, s.ts, s.rowid AS id FROM touches s JOIN touches r "
    "ON r.customer_id = s.customer_id AND r.campaign_id = s.campaign_id "
    f"AND r.{RESPONSE} AND r.ts >= s.ts AND r.ts < s.ts + INTERVAL 30 DAY "
    "WHERE s.action = 'sent'"
)
COUPONS = (
    "SELECT customer_id, ts, campaign_id AS id FROM touches JOIN campaigns "
    "USING (campaign_id) WHERE kind = 'coupon' AND action = 'sent' "
    "AND starts_at < {cutoff}"
)
BY_ORDER = (
    "SELECT customer_id, order_id, sum(amount) AS paid FROM purchases "
    "WHERE quantity >= 0 GROUP BY ALL"
)


def distinct(rows: str, days: int | None = None) -> str:
    inside = f"ts >= {{cutoff}} - INTERVAL {days} DAY" if days else "true"
    return (
        f"SELECT customer_id, count(DISTINCT id) FILTER ({inside}) "
        f"FROM ({rows}) GROUP BY ALL"
    )


ORACLE = {
    "bought_carts_count_90d": distinct(CARTS, 90),
    "bought_carts_count_30d": distinct(CARTS, 30),
    "repeats_count": distinct(REPEATS),
    "repeats_count_90d": distinct(REPEATS, 90),
    "orders_after_presale_count": distinct(AFTER_PRESALE),
    "answered_sent_count_90d": distinct(ANSWERED, 90),
    "coupon_campaigns_sent_distinct": distinct(COUPONS),
    "order_amount_max": f"SELECT customer_id, max(paid) FROM ({BY_ORDER}) GROUP BY ALL",
    "order_amount_spread": (
        f"SELECT customer_id, stddev_samp(paid) FROM ({BY_ORDER}) GROUP BY ALL"
    ),
    "sent_since_last_response": (
        "SELECT customer_id, count(*) FROM touches t WHERE action = 'sent' AND "
        f"NOT EXISTS (FROM touches r WHERE r.customer_id = t.customer_id AND r.{RESPONSE}"
        " AND r.ts >= t.ts) GROUP BY ALL"
    ),
}


@pytest.fixture(scope="module")
def wide(shop_dir: Path) -> pa.Table:
    with Tables(shop_dir) as tables:
        return assemble(tables.history(datetime(2025, 1, 1)), CUTOFFS)


@pytest.mark.parametrize("feature", ORACLE)
def test_feature_equals_sql_over_what_was_known(
    feature: str, wide: pa.Table, shop_tables: dict[str, pa.Table]
) -> None:
    rows = defaultdict[datetime, list[dict[str, Any]]](list)
    for row in wide.select(["customer_id", "cutoff", feature]).to_pylist():
        rows[row["cutoff"]].append(row)
    found_any = 0.0
    for cutoff in CUTOFFS:
        at = f"TIMESTAMP '{cutoff}'"
        with duckdb.connect(config={"threads": 1}) as db:
            for name in ("purchases", "browses", "inquiries", "touches"):
                db.register(f"all_{name}", shop_tables[name])
                db.execute(
                    f"CREATE TABLE {name} AS FROM all_{name} "
                    f"WHERE ts < {at} AND coalesce(known_at, ts) < {at}"
                )
            db.register("campaigns", shop_tables["campaigns"])
            query = ORACLE[feature].format(cutoff=at)
            expected = dict(db.execute(query).fetchall())
        for row in rows[cutoff]:
            customer, value = row["customer_id"], row[feature]
            if "order_amount" in feature:
                assert value == pytest.approx(expected[customer]), (cutoff, customer)
            else:
                assert value == expected.get(customer, 0), (cutoff, customer)
            found_any += value or 0
    assert found_any > 0
