"""The whole chain on a small shop: what is skipped, what is refused, and the way back."""

from __future__ import annotations

import shutil
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest.mock import MagicMock

import numpy as np
import pandas as pd
import pytest

from features.config import Config
from features.contracts import SettingError
from serving import champion, gating, stages
from serving.publish import current_version
from serving.published import Published
from serving.retrain import Outcome, retrain
from serving.state import database, tombstones
from training import track
from training.gate import Check, Decision

FEW = {"trees": 5, "seeds": 1}
SETTINGS: dict[str, Any] = {
    "propensity": {"trees": 10, "seeds": 1, "min_rows_per_leaf": 10},
    "recommend": {
        "trees": 10,
        "min_buyers": 2,
        "factors": 4,
        "als_iterations": 1,
        "past_cutoffs": 1,
    },
    "spend": FEW,
    "churn": FEW,
    "replenishment": FEW,
    "evaluation": {"permutations": 2},
    # A shop of 80 customers proves nothing.
    "gate": {
        "baseline_margin": 0.99,
        "auc_margin": 0.99,
        "recall_margin": 0.99,
        "calibration_error": 1.0,
    },
}


@dataclass(frozen=True)
class Shop:
    """A workspace with a champion that ``retrain`` made."""

    config: Config
    first: Outcome

    def again(self, **changed: Any) -> tuple[Outcome, list[str]]:
        """The same command with other settings, and the steps that it took."""
        said: list[str] = []
        found = retrain(self.config.model_copy(update=changed), said.append)
        return found, [line for line in said if "set aside" not in line]


