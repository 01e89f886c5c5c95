"""Which model is in force, and the way back: pointer, snapshot and registry together."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from features.config import Config
from features.contracts import ContractError, SettingError
from serving import champion, moves
from serving.cli import app
from serving.publish import current_version, publish, switch
from training import track
from training.artifacts import FORMAT


def test_former_is_what_was_in_force_before_and_a_rollback_leads_further_back(
    tmp_path: Path,
) -> None:
    (root := tmp_path / "published").mkdir()
    for version in ("v1", "v2", "v3"):
        switch(root, version)
    assert moves.former(root, "v3") == "v2"
    switch(root, "v2", back=True)
    assert moves.former(root, "v2") == "v1"
    assert moves.rolled_back(root, "v2") == {"v3"}
    switch(root, "v3")
    assert moves.former(root, "v3") == "v2"
    assert moves.rolled_back(root, "v3") == set()
    assert moves.former(root, "never") is None


def test_a_step_within_a_model_or_forth_withdraws_nothing(tmp_path: Path) -> None:
    (root := tmp_path / "published").mkdir()
    model_of = {"v1": "m1", "v2": "m2", "v3": "m2", "v4": "m3"}.get
    for version in ("v1", "v2", "v3"):
        switch(root, version)
    assert moves.is_back(root, "v2", "v3") and not moves.is_back(root, "v3", "v3")
    assert moves.is_back(root, "unknown", "v3") and not moves.is_back(root, "v1", None)
    switch(root, "v2", back=True)
    switch(root, "v4")
    assert moves.rolled_back(root, "v4", model_of) == set()
    switch(root, "v1", back=True)
    assert moves.rolled_back(root, "v1", model_of) == {"m3"}
    # Another version of m3 is put in force by hand: the model is back.
    switch(root, "v4", back=moves.is_back(root, "v4", "v1"))
    assert moves.rolled_back(root, "v4", model_of) == set()


def test_a_move_that_a_kill_prevented_changes_nothing(tmp_path: Path) -> None:
    (root := tmp_path / "published").mkdir()
    for version in ("v1", "v2"):
        switch(root, version)
    moves.note(root, "v3", "v2", back=False)
    with (root / moves.FILE).open("ab") as stream:
        stream.write(b'{"version": "v4", "bef')
    assert moves.former(root, "v2") == "v1"
    moves.note(root, "v1", "v2", back=True)
    assert moves.rolled_back(root, "v2") == set()
    # The next line is whole, although the last one was not.
    switch(root, "v5")
    assert moves.former(root, "v5") == "v2"


@pytest.fixture
def three(tmp_path: Path, predictions: Any) -> list[str]:
    """Versions of the models m1, m2 and m2, in this order; the last is in force."""
    names: list[str] = []
    for day, model in enumerate(("m1", "m2", "m2")):
        folder = tmp_path / "models" / model
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "manifest.json").write_text(json.dumps({"format": FORMAT}))
        later = replace(predictions, cutoff=predictions.cutoff + timedelta(days=day))
        names.append(publish(tmp_path, later, model).name)
    (tmp_path / "models" / "latest").write_text("m2")
    return names


def test_rollback_restores_model_snapshot_and_registry_together(
    tmp_path: Path, three: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    import mlflow

    def said() -> str:
        client = mlflow.MlflowClient(track.uri(config))
        found = client.get_model_version_by_alias(track.MODEL, "champion")
        return str(found.tags["bundle"])

    config = Config(workspace=tmp_path)
    assert champion.follow(config) and not champion.follow(config)
    assert said() == "m2"
    done = CliRunner().invoke(app, ["rollback", "--set", f"workspace={tmp_path}"])
    assert done.stdout.splitlines() == [
        f"in force: {three[0]} (before: {three[2]})",
        "model: m1",
    ]
    assert current_version(tmp_path) == three[0]
    assert champion.champion_of(tmp_path) == said() == "m1"
    assert (tmp_path / "models" / "latest").read_text() == "m1"
    assert champion.withdrawn(tmp_path) == {"m2"}
    # A kill before the registry was told: the next run tells it.
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(champion, "follow", _killed)
        champion.rollback(config, three[2])
    assert (champion.champion_of(tmp_path), said()) == ("m2", "m1")
    assert champion.follow(config) and said() == "m2"
    champion.rollback(config)
    # Nothing is before it, and a version by name brings the other model back.
    with pytest.raises(SettingError, match="of another model that was in force"):
        champion.rollback(config)
    assert champion.rollback(config, three[1]) == (three[1], three[0])
    # A move forth by hand withdraws nothing.
    assert (said(), champion.withdrawn(tmp_path)) == ("m2", set())


def _killed(config: Config) -> bool:
    raise KeyboardInterrupt


@pytest.mark.parametrize("damaged", ["published", "models"])
def test_a_damaged_version_or_model_is_not_brought_back(
    tmp_path: Path, three: list[str], damaged: str
) -> None:
    if damaged == "published":
        (tmp_path / "published" / three[0] / "curve.npy").write_bytes(b"")
    else:
        (tmp_path / "models" / "m1" / "manifest.json").unlink()
    with pytest.raises(ContractError):
        champion.rollback(Config(workspace=tmp_path))
    assert current_version(tmp_path) == three[2]
    assert (tmp_path / "models" / "latest").read_text() == "m2"


@pytest.mark.parametrize("name", ["nothing", "..", "../published", ".build-1"])
def test_what_is_no_version_is_one_line(
    tmp_path: Path, three: list[str], name: str
) -> None:
    with pytest.raises(SettingError, match=r"^--to: expected one of"):
        champion.rollback(Config(workspace=tmp_path), name)


def test_without_anything_published_there_is_no_way_back(tmp_path: Path) -> None:
    with pytest.raises(SettingError, match="expected a published version"):
        champion.rollback(Config(workspace=tmp_path))
