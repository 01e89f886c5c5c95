"""Features equal SQL that was written by hand, dimension by dimension.

The SQL is an oracle and lives in this test only: window functions and filters over
the rows known before one cutoff, null and zero as the catalogue says.
"""

from __future__ import annotations

import math
from collections.abc import Generator, Mapping
from datetime import datetime
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from features.assemble import FEATURES, assemble
from features.engine import Tables

CUTOFFS = (
    datetime(2024, 4, 3),
    datetime(2024, 7, 15, 13, 30),
    datetime(2024, 10, 1),
    datetime(2024, 12, 30, 23, 59, 59, 999_999),
)
EVENTS = ("purchases", "browses", "inquiries", "feedback", "touches")

VIEWS = """
CREATE OR REPLACE VIEW catalogue AS SELECT product_id, category, brand FROM products
  QUALIFY row_number() OVER (PARTITION BY product_id ORDER BY launched_at NULLS FIRST) = 1;
CREATE OR REPLACE VIEW lines AS FROM known_purchases;
CREATE OR REPLACE VIEW bought AS FROM lines WHERE quantity >= 0;
CREATE OR REPLACE VIEW spine AS SELECT DISTINCT customer_id FROM bought;
CREATE OR REPLACE VIEW orders AS
  SELECT customer_id, order_id, max(age) AS age, min(ts) AS ts, sum(amount) AS amount,
         sum(quantity) AS quantity
  FROM bought GROUP BY ALL;
CREATE OR REPLACE VIEW days AS
  SELECT customer_id, ts::DATE AS day, max(age) AS age FROM bought GROUP BY ALL;
CREATE OR REPLACE VIEW gaps AS
  SELECT *, lag(age) OVER (PARTITION BY customer_id ORDER BY age DESC) - age AS gap
  FROM days;
CREATE OR REPLACE VIEW gaps_90d AS
  SELECT *, lag(age) OVER (PARTITION BY customer_id ORDER BY age DESC) - age AS gap
  FROM days WHERE age <= 90;
"""

