"""The stages of a build, as the command line, DVC and the demo run them.

Each reads what the one before left in the workspace and writes whole files or
nothing, so a stage that is killed leaves the last good result in force.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from datetime import datetime
from multiprocessing import get_context
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from features import complete_journey
from features.assemble import dimensions
from features.config import Config
from features.contracts import ContractError, SettingError
from features.engine import Tables
from features.history import History
from features.snapshot import Snapshot
from serving.experiments import offline
from serving.publish import publish as publish_predictions
from training import artifacts, build, ranker, report, track
from training import backtest as backtests
from training.build import Steps
from training.evaluate import Quality
from training.predictions import Predictions
from training.ranker import Recommender

Announce = Callable[[str], None]


@dataclass(frozen=True)
class Evaluation:
    """Figures of all evaluation cutoffs, and the comparison with manual picks."""

    qualities: tuple[Quality, ...]
    comparison: offline.Comparison
    folder: Path


def open_tables(
    config: Config, announce: Announce | None = None, quarantine: Path | None = None
) -> Tables:
    """The input, checked; bad rows are counted aloud and set aside.

    Args:
        config: where the input is.
        announce: is told how many rows of which table were bad.
        quarantine: folder for bad rows; None: the workspace's.
    """
    folder = quarantine or config.workspace / "quarantine"
    tables = _tables(config)
    tables.write_quarantine(folder)
    for table, bad in tables.quarantined.items():
        if bad and announce:
            announce(f"{table}: {bad:,} bad rows set aside in {folder}")
    return tables


def _tell_dimensions(history: History, announce: Announce | None) -> None:
    """Say which of the six dimensions had data, and which are null."""
    if announce:
        found = dimensions(history)
        named = {
            has: ", ".join(name for name, value in found.items() if value == has)
            for has in (True, False)
        }
        announce(
            f"history of: {named[True]}; no data, so null: {named[False] or 'none'}"
        )


def _tables(config: Config) -> Tables:
    return Tables(
        config.data,
        memory_limit=config.engine.memory_limit,
        threads=config.engine.threads,
    )


def cutoff_of(config: Config) -> datetime:
    """The cutoff of the build.

    Raises:
        SettingError: there is none in the configuration.
    """
    if config.cutoff is None:
        raise SettingError(
            "cutoff: expected a date in the configuration, got none; "
            "give --set cutoff=2017-10-15 or a --config file with cutoff:"
        )
    return config.cutoff


def data(config: Config) -> dict[str, int]:
    """Write the bundled real data set to ``config.data``; rows by table."""
    return complete_journey.write_tables(config.data)


def features(config: Config, announce: Announce | None = None) -> Path:
    """Write the feature rows of the training cutoffs and of the cutoff."""
    steps = Steps(announce)
    with open_tables(config, announce) as tables:
        with steps("read history"):
            history = tables.history(cutoff_of(config))
        _tell_dimensions(history, announce)
        with steps("features"):
            table = build.build_features(history, config)
    folder = config.workspace / "features"
    folder.mkdir(parents=True, exist_ok=True)
    unfinished = folder / ".features.parquet"
    stamp = {
        "cutoff": history.until.isoformat(),
        "fingerprint": history.fingerprint,
        "horizon_days": str(config.horizon_days),
    }
    pq.write_table(table.replace_schema_metadata(stamp), unfinished)
    return unfinished.replace(folder / "features.parquet")


def train(config: Config, announce: Announce | None = None) -> Path:
    """Fit both models at the cutoff, log them to MLflow, keep them as a bundle."""
    steps = Steps(announce)
    with open_tables(config) as tables, steps("read history"):
        history = tables.history(cutoff_of(config))
    table = _read_features(config, history)
    bundle = build.fit(history, table, config, steps)
    folder = artifacts.save(bundle, config.workspace / "models")
    pointer = config.workspace / "models" / ".latest"
    pointer.write_text(folder.name)
    pointer.replace(config.workspace / "models" / "latest")
    with steps("log to MLflow"), track.run(config, f"train {folder.name}") as run:
        run.params(_flat(config.model_dump(mode="json")))
        run.metrics({f"seconds/{k}": v for k, v in steps.seconds.items()})
        run.data(table, str(config.data), history.fingerprint)
        run.model(folder, build.at_cutoff(table, history.until).slice(0, 5))
    return folder


def evaluate(config: Config, announce: Announce | None = None) -> Evaluation:
    """Backtest every evaluation cutoff, compare with manual picks, report.

    Raises:
        SettingError: no evaluation cutoff is configured.
        ContractError: the data do not reach past a label window.
    """
    if not config.evaluation_cutoffs:
        raise SettingError(
            "evaluation_cutoffs: expected at least one date in the configuration, got "
            "none; give --set 'evaluation_cutoffs=[2017-10-15, 2017-11-12]'"
        )
    built = _built_side_by_side(config, announce)
    qualities = [one.quality for one in built]
    recommenders = {one.quality.cutoff: one.recommender for one in built}
    with open_tables(config, announce) as tables:
        if announce:
            announce("compare with manual picks of past campaigns")
        comparison = offline.compare(
            tables,
            _latest_fitted(tables, recommenders, config, announce),
            config,
        )
    evaluation = Evaluation(tuple(qualities), comparison, config.workspace / "reports")
    _write_report(evaluation)
    with track.run(config, "evaluate") as run:
        run.params(_flat(config.model_dump(mode="json")))
        run.params({"data_fingerprint": built[-1].fingerprint})
        for step, quality in enumerate(qualities):
            run.metrics(_numbers(quality), step)
        run.files(evaluation.folder)
    return evaluation


@dataclass(frozen=True)
class _Built:
    """What the evaluation needs of one cutoff's backtest."""

    quality: Quality
    recommender: Recommender
    fingerprint: str


