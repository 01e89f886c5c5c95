"""Every truth of the simulated shop, estimated from its tables alone."""

from __future__ import annotations

import errno
import json
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from features.contracts import TABLES, SettingError
from features.engine import Tables
from features.simulate import TRUTHS, Truths, shop, simulate, truths_of
from features.simulate.calendar import calendar_of

FEW = Truths(
    products=60,
    categories=6,
    picks_per_campaign=10,
    promoted_products=0.1,
    start=datetime(2023, 3, 1),
    end=datetime(2024, 3, 1),
    campaigns=12,
)
"""A year of a small range: enough rows per product at few customers."""


def ask(folder: Path, query: str) -> list[tuple[Any, ...]]:
    """Rows of a query over the tables, and the truths as ``true_…``."""
    with duckdb.connect(config={"threads": 1}) as db:
        for file in folder.glob("*.parquet"):
            db.execute(f"CREATE VIEW {file.stem} AS FROM '{file}'")
        for file in (folder / TRUTHS).glob("*.parquet"):
            db.execute(f"CREATE VIEW true_{file.stem} AS FROM '{file}'")
        return db.execute(query).fetchall()


def one(folder: Path, query: str) -> float:
    return float(ask(folder, query)[0][0])


Draw = Callable[..., Path]


@pytest.fixture
def draw(tmp_path: Path) -> Draw:
    def call(customers: int, seed: int = 0, **truths: object) -> Path:
        out = tmp_path / f"shop{len(list(tmp_path.iterdir()))}"
        changed = FEW.model_copy(update=truths)
        simulate(out, customers, changed, seed=seed)
        return out

    return call


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """20,000 customers under the truths of ``FEW``; read only."""
    out = tmp_path_factory.mktemp("simulated") / "shop"
    simulate(out, 20_000, FEW, seed=1)
    return out


def bytes_of(folder: Path) -> dict[str, bytes]:
    files = (file for file in folder.rglob("*") if file.is_file())
    return {str(file.relative_to(folder)): file.read_bytes() for file in files}


# -- files ---------------------------------------------------------------------


def test_same_seed_same_bytes_and_another_seed_others(draw: Draw) -> None:
    first, again, other = (bytes_of(draw(300, seed)) for seed in (7, 7, 8))
    assert first == again
    assert set(first) == set(other)
    # Campaigns lie on the calendar; their costs are drawn.
    assert all(first[name] != other[name] for name in first)


def test_two_processes_write_the_bytes_of_one(tmp_path: Path) -> None:
    customers = shop.CHUNK + 500
    small = FEW.model_copy(update={"orders_per_month": 0.1, "replenished_items": 0.1})
    for processes in (1, 2):
        simulate(tmp_path / str(processes), customers, small, processes=processes)
    assert bytes_of(tmp_path / "1") == bytes_of(tmp_path / "2")


def test_all_ten_tables_keep_the_contract(drawn: Path) -> None:
    with Tables(drawn) as tables:
        assert tables.quarantined == {table.name: 0 for table in TABLES}
        first, last = tables.first_and_last_purchase()
    assert FEW.start <= first < FEW.start + timedelta(hours=12)
    assert FEW.end - timedelta(hours=12) < last < FEW.end
    arguments = json.loads((drawn / TRUTHS / "truths.json").read_text())
    assert (arguments.pop("customers"), arguments.pop("seed")) == (20_000, 1)
    assert Truths.model_validate(arguments) == FEW


@pytest.mark.parametrize("table", ["purchases", "browses", "inquiries", "feedback"])
def test_events_lie_in_the_span_between_joining_and_the_end(
    drawn: Path, table: str
) -> None:
    low, high, early = ask(
        drawn,
        f"SELECT min(ts), max(ts), count(*) FILTER (WHERE ts < active_from) "
        f"FROM {table} JOIN true_customers USING (customer_id)",
    )[0]
    assert low >= FEW.start
    assert high < FEW.end
    assert early == 0