PURCHASE = """
WITH of_orders AS (
  SELECT customer_id,
    min(age) AS days_since_last_order,
    max(age) AS days_since_first_order,
    count(*) AS orders_count,
    count(*) FILTER (age <= 7) AS orders_count_7d,
    count(*) FILTER (age <= 30) AS orders_count_30d,
    count(*) FILTER (age <= 90) AS orders_count_90d,
    count(*) FILTER (age <= 365) AS orders_count_365d,
    sum(0.5 ** (age / 21)) AS orders_decay_h21d,
    avg((isodow(ts) >= 6)::INT) AS weekend_orders_share,
    avg((hour(ts) < 12)::INT) AS morning_orders_share,
    avg((hour(ts) < 6)::INT) AS night_orders_share,
    max(amount) AS order_amount_max,
    stddev_samp(amount) AS order_amount_spread,
    avg(quantity) AS order_quantity_mean,
    3 * orders_count_30d / nullif(orders_count_90d, 0) AS orders_trend_30d_90d
  FROM orders GROUP BY ALL),
of_days AS (
  SELECT customer_id,
    count(*) AS days_count,
    count(*) FILTER (age <= 30) AS days_count_30d,
    sum(0.5 ** (age / 35)) AS days_decay_h35d,
    avg(gap) AS days_gap_mean,
    median(gap) AS days_gap_median,
    max(gap) AS days_gap_max,
    stddev_samp(gap) AS days_gap_spread,
    arg_min(gap, age) FILTER (gap IS NOT NULL) AS days_gap_last,
    count(DISTINCT floor((age - 1e-11) / 7)) FILTER (age <= 28) AS weeks_active_28d
  FROM gaps GROUP BY ALL),
of_days_90d AS (
  SELECT customer_id, avg(gap) AS days_gap_mean_90d, median(gap) AS days_gap_median_90d
  FROM gaps_90d GROUP BY ALL),
of_lines AS (
  SELECT customer_id,
    sum(amount) AS spend_sum,
    coalesce(sum(amount) FILTER (age <= 30), 0) AS spend_sum_30d,
    sum(amount * 0.5 ** (age / 60)) AS spend_decay_h60d,
    coalesce(sum(quantity) FILTER (age <= 90), 0) AS quantity_sum_90d,
    count(*) FILTER (quantity < 0) AS returned_lines_count,
    min(age) FILTER (quantity < 0) AS days_since_last_returned_line,
    coalesce(sum(amount) FILTER (quantity < 0 AND age <= 90), 0) AS returned_sum_90d,
    coalesce(sum(list_amount), 0) AS listed_sum,
    1 - sum(amount) FILTER (list_amount IS NOT NULL) / nullif(sum(list_amount), 0)
      AS discount_share
  FROM lines GROUP BY ALL),
of_bought AS (
  SELECT customer_id,
    count(*) AS lines_count,
    count(*) FILTER (age <= 7) AS lines_count_7d,
    count(*) FILTER (age <= 90) AS lines_count_90d,
    avg(amount) AS line_amount_mean,
    stddev_samp(amount) AS line_amount_spread,
    max(amount) AS line_amount_max,
    count(DISTINCT product_id) AS products_distinct,
    count(DISTINCT product_id) FILTER (age <= 90) AS products_distinct_90d,
    count(DISTINCT category) FILTER (age <= 30) AS categories_distinct_30d,
    count(DISTINCT brand) AS brands_distinct,
    avg((amount < list_amount)::INT) AS discounted_lines_share,
    products_distinct_90d / nullif(lines_count_90d, 0) AS variety_90d
  FROM bought LEFT JOIN catalogue USING (product_id) GROUP BY ALL),
top AS (
  SELECT customer_id, max(n) / sum(n) AS product_top_share FROM (
    SELECT customer_id, product_id, count(*) AS n FROM bought GROUP BY ALL) GROUP BY ALL),
repeats AS (
  SELECT customer_id, min(age) AS days_since_last_repeat, count(*) AS n,
    count(*) FILTER (age <= 90) AS n_90d
  FROM bought AS l WHERE EXISTS (
    FROM bought AS o WHERE o.customer_id = l.customer_id
      AND o.product_id = l.product_id AND o.ts < l.ts)
  GROUP BY ALL)
SELECT * EXCLUDE (n, n_90d), coalesce(n, 0) AS repeats_count,
  coalesce(n_90d, 0) AS repeats_count_90d,
  coalesce(n, 0) / lines_count AS repeat_share,
  days_since_last_order / nullif(days_gap_mean, 0) AS overdue_mean,
  days_since_last_order - days_gap_mean AS overdue_days,
  spend_sum / orders_count AS order_amount_mean
FROM spine LEFT JOIN of_orders USING (customer_id) LEFT JOIN of_days USING (customer_id)
LEFT JOIN of_days_90d USING (customer_id) LEFT JOIN of_lines USING (customer_id)
LEFT JOIN of_bought USING (customer_id) LEFT JOIN top USING (customer_id)
LEFT JOIN repeats USING (customer_id)
"""

BROWSE = """
WITH rows AS (
  SELECT *, EXISTS (
    FROM bought AS l WHERE l.customer_id = b.customer_id AND l.product_id = b.product_id
      AND l.ts >= b.ts AND l.ts < b.ts + INTERVAL 30 DAY) AS is_bought
  FROM known_browses AS b LEFT JOIN catalogue USING (product_id))
SELECT customer_id,
  min(age) AS days_since_last_browse,
  min(age) FILTER (kind = 'cart') AS days_since_last_cart,
  count(age) AS browses_count,
  count(*) FILTER (age <= 7) AS browses_count_7d,
  count(*) FILTER (age <= 90) AS browses_count_90d,
  count(*) FILTER (kind = 'view' AND age <= 30) AS views_count_30d,
  count(*) FILTER (kind = 'search' AND age <= 90) AS searches_count_90d,
  count(*) FILTER (kind = 'favourite' AND age <= 90) AS favourites_count_90d,
  coalesce(sum(dwell_seconds) FILTER (age <= 30), 0) AS dwell_sum_30d,
  avg(dwell_seconds) FILTER (age <= 90) AS dwell_mean_90d,
  count(DISTINCT product_id) FILTER (age <= 30) AS browsed_products_distinct_30d,
  count(DISTINCT category) FILTER (age <= 90) AS browsed_categories_distinct_90d,
  coalesce(sum(0.5 ** (age / 7)), 0) AS browses_decay_h7d,
  count(*) FILTER (kind = 'cart' AND is_bought AND age <= 90) AS bought_carts_count_90d,
  count(*) FILTER (kind = 'view' AND is_bought AND age <= 90) AS bought_views_count_90d,
  count(*) FILTER (kind = 'cart' AND age <= 90) AS carts_count_90d,
  carts_count_90d - bought_carts_count_90d AS unfinished_carts_count_90d,
  bought_carts_count_90d / nullif(carts_count_90d, 0) AS bought_carts_share_90d
FROM spine LEFT JOIN rows USING (customer_id) GROUP BY ALL
"""