@pytest.fixture(scope="module")
def made(shop_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Shop:
    place = {"data": shop_dir, "workspace": tmp_path_factory.mktemp("w")}
    config = Config.model_validate({**place, "cutoff": "2024-10-01", **SETTINGS})
    return Shop(config, retrain(config))


@pytest.fixture
def shop(made: Shop) -> Shop:
    """With its champion in force, whatever a test before has done."""
    version = str(made.first.version)
    if current_version(made.config.workspace) != version:
        champion.rollback(made.config, version)
    return made


def test_the_first_champion_is_published_and_told_to_the_registry(shop: Shop) -> None:
    import mlflow

    first, workspace = shop.first, shop.config.workspace
    assert first.is_new and not first.refused
    assert champion.champion_of(workspace) == first.bundle
    client = mlflow.MlflowClient(track.uri(shop.config))
    for alias in ("champion", "challenger"):
        version = client.get_model_version_by_alias(track.MODEL, alias)
        assert version.tags["bundle"] == first.bundle
    runs = client.search_runs(
        [client.get_experiment_by_name("repurchase").experiment_id]
    )
    (parent,) = [run for run in runs if run.info.run_name == "retrain 2024-10-01"]
    stages_of = {
        run.info.run_name.split(" ")[0]: run
        for run in runs
        if run.data.tags.get("mlflow.parentRunId") == parent.info.run_id
    }
    assert set(stages_of) == {"train", "gate", "publish"}
    assert parent.data.tags["bundle"] == first.bundle
    assert stages_of["gate"].data.tags["promote"] == "True"
    # By cutoff, the earlier first.
    history = client.get_metric_history(stages_of["gate"].info.run_id, "repurchase/auc")
    kept = [figures["repurchase/auc"] for figures in first.judged.figures.values()]
    assert [one.value for one in sorted(history, key=lambda m: m.step)] == kept
    named = {
        file.path for file in client.list_artifacts(stages_of["train"].info.run_id)
    }
    assert "requirements.lock" in named
    assert stages_of["train"].inputs.dataset_inputs


def test_the_registered_bundle_is_opened_without_pickle_and_answers_its_example(
    shop: Shop,
) -> None:
    import mlflow

    mlflow.set_tracking_uri(track.uri(shop.config))
    model = mlflow.pyfunc.load_model(f"models:/{track.MODEL}@champion")
    example = model.input_example
    assert example is not None and "customer_id" not in example
    assert model.metadata.signature is not None
    assert 0 < model.predict(example)[0] < 1
    kept = mlflow.artifacts.download_artifacts(f"models:/{track.MODEL}@champion")
    endings = {file.suffix for file in Path(kept).rglob("*") if file.is_file()}
    assert not endings & {".pkl", ".pickle", ".joblib"}


def test_the_als_factors_are_opened_without_pickle_and_answer_anybody(
    shop: Shop,
) -> None:
    import mlflow

    mlflow.set_tracking_uri(track.uri(shop.config))
    (kept,) = mlflow.search_logged_models(
        filter_string="name = 'als'", output_format="list"
    )
    model = mlflow.pyfunc.load_model(kept.model_uri)
    bought = pd.DataFrame(
        {"customer_id": ["new", "new", "none"], "product_id": ["p00", "p06", "?"]}
    )
    best = model.predict(bought, params={"n": 3})
    assert best["customer_id"].tolist() == ["new"] * 3
    assert best["rank"].tolist() == [1, 2, 3]
    assert (np.diff(best["score"]) <= 0).all()
    # The same by hand: (Y'CY + r)^-1 Y'c with c = alpha log(1 + times bought).
    frame = model._model_impl
    fold, at = frame.fold, [list(frame.products).index(p) for p in ("p00", "p06")]
    items = fold.factors.astype(float)
    sure = np.zeros(len(items))
    sure[at] = fold.alpha * np.log(2.0)
    weight = np.where(sure > 0, sure, 1.0)
    ridge = fold.regularization * np.eye(items.shape[1])
    own = np.linalg.solve(items.T @ (items * weight[:, None]) + ridge, items.T @ sure)
    assert best["score"].tolist() == pytest.approx(sorted(items @ own)[::-1][:3])


def test_a_run_without_a_change_does_nothing(shop: Shop) -> None:
    shop.again()  # it looks at the data beside the champion, which is new
    found, steps = shop.again()
    assert steps == []
    assert (found.version, found.judged, found.is_new) == (
        shop.first.version,
        None,
        False,
    )


def test_equal_settings_data_and_seed_give_equal_bytes(
    shop: Shop, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stages.track, "run", MagicMock())
    other = shop.config.model_copy(update={"workspace": tmp_path})
    stages.features(other)
    again = stages.train(other)
    first = shop.config.workspace / "models" / again.name
    assert again.name == shop.first.bundle
    for file in [f.relative_to(again) for f in again.rglob("*") if f.is_file()]:
        assert (again / file).read_bytes() == (first / file).read_bytes()


def test_a_challenger_that_is_no_better_on_the_same_data_is_refused(
    shop: Shop,
) -> None:
    workspace = shop.config.workspace
    found, steps = shop.again(seed=1)
    assert found.refused and found.bundle != shop.first.bundle
    assert current_version(workspace) == shop.first.version
    names = {check.name for check in found.judged.decision.checks if not check.passed}
    assert names == {"AUC over the champion", "recall@10 over the champion"}
    assert "train propensity" in steps
    # It is asked once, and the next publish takes the champion.
    again, steps = shop.again(seed=1)
    assert again == found and steps == []
    latest = workspace / "models" / "latest"
    assert gating.judge(shop.config).decision.promote  # it is in force
    assert latest.read_text() == shop.first.bundle
    stages.name_latest(workspace, str(found.bundle))
    with pytest.raises(SettingError, match="expected one that the gate let pass"):
        stages.publish(shop.config)
    stages.name_latest(workspace, str(shop.first.bundle))


def test_a_model_that_was_rolled_back_does_not_come_back_by_itself(
    shop: Shop,
) -> None:
    later = {"cutoff": shop.config.cutoff.replace(day=2)}
    newer, _ = shop.again(**later)
    assert newer.is_new
    champion.rollback(shop.config)
    assert champion.champion_of(shop.config.workspace) == shop.first.bundle
    found, _ = shop.again(**later)
    names = [check.name for check in found.judged.decision.checks if not check.passed]
    assert names == ["withdrawn before"]
    assert champion.champion_of(shop.config.workspace) == shop.first.bundle


def test_after_a_no_the_champion_is_published_without_who_was_erased(
    shop: Shop, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(shop.config.workspace, tmp_path / "w")
    config = shop.config.model_copy(update={"workspace": tmp_path / "w"})
    before = Published.open(config.workspace)
    gone = before.customers[0]
    engine = database.ready(config.workspace, config.state)
    tombstones.erase(engine, gone, 0)
    database.close(engine)
    no = Check("AUC over the champion", passed=False, found="", wanted="")
    judged = gating.Judged("m2", shop.first.bundle, Decision((no,)), {})
    chain = sys.modules["serving.retrain"]
    monkeypatch.setattr(chain, "_trained", lambda *_: "m2")
    monkeypatch.setattr(chain, "_judged", lambda *_: judged)
    found = retrain(config)
    now = Published.open(config.workspace)
    assert (found.refused, found.is_new, found.version) == (True, True, now.version)
    assert now.model_version == before.model_version
    assert (before.customers.row(gone), now.customers.row(gone)) == (0, None)
    # The version that holds them is gone, and there is nothing left to do.
    assert not (config.workspace / "published" / before.version).exists()
    assert not retrain(config).is_new


def test_broken_data_are_refused_before_anything_is_trained(
    shop: Shop, tmp_path: Path
) -> None:
    shutil.copytree(str(shop.config.data), tmp_path / "data")
    file = tmp_path / "data" / "purchases.parquet"
    pd.read_parquet(file)[::2].to_parquet(file)
    found, steps = shop.again(data=tmp_path / "data")
    assert (found.bundle, found.refused, steps) == (None, True, ["check the data"])
    kept = gating.Judged.load(shop.config.workspace / "reports" / "gate.json")
    assert kept == found.judged
    assert "that the champion read" in kept.decision.reasons[0]
    assert current_version(shop.config.workspace) == shop.first.version
