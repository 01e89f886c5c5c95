"""The evaluation stage: past cutoffs beside baselines, and against manual picks."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from features.config import Config
from features.contracts import ContractError, SettingError
from features.engine import Tables
from features.snapshot import Snapshot
from features.workers import pool
from serving.experiments import offline
from serving.stages import Announce, numbers, open_tables, prefixed, tables_of
from serving.turns import one_at_a_time
from training import backtest, ranker, report, track
from training.build import Steps
from training.evaluate import Quality
from training.ranker import Recommender


@dataclass(frozen=True)
class Evaluation:
    """Figures of all evaluation cutoffs, and the comparison with manual picks."""

    qualities: tuple[Quality, ...]
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
        run.config(config)
        run.params(
            {
                f"data_fingerprint.{one.quality.cutoff:%Y-%m-%d}": one.fingerprint
                for one in built
            }
        )
        for step, quality in enumerate(qualities):
            run.metrics(numbers(quality), step)
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
        return [_built(config, c, prefixed(announce, f"{c:%Y-%m-%d}")) for c in cutoffs]
    if announce:
        dates = " and ".join(f"{cutoff:%Y-%m-%d}" for cutoff in cutoffs)
        announce(f"build and evaluate {dates} side by side")
    with pool(config.processes) as workers:
        return list(workers.map(_built, [config] * len(cutoffs), cutoffs))


def _built(
    config: Config, cutoff: datetime, announce: Announce | None = None
) -> _Built:
    snapshot = Snapshot(cutoff, config.horizon_days)
    with tables_of(config) as tables:  # the caller writes the quarantine, once
        result = backtest.run(tables, snapshot, config, Steps(announce))
    if result.quality is None:
        raise ContractError(
            f"evaluation_cutoffs: expected purchases until {snapshot.label_end:%Y-%m-%d}"
            f" for the cutoff {cutoff:%Y-%m-%d}, got none that late; "
            "choose an earlier cutoff"
        )
    bundle = result.bundle
    return _Built(result.quality, bundle.recommender, bundle.fingerprint)


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