INQUIRY = """
WITH rows AS (
  SELECT *, EXISTS (
    FROM bought AS l WHERE l.customer_id = i.customer_id
      AND l.ts >= i.ts AND l.ts < i.ts + INTERVAL 14 DAY) AS is_followed
  FROM known_inquiries AS i),
after AS (
  SELECT customer_id, min(age) AS days_since_last_order_after_presale, count(*) AS n
  FROM orders AS o WHERE EXISTS (
    FROM rows WHERE rows.customer_id = o.customer_id AND kind = 'presale'
      AND rows.ts <= o.ts AND rows.ts >= o.ts - INTERVAL 14 DAY)
  GROUP BY ALL)
SELECT customer_id,
  min(age) AS days_since_last_inquiry,
  min(age) FILTER (kind = 'complaint') AS days_since_last_complaint,
  count(age) AS inquiries_count,
  count(*) FILTER (age <= 14) AS inquiries_count_14d,
  count(*) FILTER (kind = 'presale' AND age <= 30) AS presales_count_30d,
  count(*) FILTER (kind = 'service') AS services_count,
  count(*) FILTER (kind = 'complaint') AS complaints_count,
  count(*) FILTER (resolved = false) AS unresolved_count,
  avg(resolved::INT) AS resolved_share,
  avg(response_seconds) AS response_mean,
  max(response_seconds) FILTER (age <= 90) AS response_max_90d,
  arg_min(response_seconds, age) FILTER (response_seconds IS NOT NULL) AS response_last,
  coalesce(sum(0.5 ** (age / 14)), 0) AS inquiries_decay_h14d,
  count(*) FILTER (kind = 'presale' AND is_followed AND age <= 90)
    AS presales_before_order_count_90d,
  complaints_count / nullif(inquiries_count, 0) AS complaint_share,
  any_value(days_since_last_order_after_presale) AS days_since_last_order_after_presale,
  coalesce(any_value(n), 0) AS orders_after_presale_count
FROM spine LEFT JOIN rows USING (customer_id) LEFT JOIN after USING (customer_id)
GROUP BY ALL
"""

FEEDBACK = """
SELECT customer_id,
  min(age) AS days_since_last_feedback,
  count(age) AS feedbacks_count,
  count(*) FILTER (age <= 90) AS feedbacks_count_90d,
  arg_min(score, age) FILTER (kind = 'nps' AND score IS NOT NULL) AS nps_last,
  avg(score) FILTER (kind = 'nps') AS nps_mean,
  avg(score) FILTER (kind = 'csat') AS csat_mean,
  arg_min(score, age) FILTER (kind = 'ces' AND score IS NOT NULL) AS ces_last,
  avg(score) FILTER (kind = 'rating' AND age <= 90) AS rating_mean_90d,
  count(*) FILTER (kind = 'rating') AS ratings_count,
  count(*) FILTER (kind = 'return' AND age <= 90) AS returns_count_90d,
  min(age) FILTER (kind = 'referral') AS days_since_last_referral,
  count(*) FILTER (kind = 'suggestion') AS suggestions_count,
  count(*) FILTER (kind = 'share') AS shares_count,
  avg((score >= 9)::INT) FILTER (kind = 'nps') AS promoter_share,
  avg((score <= 6)::INT) FILTER (kind = 'nps') AS detractor_share,
  nps_last - nps_mean AS nps_trend
FROM spine LEFT JOIN known_feedback USING (customer_id) GROUP BY ALL
"""

