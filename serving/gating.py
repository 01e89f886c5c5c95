"""The gate as a stage: builds at past cutoffs, the decision, and where it is kept."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import pyarrow as pa

from features import store
from features.assemble import assemble
from features.blocks import blocks, changed_units, gaps, missing
from features.config import Config
from features.contracts import PURCHASES, ContractError
from features.engine import Tables
from features.scores import TableScore
from features.snapshot import Snapshot
from serving import proofs
from serving.champion import LATEST, champion_of, withdrawn
from serving.checkup import percent
from serving.in_force import champion_checks, record_of
from serving.stages import (
    GATE,
    Announce,
    check_features,
    cutoff_of,
    file_of,
    open_tables,
    tables_of,
)
from serving.turns import one_at_a_time
from training import build, contest, gate, gate_picture, track
from training.build import Steps
from training.gate import Check, Decision
from training.recipe import Record
from training.report import write_json
from training.skew import skewed
from training.split import scored_cutoffs
from training.survey import read_survey


@dataclass(frozen=True)
class Judged:
    """What the gate said of a challenger.

    Attributes:
        challenger: its name; None: the data were refused before anything was trained.
        champion: the model in force; None: there is none.
        decision: with every reason.
        figures: of the challenger's builds, by cutoff and name.
    """

    challenger: str | None
    champion: str | None
    decision: Decision
    figures: dict[str, dict[str, float]]

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return {
            "challenger": self.challenger,
            "champion": self.champion,
            **self.decision.to_json(),
            "figures": self.figures,
        }

    @classmethod
    def of(cls, config: Config, bundle: str) -> Judged | None:
        """What was said of a model; None: nothing was, or it cannot be read."""
        return cls.load(file_of(config.workspace, bundle))

    @classmethod
    def load(cls, file: Path) -> Judged | None:
        """What was kept; None: nothing that can be read."""
        try:
            values = json.loads(file.read_text())
            return cls(
                values["challenger"],
                values["champion"],
                Decision.from_json(values),
                values["figures"],
            )
        except (OSError, ValueError, KeyError, TypeError):
            return None


def cutoffs_of(config: Config) -> tuple[datetime, ...]:
    """Where the challenger is built anew, ascending.

    The evaluation cutoffs; without any, the latest whose windows end by the cutoff.
    """
    if config.evaluation_cutoffs:
        return tuple(sorted(config.evaluation_cutoffs))
    found = config.gate.least_cutoffs
    return scored_cutoffs(cutoff_of(config), config.horizon_days, found)


def look_at_data(config: Config, announce: Announce | None = None) -> tuple[Check, ...]:
    """What can be said of the input before anything is trained.

    Raises:
        ContractError: the input breaks the contract.
    """
    until, bars = cutoff_of(config), config.gate
    champion = record_of(config, champion_of(config.workspace))
    with Steps(announce)("check the data"), open_tables(config, announce) as tables:
        scores = tables.scores(until)
        found = blocks(tables, until, bars.block_days)
        odd = [
            *gaps(found, bars.least_lines),
            *changed_units(found, bars.unit_factor),
            *_missing(tables, champion, config),
        ]
    below = [
        f"{one.table} {percent(one.correct.value)}"
        for one in scores
        if one.correct.value is not None
        and one.correct.value < config.quality.minimum_score
    ]
    stale = _stale(scores, until, champion)
    return (*gate.data_checks(below, stale, odd), *champion_checks(config))


def _missing(tables: Tables, champion: Record | None, config: Config) -> list[str]:
    """What the champion read and is no longer there."""
    if champion is None or len(champion.blocks) < 2:
        return []
    first, second = champion.blocks[0].start, champion.blocks[1].start
    days = max((second - first).days, 1)
    now = blocks(tables, champion.cutoff, days)
    return missing(champion.blocks, now, config.gate.least_kept)


def _stale(
    scores: Sequence[TableScore], until: datetime, champion: Record | None
) -> str | None:
    if champion is not None and until < champion.cutoff:
        return (
            f"the cutoff {until:%Y-%m-%d}, the champion's is {champion.cutoff:%Y-%m-%d}"
        )
    purchases = next(one for one in scores if one.table == PURCHASES.name)
    fresh = purchases.freshness.value
    if fresh is not None and fresh < 1 and purchases.newest is not None:
        return f"none after {purchases.newest:%Y-%m-%d} for the cutoff {until:%Y-%m-%d}"
    return None


@one_at_a_time
def judge(
    config: Config,
    announce: Announce | None = None,
    of_data: tuple[Check, ...] | None = None,
) -> Judged:
    """Whether the latest model may replace the one in force; kept, and told to MLflow.

    Args:
        config: of everything.
        announce: hears of every step.
        of_data: what ``look_at_data`` said; None: it is asked.

    Raises:
        ContractError: no model was trained, or the data do not reach past a window.
    """
    models = config.workspace / "models"
    if not (models / LATEST).exists():
        raise ContractError(
            f"model: expected a trained bundle in {models}, found none; run repurchase "
            "train first"
        )
    challenger = (models / LATEST).read_text()
    champion = champion_of(config.workspace)
    data = look_at_data(config, announce) if of_data is None else of_data
    if challenger == champion:
        same = Check("challenger", True, "it is in force already", "any model")
        judged = Judged(challenger, champion, Decision((*data, same)), {})
        write_json(judged.to_json(), _report(config))
        return judged
    with track.run(config, f"gate {challenger}") as run:
        moments = [Snapshot(at, config.horizon_days) for at in cutoffs_of(config)]
        record = record_of(config, champion)
        known = (champion, record) if champion and record else None
        ours, theirs = proofs.of_both(config, challenger, known, moments, announce)
        with Steps(announce)("decide"):
            evidence = contest.evidence(
                ours,
                theirs,
                _skewed(config),
                config.seed,
                same_data=_same(config, challenger, champion),
                withdrawn=challenger in withdrawn(config.workspace),
            )
            decision = Decision((*data, *gate.model_checks(evidence, config.gate)))
        figures = {f"{one.cutoff:%Y-%m-%d}": one.figures() for one in ours}
        judged = Judged(challenger, champion, decision, figures)
        keep(config, judged)
        for step, named in enumerate(figures.values()):
            run.metrics(named, step)
        run.params(config.gate.model_dump())
        run.params({"challenger": challenger, "champion": str(champion)})
        run.tags({"promote": str(decision.promote)})
        picture = _report(config).with_suffix(".png")
        gate_picture.draw(evidence, picture)
        for file in (file_of(config.workspace, challenger), picture):
            run.file(file)
    return judged


def keep(config: Config, judged: Judged) -> None:
    """Write the decision beside what was proved of the model, and to the reports."""
    files = [_report(config)]
    if judged.challenger is not None:
        files.append(file_of(config.workspace, judged.challenger))
    for file in files:
        file.parent.mkdir(parents=True, exist_ok=True)
        write_json(judged.to_json(), file)


def _report(config: Config) -> Path:
    file = config.workspace / "reports" / GATE
    file.parent.mkdir(parents=True, exist_ok=True)
    return file


def _same(config: Config, challenger: str, champion: str | None) -> bool:
    ours, theirs = record_of(config, challenger), record_of(config, champion)
    return (
        ours is not None
        and theirs is not None
        and (ours.data, ours.cutoff) == (theirs.data, theirs.cutoff)
    )


def _skewed(config: Config) -> tuple[str, ...]:
    """Features of the last training cutoff beside those of that day's own history."""
    with tables_of(config) as tables:
        file, _ = check_features(tables, config)
        past = build.cutoffs_since(
            tables.first_purchase(cutoff_of(config)), cutoff_of(config), config
        )
        history = read_survey(tables, past[-1], config).history
        served = assemble(history, [past[-1]])
    ids: list[str] = served.column("customer_id").cast(pa.string()).to_pylist()
    trained = build.at_cutoff(store.read(file, sorted(ids)), past[-1])
    return skewed(trained, served)
