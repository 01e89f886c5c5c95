"""The stages of a build, as the command line, DVC and the demo run them.

Each reads what the one before left in the workspace and writes whole files or
nothing, so a stage that is killed leaves the last good result in force.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import AbstractContextManager
from datetime import datetime
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa

from features import complete_journey, store
from features.assemble import assemble, assemble_parts, dimensions
from features.blocks import blocks
from features.config import Config
from features.contracts import ContractError, SettingError
from features.database import Database
from features.engine import Tables
from features.history import History
from features.mapped import Mapped
from features.profile import UNDATED, is_undated, left_out
from features.scratch import folder_in, scratch, unfinished, whole
from features.snapshot import Snapshot
from features.store import Stamp
from serving.champion import LATEST, champion_of, told
from serving.erasure import erased_of, purge
from serving.insight.blocks import Kpis
from serving.insight.measure import Measures
from serving.insight.portrait import Insight
from serving.insight.portraits import Portraits
from serving.insight.standards import standards_of
from serving.publish import publish as publish_predictions
from serving.turns import one_at_a_time
from training import als_frame, artifacts, build, track
from training import backtest as backtests
from training.artifacts import Bundle
from training.build import Steps
from training.details import Details
from training.evaluate import Quality
from training.ground import ground_of
from training.metrics import MAP_SLOTS, K
from training.predict import predict_parts
from training.predictions import Predictions
from training.recipe import record_of
from training.reference import reference_of
from training.survey import read_survey

GATE = "gate.json"
"""What the gate said, beside what it was shown. Not in the model's folder: a stage
changes nothing that an earlier one has made."""

Announce = Callable[[str], None]


def prefixed(announce: Announce | None, prefix: str) -> Announce | None:
    """Announces every step under a prefix; None stays None."""
    if announce is None:
        return None
    return lambda name: announce(f"{prefix}: {name}")


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
    tables = tables_of(config)
    tables.write_quarantine(folder)
    for table, bad in tables.quarantined.items():
        if bad and announce:
            announce(f"{table}: {bad:,} bad rows set aside in {folder}")
    return tables


def tell_dimensions(history: History, announce: Announce | None) -> None:
    """Say which of the six dimensions had data, and what is left out of them."""
    if announce:
        found = dimensions(history)
        named = {
            has: ", ".join(name for name, value in found.items() if value == has)
            for has in (True, False)
        }
        announce(
            f"history of: {named[True]}; no data, so null: {named[False] or 'none'}"
        )
        others = left_out(history)
        if others:
            announce(
                "left out (too many different words, or no number, flag or text): "
                + ", ".join(others)
            )


def tables_of(config: Config) -> Tables:
    """The input without who was erased, checked; nothing is written."""
    return Tables(
        config.data,
        memory_limit=config.engine.memory_limit,
        threads=config.engine.threads,
        erased=erased_of(config),
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


def has_no_data(config: Config) -> bool:
    """Whether the input is a folder that has still to be filled."""
    data = config.data
    if isinstance(data, Database) or data.is_file():
        return False
    return not (data / "purchases.parquet").exists()


def data(config: Config) -> dict[str, int]:
    """Write the bundled real data set to the folder ``config.data``; rows by table.

    Raises:
        SettingError: the input is a database.
    """
    if isinstance(config.data, Database):
        raise SettingError(
            f"data: expected a folder to write to, got {config.data}; "
            "give --set data=FOLDER"
        )
    return complete_journey.write_tables(config.data)


@one_at_a_time
def features(config: Config, announce: Announce | None = None) -> Path:
    """Write the feature rows of the training cutoffs and of the cutoff.

    A table of the same input, code, cutoffs and horizon is left as it is.
    """
    steps = Steps(announce)
    file = config.workspace / "features" / "features.parquet"
    unfinished(file).unlink(missing_ok=True)
    if config.engine.name == "spark":
        from serving import on_spark

        return on_spark.features(config, file, announce)
    with open_tables(config, announce) as tables:
        cutoffs, stamp = _to_build(tables, config)
        if store.stamp_of(file) == stamp:
            if announce:
                announce(f"features: unchanged, {stamp.fingerprint[:12]}")
            return file
        with steps("features"):
            parts = _told(tables.parts(cutoffs[-1]), announce)
            wide = assemble_parts(parts, cutoffs, threads=config.engine.threads)
            store.write(file, wide, stamp)
    return file


def _to_build(tables: Tables, config: Config) -> tuple[list[datetime], Stamp]:
    """The cutoffs of the feature table, and what it is made of."""
    until = cutoff_of(config)
    first = tables.first_purchase(until)
    cutoffs = [*build.cutoffs_since(first, until, config), until]
    return cutoffs, Stamp.of(tables.digest(), cutoffs, config.horizon_days)


def _told(parts: Iterable[History], announce: Announce | None) -> Generator[History]:
    """The same parts; the first says which dimensions have data."""
    undated = True
    for i, part in enumerate(parts):
        if not i:
            tell_dimensions(part, announce)
        undated &= is_undated(part)
        yield part
    if undated and announce:
        announce(UNDATED)


@one_at_a_time
def train(config: Config, announce: Announce | None = None) -> Path:
    """Fit all models at the cutoff, log them to MLflow, keep them as a bundle."""
    steps = Steps(announce)
    with open_tables(config) as tables:
        with steps("read history"):
            survey = read_survey(tables, cutoff_of(config), config)
        history = survey.history
        file, stamp = check_features(tables, config)
        table = store.read(file, list(history.customers))
        read = blocks(tables, cutoff_of(config), config.gate.block_days)
        record = record_of(
            config, cutoff_of(config), tables.digest(), stamp.fingerprint, read
        )
    bundle = build.fit(history, table, config, steps, survey.censuses)
    folder = artifacts.save(bundle, config.workspace / "models")
    with steps("count what is usual"):
        reference_of(table, bundle.propensity).save(folder)
    record.save(folder)
    name_latest(config.workspace, folder.name)
    with steps("log to MLflow"), track.run(config, f"train {folder.name}") as run:
        run.config(config)
        run.metrics({f"seconds/{k}": v for k, v in steps.seconds.items()})
        run.data(table, str(config.data), history.fingerprint)
        run.tags(
            {
                "bundle": folder.name,
                "data": record.data,
                "features": record.features,
                "code": record.code,
            }
        )
        run.environment()
        run.model(folder, build.at_cutoff(table, history.until))
    return folder


def name_latest(workspace: Path, bundle: str) -> None:
    """Let the next publish take this bundle."""
    with whole(workspace / "models" / LATEST) as pointer:
        pointer.write_text(bundle)


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
    tell_dimensions(result.history, announce)
    if is_undated(result.history) and announce:
        announce(UNDATED)
    backtests.write(result, out, top)
    with (
        scratch() as folder,
        track.run(config, f"backtest {snapshot.cutoff:%Y-%m-%d}") as run,
    ):
        run.config(config)
        run.params({"data_fingerprint": result.bundle.fingerprint})
        run.metrics({f"seconds/{k}": v for k, v in result.steps.seconds.items()})
        if result.quality:
            run.metrics(numbers(result.quality))
        run.files(artifacts.save(result.bundle, folder))
    return result


def numbers(quality: Quality) -> dict[str, float]:
    """Figures of a cutoff under names that MLflow accepts."""
    named = {"base_rate": quality.base_rate, "customers": float(quality.customers)}
    named |= {f"tag/{name}": value for name, value in quality.tag.items()}
    for model, values in quality.propensity.items():
        named |= {f"{model}/{name}": value for name, value in values.items()}
    for lane, methods in quality.lists.items():
        for method, values in methods.items():
            named |= {f"{lane}/{method}/{n}{_cut(n)}": v for n, v in values.items()}
    named |= _match_numbers(quality)
    for model, values in quality.value.models.items():
        named |= {f"value/{model}/{n}": value for n, value in values.items()}
    for model, values in quality.churn.models.items() if quality.churn else ():
        named |= {f"churn/{model}/{n}": value for n, value in values.items()}
    if quality.replenishment:
        for model, values in quality.replenishment.models.items():
            named |= {f"replenishment/{model}/{n}": v for n, v in values.items()}
        alerts = quality.replenishment.alerts
        named |= {f"replenishment/alerts/{n}": v for n, v in alerts.items()}
    if quality.uplift.qini:
        named["uplift/qini"] = quality.uplift.qini.value
    if quality.uplift.spend:
        named["uplift/spend_qini"] = quality.uplift.spend.qini.value
    return {name: value for name, value in named.items() if value == value}


def _match_numbers(quality: Quality) -> dict[str, float]:
    named: dict[str, float] = {}
    for lane, match in quality.offers.match.items():
        named[f"{lane}/match/calibration_error"] = match.ece
        named[f"{lane}/match/pairs"] = float(match.pairs)
        named[f"{lane}/match/graded_85"] = float(match.sure)
        named[f"{lane}/match/graded_85_bought"] = match.sure_bought
    for lane, reached in quality.offers.candidates.items():
        named |= {f"{lane}/candidates/{name}": v for name, v in reached.items()}
    return named


def _cut(figure: str) -> str:
    """Of how many slots a figure of lists is, as the end of its name."""
    return f"_at_{MAP_SLOTS if figure == 'map' else K}"


def steady_numbers(found: Details) -> dict[str, float]:
    """Figures of all cutoffs together under names that MLflow accepts."""
    named = {f"stability/{n}": v for n, v in found.stability.summary().items()}
    named["leaks/shuffled_auc"] = found.leaks.interval.value
    return {name: value for name, value in named.items() if value == value}


@one_at_a_time
def publish(
    config: Config, announce: Announce | None = None, *, ungated: bool = False
) -> tuple[Path, Predictions]:
    """Score everyone with the latest bundle and put the result in force.

    Args:
        config: of everything.
        announce: hears of every step.
        ungated: put it in force whatever the gate said, or did not say.

    Raises:
        ContractError: no model was trained, or the input breaks the contract.
        SettingError: another model is in force and the gate did not let this one take
            its place.
    """
    steps = Steps(announce)
    pointer = config.workspace / "models" / "latest"
    if not pointer.exists():
        raise ContractError(
            f"model: expected a trained bundle in {config.workspace / 'models'}, found "
            "none; run repurchase train first"
        )
    folder = pointer.with_name(pointer.read_text())
    if not ungated:
        _must_be_let_pass(config.workspace, folder.name)
    bundle = artifacts.load(folder)
    if bundle.horizon_days != config.horizon_days:
        raise SettingError(
            f"horizon_days: expected {bundle.horizon_days} as in the bundle {folder.name}, "
            f"got {config.horizon_days}; run repurchase features and train again"
        )
    with _place(config) as place:
        files = Mapped(place)
        said = _said(config, bundle, files, steps)
        with steps("publish"):
            version = publish_predictions(
                config.workspace,
                said.predictions,
                folder.name,
                files,
                said.kpis,
                said.insight,
            )
            removed = purge(config)
    if removed and announce:
        announce(f"removed what held customers who were erased: {removed} folders")
    with steps("log to MLflow"), track.run(config, f"publish {version.name}") as run:
        run.params({"version": version.name, "bundle": folder.name})
        run.params({"data_fingerprint": said.fingerprint})
        run.metrics({"customers": float(said.predictions.customers.num_rows)})
        # The alias follows the pointer: after a kill in between, publish again.
        if run.promote(folder.name) is None:
            run.model(folder, said.example)
            run.promote(folder.name)
        _keep_factors(said.predictions, run)
    told(config.workspace, folder.name)
    return version, said.predictions


def _keep_factors(predictions: Predictions, run: track.Run) -> None:
    """The products' ALS factors, as a model of their own."""
    basis = predictions.fresh
    if not len(basis.items):
        return
    ids: list[str] = predictions.products.column("product_id").to_pylist()
    with scratch() as folder:
        als_frame.save(basis, ids, folder / "als")
        run.als(folder / "als", [ids[code] for code in basis.items[:2].tolist()])