def test_ids_are_padded_to_the_size_of_the_shop(draw: Draw) -> None:
    folder = draw(11)
    ids = ask(folder, "SELECT DISTINCT customer_id FROM customers ORDER BY 1")
    assert [ids[0][0], ids[-1][0], len(ids)] == ["c0000000", "c0000010", 11]
    assert one(folder, "SELECT max(length(product_id)) FROM purchases") == 5


def test_columns_are_plain_text_and_naive_microseconds(drawn: Path) -> None:
    schema = pq.read_schema(drawn / "purchases.parquet")
    assert schema.field("order_id").type == pa.string()
    assert schema.field("ts").type == pa.timestamp("us")


def test_an_order_is_one_customer_one_moment_and_its_returns_come_later(
    drawn: Path,
) -> None:
    query = """
        SELECT max(customers), max(moments), count(*) FILTER (WHERE NOT later) FROM (
            SELECT count(DISTINCT customer_id) AS customers,
                   count(DISTINCT ts) FILTER (WHERE quantity > 0) AS moments,
                   coalesce(min(ts) FILTER (WHERE quantity < 0)
                            > min(ts) FILTER (WHERE quantity > 0), true) AS later
            FROM purchases GROUP BY order_id)"""
    assert ask(drawn, query) == [(1, 1, 0)]
    returned = "avg((quantity < 0)::int) / avg((quantity > 0)::int)"
    share = one(drawn, f"SELECT {returned} FROM purchases")
    # Returns of the last 30 days lie beyond the end: a few are missing.
    assert 0.018 < share < 0.0205
    assert one(drawn, "SELECT count(*) FROM feedback WHERE kind = 'return'") == one(
        drawn, "SELECT count(*) FROM purchases WHERE quantity < 0"
    )


def test_a_used_folder_is_refused_and_stays(tmp_path: Path) -> None:
    (tmp_path / "mine").write_text("kept")
    with pytest.raises(SettingError, match=r"^--out: expected a new or empty folder"):
        simulate(tmp_path, 10, FEW)
    assert [path.name for path in tmp_path.iterdir()] == ["mine"]


def test_a_run_that_breaks_off_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(plan: shop.Plan, number: int) -> dict[str, pa.Table]:
        raise KeyboardInterrupt

    monkeypatch.setattr(shop, "chunk_of", broken)
    with pytest.raises(KeyboardInterrupt):
        simulate(tmp_path / "shop", 10, FEW)
    assert list(tmp_path.iterdir()) == []


def test_a_full_disk_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(plan: shop.Plan, number: int) -> dict[str, pa.Table]:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(shop, "chunk_of", full)
    said = (
        r"^--out: expected a folder .* \(No space left on device\); choose another one$"
    )
    with pytest.raises(SettingError, match=said):
        simulate(tmp_path / "shop", 10, FEW)
    assert list(tmp_path.iterdir()) == []