CAMPAIGN = """
WITH rows AS (
  SELECT *, action IN ('clicked', 'redeemed', 'attended') AS is_response, EXISTS (
    FROM known_touches AS r WHERE r.customer_id = t.customer_id
      AND r.campaign_id = t.campaign_id AND r.action IN ('clicked', 'redeemed', 'attended')
      AND r.ts >= t.ts AND r.ts < t.ts + INTERVAL 30 DAY) AS is_answered
  FROM known_touches AS t
  LEFT JOIN (SELECT campaign_id, kind FROM campaigns WHERE starts_at < {cutoff})
  USING (campaign_id)),
offers AS (
  SELECT customer_id, avg(CASE WHEN campaign_id IS NOT NULL THEN 1 ELSE (amount < list_amount)::INT END)
    AS offer_lines_share
  FROM bought GROUP BY ALL),
campaign_orders AS (
  SELECT customer_id, min(age) AS days_since_last_campaign_order, count(*) AS n FROM (
    SELECT customer_id, order_id, max(age) AS age FROM bought
    WHERE campaign_id IS NOT NULL GROUP BY ALL) GROUP BY ALL)
SELECT customer_id,
  min(age) FILTER (action = 'sent') AS days_since_last_sent,
  count(*) FILTER (action = 'sent') AS sent_count,
  count(*) FILTER (action = 'sent' AND age <= 30) AS sent_count_30d,
  count(*) FILTER (action = 'opened' AND age <= 90) AS opened_count_90d,
  count(*) FILTER (action = 'clicked') AS clicked_count,
  count(*) FILTER (action = 'redeemed') AS redeemed_count,
  count(*) FILTER (action = 'attended') AS attended_count,
  count(*) FILTER (action = 'held_out') AS held_out_count,
  count(DISTINCT campaign_id) FILTER (action = 'sent') AS campaigns_sent_distinct,
  min(age) FILTER (is_response) AS days_since_last_response,
  count(*) FILTER (is_response AND age <= 90) AS responses_count_90d,
  count(*) FILTER (action = 'sent' AND is_answered AND age <= 90)
    AS answered_sent_count_90d,
  count(*) FILTER (action = 'opened') / nullif(sent_count, 0) AS opened_share,
  count(DISTINCT campaign_id) FILTER (action = 'sent' AND kind = 'coupon')
    AS coupon_campaigns_sent_distinct,
  count(DISTINCT campaign_id) FILTER (is_response AND kind = 'gift')
    AS gift_campaigns_answered_distinct,
  any_value(offer_lines_share) AS offer_lines_share,
  any_value(days_since_last_campaign_order) AS days_since_last_campaign_order,
  coalesce(any_value(n), 0) AS campaign_orders_count
FROM spine LEFT JOIN rows USING (customer_id) LEFT JOIN offers USING (customer_id)
LEFT JOIN campaign_orders USING (customer_id) GROUP BY ALL
"""

PROFILE = """
WITH rows AS (
  SELECT *, greatest(valid_from, joined_at) AS known FROM customers
  QUALIFY row_number() OVER (
    PARTITION BY customer_id, valid_from ORDER BY known NULLS FIRST) = 1),
visible AS (
  SELECT *,
    lag(member_tier) OVER w AS tier_before, lag(points_balance) OVER w AS points_before,
    row_number() OVER w AS place
  FROM rows WHERE coalesce(known < {cutoff}, true)
  WINDOW w AS (PARTITION BY customer_id ORDER BY valid_from NULLS FIRST)),
changed AS (
  SELECT *, sum((place > 1 AND member_tier IS DISTINCT FROM tier_before)::INT)
    OVER (PARTITION BY customer_id ORDER BY place) AS tier_changes_count
  FROM visible
  QUALIFY row_number() OVER (PARTITION BY customer_id ORDER BY place DESC) = 1)
SELECT customer_id, segment, region, member_tier, preferred_channel, points_balance,
  acquisition_cost, tier_changes_count, household_size, diet,
  epoch_us({cutoff} - joined_at) / 86400e6 AS tenure_days,
  epoch_us({cutoff} - birthday) / 86400e6 / 365.25 AS age_years,
  epoch_us({cutoff} - valid_from) / 86400e6 AS days_since_profile_change,
  CASE WHEN place IS NOT NULL THEN coalesce(consent, true)::INT END AS consent,
  CASE WHEN place IS NOT NULL THEN (member_tier IS NOT NULL)::INT END AS is_member,
  points_balance - points_before AS points_change
FROM spine LEFT JOIN changed USING (customer_id)
"""

QUERIES = {
    "purchase": PURCHASE,
    "browse": BROWSE,
    "inquiry": INQUIRY,
    "feedback": FEEDBACK,
    "campaign": CAMPAIGN,
    "profile": PROFILE,
}


