"""The statements of ``outcomes``: each makes one temporary table from those before."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from features.sql import identifier, quoted

CUSTOMERS = "outcomes"
DAILY = "outcomes_daily"


@dataclass(frozen=True)
class Window:
    """What counts for whom; see ``outcomes``.

    Attributes:
        as_of: nothing is read that happened or was known at or after it.
        days: length of the window.
        pre_days: covariates are counted so many days back.
        mature: only customers whose window is over. Otherwise the others count with
            what they did so far, and their days to purchase end there.
        strata: columns of ``assignments`` to carry along, as text.
    """

    as_of: datetime
    days: int
    pre_days: int = 90
    mature: bool = True
    strata: tuple[str, ...] = ()


def moment(at: datetime) -> str:
    """The moment as SQL."""
    return f"TIMESTAMP {quoted(at.isoformat(sep=' '))}"


def known(have: set[str], at: datetime, table: str) -> str:
    """Condition on rows that were known before a moment.

    With it a question as of the moment has the same answer whenever it is asked.

    Args:
        have: columns of the table; ``known_at``, null: the same as ``ts``;
            ``known_until``: when another row took the place of this one, null: never.
        at: the moment.
        table: its alias.
    """
    found = ["true"]
    if "known_at" in have:
        found.append(f"coalesce({table}.known_at, {table}.ts) < {moment(at)}")
    if "known_until" in have:
        found.append(f"coalesce({table}.known_until >= {moment(at)}, true)")
    return " AND ".join(found)


def drawn(name: str, have: set[str], window: Window) -> str:
    """A code for each customer drawn before ``as_of``, as first drawn."""
    kept = [f"{identifier(s)}::VARCHAR AS {identifier(s)}" for s in window.strata]
    given = "propensity::DOUBLE" if "propensity" in have else "NULL::DOUBLE"
    where = "AND reason = 'hash'" if "reason" in have else ""
    columns = ", ".join((*kept, f"{given} AS propensity"))
    firsts = ", ".join(
        f"first({c} ORDER BY assigned_at, arm) AS {c}"
        for c in (*map(identifier, window.strata), "propensity", "arm")
    )
    return f"""
        CREATE OR REPLACE TEMP TABLE _drawn AS
        SELECT row_number() OVER ()::INTEGER AS code, * FROM (
            SELECT customer_id, {firsts}, min(assigned_at) AS assigned_at,
                min(arm) <> max(arm) AS crossed
            FROM (
                SELECT customer_id::VARCHAR AS customer_id, arm, assigned_at, {columns}
                FROM {identifier(name)}
                WHERE assigned_at < {moment(window.as_of)} {where}
            ) GROUP BY customer_id
        )"""


def shown(name: str | None, have: set[str], window: Window) -> str:
    """Exposures of drawn customers from their assignment on, each event once."""
    if name is None:
        return _nothing("_shown", "code INTEGER, product_id VARCHAR, ts TIMESTAMP")
    return f"""
        CREATE OR REPLACE TEMP TABLE _shown AS
        SELECT min(code) AS code, min(product_id) AS product_id, min(ts) AS ts FROM (
            SELECT event_id, code, product_id::VARCHAR AS product_id, ts
            FROM {identifier(name)} AS e JOIN _drawn USING (customer_id)
            WHERE ts >= assigned_at AND ts < {moment(window.as_of)}
                AND ts < assigned_at + INTERVAL {window.days} DAY
                AND {known(have, window.as_of, "e")}
        ) GROUP BY event_id"""


def _nothing(table: str, columns: str) -> str:
    return f"CREATE OR REPLACE TEMP TABLE {table} ({columns})"


def begun(window: Window) -> str:
    """Window of each customer who is analysed."""
    end = f"assigned_at + INTERVAL {window.days} DAY"
    where = f"WHERE {end} <= {moment(window.as_of)}" if window.mature else ""
    return f"""
        CREATE OR REPLACE TEMP TABLE _begun AS
        SELECT code, assigned_at AS started_at,
            least({end}, {moment(window.as_of)}) AS ends_at
        FROM _drawn {where}"""


def lines(name: str, have: set[str], window: Window) -> str:
    """Order lines of analysed customers from ``pre_days`` before their window."""
    # A line that came as an event may have come twice.
    once = """
        QUALIFY event_id IS NULL OR 1 = row_number() OVER (
            PARTITION BY event_id ORDER BY p.ts, order_id, product_id, amount)"""
    lines = f"""
        SELECT code, order_id::VARCHAR AS order_id, product_id::VARCHAR AS product_id,
            p.ts, quantity > 0 AS sold, amount::DOUBLE AS amount,
            p.ts >= started_at AS counts
        FROM {identifier(name)} AS p JOIN _drawn USING (customer_id)
            JOIN _begun USING (code)
        WHERE p.ts < ends_at AND p.ts >= started_at - INTERVAL {window.pre_days} DAY
            AND {known(have, window.as_of, "p")}
        {once if "event_id" in have else ""}"""
    return f"CREATE OR REPLACE TEMP TABLE _lines AS {lines}"


def clicked(name: str | None, have: set[str], window: Window) -> str:
    """Exposures that were clicked, with the moment of their first click."""
    if name is None:
        return _nothing("_clicked", "code INTEGER, shown_at TIMESTAMP, ts TIMESTAMP")
    return f"""
        CREATE OR REPLACE TEMP TABLE _clicked AS
        WITH clicks AS (
            SELECT min(code) AS code, min(product_id) AS product_id, min(ts) AS ts
            FROM (
                SELECT event_id, code, product_id::VARCHAR AS product_id, ts
                FROM {identifier(name)} AS e JOIN _drawn USING (customer_id)
                WHERE {known(have, window.as_of, "e")}
            ) GROUP BY event_id
        ), seen AS (
            SELECT code, product_id, ts AS shown_at
            FROM _shown SEMI JOIN clicks USING (code, product_id)
        )
        SELECT c.code, s.shown_at, min(c.ts) AS ts
        FROM clicks AS c ASOF JOIN seen AS s
            ON c.code = s.code AND c.product_id = s.product_id AND c.ts >= s.shown_at
            JOIN _begun AS b ON b.code = c.code
        WHERE s.shown_at >= b.started_at AND c.ts < b.ends_at
        GROUP BY c.code, c.product_id, s.shown_at"""


def first_seen() -> str:
    """When a customer first saw a product that they bought in their window."""
    return """
        CREATE OR REPLACE TEMP TABLE _first_seen AS
        SELECT code, product_id, min(s.ts) AS seen_at
        FROM _shown AS s JOIN _begun USING (code)
            SEMI JOIN (SELECT code, product_id FROM _lines WHERE sold AND counts) AS l
            ON s.code = l.code AND s.product_id = l.product_id
        WHERE s.ts >= started_at AND s.ts < ends_at
        GROUP BY code, product_id"""


_NET = """
    SELECT code, product_id, bought_at, paid,
        paid + greatest(coalesce(back, 0), -paid) AS net
    FROM (
        SELECT code, product_id, min(ts) FILTER (sold) AS bought_at,
            sum(amount) FILTER (sold) AS paid,
            sum(amount) FILTER (NOT sold AND ts >= first_at) AS back
        FROM (
            SELECT *, min(CASE WHEN sold THEN ts END)
                OVER (PARTITION BY code, product_id) AS first_at
            FROM _lines WHERE counts
        ) GROUP BY code, product_id
    ) WHERE bought_at IS NOT NULL"""
"""Per customer and product: paid in the window, less what came back of it."""


def daily() -> str:
    """What each customer did on each day of their window."""
    # Whole microseconds: exact, and quicker than intervals.
    day = "((epoch_us({at}) - epoch_us(started_at)) // 86400000000)::INTEGER"
    return f"""
        CREATE OR REPLACE TEMP TABLE {DAILY} AS
        WITH rows AS (
            SELECT code, {day.format(at="s.ts")} AS day, 1 AS exposures,
                0 AS clicks, 0 AS orders, 0.0 AS revenue, 0 AS bought
            FROM _shown AS s JOIN _begun USING (code)
            WHERE s.ts >= started_at AND s.ts < ends_at
            UNION ALL
            SELECT code, {day.format(at="c.ts")}, 0, 1, 0, 0, 0
            FROM _clicked AS c JOIN _begun USING (code)
            UNION ALL
            SELECT code, {day.format(at="ordered_at")}, 0, 0, 1, 0,
                (row_number() OVER (PARTITION BY code ORDER BY ordered_at) = 1)::INTEGER
            FROM (
                SELECT code, order_id, min(ts) AS ordered_at FROM _lines
                WHERE sold AND counts GROUP BY code, order_id
            ) JOIN _begun USING (code)
            UNION ALL
            SELECT code, {day.format(at="bought_at")}, 0, 0, 0, net, 0
            FROM ({_NET}) JOIN _begun USING (code)
        )
        SELECT code AS customer, arm, day, e.exposures, e.clicks, e.orders, e.revenue,
            e.bought
        FROM (
            SELECT code, day, sum(exposures)::INTEGER AS exposures,
                sum(clicks)::INTEGER AS clicks, sum(orders)::INTEGER AS orders,
                sum(revenue) AS revenue, sum(bought)::INTEGER AS bought
            FROM rows GROUP BY code, day
        ) AS e JOIN _drawn USING (code)"""


def customers(window: Window) -> str:
    """All customers who are analysed, with what they did and had done."""
    strata = "".join(f"{identifier(s)}, " for s in window.strata)
    whole = "epoch(ends_at - started_at) / 86400"
    return f"""
        CREATE OR REPLACE TEMP TABLE {CUSTOMERS} AS
        WITH done AS (
            SELECT customer AS code, sum(exposures)::INTEGER AS exposures,
                sum(clicks)::INTEGER AS clicks, sum(orders)::INTEGER AS orders,
                sum(revenue) AS revenue
            FROM {DAILY} GROUP BY customer
        ), lines AS (
            SELECT code,
                min(ts) FILTER (counts AND sold) AS bought_at,
                count(DISTINCT order_id) FILTER (NOT counts AND sold) AS pre_orders,
                sum(amount) FILTER (NOT counts) AS pre_revenue,
                bool_or(counts AND sold AND seen_at <= ts) AS converted
            FROM _lines LEFT JOIN _first_seen USING (code, product_id)
            GROUP BY code
        )
        SELECT d.customer_id, arm, started_at, {strata} propensity,
            coalesce(exposures, 0) AS exposures, coalesce(clicks, 0) AS clicks,
            coalesce(converted, false)::INTEGER AS converted,
            (coalesce(orders, 0) > 0)::INTEGER AS bought,
            coalesce(orders, 0) AS orders, coalesce(revenue, 0.0) AS revenue,
            coalesce(epoch(bought_at - started_at) / 86400, {whole})
                AS days_to_purchase,
            coalesce(pre_orders, 0)::INTEGER AS pre_orders,
            (coalesce(pre_orders, 0) > 0)::INTEGER AS pre_bought,
            coalesce(pre_revenue, 0.0) AS pre_revenue
        FROM _drawn AS d JOIN _begun USING (code)
            LEFT JOIN lines USING (code) LEFT JOIN done USING (code)"""