def test_two_chunks_are_in_memory_at_most(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # One is let go while the next is drawn; more of them would pile up.
    monkeypatch.setattr(shop, "CHUNK", 40)
    alive, most = [0], [0]
    draw_chunk = shop.chunk_of

    class Watched(dict[str, pa.Table]):
        def __init__(self, tables: Mapping[str, pa.Table]) -> None:
            super().__init__(tables)
            alive[0] += 1
            most[0] = max(most[0], alive[0])

        def __del__(self) -> None:
            alive[0] -= 1

    monkeypatch.setattr(shop, "chunk_of", lambda *plan: Watched(draw_chunk(*plan)))
    simulate(tmp_path / "shop", 400, FEW)
    assert pq.ParquetFile(tmp_path / "shop/purchases.parquet").num_row_groups == 10
    assert most[0] == 2


def test_processes_run_one_chunk_ahead_at_most(monkeypatch: pytest.MonkeyPatch) -> None:
    submitted: list[int] = []

    class Pool:
        def __init__(self, *_: object, **__: object) -> None: ...

        def __enter__(self) -> Pool:
            return self

        def __exit__(self, *_: object) -> None: ...

        def submit(self, _: object, plan: shop.Plan, number: int) -> Future[int]:
            submitted.append(number)
            future: Future[int] = Future()
            future.set_result(number)
            return future

    monkeypatch.setattr(shop, "ProcessPoolExecutor", Pool)
    plan = shop.Plan(FEW, customers=9 * shop.CHUNK + 1, seed=0)
    ahead = [len(submitted) - int(number) for number in shop.chunks_of(plan, 3)]
    assert submitted == list(range(10))
    assert max(ahead) == 3 + 1


# -- truths --------------------------------------------------------------------


def test_order_rates_have_the_mean_and_the_shape_of_the_argument(draw: Draw) -> None:
    folder = draw(20_000, replenished_items=0, uplift=0, uplift_spread=0)
    # E[n (n - 1)] = E[rate squared] t squared: the rate's variance without the
    # Poisson noise of the count.
    query = """
        SELECT sum(n) / sum(t), sum(n * (n - 1)) / sum(t * t), corr(n / t, rate)
        FROM (SELECT active_days AS t, unplanned_orders_per_day AS rate,
                     (SELECT count(DISTINCT order_id) FROM purchases p
                      WHERE p.customer_id = c.customer_id) AS n
              FROM true_customers c WHERE active_days > 200)"""
    mean, square, agreement = ask(folder, query)[0]
    assert 30 * mean == pytest.approx(FEW.orders_per_month, rel=0.04)
    assert mean**2 / (square - mean**2) == pytest.approx(0.9, rel=0.1)
    assert agreement > 0.7


def test_lines_per_order_and_late_share_are_the_arguments(draw: Draw) -> None:
    folder = draw(
        10_000,
        replenished_items=0,
        promotion_effect=1,
        return_rate=0,
        late_share=0.05,
    )
    lines = "count(*) / count(DISTINCT order_id)"
    assert one(folder, f"SELECT {lines} FROM purchases") == pytest.approx(2.2, rel=0.02)
    for table in ("purchases", "browses", "inquiries", "feedback", "touches"):
        share, early = ask(
            folder,
            "SELECT count(known_at) / count(*), "
            f"count(*) FILTER (WHERE known_at <= ts) FROM {table}",
        )[0]
        assert share == pytest.approx(0.05, abs=0.01)
        assert early == 0


def test_dropout_ends_activity(drawn: Path) -> None:
    query = """
        SELECT count(*) FILTER (WHERE ts >= dropout_at),
               count(*) FILTER (WHERE ts < dropout_at)
        FROM purchases JOIN true_customers USING (customer_id) WHERE quantity > 0"""
    after, before = ask(drawn, query)[0]
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
        one(draw(3000, orders_per_month=2.0, lifetime_days=days), query)
        for days in (5000, 150)
    )
    assert stay > 0.8
    assert leave < 0.5


def test_worse_service_is_slower_resolves_less_and_loses_customers(draw: Draw) -> None:
    answers = """
        SELECT median(response_seconds), avg(resolved::int),
               avg((kind = 'complaint')::int)
        FROM inquiries JOIN true_customers USING (customer_id)
        GROUP BY service_quality > 0.5 ORDER BY service_quality > 0.5"""
    lost = """
        SELECT count(dropout_at) / sum(active_days) FROM true_customers
        GROUP BY service_quality > 0.5 ORDER BY service_quality > 0.5"""
    folder = draw(5000, service_dropout=4.0)
    (slow, unresolved, complaints), (quick, resolved, fewer) = ask(folder, answers)
    assert slow > 2 * quick
    assert resolved > unresolved + 0.1
    assert complaints > fewer
    (often,), (seldom,) = ask(folder, lost)
    assert often / seldom > 2
    (often,), (seldom,) = ask(draw(5000, service_dropout=1.0), lost)
    assert often / seldom == pytest.approx(1, abs=0.15)


