"""The search for settings: what a fold may know, what a killed run leaves, when it ends."""

from __future__ import annotations

import signal
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from optuna.distributions import FloatDistribution, IntDistribution

from features.config import (
    ChurnConfig,
    Config,
    PropensityConfig,
    SpendConfig,
    TuneConfig,
)
from features.contracts import ContractError, SettingError
from features.engine import Tables
from features.history import History
from features.snapshot import to_us
from training import build, tune
from training.split import scored_cutoffs
from training.trials import Outcome, Trial, best_of
from training.tunable import MODELS, Fold, Tunable, folds_of

UNTIL = datetime(2024, 10, 1)
CONFIG = Config(
    cutoff=UNTIL,
    propensity=PropensityConfig(trees=20, min_rows_per_leaf=10, threads=1),
    spend=SpendConfig(trees=20, min_rows_per_leaf=10, threads=1),
    churn=ChurnConfig(trees=20, min_rows_per_leaf=10, threads=1),
    tune=TuneConfig(trials=2, folds=2, held_back=1),
)
PROPENSITY, SPEND, CHURN = MODELS
ReadHistory = Callable[..., History]


@pytest.fixture(scope="module")
def history(shop_dir: Path) -> History:
    with Tables(shop_dir) as tables:
        return tables.history(UNTIL)


def loss_of(fold: Any, config: Config) -> float:
    """Best at 100 trees and a rate of .05; folds differ in level."""
    section = config.propensity
    far = (np.log(section.trees / 100)) ** 2 + (section.learning_rate - 0.05) ** 2
    return float(fold.level + far)


EASY = Tunable(
    "propensity",
    "distance",
    lambda config: config.horizon_days,
    loss_of,
    {
        "trees": IntDistribution(40, 400, log=True),
        "learning_rate": FloatDistribution(0.01, 0.2, log=True),
    },
)
LEVELS: Any = [SimpleNamespace(level=level) for level in (0.3, 0.5, 0.1, 0.4, 0.2)]


def search(
    file: Path,
    trials: int,
    model: Tunable = EASY,
    clock: Callable[[], float] = lambda: 0.0,
    told: Callable[[Trial], None] = lambda trial: None,
) -> tuple[Trial, ...]:
    config = CONFIG.model_copy(update={"tune": TuneConfig(trials=trials, minutes=1)})
    return tune.search(LEVELS, config, model, file, "study", told, clock)


def without_times(trials: tuple[Trial, ...]) -> list[Trial]:
    return [replace(trial, started=UNTIL, ended=UNTIL) for trial in trials]


def test_scored_windows_end_in_time_and_do_not_overlap() -> None:
    for days in (1, 7, 14, 30):
        cutoffs = scored_cutoffs(UNTIL, days, 4)
        ends = [cutoff + timedelta(days=days) for cutoff in cutoffs]
        assert ends[-1] == UNTIL
        assert all(end <= later for end, later in zip(ends, cutoffs[1:], strict=False))
        assert len({cutoff.weekday() for cutoff in cutoffs}) == 1


def test_no_label_window_that_is_learned_from_reaches_past_the_fold_s_cutoff(
    history: History,
) -> None:
    for fold in folds_of(history, CONFIG, PROPENSITY):
        features = fold.rows(CONFIG)
        cutoffs = set(features.column("cutoff").to_pylist()) - {fold.cutoff}
        assert max(cutoffs) + timedelta(days=14) <= fold.cutoff
        lines, at = fold.known.purchases, to_us(fold.cutoff)
        assert max(lines.ts.max(), lines.known_at.max()) < at


def test_a_fold_is_the_build_at_its_cutoff(shop_dir: Path, history: History) -> None:
    fold = folds_of(history, CONFIG, PROPENSITY)[0]
    with Tables(shop_dir) as tables:
        known = tables.history(fold.cutoff)
    features = build.build_features(known, CONFIG)
    ours = fold.rows(CONFIG)
    assert ours.column("customer_id").to_pylist() == (
        features.column("customer_id").to_pylist()
    )
    for rows, past in ((ours, fold.known), (features, known)):
        model = build.fit_propensity(past, rows, CONFIG)
        found = model.probability(build.at_cutoff(rows, fold.cutoff), 14)
        if rows is ours:
            first = found
    assert np.allclose(first, found)


