"""A build at a cutoff: history becomes models, models become predictions."""

from __future__ import annotations

import resource
import sys
import time
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

import numpy as np
import pyarrow as pa

from features.assemble import assemble
from features.config import Config
from features.contracts import ContractError
from features.history import Bools, Floats, History
from features.snapshot import Snapshot, from_us, to_us
from training import explain, propensity, ranker, uplift
from training.artifacts import Bundle
from training.buyers import BestBuyers, Buyers
from training.catalogue import bought_before, products_table
from training.churn import fit_churn
from training.fresh_basis import basis_of
from training.generators.fitted import SOURCES
from training.holdout import contacts_of
from training.labels import days_to_next_purchase
from training.predictions import COLD_START, CUSTOMERS, OFFERS, Predictions
from training.propensity import Propensity, next_dates
from training.ranker import Scored
from training.reasons import cold_start_reason, offer_reasons
from training.replenishment import fit_replenishment
from training.spend import fit_spend
from training.split import CALIBRATION_CUTOFFS, past_cutoffs, with_calibration
from training.uplift import Uplift
from training.value import predict_value


@dataclass
class Steps:
    """Seconds and peak memory of each step of a run.

    Measures the work only; nothing that is computed depends on it.

    Attributes:
        announce: called with the name of each step as it starts.
        seconds: by step; repeated steps add up.
        peak_mb: highest resident memory of the process by the step's end.
    """

    announce: Callable[[str], None] | None = None
    seconds: dict[str, float] = field(default_factory=dict)
    peak_mb: dict[str, float] = field(default_factory=dict)

    @contextmanager
    def __call__(self, name: str) -> Generator[None]:
        """Measure the block under a name."""
        if self.announce:
            self.announce(name)
        started = time.perf_counter()
        yield
        spent = time.perf_counter() - started
        self.seconds[name] = round(self.seconds.get(name, 0.0) + spent, 2)
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        self.peak_mb[name] = round(peak / (2**20 if sys.platform == "darwin" else 1024))


def training_cutoffs(history: History, config: Config) -> tuple[datetime, ...]:
    """Cutoffs that the propensity model learns from, ascending.

    Raises:
        ContractError: too little history before the build's cutoff.
    """
    lines = history.purchases
    first = from_us(int(lines.ts[lines.bought].min()))
    return cutoffs_since(first, history.until, config)


def cutoffs_since(
    first: datetime, until: datetime, config: Config
) -> tuple[datetime, ...]:
    """The same, of a history that begins with a purchase at ``first``."""
    settings = config.propensity
    cutoffs = past_cutoffs(
        first + timedelta(days=settings.history_days),
        until,
        config.horizon_days,
        settings.step_days,
        settings.max_cutoffs,
    )
    try:
        with_calibration(cutoffs, config.horizon_days, CALIBRATION_CUTOFFS)
    except ValueError as error:
        raise ContractError(str(error)) from None
    return cutoffs


def build_features(history: History, config: Config) -> pa.Table:
    """Rows of ``assemble`` at all training cutoffs and at ``history.until``."""
    return assemble(history, [*training_cutoffs(history, config), history.until])


def at_cutoff(features: pa.Table, cutoff: datetime) -> pa.Table:
    """The rows of one cutoff."""
    us = features.column("cutoff").cast(pa.int64()).to_numpy()
    return features.filter(pa.array(us == to_us(cutoff)))


def fit_propensity(history: History, features: pa.Table, config: Config) -> Propensity:
    """The repurchase model from the feature rows of ``build_features``."""
    cutoffs = training_cutoffs(history, config)
    us = features.column("cutoff").cast(pa.int64()).to_numpy()
    past = features.filter(pa.array(us < to_us(history.until)))
    return propensity.fit(
        past,
        next_purchase(history, past, cutoffs),
        with_calibration(cutoffs, config.horizon_days, CALIBRATION_CUTOFFS),
        config.horizon_days,
        history.until,
        config.propensity,
        config.seed,
    )


def next_purchase(
    history: History, features: pa.Table, cutoffs: Sequence[datetime]
) -> Floats:
    """Days to the next purchase of each feature row; infinite if none is known."""
    days = days_to_next_purchase(history, cutoffs)
    us = features.column("cutoff").cast(pa.int64()).to_numpy()
    row = np.searchsorted([to_us(cutoff) for cutoff in cutoffs], us)
    return days[row, features.column("customer").to_numpy()]


def fit(
    history: History, features: pa.Table, config: Config, steps: Steps | None = None
) -> Bundle:
    """All models, from what was known before ``history.until`` only."""
    steps = steps or Steps()
    with steps("train propensity"):
        fitted = fit_propensity(history, features, config)
    with steps("train recommender"):
        recommender = ranker.fit(
            history, history.until, config.horizon_days, config.recommend, config.seed
        )
    with steps("train replenishment"):
        due = fit_replenishment(
            history, config.horizon_days, config.replenishment, config.seed
        )
    with steps("train value"):
        spend = fit_spend(
            history, features, config.horizon_days, config.spend, config.seed
        )
    with steps("train churn risk"):
        churn = fit_churn(history, features, config.churn, config.seed)
    with steps("train uplift"):
        effect = _fit_uplift(history, features, config)
    return Bundle(
        propensity=fitted,
        recommender=recommender,
        replenishment=due,
        spend=spend,
        churn=churn,
        uplift=effect,
        cutoff=history.until,
        horizon_days=config.horizon_days,
        fingerprint=history.fingerprint,
        seed=config.seed,
    )


