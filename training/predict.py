"""Everything a bundle says about customers, all at once or part by part."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import pyarrow as pa

from features.free_memory import give_back
from features.history import Bools, History, Ints
from features.kept import Kept
from features.mapped import Mapped
from features.samples import take
from training import explain
from training.artifacts import Bundle
from training.build import Steps, at_cutoff
from training.buyers import BestBuyers, BuyersOfPart
from training.catalogue import bought_before, products_table
from training.census import Censuses
from training.generators.fitted import SOURCES
from training.ground import Ground, ground_of
from training.joined import Joined
from training.offers import ColdStart, Scored, cold_start
from training.predictions import (
    COLD_START,
    CUSTOMERS,
    OFFERS,
    OfCustomers,
    Predictions,
)
from training.propensity import Propensity, next_dates
from training.reasons import cold_start_reason, offer_reasons
from training.survey import Survey
from training.value import predict_value


def predict(
    bundle: Bundle,
    history: History,
    features: pa.Table,
    steps: Steps | None = None,
    censuses: Censuses | None = None,
) -> tuple[Predictions, Scored]:
    """Everything the bundle says about the customers of ``history.until``.

    Args:
        bundle: fitted at ``history.until`` or before.
        history: what is known at the moment of the answer.
        features: rows of ``assemble``, those of ``history.until`` among them.
        steps: measures the work.
        censuses: of all customers, one at ``history.until`` among them, where the
            history is of some only.

    Returns:
        Predictions, and the offers they were written from.
    """
    steps = steps or Steps()
    rows = at_cutoff(features, history.until)
    with steps("learn what is usual"):
        ground = ground_of(bundle, Survey(history, censuses), rows)
    best = _best(bundle, ground)
    said, scored = _said(bundle, ground, history, rows, best, 0, steps)
    return _predictions(bundle, ground, said, best), scored


def predict_parts(
    bundle: Bundle,
    ground: Ground,
    parts: Iterable[tuple[History, pa.Table]],
    files: Mapped,
    steps: Steps | None = None,
) -> Predictions:
    """The same of customers who come part by part, in bounded memory.

    Args:
        bundle: fitted at the ground's cutoff or before.
        ground: of the same input.
        parts: histories with their rows of ``assemble`` at the cutoff; each is let
            go of at once.
        files: of an empty folder, from which the predictions are mapped.
        steps: measures the work.
    """
    steps, best = steps or Steps(), _best(bundle, ground)
    joined = Joined(files)
    first = 0
    for history, rows in parts:
        joined.add(_said(bundle, ground, history, rows, best, first, steps)[0])
        give_back()
        first += len(history.customers)
    with steps("put customers in order"):
        return _predictions(bundle, ground, joined.whole(), best)


def _best(bundle: Bundle, ground: Ground) -> BestBuyers:
    limit = bundle.recommender.config.customers_per_product
    return BestBuyers(ground.moment.n_products, limit)


def _said(
    bundle: Bundle,
    ground: Ground,
    history: History,
    rows: pa.Table,
    best: BestBuyers,
    first: int,
    steps: Steps,
) -> tuple[OfCustomers, Scored]:
    """What is said of the customers of a part; ``first`` is the number of its first."""
    snapshot = ground.snapshot
    spine = rows.column("customer").to_numpy()
    with steps("score propensity"):
        curve = bundle.propensity.curve(rows)
        customers = _customers(bundle.propensity, rows, curve, ground)
    with steps("score offers"):
        refused = np.zeros(len(history.customers), dtype=np.bool_)
        refused[spine] = _refused(rows)
        generators = ground.generators_of(history)
        scored = bundle.recommender.score(
            generators,
            generators.moment.customers,
            buyers=BuyersOfPart(best, first, refused),
        )
        offers = _offers(scored, rows, bundle.horizon_days)
    with steps("replenishment and value"):
        due = bundle.replenishment.predict(history, snapshot, ground.usual)
        value = predict_value(history, rows, snapshot, bundle.spend, ground.worth)
    with steps("churn risk and uplift"):
        churn = bundle.churn and bundle.churn.predict(history, rows, snapshot.cutoff_us)
        effect = bundle.uplift.predict(rows)
    offsets, bought, last = bought_before(history, spine)
    said = OfCustomers(
        number=(spine + first).astype(np.int64),
        customers=customers,
        curve=curve,
        offers=offers,
        bought_offsets=offsets,
        bought_products=bought,
        last_bought=last,
        bought_weight=generators.moment.pairs["product"].slow,
        replenishment=due,
        value=value,
        churn=churn,
        uplift=effect,
        profiles=_profiles(rows),
        kept=Kept.of(_of(history, spine)),
    )
    return said, scored


def _predictions(
    bundle: Bundle, ground: Ground, said: OfCustomers, best: BestBuyers
) -> Predictions:
    return Predictions(
        cutoff=ground.snapshot.cutoff,
        horizon_days=bundle.horizon_days,
        tag_threshold=bundle.propensity.tag_threshold,
        products=products_table(ground.moment),
        buyers=best.sorted().renumbered(said.number),
        any_of=bundle.recommender.any_of,
        cold_start=_cold_start(cold_start(ground.moment)),
        uplift_evidence=bundle.uplift.evidence,
        fresh=ground.fresh,
        launched=ground.moment.history.products.launched,
        propensity=bundle.propensity,
        **said.columns(),
    )


def _of(history: History, spine: Ints) -> History:
    """The history of the customers of whom something is said."""
    keep = np.zeros(len(history.customers), dtype=np.bool_)
    keep[spine] = True
    return take(history, keep)


def _cold_start(cold: ColdStart) -> pa.Table:
    return pa.table(
        {
            "product": cold.product,
            "score": cold.score,
            "probability": cold.probability,
            "reason": [cold_start_reason(i) for i in range(len(cold.product))],
        },
        schema=COLD_START,
    )


def _customers(
    model: Propensity, rows: pa.Table, curve: np.ndarray, ground: Ground
) -> pa.Table:
    cutoff, (low, high) = ground.snapshot.cutoff, model.interval
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


def _profiles(rows: pa.Table) -> pa.Table:
    """The texts of the profile in force; no other feature is a text."""
    texts = [f.name for f in rows.schema if pa.types.is_dictionary(f.type)]
    ids = rows.column("customer_id").cast(pa.string())
    return pa.table({"customer_id": ids, **{n: rows.column(n) for n in texts}})


def _refused(rows: pa.Table) -> Bools:
    """Who refused consent by the profile in force, ``[row]``."""
    return rows.column("consent").fill_null(1.0).to_numpy() == 0


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