def test_rows_at_or_after_the_cutoff_change_nothing(
    shop_tables: dict[str, pa.Table], history: History, read_history: ReadHistory
) -> None:
    lines = shop_tables["purchases"]
    ts = lines.column("ts").cast(pa.int64()).to_numpy()
    later = ts >= to_us(UNTIL)
    assert later.any()
    doubled = pa.array(np.where(later, 9.0, lines.column("quantity").to_numpy()))
    place = lines.column_names.index("quantity")
    altered = lines.set_column(place, "quantity", doubled)
    first = folds_of(history, CONFIG, PROPENSITY)
    for changed in (altered, lines.filter(pa.array(~later))):
        other = read_history({**shop_tables, "purchases": changed}, UNTIL)
        assert tune.study_name(CONFIG, PROPENSITY, other.fingerprint) == (
            tune.study_name(CONFIG, PROPENSITY, history.fingerprint)
        )
        folds = folds_of(other, CONFIG, PROPENSITY)
        assert [fold.cutoff for fold in folds] == [fold.cutoff for fold in first]
        assert PROPENSITY.score(folds[-1], CONFIG) == PROPENSITY.score(
            first[-1], CONFIG
        )


def test_another_cutoff_horizon_model_data_or_start_is_another_study() -> None:
    names = [
        tune.study_name(config, model, data)
        for config, model, data in (
            (CONFIG, PROPENSITY, "a"),
            (CONFIG, PROPENSITY, "b"),
            (CONFIG, SPEND, "a"),
            (CONFIG.model_copy(update={"horizon_days": 30}), PROPENSITY, "a"),
            (CONFIG.model_copy(update={"seed": 1}), PROPENSITY, "a"),
            (
                CONFIG.model_copy(update={"propensity": PropensityConfig()}),
                PROPENSITY,
                "a",
            ),
            (
                CONFIG.model_copy(update={"cutoff": UNTIL - timedelta(days=1)}),
                PROPENSITY,
                "a",
            ),
        )
    ]
    assert len(set(names)) == len(names)
    longer = CONFIG.tune.model_copy(update={"minutes": 99.0, "trials": 99})
    config = CONFIG.model_copy(update={"tune": longer})
    assert tune.study_name(config, PROPENSITY, "a") == names[0]


@pytest.mark.parametrize("model", MODELS, ids=lambda model: model.name)
def test_every_model_is_tuned_from_its_present_settings(
    history: History, model: Tunable, tmp_path: Path
) -> None:
    model = replace(model, space=model.space | {"trees": IntDistribution(5, 20)})
    folds = folds_of(history, CONFIG, model)
    early, late = tune.split(folds, CONFIG.tune.held_back)
    trials = tune.search(
        early, CONFIG, model, tmp_path / "tune.db", "study", lambda trial: None
    )
    assert trials[0].settings == model.settings(CONFIG)
    assert trials[0].losses == tuple(
        model.score(fold, model.with_settings(CONFIG, {}, 1)) for fold in early
    )
    outcome = tune.confirm(trials, early, late, CONFIG, model)
    assert outcome.best_trial.loss <= trials[0].loss
    assert len(outcome.present) == len(outcome.best) == len(folds)
    assert outcome.cutoffs == tuple(fold.cutoff for fold in folds)


def test_search_finds_better_settings_and_gives_up_hopeless_ones(
    tmp_path: Path,
) -> None:
    trials = search(tmp_path / "tune.db", 40)
    assert best_of(trials).loss < trials[0].loss
    assert 80 < best_of(trials).settings["trees"] < 125
    given_up = [trial for trial in trials if not trial.is_whole]
    assert given_up
    assert all(3 <= len(trial.losses) < len(LEVELS) for trial in given_up)
    assert all(trial.loss == float("inf") for trial in given_up)


def test_settings_that_leave_nothing_to_learn_from_are_given_up(tmp_path: Path) -> None:
    def few(fold: Fold, config: Config) -> float:
        if config.propensity.trees != CONFIG.propensity.trees:
            raise ContractError("too few cutoffs")
        return 1.0

    trials = search(tmp_path / "tune.db", 3, replace(EASY, score=few))
    assert [trial.is_whole for trial in trials] == [True, False, False]
    with pytest.raises(ContractError, match="expected enough to learn propensity"):
        nothing: Any = replace(EASY, score=lambda fold, config: None)
        dated: Any = [SimpleNamespace(cutoff=UNTIL)] * 2
        tune.search(dated, CONFIG, nothing, tmp_path / "b.db", "b", lambda trial: None)


