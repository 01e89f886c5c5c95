"""The evaluation stage: past cutoffs beside baselines, and against manual picks."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from features.config import Config
from features.contracts import ContractError, SettingError
from features.snapshot import Snapshot
from features.workers import pool
from serving.experiments import offline
from serving.stages import (
    Announce,
    numbers,
    open_tables,
    prefixed,
    steady_numbers,
    tables_of,
)
from serving.turns import one_at_a_time
from training import backtest, plots, report, track
from training.build import Steps
from training.details import Details, Look, details, look
from training.evaluate import Quality
from training.ranker import Recommender
from training.stability import LeftOut, Moment, further_cutoffs, measure

Map = Callable[..., Iterable[Any]]
"""Like the built-in ``map``; each worker begins as soon as it is called."""


@dataclass(frozen=True)
class Evaluation:
    """Figures of all evaluation cutoffs, what lies behind them, and the comparison."""

    qualities: tuple[Quality, ...]
    details: Details
    comparison: offline.Comparison
    folder: Path


@one_at_a_time
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
    with _workers(config) as side_by_side:
        built = _built_side_by_side(side_by_side, config, announce)
        # Begun before the comparison, so that a free worker does it meanwhile.
        further = _further_moments(side_by_side, config, announce)
        comparison = _comparison(built, config, announce)
        found = details([one.look for one in built], list(further), config)
    qualities = [one.quality for one in built]
    evaluation = Evaluation(
        tuple(qualities), found, comparison, config.workspace / "reports"
    )
    _write_report(evaluation)
    with track.run(config, "evaluate") as run:
        run.config(config)
        run.params(
            {
                f"data_fingerprint.{one.quality.cutoff:%Y-%m-%d}": one.fingerprint
                for one in built
            }
        )
        for step, quality in enumerate(qualities):
            run.metrics(numbers(quality), step)
        run.metrics(steady_numbers(found))
        run.files(evaluation.folder)
    return evaluation


@dataclass(frozen=True)
class _Built:
    """What the evaluation needs of one cutoff's backtest."""

    quality: Quality
    look: Look
    recommender: Recommender
    fingerprint: str


@contextmanager
def _workers(config: Config) -> Generator[Map]:
    """A ``map`` over so many processes as are configured; one is this one."""
    if config.processes == 1:
        yield map
        return
    with pool(config.processes) as workers:
        yield workers.map


def _built_side_by_side(
    side_by_side: Map, config: Config, announce: Announce | None
) -> list[_Built]:
    """Every evaluation cutoff's backtest, ascending, ``config.processes`` at once."""
    cutoffs = sorted(config.evaluation_cutoffs)
    if config.processes == 1:
        return [_built(config, c, prefixed(announce, f"{c:%Y-%m-%d}")) for c in cutoffs]
    if announce:
        announce(f"build and evaluate {_dates(cutoffs)} side by side")
    return list(side_by_side(_built, [config] * len(cutoffs), cutoffs))


def _further_moments(
    side_by_side: Map, config: Config, announce: Announce | None
) -> Iterable[Moment | LeftOut]:
    """Propensity at cutoffs that are no evaluation cutoffs; workers begin at once."""
    cutoffs = further_cutoffs(config)
    if announce and cutoffs:
        announce(f"build propensity as of {_dates(cutoffs)}")
    return side_by_side(_moment, [config] * len(cutoffs), cutoffs)


def _moment(config: Config, cutoff: datetime) -> Moment | LeftOut:
    with tables_of(config) as tables:
        return measure(tables, cutoff, config)


def _dates(cutoffs: Sequence[datetime]) -> str:
    return " and ".join(f"{cutoff:%Y-%m-%d}" for cutoff in cutoffs)


def _built(
    config: Config, cutoff: datetime, announce: Announce | None = None
) -> _Built:
    snapshot, steps = Snapshot(cutoff, config.horizon_days), Steps(announce)
    with tables_of(config) as tables:  # the caller writes the quarantine, once
        result = backtest.run(tables, snapshot, config, steps, everyone=False)
    if result.quality is None or result.sample is None:
        raise ContractError(
            f"evaluation_cutoffs: expected purchases until {snapshot.label_end:%Y-%m-%d}"
            f" for the cutoff {cutoff:%Y-%m-%d}, got none that late; "
            "choose an earlier cutoff"
        )
    bundle = result.bundle
    found = look(
        bundle.propensity,
        result.history,
        result.features,
        result.sample,
        config,
        steps,
    )
    return _Built(result.quality, found, bundle.recommender, bundle.fingerprint)


def _comparison(
    built: Sequence[_Built], config: Config, announce: Announce | None
) -> offline.Comparison:
    recommenders = {one.quality.cutoff: one.recommender for one in built}
    with open_tables(config, announce) as tables:
        if announce:
            announce("compare with manual picks of past campaigns")
        fitted = offline.latest_fitted(tables, config, recommenders, announce)
        return offline.compare(tables, fitted, config)


def _write_report(evaluation: Evaluation) -> None:
    folder = evaluation.folder
    folder.mkdir(parents=True, exist_ok=True)
    figures: dict[str, Any] = {
        "cutoffs": {f"{q.cutoff:%Y-%m-%d}": q.to_json() for q in evaluation.qualities},
        "propensity": evaluation.details.to_json(),
        "against_manual_picks": evaluation.comparison.to_json(),
    }
    report.write_json(figures, folder / "metrics.json")
    plots.write(evaluation.details, folder / "plots")
    picks = evaluation.comparison.figures()
    report.draw(evaluation.qualities, picks, folder / "results.png")
    campaigns = evaluation.comparison.campaigns()
    report.write(evaluation.qualities, evaluation.details, picks, campaigns, folder)