@pytest.fixture(scope="module", params=range(4))
def drawn(
    request: pytest.FixtureRequest, shop_tables: Mapping[str, pa.Table]
) -> dict[str, pa.Table]:
    """A part of the shop's rows; many more of the events known late."""
    random = np.random.default_rng(request.param)
    tables = dict(shop_tables)
    for name in (*EVENTS, "customers"):
        keep = random.random(tables[name].num_rows) < random.uniform(0.5, 1.0)
        tables[name] = tables[name].filter(pa.array(keep))
    n = tables["feedback"].num_rows
    scores = pa.array(random.integers(0, 11, n) * 1.0, mask=random.random(n) < 0.2)
    tables["feedback"] = tables["feedback"].drop_columns("score")
    tables["feedback"] = tables["feedback"].append_column("score", scores)
    for name in EVENTS:
        table = tables[name]
        ts = table.column("ts").cast(pa.int64()).to_numpy()
        late = random.integers(0, 60 * 86_400, len(ts)) * 1_000_000
        known = pa.array(ts + late, mask=random.random(len(ts)) < 0.6)
        at = table.column_names.index("known_at")
        times = known.cast(pa.timestamp("us"))
        tables[name] = table.set_column(at, "known_at", times)
    return tables


@pytest.fixture(scope="module")
def oracle(
    drawn: dict[str, pa.Table],
) -> Generator[duckdb.DuckDBPyConnection]:
    with duckdb.connect(config={"threads": 1}) as db:
        for name, table in drawn.items():
            db.register(name, table)
        yield db


def asked(
    db: duckdb.DuckDBPyConnection, query: str, cutoff: datetime
) -> dict[str, dict[str, Any]]:
    """By customer, the columns of the query over what was known before the cutoff."""
    moment = f"TIMESTAMP '{cutoff}'"
    for name in EVENTS:
        db.execute(
            f"CREATE OR REPLACE VIEW known_{name} AS SELECT *, "
            f"epoch_us({moment} - ts) / 86400e6 AS age FROM {name} "
            f"WHERE ts < {moment} AND coalesce(known_at, ts) < {moment}"
        )
    db.execute(VIEWS)
    rows = db.execute(query.format(cutoff=moment)).to_arrow_table().to_pylist()
    return {row.pop("customer_id"): row for row in rows}


@pytest.fixture(scope="module")
def made(
    drawn: dict[str, pa.Table], tmp_path_factory: pytest.TempPathFactory
) -> pa.Table:
    folder = tmp_path_factory.mktemp("oracle")
    for name, table in drawn.items():
        pq.write_table(table, folder / f"{name}.parquet")
    with Tables(folder, threads=1) as tables:
        return assemble(tables.history(CUTOFFS[-1]), CUTOFFS)


@pytest.mark.parametrize("dimension", QUERIES)
def test_features_equal_sql_at_every_cutoff(
    oracle: duckdb.DuckDBPyConnection, made: pa.Table, dimension: str
) -> None:
    for cutoff in CUTOFFS:
        expected = asked(oracle, QUERIES[dimension], cutoff)
        rows = made.filter(pa.array([c == cutoff for c in made["cutoff"].to_pylist()]))
        found = {row["customer_id"]: row for row in rows.to_pylist()}
        assert found.keys() == expected.keys()
        wrong = {
            (name, found[customer][name], value)
            for customer, row in expected.items()
            for name, value in row.items()
            if not _is_same(found[customer][name], value)
        }
        assert wrong == set()


def _is_same(found: Any, expected: Any) -> bool:
    if found is None or expected is None or isinstance(found, str):
        return found == expected
    return math.isclose(found, float(expected), rel_tol=1e-9, abs_tol=1e-9)


@pytest.mark.parametrize("dimension", QUERIES)
def test_oracle_knows_a_good_share_of_every_dimension(
    oracle: duckdb.DuckDBPyConnection, dimension: str
) -> None:
    rows = asked(oracle, QUERIES[dimension], CUTOFFS[-1])
    columns = {name for row in rows.values() for name in row}
    ours = {f.name for f in FEATURES if f.dimension == dimension}
    assert len(columns & ours) >= 0.25 * len(ours)
    assert columns - ours <= {"household_size", "diet"}
    # Something else than nulls and zeros in every column.
    assert {n for row in rows.values() for n, v in row.items() if v} == columns
