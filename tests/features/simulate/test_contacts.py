"""Truths of contacts and answers, estimated from the tables alone."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from scipy import stats

Draw = Callable[..., Any]

PRESALE = """
    WITH asked AS (SELECT customer_id, ts FROM inquiries WHERE kind = 'presale'),
    ordered AS (SELECT DISTINCT customer_id, order_id, ts FROM purchases
                JOIN true_customers USING (customer_id)
                WHERE quantity > 0 AND asks_before_buying
                  AND ts >= active_from + INTERVAL 28 DAY)
    SELECT count(a.ts) FILTER (WHERE a.ts >= o.ts - INTERVAL 14 DAY)
             / count(DISTINCT order_id),
           count(a.ts) FILTER (WHERE a.ts < o.ts - INTERVAL 14 DAY)
             / count(DISTINCT order_id)
    FROM ordered o LEFT JOIN asked a ON a.customer_id = o.customer_id
     AND a.ts < o.ts AND a.ts >= o.ts - INTERVAL 28 DAY"""
"""Presale contacts per order, in the fortnight before it and the one before that."""


@pytest.mark.parametrize("contacts", [0.0, 2.0, 4.0])
def test_presale_contacts_rise_in_the_fortnight_before_an_order(
    draw: Draw, contacts: float
) -> None:
    # Orders are rare, so that the fortnights of two of them seldom meet.
    shop = draw(
        20_000,
        orders_per_month=0.08,
        order_rate_shape=5.0,
        replenished_items=0,
        asking_share=0.5,
        presale_contacts=contacts,
        uplift=0,
        uplift_spread=0,
    )
    before, earlier = shop.ask(PRESALE)[0]
    assert before - earlier == pytest.approx(contacts, abs=0.04 + 0.06 * contacts)
    assert earlier < 0.15 + 0.1 * contacts


def test_customers_browse_what_they_are_about_to_buy(drawn: Any) -> None:
    # The same product: in the week before its order, and the week after.
    query = """
        SELECT count(*) FILTER (WHERE b.ts < p.ts), count(*) FILTER (WHERE b.ts > p.ts)
        FROM purchases p JOIN browses b USING (customer_id, product_id)
        WHERE quantity > 0 AND abs(epoch(b.ts - p.ts)) < 7 * 86400"""
    before, after = drawn.ask(query)[0]
    assert before > 4 * after
    carts = """
        SELECT avg((NOT EXISTS (SELECT 1 FROM purchases p
            WHERE p.customer_id = b.customer_id AND p.product_id = b.product_id
              AND p.ts >= b.ts))::int)
        FROM browses b WHERE kind = 'cart'"""
    assert 0.05 < drawn.one(carts) < 0.95


def test_worse_service_is_slower_resolves_less_and_loses_customers(draw: Draw) -> None:
    answers = """
        SELECT median(response_seconds), avg(resolved::int),
               avg((kind = 'complaint')::int)
        FROM inquiries JOIN true_customers USING (customer_id)
        GROUP BY service_quality > 0.5 ORDER BY service_quality > 0.5"""
    lost = """
        SELECT count(dropout_at) / sum(active_days) FROM true_customers
        GROUP BY service_quality > 0.5 ORDER BY service_quality > 0.5"""
    shop = draw(5000, service_dropout=4.0)
    (slow, unresolved, complaints), (quick, resolved, fewer) = shop.ask(answers)
    assert slow > 2 * quick
    assert resolved > unresolved + 0.1
    assert complaints > fewer
    (often,), (seldom,) = shop.ask(lost)
    assert often / seldom > 2
    (often,), (seldom,) = draw(5000, service_dropout=1.0).ask(lost)
    assert often / seldom == pytest.approx(1, abs=0.15)


def test_happy_customers_score_higher(drawn: Any) -> None:
    query = """
        SELECT min(low), max(high), min(agrees) FROM (
            SELECT kind, min(score) AS low, max(score) AS high,
                   corr(score, service_quality) AS agrees
            FROM feedback JOIN true_customers USING (customer_id)
            WHERE score IS NOT NULL GROUP BY kind)"""
    low, high, agrees = drawn.ask(query)[0]
    assert (low, high) == (0, 10)
    assert agrees > 0.3


def test_customers_answer_a_campaign_after_it_was_sent_and_while_they_stay(
    drawn: Any,
) -> None:
    query = """
        SELECT count(*), count(*) FILTER (WHERE s.ts IS NULL OR t.ts < s.ts),
               count(*) FILTER (WHERE t.ts >= dropout_at)
        FROM touches t LEFT JOIN touches s ON s.customer_id = t.customer_id
         AND s.campaign_id = t.campaign_id AND s.action = 'sent'
        JOIN true_customers c ON c.customer_id = t.customer_id
        WHERE t.action NOT IN ('sent', 'held_out')"""
    answers, early, gone = drawn.ask(query)[0]
    assert answers > 1000
    assert (early, gone) == (0, 0)
    named = """
        SELECT count(*) FROM purchases p ANTI JOIN touches t
        ON t.customer_id = p.customer_id AND t.campaign_id = p.campaign_id
         AND t.action = 'redeemed' AND t.ts = p.ts
        WHERE campaign_id IS NOT NULL AND quantity > 0"""
    assert drawn.one(named) == 0


@pytest.mark.parametrize("uplift", [2.0, -1.0])
@pytest.mark.parametrize("table", ["browses", "inquiries"])
def test_a_campaign_moves_contacts_from_its_start_on(
    draw: Draw, uplift: float, table: str
) -> None:
    shop = draw(
        10_000,
        seed=1,
        campaigns=1,
        orders_per_month=2.0,
        replenished_items=0,
        presale_contacts=3.0,
        held_out=0.5,
        campaign_reach=0.8,
        uplift=uplift,
        uplift_spread=0.0,
    )

    def arms(days: int) -> tuple[Any, Any]:
        """Contacts of each customer contacted, and of each held out.

        In ``days`` from the start on, or before it where they are negative.
        """
        first, last = sorted((0, days))
        query = f"""
            SELECT action, count(c.ts)
            FROM touches t JOIN campaigns USING (campaign_id)
            LEFT JOIN {table} c ON c.customer_id = t.customer_id
             AND c.ts >= starts_at + INTERVAL ({first}) DAY
             AND c.ts < starts_at + INTERVAL ({last}) DAY
            WHERE action IN ('sent', 'held_out')
            GROUP BY action, t.customer_id"""
        counts = shop.ask(query)
        sent, held_out = (
            [n for action, n in counts if action == name]
            for name in ("sent", "held_out")
        )
        return sent, held_out

    before = stats.ttest_ind(*arms(-10), equal_var=False)
    after = stats.ttest_ind(*arms(10), equal_var=False)
    assert abs(before.statistic) < 3
    assert after.statistic * np.sign(uplift) > 4