def _built_side_by_side(config: Config, announce: Announce | None) -> list[_Built]:
    """Every evaluation cutoff's backtest, ascending, ``config.processes`` at once."""
    cutoffs = sorted(config.evaluation_cutoffs)
    if config.processes == 1:
        return [
            _built(config, c, _prefixed(announce, f"{c:%Y-%m-%d}")) for c in cutoffs
        ]
    if announce:
        dates = " and ".join(f"{cutoff:%Y-%m-%d}" for cutoff in cutoffs)
        announce(f"build and evaluate {dates} side by side")
    # Forked children would inherit the threads of the numeric libraries halfway.
    with ProcessPoolExecutor(config.processes, get_context("spawn")) as pool:
        return list(pool.map(_built, [config] * len(cutoffs), cutoffs))


def _built(
    config: Config, cutoff: datetime, announce: Announce | None = None
) -> _Built:
    snapshot = Snapshot(cutoff, config.horizon_days)
    with _tables(config) as tables:  # the caller writes the quarantine, once
        result = backtests.run(tables, snapshot, config, Steps(announce))
    if result.quality is None:
        raise ContractError(
            f"evaluation_cutoffs: expected purchases until {snapshot.label_end:%Y-%m-%d}"
            f" for the cutoff {cutoff:%Y-%m-%d}, got none that late; "
            "choose an earlier cutoff"
        )
    bundle = result.bundle
    return _Built(result.quality, bundle.recommender, bundle.fingerprint)


def backtest(
    config: Config,
    snapshot: Snapshot,
    out: Path,
    top: int,
    announce: Announce | None = None,
) -> backtests.Backtest:
    """Build and evaluate at a past cutoff, write the tables, log the run."""
    config = config.model_copy(update={"cutoff": snapshot.cutoff})
    with open_tables(config, announce, out / "quarantine") as tables:
        result = backtests.run(tables, snapshot, config, Steps(announce))
    _tell_dimensions(result.history, announce)
    backtests.write(result, out, top)
    with (
        TemporaryDirectory() as folder,
        track.run(config, f"backtest {snapshot.cutoff:%Y-%m-%d}") as run,
    ):
        run.params(_flat(config.model_dump(mode="json")))
        run.params({"data_fingerprint": result.bundle.fingerprint})
        run.metrics({f"seconds/{k}": v for k, v in result.steps.seconds.items()})
        if result.quality:
            run.metrics(_numbers(result.quality))
        run.files(artifacts.save(result.bundle, Path(folder)))
    return result