KILLED = """
import os, signal, sys
from pathlib import Path
sys.path.insert(0, sys.argv[2])
import test_tune as t
n = 0
def told(trial):
    global n
    n = trial.number + 1
def dies(fold, config):
    if n == 4 and fold is t.LEVELS[2]:
        os.kill(os.getpid(), signal.SIGKILL)
    return t.loss_of(fold, config)
t.search(Path(sys.argv[1]), 9, t.replace(t.EASY, score=dies), told=told)
"""


def test_killed_search_goes_on_as_if_it_had_not_been(tmp_path: Path) -> None:
    file = tmp_path / "tune.db"
    words = [sys.executable, "-c", KILLED, str(file), str(Path(__file__).parent)]
    done = subprocess.run(words, check=False, capture_output=True, text=True)
    assert done.returncode == -signal.SIGKILL, done.stderr
    heard: list[int] = []
    fitted: list[int] = []

    def counted(fold: Fold, config: Config) -> float:
        fitted.append(len(heard))
        return loss_of(fold, config)

    resumed = search(
        file,
        9,
        replace(EASY, score=counted),
        told=lambda trial: heard.append(trial.number),
    )
    assert heard == list(range(9))
    assert min(fitted) == 4  # nothing that was finished is tried again
    assert without_times(resumed) == without_times(search(tmp_path / "other.db", 9))


def test_no_trial_starts_when_the_time_is_over(tmp_path: Path) -> None:
    now = 0.0

    def slow(fold: Fold, config: Config) -> float:
        nonlocal now
        now += 5.0
        return loss_of(fold, config)

    # A trial takes 25 s, of a minute two and the one that is running at its end.
    trials = search(
        tmp_path / "tune.db", 99, replace(EASY, score=slow), clock=lambda: now
    )
    ends = np.cumsum([5.0 * len(trial.losses) for trial in trials])
    assert ends[-2] < 60 <= ends[-1]


def test_present_settings_outside_the_space_are_the_first_trial(tmp_path: Path) -> None:
    far = PropensityConfig(trees=7, step_days=10, l2=0.0, max_cutoffs=50)
    config = CONFIG.model_copy(
        update={"propensity": far, "tune": TuneConfig(trials=2, minutes=1)}
    )
    whole: Any = replace(PROPENSITY, score=loss_of)
    trials = tune.search(
        LEVELS, config, whole, tmp_path / "t.db", "s", lambda trial: None
    )
    assert trials[0].settings == PROPENSITY.settings(config)


@pytest.mark.parametrize(
    ("gain", "is_better"),
    [
        ([0.010, 0.012, 0.008, 0.011, 0.005], True),
        ([0.010, 0.012, 0.008, 0.011, -0.005], False),  # not where it was held back
        ([0.030, -0.020, 0.010, -0.010, 0.005], False),  # lucky at one cutoff
        ([0.0, 0.0, 0.0, 0.0, 0.0], False),
    ],
)
def test_better_is_more_than_lucky(gain: list[float], is_better: bool) -> None:
    present = np.full(5, 0.5)
    cutoffs = tuple(UNTIL + timedelta(days=14 * k) for k in range(5))
    outcome = Outcome((), cutoffs, present, present - gain, 1)
    assert outcome.is_better == is_better


def test_too_little_history_is_one_line(read_history: ReadHistory) -> None:
    rows = [
        {"customer_id": c, "product_id": "p", "ts": datetime(2024, 9, day)}
        | {"order_id": f"{c}{day}", "quantity": 1.0, "amount": 1.0}
        for c in "ab"
        for day in (1, 9, 20)
    ]
    short = read_history({"purchases": rows}, UNTIL)
    with pytest.raises(ContractError, match="expected history for 3 past builds"):
        folds_of(short, CONFIG, PROPENSITY)


def test_file_that_is_no_database_is_one_line(tmp_path: Path) -> None:
    file = tmp_path / "tune.db"
    file.write_text("no database, and long enough to be read as one" * 100)
    with pytest.raises(SettingError, match=r"^workspace: expected studies") as told:
        search(file, 1)
    assert "\n" not in str(told.value)


def test_studies_of_one_file_do_not_mix(tmp_path: Path) -> None:
    file = tmp_path / "tune.db"
    search(file, 3)
    config = CONFIG.model_copy(update={"tune": TuneConfig(trials=1, minutes=1)})
    other = tune.search(LEVELS, config, EASY, file, "other", lambda trial: None)
    assert len(other) == 1
    with sqlite3.connect(file) as db:
        assert db.execute("SELECT count(*) FROM studies").fetchone() == (2,)
    db.close()
