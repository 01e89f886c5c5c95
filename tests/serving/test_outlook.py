"""Live outlooks: those of a build at this moment, from old events and new ones."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from features.assemble import assemble
from features.config import PropensityConfig
from features.engine import Tables
from features.history import History
from features.kept import Kept
from features.simulate.shop import simulate
from features.snapshot import to_us
from serving.outlook import (
    Outlook,
    Told,
    live_history,
    live_outlooks,
    published_outlook,
    told,
)
from serving.publish import publish
from serving.published import Published
from serving.state.log import LogRow
from serving.state.tables import EVENT_TABLES
from training import explain, propensity
from training.buyers import Buyers
from training.labels import days_to_next_purchase
from training.predictions import COLD_START, CUSTOMERS, OFFERS, PRODUCTS
from training.propensity import Propensity, next_dates
from training.split import Fold

CUTOFF = datetime(2024, 10, 1)
LATER = datetime(2024, 10, 13, 15, 30, 7)
PAST = [CUTOFF - timedelta(days=days) for days in (140, 112, 84, 56, 28)]
N_CUSTOMERS = 400


@dataclass(frozen=True)
class Shop:
    """A simulated shop, published at the cutoff."""

    folder: Path
    published: Published
    history: History
    features: pa.Table
    model: Propensity

    def later(self) -> pa.Table:
        """Features of a build at the later moment."""
        with Tables(self.folder) as tables:
            return assemble(tables.history(LATER), [LATER])


@pytest.fixture(scope="module")
def shop(tmp_path_factory, small, plain_of) -> Shop:
    workspace = tmp_path_factory.mktemp("work")
    folder = workspace / "shop"
    simulate(folder, N_CUSTOMERS, seed=3)
    with Tables(folder) as tables:
        history = tables.history(CUTOFF)
    features = assemble(history, [*PAST, CUTOFF])
    us = features.column("cutoff").cast(pa.int64()).to_numpy()
    past = features.filter(pa.array(us < to_us(CUTOFF)))
    days = days_to_next_purchase(history, PAST)
    place = np.searchsorted([to_us(cutoff) for cutoff in PAST], us[: len(past)])
    model = propensity.fit(
        past,
        days[place, past.column("customer").to_numpy()],
        Fold(tuple(PAST[:3]), tuple(PAST[4:])),
        14,
        CUTOFF,
        PropensityConfig(trees=40, seeds=2, threads=1),
        1,
    )
    rows = features.filter(pa.array(us == to_us(CUTOFF)))
    publish(workspace, predicted(small, plain_of, history, rows, model), "m1")
    return Shop(folder, Published.open(workspace), history, rows, model)


def predicted(small, plain_of, history: History, rows: pa.Table, model: Propensity):
    """What a build says of when customers buy; it offers nothing."""
    n, products = len(history.customers), history.products
    curve = model.curve(rows)
    low, high = model.interval

    def words(name: str) -> pa.Array:
        texts = np.array([*products.words[name], None], dtype=object)
        return pa.array(texts[getattr(products, name)], pa.string())

    range_ = {
        "product_id": pa.array(products.ids, pa.string()),
        **{name: words(name) for name in ("category", "subcategory", "brand")},
        "available": pa.array(products.available),
    }
    size = len(products)
    columns = [range_.get(f.name, pa.nulls(size, f.type)) for f in PRODUCTS]
    basis = small.fresh
    return replace(
        small,
        **plain_of(rows.column("customer_id").cast(pa.string()).to_pylist()),
        cutoff=CUTOFF,
        customers=pa.table(
            {
                "customer_id": rows.column("customer_id").cast(pa.string()),
                "expected_next_at": next_dates(curve, CUTOFF, 0.5),
                "next_p10_at": next_dates(curve, CUTOFF, low),
                "next_p90_at": next_dates(curve, CUTOFF, high),
                "reasons": pa.array(explain.reasons(model, rows)),
                "consent": pa.nulls(n, pa.bool_()),
            },
            schema=CUSTOMERS,
        ),
        curve=curve,
        tag_threshold=model.tag_threshold,
        products=pa.table(columns, schema=PRODUCTS),
        offers=OFFERS.empty_table(),
        cold_start=COLD_START.empty_table(),
        buyers=Buyers(
            np.zeros(size + 1, np.int64), np.zeros(0, np.int32), np.zeros(0, np.float32)
        ),
        bought_offsets=np.zeros(n + 1, np.int64),
        bought_products=np.zeros(0, np.int32),
        last_bought=np.zeros(0, np.int64),
        bought_weight=np.zeros(0, np.float32),
        fresh=replace(
            basis,
            rebuy=replace(
                basis.rebuy,
                log_odds=np.zeros(size, np.float32),
                gap_days=np.ones(size, np.float32),
            ),
        ),
        kept=Kept.of(history),
        launched=products.launched,
        propensity=model,
    )


def log_rows(folder: Path, since: datetime, until: datetime) -> dict[str, list[LogRow]]:
    """What the log would have of the shop's tables, by customer, in any order."""
    found: dict[str, list[LogRow]] = {}
    blank = dict.fromkeys(LogRow._fields)
    for name in EVENT_TABLES:
        rows = pq.read_table(folder / f"{name}.parquet")
        ts = rows["ts"].cast(pa.timestamp("us"))
        known = ts
        if "known_at" in rows.column_names:
            known = pc.coalesce(rows["known_at"].cast(pa.timestamp("us")), ts)
        latest = pc.max_element_wise(ts, known)
        fresh = pc.and_(
            pc.greater_equal(latest, pa.scalar(since)),
            pc.less(latest, pa.scalar(until)),
        )
        rows = rows.append_column("ts_us", ts.cast(pa.int64()))
        rows = rows.append_column("received_us", known.cast(pa.int64()))
        for row in rows.filter(fresh).to_pylist():
            row["kind"] = row.get("kind") or row.get("action")
            values = {key: row[key] for key in blank.keys() & row.keys()}
            one = LogRow(**{**blank, **values, "table": name, "sequence": 1})
            found.setdefault(one.customer_id, []).append(one)
    return found