def publish(
    config: Config, announce: Announce | None = None
) -> tuple[Path, Predictions]:
    """Score everyone with the latest bundle and put the result in force."""
    steps = Steps(announce)
    pointer = config.workspace / "models" / "latest"
    if not pointer.exists():
        raise ContractError(
            f"model: expected a trained bundle in {config.workspace / 'models'}, found "
            "none; run repurchase train first"
        )
    folder = pointer.with_name(pointer.read_text())
    bundle = artifacts.load(folder)
    if bundle.horizon_days != config.horizon_days:
        raise SettingError(
            f"horizon_days: expected {bundle.horizon_days} as in the bundle {folder.name}, "
            f"got {config.horizon_days}; run repurchase features and train again"
        )
    with open_tables(config) as tables, steps("read history"):
        history = tables.history(cutoff_of(config))
    table = _read_features(config, history)
    predictions, _ = build.predict(bundle, history, table, steps)
    with steps("publish"):
        version = publish_predictions(config.workspace, predictions, folder.name)
    with steps("log to MLflow"), track.run(config, f"publish {version.name}") as run:
        run.params({"version": version.name, "bundle": folder.name})
        run.params({"data_fingerprint": history.fingerprint})
        run.metrics({"customers": float(predictions.customers.num_rows)})
        # The alias follows the pointer: after a kill in between, publish again.
        if run.promote(folder.name) is None:
            run.model(folder, build.at_cutoff(table, history.until).slice(0, 5))
            run.promote(folder.name)
    return version, predictions


def _latest_fitted(
    tables: Tables,
    fitted: dict[datetime, Recommender],
    config: Config,
    announce: Announce | None,
) -> Callable[[datetime], Recommender]:
    """The latest recommender fitted at or before a moment; fits one if none is."""

    def recommender(moment: datetime) -> Recommender:
        past = [cutoff for cutoff in fitted if cutoff <= moment]
        if not past:
            if announce:
                announce(f"train recommender as of {moment:%Y-%m-%d}")
            history = tables.history(moment)
            fitted[moment] = ranker.fit(
                history, moment, config.horizon_days, config.recommend, config.seed
            )
            past = [moment]
        return fitted[max(past)]

    return recommender


def _read_features(config: Config, history: History) -> pa.Table:
    """The feature table of this history.

    Raises:
        ContractError: there is none, or it was built from other data.
    """
    file = config.workspace / "features" / "features.parquet"
    if not file.exists():
        raise ContractError(
            f"features: expected a table at {file}, found none; run repurchase features"
        )
    table = pq.read_table(file)
    stamp: dict[bytes, bytes] = table.schema.metadata or {}
    expected = (history.fingerprint, str(config.horizon_days))
    got = tuple(stamp.get(k, b"").decode() for k in (b"fingerprint", b"horizon_days"))
    if got != expected:
        raise ContractError(
            f"features: expected a table of the same data, cutoff and horizon, got "
            f"another in {file}; run repurchase features again"
        )
    return table.replace_schema_metadata(None)


def _write_report(evaluation: Evaluation) -> None:
    folder = evaluation.folder
    folder.mkdir(parents=True, exist_ok=True)
    figures: dict[str, Any] = {
        "cutoffs": {f"{q.cutoff:%Y-%m-%d}": q.to_json() for q in evaluation.qualities},
        "against_manual_picks": evaluation.comparison.to_json(),
    }
    report.write_json(figures, folder / "metrics.json")
    picks = evaluation.comparison.figures()
    report.draw(evaluation.qualities, picks, folder / "results.png")
    campaigns = evaluation.comparison.campaigns()
    report.write_html(evaluation.qualities, picks, campaigns, folder)


def _prefixed(announce: Announce | None, prefix: str) -> Announce | None:
    if announce is None:
        return None
    return lambda name: announce(f"{prefix}: {name}")


def _flat(values: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for name, value in values.items():
        if isinstance(value, dict):
            flat.update(_flat(value, f"{prefix}{name}."))
        else:
            flat[prefix + name] = value
    return flat


def _numbers(quality: Quality) -> dict[str, float]:
    """Figures of a cutoff under names that MLflow accepts."""
    named = {"base_rate": quality.base_rate, "customers": float(quality.customers)}
    named |= {f"tag/{name}": value for name, value in quality.tag.items()}
    for model, values in quality.propensity.items():
        named |= {f"{model}/{name}": value for name, value in values.items()}
    for lane, methods in quality.lists.items():
        for method, values in methods.items():
            named |= {f"{lane}/{method}/{n}_at_10": v for n, v in values.items()}
    return {name: value for name, value in named.items() if value == value}
