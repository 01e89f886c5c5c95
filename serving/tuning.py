"""The search for better settings, as the command line runs and prints it."""

from __future__ import annotations

from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from rich.console import Console
from rich.table import Table

from features.config import Config
from features.contracts import SettingError
from features.history import History
from features.scratch import whole
from serving.stages import Announce, cutoff_of, open_tables
from serving.turns import one_at_a_time
from training import track
from training import tune as tuning
from training.build import Steps
from training.trials import Outcome, Trial, best_of
from training.tunable import MODELS, Tunable, folds_of


@dataclass(frozen=True)
class Tuned:
    """What a search found.

    Attributes:
        model: whose settings.
        outcome: of the study.
        file: the configuration with the better settings; None: there are none.
    """

    model: Tunable
    outcome: Outcome
    file: Path | None


@one_at_a_time
def tune(config: Config, name: str, announce: Announce | None = None) -> Tuned:
    """Search, confirm on later cutoffs, keep every trial in MLflow, write the best.

    Args:
        config: the present settings; ``cutoff``: no row known later is read.
        name: of the model.
        announce: hears of every step and trial.

    Raises:
        SettingError: there is no such model, or no cutoff.
        ContractError: the input breaks the contract, or its history is too short.
    """
    model = _model_of(name)
    steps = Steps(announce)
    with steps("read history"):
        history = _some_customers(config, announce)
    with steps("features of all folds"):
        folds = folds_of(history, config, model)
    searched, held_back = tuning.split(folds, config.tune.held_back)
    study = tuning.study_name(config, model, history.fingerprint)
    with track.run(config, f"tune {name}", key=study) as run:
        if run.is_new:
            run.config(config)
            run.params({"data_fingerprint": history.fingerprint, "study": study})
        told = _Told(run, announce, len(searched))
        file = config.workspace / "tune.db"
        trials = tuning.search(searched, config, model, file, study, told)
        with steps("confirm on later cutoffs"):
            outcome = tuning.confirm(trials, searched, held_back, config, model)
        run.metrics(_figures(outcome))
    return Tuned(model, outcome, _write(outcome, config, model))


def _model_of(name: str) -> Tunable:
    for model in MODELS:
        if model.name == name:
            return model
    names = ", ".join(model.name for model in MODELS)
    raise SettingError(f"--model: expected one of {names}, got {name!r}")


def _some_customers(config: Config, announce: Announce | None) -> History:
    """The history of at most about as many customers as are tuned on."""
    until, most = cutoff_of(config), config.tune.max_customers
    with (
        open_tables(config, announce) as tables,
        # Which part a customer falls into is drawn by a hash of the id.
        closing(tables.parts(until, None, most)) as parts,
    ):
        return next(parts)


class _Told:
    """Hears of trials: says the best so far, and keeps new ones in MLflow."""

    def __init__(self, run: track.Run, announce: Announce | None, folds: int) -> None:
        self._run, self._announce, self._folds = run, announce, folds
        self._kept = set[str]() if run.is_new else run.names_of_nested()
        self._trials: list[Trial] = []

    def __call__(self, trial: Trial) -> None:
        self._trials.append(trial)
        name = f"trial {trial.number}"
        if name not in self._kept:
            figures = {"loss_of_fold": list(trial.losses)}
            if trial.is_whole:
                figures["loss"] = [trial.loss]
            seconds = (trial.ended - trial.started).total_seconds()
            self._run.nested(
                name,
                trial.settings,
                {**figures, "seconds": [seconds]},
                {"state": "complete" if trial.is_whole else "pruned"},
                (trial.started, trial.ended),
            )
        if self._announce:
            best = best_of(self._trials)
            said = (
                f"{trial.loss:.5f}"
                if trial.is_whole
                else f"given up after {len(trial.losses)} of {self._folds} folds"
            )
            before = ", of an earlier run" if name in self._kept else ""
            self._announce(
                f"{name}: {said}; best {best.loss:.5f} (trial {best.number}){before}"
            )


def _figures(outcome: Outcome) -> dict[str, float]:
    best = outcome.best_trial
    return {
        "trials": float(len(outcome.trials)),
        "best_trial": float(best.number),
        "best_loss": best.loss,
        "present_loss": outcome.trials[0].loss,
        "gain": float(outcome.gain[outcome.searched].mean()),
        "gain_standard_error": outcome.standard_error,
        "gain_held_back": float(outcome.gain[outcome.held_back].mean()),
        "is_better": float(outcome.is_better),
    }


def _write(outcome: Outcome, config: Config, model: Tunable) -> Path | None:
    """The configuration with the best settings in it; none where they are no better."""
    file = config.workspace / f"tuned-{model.name}.yaml"
    if not outcome.is_better:
        file.unlink(missing_ok=True)  # of an earlier search, no longer true
        return None
    values: dict[str, Any] = config.model_dump(mode="json", exclude_unset=True)
    values.setdefault(model.name, {}).update(outcome.best_trial.settings)
    with whole(file) as place:
        place.write_text(yaml.safe_dump(values, sort_keys=False))
    return file


def show(console: Console, found: Tuned) -> None:
    """The present settings beside the best ones, by cutoff, and what to do."""
    outcome, best = found.outcome, found.outcome.best_trial
    whole_trials = sum(trial.is_whole for trial in outcome.trials)
    console.print(
        f"\n{found.model.name}: {len(outcome.trials)} trials, "
        f"{len(outcome.trials) - whole_trials} of them given up early; "
        f"{found.model.measure}, less is better"
    )
    console.print(_losses(outcome))
    if best.number:
        console.print(_settings(outcome))
    gain, error = outcome.gain[outcome.searched].mean(), outcome.standard_error
    late = outcome.gain[outcome.held_back].mean()
    said = f"mean gain {gain:+.5f} (standard error {error:.5f}), held back {late:+.5f}"
    if found.file is None:
        console.print(f"keep the present settings: {said}", highlight=False)
        return
    console.print(f"better settings: {said}", highlight=False)
    console.print(f"use them: --config {found.file}", soft_wrap=True, highlight=False)
    words = (f"--set {found.model.name}.{k}={v}" for k, v in best.settings.items())
    console.print(f"or: {' '.join(words)}", soft_wrap=True, highlight=False)


def _losses(outcome: Outcome) -> Table:
    table = Table("cutoff", box=None)
    for heading in ("present", "best", "gain"):
        table.add_column(heading, justify="right")
    rows = zip(outcome.present, outcome.best, outcome.gain, strict=True)
    late = len(outcome.cutoffs) - outcome.n_held_back
    for i, (cutoff, losses) in enumerate(zip(outcome.cutoffs, rows, strict=True)):
        note = " held back" if i >= late else ""
        table.add_row(f"{cutoff:%Y-%m-%d}{note}", *_row(*losses))
    for name, part in (
        ("mean", outcome.searched),
        ("mean, held back", outcome.held_back),
    ):
        means = (outcome.present, outcome.best, outcome.gain)
        table.add_row(name, *_row(*(float(np.mean(m[part])) for m in means)))
    return table


def _row(present: float, best: float, gain: float) -> tuple[str, str, str]:
    return f"{present:.5f}", f"{best:.5f}", f"{gain:+.5f}"


def _settings(outcome: Outcome) -> Table:
    table = Table("setting", box=None)
    for heading in ("present", "best"):
        table.add_column(heading, justify="right")
    present = outcome.trials[0].settings
    for name, value in outcome.best_trial.settings.items():
        table.add_row(name, f"{present[name]:g}", f"{value:g}")
    return table
