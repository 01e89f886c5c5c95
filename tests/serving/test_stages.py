"""What a build says of its input."""

from __future__ import annotations

import json
import shutil
from datetime import datetime
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from features.config import Config, RecommendConfig, TreesConfig
from features.contracts import ContractError, SettingError
from features.engine import Tables
from serving import stages
from serving.published import Published
from training import survey

UNDATED = "customers has no valid_from: read as of the export at every cutoff"


@pytest.mark.parametrize("dated", [True, False])
def test_what_is_left_out_and_an_undated_profile_are_said(
    shop_dir: Path, tmp_path: Path, *, dated: bool
) -> None:
    data = tmp_path / "data"
    shutil.copytree(shop_dir, data)
    customers = pq.read_table(data / "customers.parquet")
    if not dated:
        customers = customers.drop_columns("valid_from")
    times = pa.array([datetime(2024, 1, 1)] * len(customers), pa.timestamp("us"))
    customers = customers.append_column("card_made_at", times)
    pq.write_table(customers, data / "customers.parquet")
    said: list[str] = []
    config = Config(data=data, workspace=tmp_path, cutoff="2024-10-01")
    stages.features(config, said.append)
    assert (UNDATED in said) is not dated
    assert (
        "left out (too many different words, or no number, flag or text): card_made_at"
    ) in said


def test_a_shop_that_is_learned_from_some_customers_is_published_whole(
    shop_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(survey, "PART", 20)
    few = TreesConfig(trees=5, seeds=1).model_dump(include={"trees", "seeds"})
    config = Config(
        data=shop_dir,
        workspace=tmp_path,
        cutoff="2024-10-01",
        max_learners=40,
        propensity={"max_cutoffs": 4, **few},
        replenishment=few,
        spend=few,
        churn=few,
        recommend=RecommendConfig(trees=5, min_buyers=2, past_cutoffs=2),
    )
    with Tables(shop_dir) as tables:
        everyone = tables.history(datetime(2024, 10, 1)).customers.tolist()
        learners = survey.read_survey(tables, datetime(2024, 10, 1), config).history
    assert 20 < len(learners.customers) < 60 < len(everyone)
    stages.features(config)
    stages.train(config)
    with monkeypatch.context() as patch:
        patch.setattr(stages, "publish_predictions", _fail)
        with pytest.raises(OSError, match="disk"):
            stages.publish(config)
    assert not list((tmp_path / "published").iterdir())
    folder, predictions = stages.publish(config)
    left = {entry.name for entry in (tmp_path / "published").iterdir()}
    assert left == {folder.name, "current", "moves.jsonl", ".lock"}
    published = Published.open(tmp_path)
    # Mapped from files that are gone from the folder.
    assert np.array_equal(predictions.curve, published.curve)
    assert [published.customers[row] for row in range(len(everyone))] == everyone
    assert (np.diff(published.offers.offsets) > 0).mean() > 0.9


@pytest.mark.parametrize(
    ("said", "passes"),
    [
        (None, False),  # killed between train and gate
        ({"promote": True, "champion": "m0", "reasons": []}, False),
        ({"promote": True, "champion": "m1", "reasons": []}, True),
        ({"promote": False, "champion": "m1", "reasons": ["x"]}, False),
    ],
)
def test_a_model_takes_another_ones_place_only_after_a_yes_beside_it(
    tmp_path: Path, said: dict[str, object] | None, *, passes: bool
) -> None:
    in_force = tmp_path / "published" / "v1"
    in_force.mkdir(parents=True)
    (in_force / "manifest.json").write_text('{"model_version": "m1"}')
    (in_force.parent / "current").write_text("v1\n")
    if said is not None:
        file = stages.file_of(tmp_path, "m2")
        file.parent.mkdir(parents=True)
        file.write_text(json.dumps(said))
    (tmp_path / "models").mkdir()
    stages.name_latest(tmp_path, "m2")
    config = Config(workspace=tmp_path)
    # There is no model to load: who gets that far was let pass.
    error = ContractError if passes else SettingError
    with pytest.raises(error):
        stages.publish(config)
    with pytest.raises(ContractError):
        stages.publish(config, ungated=True)
    # The model in force is published again, whatever was said of it once.
    file = stages.file_of(tmp_path, "m1")
    file.parent.mkdir(parents=True)
    file.write_text('{"promote": false, "champion": "m0", "reasons": []}')
    stages.name_latest(tmp_path, "m1")
    with pytest.raises(ContractError):
        stages.publish(config)


def _fail(*_: object) -> None:
    raise OSError("disk full")
