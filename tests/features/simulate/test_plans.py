"""Truths of products and plans, estimated from the tables alone."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import numpy as np
import pytest

from features.simulate import Truths

Draw = Callable[..., Any]

SOLD = """
    WITH promoted AS (SELECT product_id, starts_at, ends_at FROM promotions),
    weeks AS (SELECT DISTINCT starts_at, ends_at FROM promotions
              WHERE starts_at >= TIMESTAMP '2023-03-06'
                AND ends_at <= TIMESTAMP '2024-03-01'),
    cells AS (
        SELECT w.starts_at, product_id, p.product_id IS NOT NULL AS on_offer
        FROM weeks w CROSS JOIN products LEFT JOIN promoted p USING (starts_at, product_id)
        WHERE launched_at IS NULL AND service_life_days IS NULL),
    sales AS (SELECT date_trunc('week', ts) AS starts_at, product_id, count(*) AS sold
              FROM purchases WHERE quantity > 0 GROUP BY ALL),
    rates AS (SELECT product_id, avg(coalesce(sold, 0)) FILTER (WHERE on_offer) AS with_it,
                     avg(coalesce(sold, 0)) FILTER (WHERE NOT on_offer) AS without
              FROM cells LEFT JOIN sales USING (starts_at, product_id) GROUP BY product_id)
    SELECT sum(with_it) / sum(without) FROM rates WHERE with_it IS NOT NULL"""
"""Sales in weeks on promotion over sales in the other weeks, product by product."""


@pytest.mark.parametrize("effect", [1.0, 3.0])
def test_promotion_multiplies_sales(draw: Draw, effect: float) -> None:
    shop = draw(10_000, promotion_effect=effect, orders_per_month=1.5, durables=0)
    assert shop.one(SOLD) == pytest.approx(effect, rel=0.1)


def test_promotions_are_known_before_they_start(drawn: Any) -> None:
    lead = "min(starts_at - known_at), min(ends_at - starts_at)"
    week = timedelta(days=7)
    assert drawn.ask(f"SELECT {lead} FROM promotions") == [(week, week)]


def test_better_picks_sell_better(draw: Draw) -> None:
    query = """
        SELECT count(*) / (SELECT count(*) FROM picks) FROM picks
        JOIN campaigns USING (campaign_id) JOIN purchases p
          ON p.product_id = picks.product_id
         AND p.ts >= starts_at AND p.ts < ends_at"""
    worst, middle, best = (
        draw(1000, pick_quality=quality).one(query) for quality in (0.0, 0.5, 1.0)
    )
    assert worst * 1.2 < middle < best / 1.1


def test_best_picks_are_the_best_sellers(draw: Draw) -> None:
    query = """
        WITH best AS (SELECT product_id FROM true_products
                      JOIN products USING (product_id) WHERE launched_at IS NULL
                      ORDER BY sold_per_customer_day DESC LIMIT 10)
        SELECT count(*) FROM picks SEMI JOIN best USING (product_id)"""
    assert draw(100, pick_quality=1.0).one(query) > 0.9 * 12 * 10


def test_popularity_follows_the_exponent(few: Truths, drawn: Any) -> None:
    query = "SELECT unplanned_share FROM true_products ORDER BY 1 DESC"
    shares = np.array([row[0] for row in drawn.ask(query)])
    slope = np.polyfit(np.log(np.arange(1, 61)), np.log(shares), 1)[0]
    assert slope == pytest.approx(-few.popularity_exponent, abs=1e-6)


def test_nothing_sells_before_its_launch(drawn: Any) -> None:
    query = """
        SELECT count(*) FILTER (WHERE ts < launched_at), count(*)
        FROM purchases JOIN products USING (product_id) WHERE launched_at IS NOT NULL"""
    early, sold = drawn.ask(query)[0]
    assert early == 0
    assert sold > 0