def test_customers_answer_a_campaign_after_it_was_sent_and_while_they_stay(
    drawn: Path,
) -> None:
    query = """
        SELECT count(*), count(*) FILTER (WHERE s.ts IS NULL OR t.ts < s.ts),
               count(*) FILTER (WHERE t.ts >= dropout_at)
        FROM touches t LEFT JOIN touches s ON s.customer_id = t.customer_id
         AND s.campaign_id = t.campaign_id AND s.action = 'sent'
        JOIN true_customers c ON c.customer_id = t.customer_id
        WHERE t.action NOT IN ('sent', 'held_out')"""
    answers, early, gone = ask(drawn, query)[0]
    assert answers > 1000
    assert (early, gone) == (0, 0)
    named = """
        SELECT count(*) FROM purchases p ANTI JOIN touches t
        ON t.customer_id = p.customer_id AND t.campaign_id = p.campaign_id
         AND t.action = 'redeemed' AND t.ts = p.ts
        WHERE campaign_id IS NOT NULL AND quantity > 0"""
    assert one(drawn, named) == 0


def test_happy_customers_score_higher(drawn: Path) -> None:
    query = """
        SELECT min(low), max(high), min(agrees) FROM (
            SELECT kind, min(score) AS low, max(score) AS high,
                   corr(score, service_quality) AS agrees
            FROM feedback JOIN true_customers USING (customer_id)
            WHERE score IS NOT NULL GROUP BY kind)"""
    low, high, agrees = ask(drawn, query)[0]
    assert (low, high) == (0, 10)
    assert agrees > 0.3


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
    folder = draw(
        20_000,
        orders_per_month=0.08,
        order_rate_shape=5.0,
        replenished_items=0,
        asking_share=0.5,
        presale_contacts=contacts,
        uplift=0,
        uplift_spread=0,
    )
    before, earlier = ask(folder, PRESALE)[0]
    assert before - earlier == pytest.approx(contacts, abs=0.04 + 0.06 * contacts)
    assert earlier < 0.15 + 0.1 * contacts