def same_texts(column: pa.ChunkedArray) -> pa.ChunkedArray:
    is_text = pa.types.is_dictionary(column.type)
    return column.cast(pa.string()) if is_text else column


def known(shop: Shop, rows: Sequence[int] | None = None) -> list[Told]:
    ids = shop.history.customers
    return [Told(ids[row], row, []) for row in rows or range(len(ids))]


def test_with_nothing_new_it_is_the_published_outlook(shop):
    assert len(shop.history.customers) > 200
    everyone = known(shop)
    live = live_outlooks(shop.published, everyone, to_us(CUTOFF))
    for one, found in zip(everyone, live, strict=True):
        said = published_outlook(shop.published, one.row)
        assert np.abs(found.curve - said.curve).max() < 1e-6
        assert str(found.expected_next) == str(said.expected_next)
        assert found.reasons == said.reasons


def test_features_of_some_customers_are_those_of_all_to_the_bit(shop):
    few = known(shop, [7, 3, 100])
    history = live_history(shop.published, few, to_us(CUTOFF))
    found = assemble(history, [history.until])
    expected = shop.features.take(pa.array([7, 3, 100]))
    for name in set(expected.column_names) - {"customer"}:
        assert same_texts(found[name]).equals(same_texts(expected[name])), name


def test_events_that_came_since_give_the_features_of_a_build_at_that_moment(shop):
    batch = shop.later()
    fresh = log_rows(shop.folder, CUTOFF, LATER)
    ids: list[str] = batch["customer_id"].to_pylist()
    row_of = {one: row for row, one in enumerate(shop.history.customers)}
    before = log_rows(shop.folder, datetime(2000, 1, 1), CUTOFF)
    # Of a stranger the version has kept nothing.
    told_of = [
        Told(one, row_of.get(one), fresh.get(one, []))
        for one in ids
        if one in row_of or one not in before
    ]
    strangers = sum(one.row is None for one in told_of)
    assert strangers > 0 and sum(bool(one.events) for one in told_of) > 100
    history = live_history(shop.published, told_of, to_us(LATER))
    live = assemble(history, [history.until])
    batch = batch.take(pa.array([ids.index(one.customer_id) for one in told_of]))
    # Strangers have no profile, of others it is the one of the cutoff.
    moved = {"tenure_days", "customer"}
    profile = set(live.column_names[live.column_names.index("tenure_days") :])
    for name in set(batch.column_names) - moved - profile:
        old, new = batch[name], live[name]
        if name in ("customer_id", "cutoff"):
            assert new.cast(pa.string()).equals(old.cast(pa.string()))
            continue
        assert new.is_null().equals(old.is_null()), name
        np.testing.assert_allclose(
            new.fill_null(0).to_numpy(),
            old.fill_null(0).to_numpy(),
            rtol=1e-9,
            atol=1e-9,
            err_msg=name,
        )


def test_a_purchase_moves_the_curve_and_the_reasons_to_this_moment(shop):
    row, now = 5, to_us(LATER)
    one = Told(shop.history.customers[row], row, [])
    (idle,) = live_outlooks(shop.published, [one], now)
    bought = purchase(one.customer_id, now - 60 * 10**6)
    (busy,) = live_outlooks(shop.published, [one._replace(events=[bought])], now)
    for found in (idle, busy):
        assert (np.diff(found.curve) >= 0).all()
        assert np.isnat(found.expected_next) or found.expected_next > LATER
    assert busy.reasons != idle.reasons
    assert np.abs(idle.curve - busy.curve).max() > 0.01


def test_only_what_was_bought_makes_a_stranger_known(shop):
    now = to_us(LATER)
    bought = purchase("stranger", now - 10**6)
    returned = bought._replace(quantity=-1.0)
    looked = bought._replace(table="browses", kind="view", quantity=None)
    assert told(shop.published, "stranger", [returned, looked]) is None
    assert told(shop.published, "stranger", [looked, bought]).row is None
    ahead = bought._replace(ts_us=now + 3600 * 10**6)
    outlooks = live_outlooks(
        shop.published,
        [Told("stranger", None, [bought, looked]), Told("ahead", None, [ahead])],
        now,
    )
    # What happens in an hour, by a clock that is ahead, has not happened.
    assert isinstance(outlooks[0], Outlook) and outlooks[1] is None
    assert live_outlooks(shop.published, [Told("ahead", None, [ahead])], now) == [None]


def test_a_customer_whose_events_the_version_has_seen_is_as_published(shop):
    known = shop.history.customers[0]
    seen = purchase(known, to_us(CUTOFF) - 1)
    assert told(shop.published, known, [seen]) is None
    late = seen._replace(received_us=to_us(CUTOFF))
    assert told(shop.published, known, [seen, late]).events == [late]


def purchase(customer: str, at_us: int) -> LogRow:
    blank = dict.fromkeys(LogRow._fields)
    said = {"table": "purchases", "customer_id": customer, "order_id": "new"}
    moments = {"sequence": 1, "ts_us": at_us, "received_us": at_us}
    return LogRow(**{**blank, **said, **moments, "quantity": 2.0, "amount": 9.5})
