"""Search for settings that do better than the present ones on past builds.

Optuna proposes settings (TPE, seeded by trial), each is scored fold by fold and given
up when it is hopeless beside the best so far, and finished trials are kept in SQLite.
The present settings are the first trial, so the best is never worse on the folds. It
is the best of many, though: whether it is better, or was lucky, is judged by the
spread over the folds and on later ones that the search never saw.

A study is of one history, cutoff, horizon, model, starting point and version of the
code; a run goes on where the last one of the same study ended or was killed. Since the
sampler is seeded anew for each trial, it makes no difference where that was.
"""

from __future__ import annotations

import hashlib
import time
import warnings
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import optuna
from optuna.pruners import WilcoxonPruner
from optuna.samplers import TPESampler
from optuna.trial import FrozenTrial, TrialState
from sqlalchemy.exc import SQLAlchemyError

from features.config import Config
from features.contracts import ContractError, SettingError
from features.history import Floats
from features.store import code_version
from training.trials import Outcome, Trial, best_of
from training.tunable import Fold, Tunable

_PRUNE = 0.15
"""A trial is given up when its losses are worse than the best one's at this level:
worse in all of the first three folds is enough."""

_LOSSES, _SETTINGS = "losses", "settings"


def split(folds: Sequence[Fold], held_back: int) -> tuple[list[Fold], list[Fold]]:
    """Folds to search on, and the latest to confirm on: at most a third of all."""
    n = max(1, min(held_back, len(folds) // 3))
    return list(folds[:-n]), list(folds[-n:])


def study_name(config: Config, model: Tunable, fingerprint: str) -> str:
    """Model, cutoff, horizon, data, and a hash of all else that a loss depends on.

    Args:
        config: settings to start from, folds and seed.
        model: whose settings.
        fingerprint: of the history.
    """
    said: dict[str, Any] = config.model_dump(
        mode="json", include={"propensity", "spend", "churn", "tune", "seed"}
    )
    for name in ("minutes", "trials"):
        del said["tune"][name]
    for name in ("propensity", "spend", "churn"):
        del said[name]["threads"]
    rest = hashlib.sha256(repr((said, model.space, _code())).encode()).hexdigest()
    return (
        f"{model.name} {config.cutoff:%Y-%m-%d %H:%M:%S} {config.horizon_days}d "
        f"{fingerprint[:12]} {rest[:8]}"
    )


def _code() -> str:
    """Hash of what features and models are computed by."""
    digest = hashlib.sha256(code_version().encode())
    for file in sorted(Path(__file__).parent.glob("*.py")):
        digest.update(file.read_bytes())
    digest.update(f"{version('lightgbm')} {version('optuna')}".encode())
    return digest.hexdigest()


def search(
    folds: Sequence[Fold],
    config: Config,
    model: Tunable,
    file: Path,
    name: str,
    told: Callable[[Trial], None],
    clock: Callable[[], float] = time.monotonic,
) -> tuple[Trial, ...]:
    """Try settings until the study has its trials or the time is over.

    Args:
        folds: to search on.
        config: the present settings; ``tune`` says how long and how many.
        model: whose settings.
        file: of SQLite; each trial is in it, whole, as soon as it ends.
        name: of the study.
        told: hears of every trial, those of earlier runs too.
        clock: seconds; a trial that has begun is finished. The present settings
            are tried in any case.

    Returns:
        All trials of the study.

    Raises:
        ContractError: the present settings cannot be scored.
        SettingError: the file cannot be read or written.
    """
    until = clock() + 60 * config.tune.minutes
    with _quiet(), _kept(file, name) as kept:
        # In memory: to keep every step of a trial costs more than to keep trials.
        study = optuna.create_study(pruner=WilcoxonPruner(p_threshold=_PRUNE))
        study.add_trials([t for t in kept.trials if t.state.is_finished()])
        trials = [_trial_of(t) for t in study.trials]
        for trial in trials:
            told(trial)
        while len(trials) < config.tune.trials and (not trials or clock() < until):
            kept.add_trial(_try(study, folds, config, model))
            trials.append(_trial_of(study.trials[-1]))
            told(trials[-1])
    return tuple(trials)


def confirm(
    trials: tuple[Trial, ...],
    searched: Sequence[Fold],
    held_back: Sequence[Fold],
    config: Config,
    model: Tunable,
) -> Outcome:
    """Score the present and the best settings on folds that no trial has seen."""
    best = best_of(trials)
    seeds = model.section(config).seeds
    # Of other seeds than the search: it may have chosen what suits its own.
    other = config.model_copy(update={"seed": config.seed + 1000})
    losses: list[Floats] = []
    for trial in (trials[0], best):
        changed = model.with_settings(other, trial.settings, seeds)
        late = [_score(model, fold, changed) for fold in held_back]
        losses.append(np.array([*trial.losses, *late]))
    cutoffs = tuple(fold.cutoff for fold in (*searched, *held_back))
    return Outcome(trials, cutoffs, losses[0], losses[1], len(held_back))


def _try(
    study: optuna.Study, folds: Sequence[Fold], config: Config, model: Tunable
) -> FrozenTrial:
    """One trial, told to the study in memory."""
    number = len(study.trials)
    study.sampler = TPESampler(seed=config.seed + number, multivariate=True)
    if number == 0:
        study.enqueue_trial(model.settings(config))
    trial = study.ask(model.around(config))
    settings = (
        {name: _rounded(value) for name, value in trial.params.items()}
        if number
        else model.settings(config)
    )
    changed = model.with_settings(config, settings, config.tune.seeds)
    losses: list[float] = []
    trial.set_user_attr(_SETTINGS, settings)
    try:
        for step, fold in enumerate(folds):
            losses.append(_score(model, fold, changed))
            trial.report(losses[-1], step)
            if step + 1 < len(folds) and trial.should_prune():
                break
    except ContractError:  # fewer cutoffs than can be learned and calibrated from
        if number == 0:
            raise
    trial.set_user_attr(_LOSSES, losses)
    if len(losses) == len(folds):
        study.tell(trial, float(np.mean(losses)))
    else:
        study.tell(trial, state=TrialState.PRUNED)
    return study.trials[-1]


def _score(model: Tunable, fold: Fold, config: Config) -> float:
    loss = model.score(fold, config)
    if loss is None:
        raise ContractError(
            f"tune: expected enough to learn {model.name} from before "
            f"{fold.cutoff:%Y-%m-%d}, got too little; choose a later cutoff"
        )
    return loss


def _rounded(value: int | float) -> int | float:
    """Three digits, so that settings can be read and copied; they are tried so."""
    return float(f"{value:.3g}") if isinstance(value, float) else value


def _trial_of(trial: FrozenTrial) -> Trial:
    if trial.datetime_start is None or trial.datetime_complete is None:
        raise ValueError(f"tune: expected a finished trial, got {trial.state.name}")
    return Trial(
        number=trial.number,
        settings=trial.user_attrs[_SETTINGS],
        losses=tuple(trial.user_attrs[_LOSSES]),
        is_whole=trial.state == TrialState.COMPLETE,
        started=trial.datetime_start,
        ended=trial.datetime_complete,
    )


@contextmanager
def _kept(file: Path, name: str) -> Generator[optuna.Study]:
    """The study in the file, made if there is none; faults of SQLite as one line."""
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        storage = optuna.storages.RDBStorage(f"sqlite:///{file.resolve()}")
        try:
            yield optuna.create_study(
                storage=storage, study_name=name, load_if_exists=True
            )
        finally:
            storage.engine.dispose()
    except (SQLAlchemyError, optuna.exceptions.StorageInternalError) as error:
        inner = error.__cause__ or error
        cause = getattr(inner, "orig", None) or inner
        raise SettingError(
            f"workspace: expected studies that can be read and written in {file}, got "
            f"{' '.join(str(cause).lower().split())}; free some room, or move the file away"
        ) from None


@contextmanager
def _quiet() -> Generator[None]:
    """Without notices of each trial and of what is experimental in Optuna."""
    level = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            yield
    finally:
        optuna.logging.set_verbosity(level)
