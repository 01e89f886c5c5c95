"""Truths of orders, estimated from the tables alone."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from features.simulate import Truths

Draw = Callable[..., Any]


def test_order_rates_have_the_mean_and_the_shape_of_the_argument(
    few: Truths, draw: Draw
) -> None:
    shop = draw(20_000, replenished_items=0, uplift=0, uplift_spread=0)
    # E[n (n - 1)] = E[rate squared] t squared: the rate's variance without the
    # Poisson noise of the count.
    query = """
        SELECT sum(n) / sum(t), sum(n * (n - 1)) / sum(t * t), corr(n / t, rate)
        FROM (SELECT active_days AS t, unplanned_orders_per_day AS rate,
                     (SELECT count(DISTINCT order_id) FROM purchases p
                      WHERE p.customer_id = c.customer_id) AS n
              FROM true_customers c WHERE active_days > 200)"""
    mean, square, agreement = shop.ask(query)[0]
    assert 30 * mean == pytest.approx(few.orders_per_month, rel=0.04)
    assert mean**2 / (square - mean**2) == pytest.approx(0.9, rel=0.1)
    assert agreement > 0.7


def test_lines_per_order_and_late_share_are_the_arguments(draw: Draw) -> None:
    shop = draw(
        10_000,
        replenished_items=0,
        promotion_effect=1,
        return_rate=0,
        late_share=0.05,
    )
    lines = "count(*) / count(DISTINCT order_id)"
    assert shop.one(f"SELECT {lines} FROM purchases") == pytest.approx(2.2, rel=0.02)
    for table in ("purchases", "browses", "inquiries", "feedback", "touches"):
        share, early = shop.ask(
            "SELECT count(known_at) / count(*), "
            f"count(*) FILTER (WHERE known_at <= ts) FROM {table}",
        )[0]
        assert share == pytest.approx(0.05, abs=0.01)
        assert early == 0


def test_an_order_is_one_customer_one_moment_and_its_returns_come_later(
    drawn: Any,
) -> None:
    query = """
        SELECT max(customers), max(moments), count(*) FILTER (WHERE NOT later) FROM (
            SELECT count(DISTINCT customer_id) AS customers,
                   count(DISTINCT ts) FILTER (WHERE quantity > 0) AS moments,
                   coalesce(min(ts) FILTER (WHERE quantity < 0)
                            > min(ts) FILTER (WHERE quantity > 0), true) AS later
            FROM purchases GROUP BY order_id)"""
    assert drawn.ask(query) == [(1, 1, 0)]
    returned = "avg((quantity < 0)::int) / avg((quantity > 0)::int)"
    share = drawn.one(f"SELECT {returned} FROM purchases")
    # Returns of the last 30 days lie beyond the end: a few are missing.
    assert 0.018 < share < 0.0205
    assert drawn.one(
        "SELECT count(*) FROM feedback WHERE kind = 'return'"
    ) == drawn.one("SELECT count(*) FROM purchases WHERE quantity < 0")


def test_dropout_ends_activity(drawn: Any) -> None:
    query = """
        SELECT count(*) FILTER (WHERE ts >= dropout_at),
               count(*) FILTER (WHERE ts < dropout_at)
        FROM purchases JOIN true_customers USING (customer_id) WHERE quantity > 0"""
    after, before = drawn.ask(query)[0]
    assert after == 0
    assert before > 1000


def test_shorter_lifetimes_leave_fewer_customers_active(draw: Draw) -> None:
    # Active: an order in the last quarter, among those there from the start.
    query = """
        SELECT avg((last >= TIMESTAMP '2023-12-01')::int) FROM (
            SELECT max(ts) AS last FROM purchases JOIN true_customers
            USING (customer_id) WHERE active_from < TIMESTAMP '2023-03-02'
            GROUP BY customer_id)"""
    stay, leave = (
        draw(3000, orders_per_month=2.0, lifetime_days=days).one(query)
        for days in (5000, 150)
    )
    assert stay > 0.8
    assert leave < 0.5


def orders_in_campaigns(shop: Any, among: str = "true") -> tuple[float, float]:
    """Orders of the contacted over those of the held out, per head, and its error.

    Args:
        shop: simulated.
        among: condition on ``true_customers``.

    Returns:
        The ratio, and its standard error by the delta method on counts, half as
        much again because rates differ between customers.
    """
    query = f"""
        WITH contacted AS (
            SELECT customer_id, action = 'sent' AS touched, starts_at, ends_at
            FROM touches JOIN campaigns USING (campaign_id)
            JOIN true_customers USING (customer_id)
            WHERE action IN ('sent', 'held_out') AND {among}),
        counted AS (
            SELECT touched, count(DISTINCT order_id) AS orders
            FROM contacted c LEFT JOIN purchases p ON p.customer_id = c.customer_id
             AND p.ts >= c.starts_at AND p.ts < c.ends_at AND p.quantity > 0
            GROUP BY c.customer_id, c.starts_at, touched)
        SELECT sum(orders), count(*) FROM counted GROUP BY touched ORDER BY touched"""
    (control, left), (treated, sent) = shop.ask(query)
    ratio = (treated / sent) / (control / left)
    return ratio, 1.5 * ratio * (1 / treated + 1 / control) ** 0.5


@pytest.mark.parametrize("uplift", [0.0, 0.5, -0.4])
def test_uplift_is_the_ratio_of_the_contacted_to_the_held_out(
    draw: Draw, uplift: float
) -> None:
    shop = draw(
        10_000,
        orders_per_month=1.0,
        replenished_items=0,
        held_out=0.4,
        campaign_reach=0.6,
        uplift=uplift,
        uplift_spread=0.0,
    )
    ratio, error = orders_in_campaigns(shop)
    assert error < 0.04
    assert ratio == pytest.approx(1 + uplift, abs=4 * error)
    alone = "count(*) FILTER (WHERE action = 'held_out')"
    asked = "count(*) FILTER (WHERE action IN ('held_out', 'sent'))"
    share = shop.one(f"SELECT {alone} / {asked} FROM touches")
    assert share == pytest.approx(0.4, abs=0.01)


@pytest.mark.parametrize(("targeting", "low", "high"), [(0, 0.9, 1.1), (1, 1.5, 2.5)])
def test_campaigns_prefer_who_ordered_of_late(
    draw: Draw, targeting: float, low: float, high: float
) -> None:
    shop = draw(10_000, orders_per_month=1.0, targeting=targeting, held_out=0, uplift=0)
    # Orders in the 90 days before the seventh campaign, of those it reached and of
    # those it did not. Between 1 and 3 orders the odds rise by (1 + orders).
    query = """
        WITH one AS (SELECT campaign_id, starts_at FROM campaigns
            ORDER BY starts_at LIMIT 1 OFFSET 6),
        orders AS (SELECT customer_id, count(DISTINCT order_id) AS n
            FROM purchases, one
            WHERE ts >= starts_at - INTERVAL 90 DAY AND ts < starts_at GROUP BY ALL),
        everyone AS (SELECT DISTINCT customer_id FROM customers, one
            WHERE joined_at < starts_at AND consent),
        reached AS (SELECT DISTINCT customer_id FROM touches JOIN one USING (campaign_id)
            WHERE action = 'sent')
        SELECT avg(coalesce(n, 0)) FILTER (WHERE r.customer_id IS NOT NULL)
            / avg(coalesce(n, 0)) FILTER (WHERE r.customer_id IS NULL)
        FROM everyone LEFT JOIN orders USING (customer_id)
            LEFT JOIN reached r USING (customer_id)"""
    assert low < shop.one(query) < high


def test_customers_with_more_uplift_respond_more(draw: Draw) -> None:
    shop = draw(10_000, orders_per_month=1.0, replenished_items=0, campaign_reach=0.6)
    moments = shop.ask("SELECT avg(uplift), stddev(uplift) FROM true_customers")[0]
    assert moments == pytest.approx((0.2, 0.3), abs=0.02)
    less, _ = orders_in_campaigns(shop, "uplift < 0.2")
    more, _ = orders_in_campaigns(shop, "uplift >= 0.2")
    # Means of the halves of a normal: 0.2 -+ 0.3 * 0.798.
    assert (less, more) == pytest.approx((0.96, 1.44), abs=0.12)


def test_replenished_products_come_back_after_their_cycle(
    few: Truths, draw: Draw
) -> None:
    # No unplanned orders: every gap is one of the cycle.
    shop = draw(5000, orders_per_month=1e-6, replenished_items=2, return_rate=0)
    query = """
        WITH gaps AS (
            SELECT product_id, epoch(ts - lag(ts) OVER (
                PARTITION BY customer_id, product_id ORDER BY ts)) / 86400 AS days
            FROM purchases)
        SELECT cycle_days, median(days), stddev(days), count(days)
        FROM gaps JOIN true_products USING (product_id)
        GROUP BY ALL HAVING count(days) > 300 AND cycle_days < 60"""
    rows = shop.ask(query)
    assert len(rows) > 10
    for cycle, median, spread, _ in rows:
        assert median == pytest.approx(cycle, rel=0.05)
        assert spread == pytest.approx(few.cycle_spread * cycle, rel=0.2)


def test_customers_keep_to_their_products_and_categories(draw: Draw) -> None:
    # Of two lines of one customer, how often is the category the same?
    query = """
        SELECT sum(n * (n - 1)) / sum(n * (lines - 1)) FROM (
            SELECT count(*) AS n,
                   sum(count(*)) OVER (PARTITION BY customer_id) AS lines
            FROM purchases JOIN products USING (product_id)
            GROUP BY customer_id, category)"""
    plain = {"replenished_items": 0, "promotion_effect": 1, "categories": 30}
    by_chance, loyal = (
        draw(3000, loyalty=share, category_focus=share, **plain).one(query)
        for share in (0, 0.5)
    )
    # Half the lines from 6 favourites, half from 3 categories: of two lines, a
    # quarter meet in a sixth, a quarter in a third, the rest by chance.
    assert loyal == pytest.approx(0.125 + 0.875 * by_chance, abs=0.015)


def test_some_customers_have_a_second_period(drawn: Any) -> None:
    query = """
        SELECT avg((n > 1)::int), max(n), count(*) FILTER (WHERE valid_from < joined_at)
        FROM (SELECT *, count(*) OVER (PARTITION BY customer_id) AS n FROM customers)
        WHERE valid_from IS NULL OR valid_from < joined_at"""
    share, most, early = drawn.ask(query)[0]
    assert share == pytest.approx(0.2, abs=0.02)
    assert (most, early) == (2, 0)


def test_nobody_buys_a_second_durable_of_its_kind_while_the_first_lasts(
    draw: Draw,
) -> None:
    shop = draw(5000, durables=0.5, replenished_items=0)
    query = """
        SELECT avg(early::int), count(*) FROM (
            SELECT coalesce(ts < lag(ts + to_days(service_life_days::int)) OVER (
                PARTITION BY customer_id, subcategory ORDER BY ts), false) AS early
            FROM purchases JOIN products USING (product_id)
            WHERE quantity > 0 AND (service_life_days >= 360 OR $all))"""
    early, lines = shop.ask(query.replace("$all", "false"))[0]
    assert lines > 10_000
    assert early < 0.002
    # In a shop whose goods do not last the same customers do buy again.
    early, _ = draw(5000, durables=0, replenished_items=0).ask(
        query.replace("service_life_days::int", "400").replace("$all", "true")
    )[0]
    assert early > 0.1