def _fit_uplift(history: History, features: pa.Table, config: Config) -> Uplift:
    contacts = contacts_of(history, config.horizon_days, config.uplift.max_campaigns)
    # As of the campaigns' starts, which are no cutoffs of the build.
    rows = assemble(history, contacts.cutoffs) if len(contacts) else features
    return uplift.fit(contacts, rows, config.horizon_days, config.uplift, config.seed)


def predict(
    bundle: Bundle, history: History, features: pa.Table, steps: Steps | None = None
) -> tuple[Predictions, Scored]:
    """Everything the bundle says about the customers of ``history.until``.

    Args:
        bundle: fitted at ``history.until`` or before.
        history: what is known at the moment of the answer.
        features: rows of ``assemble``, those of ``history.until`` among them.
        steps: measures the work.

    Returns:
        Predictions, and the offers they were written from.
    """
    steps = steps or Steps()
    snapshot = Snapshot(history.until, bundle.horizon_days)
    rows = at_cutoff(features, history.until)
    with steps("score propensity"):
        curve = bundle.propensity.curve(rows)
        customers = _customers(bundle.propensity, rows, curve, history.until)
    with steps("score offers"):
        best = _best_buyers(bundle, history, rows)
        model = bundle.recommender
        ordered, generators = model.at(history, history.until)
        scored = model.score(generators, generators.moment.customers, buyers=best)
        fresh = basis_of(
            ordered, generators, bundle.horizon_days, model.fresh, model.config
        )
        offers = _offers(scored, rows, bundle.horizon_days)
        cold = ranker.cold_start(history, history.until, bundle.horizon_days)
    with steps("replenishment and value"):
        replenishment = bundle.replenishment.predict(history, snapshot)
        value = predict_value(history, rows, snapshot, bundle.spend)
    with steps("churn risk and uplift"):
        churn = bundle.churn and bundle.churn.predict(history, rows, snapshot.cutoff_us)
        effect = bundle.uplift.predict(rows)
    offsets, bought, last = bought_before(history, rows.column("customer").to_numpy())
    predictions = Predictions(
        cutoff=history.until,
        horizon_days=bundle.horizon_days,
        customers=customers,
        curve=curve,
        tag_threshold=bundle.propensity.tag_threshold,
        products=products_table(history, scored.moment.shelf.price),
        offers=offers,
        buyers=_buyers(best, rows),
        any_of=bundle.recommender.any_of,
        cold_start=pa.table(
            {
                "product": cold.product,
                "score": cold.score,
                "probability": cold.probability,
                "reason": [cold_start_reason(i) for i in range(len(cold.product))],
            },
            schema=COLD_START,
        ),
        bought_offsets=offsets,
        bought_products=bought,
        last_bought=last,
        bought_weight=scored.moment.pairs["product"].slow,
        replenishment=replenishment,
        value=value,
        churn=churn,
        uplift=effect,
        uplift_evidence=bundle.uplift.evidence,
        fresh=fresh,
    )
    return predictions, scored


def _customers(
    model: Propensity, rows: pa.Table, curve: np.ndarray, cutoff: datetime
) -> pa.Table:
    low, high = model.interval
    return pa.table(
        {
            "customer_id": rows.column("customer_id").cast(pa.string()),
            "expected_next_at": next_dates(curve, cutoff, 0.5),
            "next_p10_at": next_dates(curve, cutoff, low),
            "next_p90_at": next_dates(curve, cutoff, high),
            "reasons": pa.array(explain.reasons(model, rows), pa.list_(pa.string())),
            "consent": ~_refused(rows),
        },
        schema=CUSTOMERS,
    )


def _refused(rows: pa.Table) -> Bools:
    """Who refused consent by the profile in force, ``[row]``."""
    return rows.column("consent").fill_null(1.0).to_numpy() == 0


def _best_buyers(bundle: Bundle, history: History, rows: pa.Table) -> BestBuyers:
    refused = np.zeros(len(history.customers), dtype=np.bool_)
    refused[rows.column("customer").to_numpy()] = _refused(rows)
    limit = bundle.recommender.config.customers_per_product
    return BestBuyers(len(history.products), limit, refused)


def _buyers(best: BestBuyers, rows: pa.Table) -> Buyers:
    """Customer codes become rows of the table; both ascend by id."""
    found, spine = best.sorted(), rows.column("customer").to_numpy()
    row = np.searchsorted(spine, found.customer).astype(np.int32)
    return replace(found, customer=row)


def _offers(scored: Scored, rows: pa.Table, horizon_days: int) -> pa.Table:
    """Offers of the spine's customers; codes become rows of the tables."""
    spine = rows.column("customer").to_numpy()
    row_of = np.searchsorted(spine, scored.customer)
    sources = pa.DictionaryArray.from_arrays(
        pa.array(scored.source.astype(np.int32)), pa.array(SOURCES)
    )
    return pa.table(
        {
            "customer": row_of.astype(np.int32),
            "product": scored.product,
            "is_new": scored.is_new,
            "score": scored.score,
            "probability": scored.probability,
            "source": sources,
            "reason": offer_reasons(scored, horizon_days),
        },
        schema=OFFERS,
    )
