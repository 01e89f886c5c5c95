"""`repurchase tune` on a small shop: trials, runs, what it prints and leaves."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import optuna
import pytest

from features import config as configuration
from serving import cli, tuning
from training.trials import Outcome

CUTOFF = "2024-10-01"
FAST = (
    f"cutoff={CUTOFF}",
    "propensity.trees=20",
    "propensity.min_rows_per_leaf=10",
    "propensity.threads=1",
    "tune.folds=2",
    "tune.held_back=1",
)
Run = Callable[..., int]


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, shop_dir: Path, tmp_path: Path) -> Run:
    def call(*words: object, more: tuple[str, ...] = ()) -> int:
        places = (f"data={shop_dir}", f"workspace={tmp_path}")
        given = [w for key in (*places, *FAST, *more) for w in ("--set", key)]
        line = ["repurchase", "tune", *(str(word) for word in words), *given]
        monkeypatch.setattr("sys.argv", line)
        with pytest.raises(SystemExit) as ended:
            cli.main()
        return int(ended.value.code or 0)

    return call


def judged(monkeypatch: pytest.MonkeyPatch, is_better: bool) -> None:
    monkeypatch.setattr(Outcome, "is_better", property(lambda self: is_better))


def test_every_trial_is_a_run_and_a_repeated_command_goes_on(
    run: Run,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    file = tmp_path / "tuned-propensity.yaml"
    file.write_text("propensity: {trees: 1}")
    judged(monkeypatch, is_better=False)
    assert run("--trials", 2) == 1
    assert "keep the present settings" in capsys.readouterr().out
    assert not file.exists()  # what an earlier search found no longer holds

    judged(monkeypatch, is_better=True)
    assert run("--trials", 3, "--minutes", 5) == 0
    said = capsys.readouterr().out
    assert "trial 1: " in said and "of an earlier run" in said
    assert "2024-09-17 held back" in said
    assert f"use them: --config {file}" in said
    tuned = configuration.load(file)
    (line,) = [one for one in said.splitlines() if one.startswith("or: ")]
    words = line.removeprefix("or: ").split()[1::2]
    start = configuration.load(None, (*FAST, f"workspace={tmp_path}", *words))
    assert tuned.propensity == start.propensity
    assert tuned.cutoff == start.cutoff
    assert tuned.workspace == start.workspace
    _holds_three_trials(tmp_path)


def _holds_three_trials(tmp_path: Path) -> None:
    storage = f"sqlite:///{tmp_path / 'tune.db'}"
    (name,) = optuna.get_all_study_names(storage)
    trials = optuna.load_study(study_name=name, storage=storage).trials
    assert [trial.number for trial in trials] == [0, 1, 2]

    import mlflow

    client = mlflow.MlflowClient(f"sqlite:///{tmp_path / 'mlflow.db'}")
    home = client.get_experiment_by_name("repurchase").experiment_id
    runs = client.search_runs([home])
    (parent,) = [r for r in runs if "mlflow.parentRunId" not in r.data.tags]
    nested = [r for r in runs if r is not parent]
    assert parent.data.params["study"] == name
    assert parent.data.metrics["trials"] == 3
    assert {r.data.tags["mlflow.parentRunId"] for r in nested} == {parent.info.run_id}
    assert sorted(r.info.run_name for r in nested) == ["trial 0", "trial 1", "trial 2"]
    (first,) = [r for r in nested if r.info.run_name == "trial 0"]
    assert first.data.params["trees"] == "20"
    assert first.data.tags["state"] == "complete"
    assert {"loss", "loss_of_fold", "seconds"} <= set(first.data.metrics)
    folds = client.get_metric_history(first.info.run_id, "loss_of_fold")
    assert [m.value for m in folds] == list(trials[0].user_attrs["losses"])


@pytest.mark.parametrize(
    ("words", "more", "message"),
    [
        (("--minutes", 0), (), "tune.minutes: input should be greater than 0"),
        ((), ("cutoff=null",), "cutoff: expected a date"),
        ((), ("cutoff=2024-03-20",), "tune: expected history for 3 past builds"),
        ((), ("tune.fold=3",), "tune.fold: extra inputs"),
    ],
)
def test_faults_end_in_one_line_and_status_2(
    run: Run,
    capsys: pytest.CaptureFixture[str],
    words: tuple[object, ...],
    more: tuple[str, ...],
    message: str,
) -> None:
    assert run(*words, more=more) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert message in line


def test_unknown_model_is_refused(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("--model", "weather") == 2
    assert "weather" in capsys.readouterr().err
    with pytest.raises(ValueError, match=r"^--model: expected one of propensity,"):
        tuning.tune(configuration.load(None, FAST), "weather")
