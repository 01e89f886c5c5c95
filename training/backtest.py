"""Train with what was known before a cutoff, and compare with what came after."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from features.config import Config
from features.engine import Tables
from features.history import History, owners_of
from features.scratch import whole
from features.snapshot import Snapshot, to_us
from training import build, labels, report
from training.artifacts import Bundle
from training.build import Steps
from training.evaluate import Quality, evaluate
from training.offers import Scored, place_within
from training.predict import predict
from training.predictions import LANES, Predictions
from training.replenishment import alert_window
from training.sample import Sample, sample_of
from training.service_life import service_life_of
from training.survey import Survey, read_survey


@dataclass(frozen=True)
class Backtest:
    """A build at a past cutoff with its quality.

    ``quality`` and ``sample``, the rows behind its figures of propensity, are None
    where the data do not reach past the label window.
    """

    bundle: Bundle
    history: History
    features: pa.Table
    predictions: Predictions
    scored: Scored
    quality: Quality | None
    sample: Sample | None
    steps: Steps


def run(
    tables: Tables,
    snapshot: Snapshot,
    config: Config,
    steps: Steps | None = None,
    *,
    everyone: bool = True,
) -> Backtest:
    """Build at the snapshot's cutoff and evaluate on its label window.

    Args:
        tables: all input; only rows known before the cutoff are learned from.
        snapshot: cutoff and label window; its horizon is the build's.
        config: everything else.
        steps: measures the work.
        everyone: whether all customers are scored; else those who are learned from,
            at most ``config.max_learners``.

    Raises:
        ContractError: too little history before the cutoff.
    """
    steps = steps or Steps()
    config = config.model_copy(update={"horizon_days": snapshot.horizon_days})
    with steps("read history"):
        survey = (
            Survey(tables.history(snapshot.cutoff))
            if everyone
            else read_survey(tables, snapshot.cutoff, config)
        )
    history, censuses = survey.history, survey.censuses
    with steps("features"):
        features = build.build_features(history, config)
    bundle = build.fit(history, features, config, steps, censuses)
    predictions, scored = predict(bundle, history, features, steps, censuses)
    ids: list[str] = predictions.customers.column("customer_id").to_pylist()
    happened = labels.happened(
        tables,
        snapshot,
        config.churn.window_days,
        alert_window(config.replenishment.alert_days),
        ids,
    )
    sample = quality = None
    if happened:
        with steps("score baselines of propensity"):
            sample = sample_of(
                build.at_cutoff(features, snapshot.cutoff),
                predictions.curve[:, snapshot.horizon_days - 1].astype(np.float64),
                happened.bought.column("customer_id").to_pylist(),
                history,
                snapshot,
                config,
            )
        quality = evaluate(
            predictions, scored, history, happened, sample, config, steps
        )
    return Backtest(
        bundle, history, features, predictions, scored, quality, sample, steps
    )


def write(backtest: Backtest, out: Path, top: int) -> None:
    """Write the tables and ``metrics.json`` that the interface promises."""
    out.mkdir(parents=True, exist_ok=True)
    predictions = backtest.predictions
    tables = {
        "propensity": propensity_table(predictions),
        "recommendations": recommendations_table(predictions, top),
        "replenishment": predictions.replenishment,
        "value": predictions.value,
        "uplift": predictions.uplift,
    }
    # Of another cutoff, maybe; it is written only where a decline could be learned.
    (out / "churn.parquet").unlink(missing_ok=True)
    if predictions.churn is not None:
        tables["churn"] = predictions.churn
    for name, table in tables.items():
        with whole(out / f"{name}.parquet") as place:
            pq.write_table(table, place)
    metrics: dict[str, Any] = {
        "cutoff": predictions.cutoff.isoformat(),
        "horizon_days": predictions.horizon_days,
        "seed": backtest.bundle.seed,
        "data_fingerprint": backtest.bundle.fingerprint,
        "quality": backtest.quality.to_json() if backtest.quality else None,
        "seconds": backtest.steps.seconds,
        "peak_memory_mb": backtest.steps.peak_mb,
    }
    report.write_json(metrics, out / "metrics.json")


def propensity_table(predictions: Predictions) -> pa.Table:
    """``customer_id``, ``probability`` at the horizon, ``expected_next_at``."""
    probability = predictions.curve[:, predictions.horizon_days - 1]
    return pa.table(
        {
            "customer_id": predictions.customers.column("customer_id"),
            "probability": probability.astype(np.float64),
            "expected_next_at": predictions.customers.column("expected_next_at"),
        }
    )


def recommendations_table(predictions: Predictions, top: int) -> pa.Table:
    """The three lists of every customer, ``top`` available products each at most.

    Durables that the customer has already are left out; see ``service_life``.

    Returns:
        ``customer_id``, ``list``, ``rank``, ``product_id``, ``score``,
        ``probability``, ``reason``; ordered by customer, list and rank.
    """
    offers = predictions.offers
    customer = offers.column("customer").to_numpy()
    product = offers.column("product").to_numpy()
    is_new = offers.column("is_new").to_numpy()
    available = predictions.products.column("available").to_numpy()[product]
    available = available & ~_rests(predictions, customer, product)
    parts: list[pa.Table] = []
    for lane in LANES:
        fits = available & (True if lane == "mixed" else is_new == (lane == "new"))
        rows = np.flatnonzero(fits)
        place = place_within(customer[rows])
        rows, rank = rows[place < top], place[place < top] + 1
        chosen = offers.take(pa.array(rows))
        parts.append(
            pa.table(
                {
                    "customer": chosen.column("customer"),
                    "list": pa.array([lane] * len(rows), pa.string()),
                    "rank": rank.astype(np.int32),
                    "product_id": predictions.products.column("product_id").take(
                        chosen.column("product")
                    ),
                    "score": chosen.column("score").cast(pa.float64()),
                    "probability": chosen.column("probability").cast(pa.float64()),
                    "reason": chosen.column("reason").cast(pa.string()),
                }
            )
        )
    lists = pa.concat_tables(parts).sort_by(
        [("customer", "ascending"), ("list", "ascending"), ("rank", "ascending")]
    )
    ids = predictions.customers.column("customer_id").take(lists.column("customer"))
    return lists.drop_columns(["customer"]).add_column(0, "customer_id", ids)


def _rests(
    predictions: Predictions, customer: np.ndarray, product: np.ndarray
) -> np.ndarray:
    """Offers of durables that last still."""
    lives = service_life_of(predictions.products)
    if lives is None:
        return np.zeros(len(product), dtype=np.bool_)
    buyer = owners_of(predictions.bought_offsets)
    bought = (buyer, predictions.bought_products, predictions.last_bought)
    return lives.rests(customer, product, bought, to_us(predictions.cutoff))