def file_of(workspace: Path, bundle: str) -> Path:
    """Where the gate's decision on a model is."""
    return workspace / "proofs" / bundle / GATE


def _must_be_let_pass(workspace: Path, bundle: str) -> None:
    """A model takes another one's place only after a yes beside that one.

    The model in force is published again whatever was said of it once: it may have
    been sent back and put in force again by hand.
    """
    champion, file = champion_of(workspace), file_of(workspace, bundle)
    if bundle == champion:
        return
    try:
        said = json.loads(file.read_text())
        promote, beside = bool(said["promote"]), said["champion"]
        count = len(said["reasons"])
    except (OSError, ValueError, KeyError, TypeError):
        promote, beside, count = None, None, 0
    if promote is False:
        raise SettingError(
            f"model: expected one that the gate let pass, got {bundle} "
            f"({count} reasons in {file}); train another one, or change the gate: "
            "section and run repurchase gate again, or give publish --ungated"
        )
    if champion is not None and not (promote and beside == champion):
        raise SettingError(
            f"model: expected one that the gate let pass beside {champion}, which is in "
            f"force, got {bundle}, of which nothing was said beside it; run repurchase "
            "gate, or give publish --ungated"
        )


def _place(config: Config) -> AbstractContextManager[Path]:
    """A folder for what is too much for memory, on the disk it is published to."""
    root = config.workspace / "published"
    root.mkdir(parents=True, exist_ok=True)
    return folder_in(root, ".parts-")


