"""Hand-drawn predictions, the same in any size, and the service in this process."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import datetime, timedelta
from functools import cache
from itertools import count
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pyarrow as pa
import pytest

from features.config import (
    HealthConfig,
    KpisConfig,
    RecommendConfig,
    ServingConfig,
    StateConfig,
    StrategyConfig,
)
from features.history import ALWAYS, Events, History, Products, offsets_of
from features.kept import Kept
from features.snapshot import DAY_US, from_us, to_us
from serving.asgi import Gateway
from serving.auth import Keyring
from serving.erased import Erased
from serving.experiments.place import Place
from serving.follow import Follower
from serving.insight.blocks import Kpis
from serving.insight.hindsight import CHURN as CHURN_DRIVER
from serving.insight.hindsight import HEALTH
from serving.insight.lookback import Lookback
from serving.insight.measure import Measures
from serving.insight.portrait import (
    CLOSED_WORDS,
    COLUMNS,
    FIGURES,
    MONTHLY,
    Insight,
)
from serving.insight.standards import Standards
from serving.insight.warning import Driver
from serving.live import Live
from serving.publish import publish
from serving.published import Published
from serving.service import Api
from serving.state import database, keys, tombstones
from serving.state.log import EventLog
from training.any_of import INDEPENDENT
from training.boosting import lgb
from training.buyers import Buyers
from training.calibration import HorizonPlatt, Platt
from training.encoding import Encoding
from training.fold_in import gram_of
from training.fresh import FreshModel
from training.fresh_basis import FreshBasis
from training.predictions import (
    COLD_START,
    CUSTOMERS,
    HORIZONS,
    OFFERS,
    PRODUCTS,
    Predictions,
)
from training.propensity import Propensity
from training.rebuy import Rebuy
from training.since import weights_of
from training.trees import Trees
from training.uplift_evidence import Evidence

CUTOFF = datetime(2017, 10, 15)
OLD = datetime(2016, 1, 1)
DAY_14, DAY_28 = CUTOFF - timedelta(days=14), CUTOFF - timedelta(days=28)


Rows = list[tuple[int, int, int]]


def table(schema: pa.Schema, rows: list[tuple]) -> pa.Table:
    names = schema.names
    return pa.Table.from_pylist(
        [dict(zip(names, row, strict=True)) for row in rows], schema=schema
    )


REPLENISHMENT = pa.schema(
    [
        ("customer_id", pa.string()),
        ("product_group", pa.string()),
        ("due_at", pa.timestamp("us")),
        ("due_p10", pa.timestamp("us")),
        ("due_p90", pa.timestamp("us")),
        ("probability", pa.float64()),
        ("abstain", pa.bool_()),
        ("probability_soon", pa.float64()),
        ("alert", pa.bool_()),
    ]
)
CHURN = pa.schema(
    [
        ("customer_id", pa.string()),
        ("visits_norm", pa.float64()),
        ("spend_norm", pa.float64()),
        ("churn_risk", pa.float64()),
        ("expected_loss", pa.float64()),
    ]
)
UPLIFT = pa.schema(
    [
        ("customer_id", pa.string()),
        ("uplift", pa.float64()),
        ("expected_extra_spend", pa.float64()),
    ]
)
NO_HOLDOUT = Evidence(False, "No past campaign held customers out.", None, 0, 0, 0)
VALUE = pa.schema(
    [
        ("customer_id", pa.string()),
        *(
            (name, pa.float64())
            for name in (
                "expected_orders",
                "expected_spend",
                "expected_spend_365d",
                "average_order_value",
                "repurchases_per_year",
                "remaining_lifetime_years",
                "acquisition_cost",
                "clv",
            )
        ),
    ]
)
PROFILES = pa.schema(
    [
        (name, pa.string())
        for name in ("customer_id", "segment", "region", "member_tier", "city")
    ]
)


def days(count: float) -> datetime:
    return CUTOFF + timedelta(days=count)


def reverse(pairs: list[tuple[int, int, float]], products: int) -> Buyers:
    """Customer, product, probability: every pair, sorted as ``Buyers`` is."""
    ordered = sorted(pairs, key=lambda pair: (pair[1], -pair[2], pair[0]))
    product = [pair[1] for pair in ordered]
    return Buyers(
        np.searchsorted(product, np.arange(products + 1)).astype(np.int64),
        np.array([pair[0] for pair in ordered], dtype=np.int32),
        np.array([pair[2] for pair in ordered], dtype=np.float32),
    )


def basis(products: int, factors: int = 2) -> FreshBasis:
    """Drawn factors of every product; looks and ALS count, as fitted ones would."""
    drawn = np.random.default_rng(3).normal(size=(products, factors))
    drawn = drawn.astype(np.float32)
    return FreshBasis(
        model=FreshModel.from_json(
            {
                "just bought": {"rebuy": 1.0, "prior": 0.5},
                "stranger just bought": {"rebuy": 1.0},
                "again": {"interest": 10.0},
                "new": {"interest": 10.0, "als_shift": 1.0},
                "stranger": {"interest": 10.0, "als_shift": 1.0},
            }
        ),
        weights=weights_of(RecommendConfig()),
        alpha=5.0,
        regularization=0.05,
        items=np.arange(products, dtype=np.int32),
        factors=drawn,
        gram=gram_of(drawn),
        rebuy=Rebuy(
            np.linspace(-2, 1, products, dtype=np.float32),
            np.arange(1, products + 1, dtype=np.float32),
        ),
    )


ORDINARY: dict[str, tuple[str, ...]] = {"channel": (), "campaign_id": ()}


def lived(customers: list[str], products: pa.Table, bought: Rows) -> dict[str, Any]:
    """What is kept of order lines: customer, product, days before the cutoff."""
    history = lines_of(customers, products, bought)
    return {"kept": Kept.of(history), "launched": history.products.launched}


def lines_of(customers: list[str], products: pa.Table, bought: Rows) -> History:
    """Order lines of one piece each: customer, product, days before the cutoff."""
    rows = np.array(sorted((c, -days, p) for c, p, days in bought), dtype=np.int64)
    customer, product = rows[:, 0].astype(np.int32), rows[:, 2].astype(np.int32)
    ts, size = to_us(CUTOFF) + rows[:, 1] * DAY_US, len(products)
    ids = products["product_id"].to_numpy(zero_copy_only=False)
    category = products["category"].combine_chunks().dictionary_encode()
    codes = category.indices.fill_null(-1).to_numpy().astype(np.int32)
    unknown = np.full(size, np.nan)
    none = np.full(len(rows), -1, dtype=np.int32)
    columns = {"product": product, "order": np.arange(len(rows), dtype=np.int32)}
    columns |= dict.fromkeys(("quantity", "amount"), np.ones(len(rows)))
    columns |= {"list_amount": np.full(len(rows), np.nan)}
    columns |= dict.fromkeys(ORDINARY, none)
    offsets = offsets_of(customer, len(customers))
    return History(
        until=CUTOFF,
        customers=np.array(customers, dtype=object),
        products=Products(
            ids=ids,
            names=ids,
            **dict.fromkeys(("category", "subcategory", "brand"), codes),
            **dict.fromkeys(("price", "margin_rate", "service_life_days"), unknown),
            available=np.ones(size, dtype=np.bool_),
            launched=np.full(size, ALWAYS),
            words={},
        ),
        purchases=Events(customer, ts, ts, columns, ORDINARY, offsets),
        **dict.fromkeys(("browses", "inquiries", "feedback", "touches")),
        **dict.fromkeys(("profiles", "campaigns", "promotions")),
        since={"purchases": int(ts.min())},
        wordy=(),
        fingerprint="",
    )


@cache
def propensity() -> Propensity:
    """A model that knows two features: who bought lately, or often, buys sooner."""
    random = np.random.default_rng(5)
    rows = random.random((400, 3)) * (60, 6, 180)
    label = rows[:, 0] - 5 * rows[:, 1] < rows[:, 2] / 4
    settings = {"objective": "binary", "verbosity": -1, "num_leaves": 6}
    more = {"monotone_constraints": [0, 0, 1], "seed": 1, "num_threads": 1}
    booster = lgb.train(settings | more, lgb.Dataset(rows, label), 8)
    start = np.log(HORIZONS / 200.0)
    return Propensity(
        trees=Trees((booster,), tuple(start.tolist())),
        encoding=Encoding(("days_since_last_order", "orders_count"), {}),
        calibration=HorizonPlatt(Platt(), 14),
        longest_horizon=180,
        horizon_days=14,
        interval=(0.1, 0.9),
        tag_threshold=0.5,
    )


RANGE = [
    ("p1", "milk", "dairy", "fresh", "ada", 1.0, 0.5, None, OLD, True),
    ("p2", "cheese", "dairy", "hard", "bea", 4.0, 0.25, None, OLD, True),
    ("p3", "butter", "dairy", "fresh", "ada", 2.0, 0.3, None, DAY_28, True),
    ("p4", "rye", "bread", "loaf", "cid", 3.0, 0.1, None, OLD, True),
    ("p5", "rolls", "bread", "small", "cid", None, None, None, None, True),
    ("p6", "green", "tea", "leaf", "ada", 4.5, 0.4, None, DAY_14, True),
    ("p7", "black", "tea", "leaf", "bea", 5.0, 0.4, None, OLD, False),
    ("p8", "bag", None, None, None, 10.0, None, None, OLD, True),
]


NAMES = ["anna", "bert", "carl"]
BOUGHT = [(0, 0, 1), (0, 1, 2), (0, 6, 3), (1, 3, 4), (2, 0, 5), (2, 2, 6)]
"""Customer, product, days before the cutoff."""


def draw() -> Predictions:
    """Three customers, eight products.

    anna bought p1, p2 and p7 (not available now); bert bought p4; carl bought
    p1 and p3 and has no offers. p8 has no category.
    """
    curve = np.linspace(0.01, 0.99, HORIZONS.size, dtype=np.float32)
    next_at = datetime(2017, 10, 20, 6)
    products = table(PRODUCTS, RANGE)
    return Predictions(
        cutoff=CUTOFF,
        horizon_days=14,
        customers=table(
            CUSTOMERS,
            [
                (
                    "anna",
                    next_at,
                    CUTOFF,
                    next_at,
                    ["bought 4 days before", "often"],
                    True,
                ),
                ("bert", None, None, None, [], None),
                ("carl", next_at, CUTOFF, next_at, ["bought once"], False),
            ],
        ),
        curve=np.stack([curve, curve / 10, curve]).astype(np.float32),
        tag_threshold=float(curve[13]),
        products=products,
        offers=table(
            OFFERS,
            [
                (0, 3, True, 0.9, 0.50, "popularity", "many buy it"),
                (0, 0, False, 0.8, 0.45, "history", "bought 3 times"),
                (0, 1, False, 0.8, 0.40, "history", "bought 2 times"),
                (0, 5, True, 0.5, 0.30, "als", "like yours"),
                (0, 6, False, 0.4, 0.20, "history", "bought once"),
                (1, 3, False, 0.7, 0.35, "history", "bought once"),
            ],
        ),
        any_of=INDEPENDENT,
        # carl refused; bert would take p1 and p3 next, but they are not in his list.
        buyers=reverse([(0, 0, 0.45), (1, 0, 0.05), (0, 1, 0.40), (1, 2, 0.15)], 8),
        cold_start=table(
            COLD_START,
            [
                (2, 0.9, 0.09, "bought by 9 of 100"),
                (0, 0.8, 0.08, "bought by 8 of 100"),
                (3, 0.7, 0.07, "bought by 7 of 100"),
                (1, 0.6, 0.06, "bought by 6 of 100"),
                (4, 0.5, 0.05, "bought by 5 of 100"),
                (5, 0.4, 0.04, "bought by 4 of 100"),
                (7, 0.3, 0.03, "bought by 3 of 100"),
            ],
        ),
        bought_offsets=np.array([0, 3, 4, 6], dtype=np.int64),
        bought_products=np.array([0, 1, 6, 3, 0, 2], dtype=np.int32),
        # 1 to 6 days before the cutoff.
        last_bought=to_us(CUTOFF) - np.arange(1, 7, dtype=np.int64) * DAY_US,
        bought_weight=np.array([2.5, 1.5, 0.5, 0.75, 0.25, 0.5], dtype=np.float32),
        replenishment=table(
            REPLENISHMENT,
            [
                ("anna", "bread", days(9), days(4), days(20), 0.6, False, 0.3, False),
                ("anna", "dairy", days(2), days(1), days(5), 0.9, False, 0.8, True),
                ("bert", "bread", days(1), days(0), days(90), 0.2, True, 0.1, False),
                ("bert", "tea", days(3), days(1), days(6), 0.7, False, 0.4, False),
                ("carl", "dairy", days(1), days(0), days(2), 0.9, False, 0.9, True),
            ],
        ),
        value=table(
            VALUE,
            [
                ("anna", 2.0, 12.5, 300.0, 6.0, 20.0, 2.0, 10.0, 24.0),
                ("bert", 1.0, 3.0, 450.0, 3.0, 10.0, 1.5, None, None),
                ("carl", 0.5, 1.0, 900.0, 2.0, 5.0, 1.0, 0.0, None),
            ],
        ),
        churn=table(
            CHURN,
            [
                ("anna", 4.0, 50.0, 0.4, 12.0),
                ("bert", 1.0, 5.0, None, None),
                ("carl", 2.0, 9.0, 0.1, 90.0),
            ],
        ),
        uplift=table(
            UPLIFT, [("anna", 0.1, 2.5), ("bert", 0.0, -1.0), ("carl", None, None)]
        ),
        profiles=table(
            PROFILES,
            [
                ("anna", "family", "north", "gold", None),
                ("bert", "single", "north", None, None),
                ("carl", "family", "south", "silver", None),
            ],
        ),
        uplift_evidence=NO_HOLDOUT,
        fresh=basis(8),
        **lived(NAMES, products, BOUGHT),
        propensity=propensity(),
    )


def plain(customers: list[str]) -> dict[str, pa.Table]:
    """What ``Predictions`` hold of customers of whom little is known, by name."""
    ids = pa.array(customers, pa.string())

    def nulls(schema: pa.Schema) -> pa.Table:
        others = [pa.nulls(len(ids), field.type) for field in list(schema)[1:]]
        return pa.table([ids, *others], schema=schema)

    return {
        "value": nulls(VALUE),
        "churn": nulls(CHURN),
        "uplift": nulls(UPLIFT),
        "profiles": pa.table({"customer_id": ids}),
        "replenishment": REPLENISHMENT.empty_table(),
    }


@pytest.fixture(scope="session")
def plain_of() -> Callable[[list[str]], dict[str, pa.Table]]:
    """``plain``."""
    return plain


def draw_many(customers: int, offers: int) -> Predictions:
    """``customers`` with ``offers`` each; every second offer is a bought one."""
    random = np.random.default_rng(7)
    products = max(2 * offers, 400)
    rows = customers * offers
    start = random.integers(0, products - offers, customers)
    product = (start[:, None] + np.arange(offers)).astype(np.int32)
    bought = product[:, ::2]
    score = np.sort(random.random((customers, offers)), axis=1)[:, ::-1]
    small = draw()
    source = pa.DictionaryArray.from_arrays(
        random.integers(0, 3, rows, dtype=np.int32), ["als", "history", "popularity"]
    )
    reason = pa.DictionaryArray.from_arrays(
        random.integers(0, 500, rows, dtype=np.int32),
        [f"bought {times} times" for times in range(500)],
    )
    columns = [
        np.repeat(np.arange(customers, dtype=np.int32), offers),
        product.ravel(),
        np.tile(np.arange(offers) % 2 == 1, customers),
        score.ravel().astype(np.float32),
        (score.ravel() / 2).astype(np.float32),
        source,
        reason,
    ]
    curve = np.sort(random.random((customers, HORIZONS.size)), axis=1)
    names = [f"c{row:08d}" for row in range(customers)]
    ids = pa.array(names)

    def drawn(schema: pa.Schema) -> pa.Table:
        figures = [random.random(customers) for _ in schema.names[1:]]
        return pa.table([ids, *figures], schema=schema)

    segment = pa.array(["a", "b"]).take(pa.array(random.integers(0, 2, customers)))
    range_ = table(
        PRODUCTS,
        [
            (
                f"p{row:06d}",
                None,
                f"k{row % 9}",
                f"k{row % 9}.{row % 4}",
                f"b{row % 20}",
                1.0 + row % 13,
                row % 10 / 20,
                None,
                CUTOFF - timedelta(days=row % 400),
                True,
            )
            for row in range(products)
        ],
    )
    return replace(
        small,
        customers=pa.table(
            [
                ids,
                *(pa.nulls(customers, CUSTOMERS.field(at).type) for at in (1, 2, 3)),
                pa.array([["often"]], CUSTOMERS.field("reasons").type).take(
                    pa.array(np.zeros(customers, dtype=np.int64))
                ),
                pa.repeat(pa.scalar(True), customers),
            ],
            schema=CUSTOMERS,
        ),
        value=drawn(VALUE),
        churn=drawn(CHURN),
        uplift=drawn(UPLIFT),
        profiles=pa.table({"customer_id": ids, "segment": segment}),
        replenishment=pa.table(
            [
                ids,
                pa.repeat("k1", customers),
                *(
                    pa.repeat(
                        pa.scalar(days(3), REPLENISHMENT.field(2).type), customers
                    )
                    for _ in range(3)
                ),
                random.random(customers),
                pa.array(random.random(customers) < 0.5),
                random.random(customers),
                pa.array(random.random(customers) < 0.1),
            ],
            schema=REPLENISHMENT,
        ),
        curve=curve.astype(np.float32),
        products=range_,
        offers=pa.table(columns, schema=OFFERS),
        buyers=reverse([], products),
        fresh=basis(products),
        cold_start=table(
            COLD_START,
            [(row, 1 / (row + 1), 0.01, "popularity") for row in range(products)],
        ),
        bought_offsets=np.arange(customers + 1, dtype=np.int64) * bought.shape[1],
        bought_products=np.ascontiguousarray(bought.ravel()),
        last_bought=np.full(bought.size, to_us(CUTOFF) - DAY_US, dtype=np.int64),
        bought_weight=np.ones(bought.size, dtype=np.float32),
        **lived(names, range_, [(row, int(one), 1) for row, one in enumerate(start)]),
    )


@pytest.fixture
def predictions() -> Predictions:
    return draw()


@pytest.fixture(scope="session")
def basis_for() -> Callable[..., FreshBasis]:
    return basis


@pytest.fixture(scope="session")
def lived_by() -> Callable[..., dict[str, Any]]:
    return lived


@pytest.fixture(scope="session")
def measured() -> Kpis:
    """The KPIs of the hand-drawn shop, for ``publish``."""
    history = lines_of(NAMES, table(PRODUCTS, RANGE), BOUGHT)
    first = from_us(int(history.purchases.ts.min()))
    measures = Measures(history.until, first, KpisConfig())
    measures.add(history)
    return measures.kpis()


MONTHS = tuple(datetime(2017, month, 15) for month in (7, 8, 9, 10))
DRIVERS = (Driver(CHURN_DRIVER, 0.4, Platt()), Driver(HEALTH, None, Platt()))

SAID: dict[str, list[str | None]] = {
    "spending_power": ["high", "low", None],
    "purchase_frequency": ["weekly", "once", "monthly"],
    "price_sensitivity": [None, None, None],
    "lifecycle": ["at risk", "active", "lost"],
    "preferred_category": ["dairy", "bread", "dairy"],
    "preferred_channel": ["app", None, "store"],
    "abc": ["A", "C", "B"],
    "frequency_tier": ["high", "low", "none"],
    "recency": ["5", "3", None],
    "frequency": ["4", "1", None],
    "monetary": ["5", "1", None],
    "value": ["high", "low", "high"],
    "potential": ["low", "low", "high"],
    "need": ["rational", None, None],
    "strategy": ["loyal", "occasional", "stars"],
    "health_level": ["watch", "healthy", "poor"],
    "health_trend": ["falling", "steady", None],
    "warning": ["yes", "no", "yes"],
    "driver": ["churn risk", "health index", "churn risk"],
}
"""Of anna, bert and carl."""


def draw_insight() -> Insight:
    """Of the hand-drawn shop: anna falls, bert is well, carl refused."""
    words = {"preferred_category": ("bread", "dairy")}
    words["preferred_channel"] = ("app", "store")
    codes = np.full((len(COLUMNS), 3), -1, np.int16)
    for name, said in SAID.items():
        own = CLOSED_WORDS.get(name) or words[name]
        codes[COLUMNS.index(name)] = [
            -1 if word is None else own.index(word) for word in said
        ]
    codes[COLUMNS.index("preferred_hour")] = [17, -1, 0]
    figures = np.full((3, len(FIGURES)), np.nan, np.float32)
    for name, values in {
        "orders_count": [3, 1, 2],
        "nps_last": [9, np.nan, 0],
        "chance": [0.5, 0.25, 0.75],
        "expected_loss": [150, 112.5, 675],
    }.items():
        figures[:, FIGURES.index(name)] = values
    scores = np.full((3, 4, 5), np.nan, np.float32)
    # anna: 80, 70, 60 and 50 of two dimensions; bert came in the last month.
    scores[0, :, 0], scores[0, :, 1] = [90, 80, 70, 60], [70, 60, 50, 40]
    scores[1, 3, 0] = 100
    scores[2] = 0
    tiers = np.full((3, 4, len(MONTHLY)), -1, np.int8)
    tiers[0, :, 0] = [2, 1, 1, 0]
    return Insight(
        codes,
        figures,
        scores,
        tiers,
        words,
        Standards(MONTHS, (None,) * 4, None, Lookback(DRIVERS, MONTHS[:1], 9, {})),
        StrategyConfig(),
        HealthConfig(),
    )


@pytest.fixture(scope="session")
def insight() -> Insight:
    """Tags, tiers and health of the hand-drawn shop, for ``publish``."""
    return draw_insight()


@pytest.fixture(scope="session")
def many() -> Callable[[int, int], Predictions]:
    return draw_many


@pytest.fixture(scope="session")
def small() -> Predictions:
    return draw()


@pytest.fixture
def workspace(tmp_path: Path, predictions: Predictions) -> Path:
    """A workspace with the hand-drawn predictions in force."""
    publish(tmp_path, predictions, "m1")
    return tmp_path


@pytest.fixture
def published(workspace: Path) -> Published:
    return Published.open(workspace)


NOW = datetime(2017, 10, 17, 12)


async def nothing(*_: object) -> None:
    raise AssertionError("no HTTP request passes through")


class Client:
    """Requests against the app itself, in this process.

    ``seconds[0]`` is the clock of keys and limits, ``now`` that of answers.
    """

    def __init__(
        self,
        workspace: Path,
        state: StateConfig | None = None,
        place: Place | None = None,
        **settings: Any,
    ) -> None:
        config = ServingConfig(**settings)
        self.now = NOW
        self.engine = database.ready(workspace, state or StateConfig())
        self.live = Live(workspace, every_seconds=0)
        self.seconds = [1000.0]
        self.keyring = Keyring(
            lambda: keys.every(self.engine),
            config.requests_per_second,
            lambda: self.seconds[0],
        )
        self.keyring.refresh()
        log = EventLog(self.engine, lambda: to_us(self.now))
        self.erased = Erased(lambda last: tombstones.since(self.engine, last))
        self.erased.refresh(self.live.current)
        self.follower = Follower(self.engine, self.live, lambda: self.seconds[0])
        self.follower.catch_up()
        self.api = Api(
            self.live,
            log,
            self.follower,
            self.keyring,
            config.max_events_bytes,
            self.engine,
            self.erased,
            lambda: self.now,
            place,
        )
        self.app = Gateway(
            nothing, self.api.routes, self.api.metrics.observe, self.keyring, config
        )

    def __call__(
        self, method: str, path: str, base: str = "http://127.0.0.1", **named: Any
    ) -> httpx.Response:
        async def ask() -> httpx.Response:
            transport = httpx.ASGITransport(self.app)
            async with httpx.AsyncClient(transport=transport, base_url=base) as client:
                return await client.request(method, path, **named)

        return asyncio.run(ask())

    def post(self, path: str, **body: Any) -> httpx.Response:
        return self("POST", path, json=body)


@pytest.fixture(scope="module")
def new_client() -> Iterator[Callable[..., Client]]:
    made: list[Client] = []

    def new(*args: Any, **settings: Any) -> Client:
        made.append(Client(*args, **settings))
        return made[-1]

    yield new
    for client in made:
        database.close(client.engine)


@pytest.fixture(scope="session")
def _state_numbers() -> Iterator[int]:
    return count()


@pytest.fixture(params=["sqlite", "postgresql"])
def state(request: pytest.FixtureRequest, _state_numbers: Iterator[int]) -> StateConfig:
    """An empty database for the state, once of each kind."""
    if request.param == "sqlite":
        return StateConfig()
    import psycopg

    url, schema = request.getfixturevalue("postgres"), f"state{next(_state_numbers)}"
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(f"CREATE SCHEMA {schema}".encode())
    return StateConfig(url=f"{url}&schema={schema}")