def orders_in_campaigns(folder: Path, among: str = "true") -> tuple[float, float]:
    """Orders of the contacted over the held out, per head; with its share's error.

    Args:
        folder: the shop.
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
    (control, left), (treated, sent) = ask(folder, query)
    ratio = (treated / sent) / (control / left)
    return ratio, 1.5 * ratio * (1 / treated + 1 / control) ** 0.5


@pytest.mark.parametrize("uplift", [0.0, 0.5, -0.4])
def test_uplift_is_the_ratio_of_the_contacted_to_the_held_out(
    draw: Draw, uplift: float
) -> None:
    folder = draw(
        10_000,
        orders_per_month=1.0,
        replenished_items=0,
        held_out=0.4,
        campaign_reach=0.6,
        uplift=uplift,
        uplift_spread=0.0,
    )
    ratio, error = orders_in_campaigns(folder)
    assert error < 0.04
    assert ratio == pytest.approx(1 + uplift, abs=4 * error)
    alone = "count(*) FILTER (WHERE action = 'held_out')"
    asked = "count(*) FILTER (WHERE action IN ('held_out', 'sent'))"
    share = one(folder, f"SELECT {alone} / {asked} FROM touches")
    assert share == pytest.approx(0.4, abs=0.01)


def test_customers_with_more_uplift_respond_more(draw: Draw) -> None:
    folder = draw(10_000, orders_per_month=1.0, replenished_items=0, campaign_reach=0.6)
    drawn = ask(folder, "SELECT avg(uplift), stddev(uplift) FROM true_customers")[0]
    assert drawn == pytest.approx((0.2, 0.3), abs=0.02)
    less, _ = orders_in_campaigns(folder, "uplift < 0.2")
    more, _ = orders_in_campaigns(folder, "uplift >= 0.2")
    # Means of the halves of a normal: 0.2 -+ 0.3 * 0.798.
    assert (less, more) == pytest.approx((0.96, 1.44), abs=0.12)


def test_replenished_products_come_back_after_their_cycle(draw: Draw) -> None:
    # No unplanned orders: every gap is one of the cycle.
    folder = draw(5000, orders_per_month=1e-6, replenished_items=2, return_rate=0)
    query = """
        WITH gaps AS (
            SELECT product_id, epoch(ts - lag(ts) OVER (
                PARTITION BY customer_id, product_id ORDER BY ts)) / 86400 AS days
            FROM purchases)
        SELECT cycle_days, median(days), stddev(days), count(days)
        FROM gaps JOIN true_products USING (product_id)
        GROUP BY ALL HAVING count(days) > 300 AND cycle_days < 60"""
    rows = ask(folder, query)
    assert len(rows) > 10
    for cycle, median, spread, _ in rows:
        assert median == pytest.approx(cycle, rel=0.05)
        assert spread == pytest.approx(FEW.cycle_spread * cycle, rel=0.2)


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
    folder = draw(10_000, promotion_effect=effect, orders_per_month=1.5)
    assert one(folder, SOLD) == pytest.approx(effect, rel=0.1)


def test_customers_browse_what_they_are_about_to_buy(drawn: Path) -> None:
    # The same product: in the week before its order, and the week after.
    query = """
        SELECT count(*) FILTER (WHERE b.ts < p.ts), count(*) FILTER (WHERE b.ts > p.ts)
        FROM purchases p JOIN browses b USING (customer_id, product_id)
        WHERE quantity > 0 AND abs(epoch(b.ts - p.ts)) < 7 * 86400"""
    before, after = ask(drawn, query)[0]
    assert before > 4 * after
    carts = """
        SELECT avg((NOT EXISTS (SELECT 1 FROM purchases p
            WHERE p.customer_id = b.customer_id AND p.product_id = b.product_id
              AND p.ts >= b.ts))::int)
        FROM browses b WHERE kind = 'cart'"""
    assert 0.05 < one(drawn, carts) < 0.95


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
        one(draw(3000, loyalty=share, category_focus=share, **plain), query)
        for share in (0, 0.5)
    )
    # Half the lines from 6 favourites, half from 3 categories: of two lines, a
    # quarter meet in a sixth, a quarter in a third, the rest by chance.
    assert loyal == pytest.approx(0.125 + 0.875 * by_chance, abs=0.015)


def test_people_shop_on_saturdays_and_in_the_afternoon(drawn: Path) -> None:
    days = ask(
        drawn, "SELECT count(*) FROM purchases GROUP BY isodow(ts) ORDER BY isodow(ts)"
    )
    counts = np.array([row[0] for row in days])
    assert counts.argmax() == 5
    assert counts.argmin() == 6
    night = one(drawn, "SELECT avg((hour(ts) < 7)::int) FROM purchases")
    assert night == pytest.approx(0.7 / 20.2, abs=0.01)


def test_promotions_are_known_before_they_start(drawn: Path) -> None:
    lead = "min(starts_at - known_at), min(ends_at - starts_at)"
    week = timedelta(days=7)
    assert ask(drawn, f"SELECT {lead} FROM promotions") == [(week, week)]


def test_better_picks_sell_better(draw: Draw) -> None:
    query = """
        SELECT count(*) / (SELECT count(*) FROM picks) FROM picks
        JOIN campaigns USING (campaign_id) JOIN purchases p
          ON p.product_id = picks.product_id
         AND p.ts >= starts_at AND p.ts < ends_at"""
    worst, middle, best = (
        one(draw(1000, pick_quality=quality), query) for quality in (0.0, 0.5, 1.0)
    )
    assert worst * 1.2 < middle < best / 1.1


def test_best_picks_are_the_best_sellers(draw: Draw) -> None:
    query = """
        WITH best AS (SELECT product_id FROM true_products
                      JOIN products USING (product_id) WHERE launched_at IS NULL
                      ORDER BY sold_per_customer_day DESC LIMIT 10)
        SELECT count(*) FROM picks SEMI JOIN best USING (product_id)"""
    assert one(draw(100, pick_quality=1.0), query) > 0.9 * 12 * 10


def test_popularity_follows_the_exponent(drawn: Path) -> None:
    query = "SELECT unplanned_share FROM true_products ORDER BY 1 DESC"
    shares = np.array([row[0] for row in ask(drawn, query)])
    slope = np.polyfit(np.log(np.arange(1, 61)), np.log(shares), 1)[0]
    assert slope == pytest.approx(-FEW.popularity_exponent, abs=1e-6)


def test_nothing_sells_before_its_launch(drawn: Path) -> None:
    query = """
        SELECT count(*) FILTER (WHERE ts < launched_at), count(*)
        FROM purchases JOIN products USING (product_id) WHERE launched_at IS NOT NULL"""
    early, sold = ask(drawn, query)[0]
    assert early == 0
    assert sold > 0


def test_some_customers_have_a_second_period(drawn: Path) -> None:
    query = """
        SELECT avg((n > 1)::int), max(n), count(*) FILTER (WHERE valid_from < joined_at)
        FROM (SELECT *, count(*) OVER (PARTITION BY customer_id) AS n FROM customers)
        WHERE valid_from IS NULL OR valid_from < joined_at"""
    share, most, early = ask(drawn, query)[0]
    assert share == pytest.approx(0.2, abs=0.02)
    assert (most, early) == (2, 0)


def test_defaults_give_twenty_lines_and_sixty_browses(tmp_path: Path) -> None:
    rows = simulate(tmp_path / "shop", 5000)
    assert rows["purchases"] / 5000 == pytest.approx(20, rel=0.15)
    assert rows["browses"] / 5000 == pytest.approx(60, rel=0.15)


# -- calendar ------------------------------------------------------------------


def test_both_clocks_agree_at_every_monday_and_keep_a_fortnight() -> None:
    calendar = calendar_of(FEW)
    mondays = calendar.us(np.arange(0, 700, 7.0))
    week = 7 * 86_400_000_000
    assert set(np.diff(mondays)) == {week}
    days = np.random.default_rng(0).uniform(14, 300, 1000)
    apart = calendar.us(days) - calendar.us(days - 14)
    # Each is rounded down to its second.
    assert np.abs(apart - 2 * week).max() <= 1_000_000


def test_span_is_the_arguments() -> None:
    calendar = calendar_of(FEW)
    edges = calendar.us(np.array([calendar.first, calendar.last]))
    expected = np.array([FEW.start, FEW.end], "datetime64[us]").astype(np.int64)
    assert list(edges) == list(expected)


# -- arguments -----------------------------------------------------------------


@pytest.mark.parametrize(
    ("pair", "said"),
    [
        ("uplift", "--truth: expected key=value, got 'uplift'"),
        (
            "upliftt=1",
            "--truth: expected a name that `repurchase simulate --help` lists, got 'upliftt'",
        ),
        (
            "held_out=1.5",
            "--truth: held_out: input should be less than or equal to 1, got 1.5",
        ),
        (
            "products=many",
            "--truth: products: input should be a valid integer, "
            "unable to parse string as an integer, got 'many'",
        ),
        (
            "end=2023-01-05",
            "--truth: end: expected 28 days to 20 years after start, got 4 days; "
            "move start or end",
        ),
        (
            "loyalty=0.9",
            "--truth: loyalty: expected at most 1 together with category_focus, "
            "got 1.25; lower one",
        ),
        (
            "campaigns=60",
            "--truth: campaigns: expected at most 103 weeks of campaigns, got 120; "
            "lower campaigns or campaign_weeks",
        ),
        (
            "categories=900",
            "--truth: categories: expected at most as many as products (800), got 900; "
            "lower it",
        ),
    ],
)
def test_a_wrong_truth_is_one_line(pair: str, said: str) -> None:
    with pytest.raises(SettingError) as told:
        truths_of(["products=800", pair])
    assert str(told.value) == said


@pytest.mark.parametrize(
    ("name", "value"), [("customers", 0), ("seed", -1), ("processes", 0)]
)
def test_a_wrong_number_is_one_line(tmp_path: Path, name: str, value: int) -> None:
    arguments = {"customers": 5, "seed": 0, "processes": 1, name: value}
    with pytest.raises(SettingError, match=f"^--{name}: expected .* got {value}"):
        simulate(tmp_path / "shop", truths=FEW, **arguments)
    assert list(tmp_path.iterdir()) == []