class _Said(NamedTuple):
    """What is said of everyone, and of the shop.

    Attributes:
        example: some feature rows.
        fingerprint: of the input.
    """

    predictions: Predictions
    kpis: Kpis
    insight: Insight
    example: pa.Table
    fingerprint: str


def _said(config: Config, bundle: Bundle, files: Mapped, steps: Steps) -> _Said:
    with open_tables(config) as tables:
        check_features(tables, config)
        with steps("read history"):
            survey = read_survey(tables, cutoff_of(config), config)
            drawn = assemble(survey.history, [survey.history.until])
        with steps("learn what is usual"):
            ground = ground_of(bundle, survey, drawn)

        first = tables.first_purchase(survey.history.until)
        measures = Measures(survey.history.until, first, config.kpis)
        with steps("learn what is high in this shop"):
            standards = standards_of(
                survey.history, survey.history.until, first, config
            )
        portraits = Portraits(survey.history.until, standards, config)

        def parts() -> Iterator[tuple[History, pa.Table]]:
            for part in survey.parts(tables):
                is_all = part is survey.history
                with steps("tags, tiers and health"):
                    tier = portraits.add(part)
                measures.add(part, tier)
                yield part, drawn if is_all else assemble(part, [part.until])

        predictions = predict_parts(bundle, ground, parts(), files, steps)
    with steps("early warning"):
        ids = predictions.customers["customer_id"]
        insight = portraits.insight(ids, predictions.value, predictions.churn)
    tier = insight.column("abc").astype(np.int32)
    measures.add_value(predictions.value, predictions.profiles, tier)
    example = drawn.take(pa.array(range(min(len(drawn), 5))))
    return _Said(
        predictions, measures.kpis(), insight, example, survey.history.fingerprint
    )


def check_features(tables: Tables, config: Config) -> tuple[Path, Stamp]:
    """The feature table of this input, and what it was made of.

    Raises:
        ContractError: there is none, or it was built from other data.
    """
    file = config.workspace / "features" / "features.parquet"
    if not file.exists():
        raise ContractError(
            f"features: expected a table at {file}, found none; run repurchase features"
        )
    _, stamp = _to_build(tables, config)
    if store.stamp_of(file) != stamp:
        raise ContractError(
            f"features: expected a table of the same data, code, cutoff and horizon, "
            f"got another in {file}; run repurchase features again"
        )
    return file, stamp
