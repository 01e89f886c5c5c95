"""``dvc.yaml`` names the stages of the command line, in an order that works."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import typer
import yaml

from features.config import load
from serving import on_spark, stages
from serving.cli import app
from training import build

ROOT = Path(__file__).parents[2]
STAGES = ["data", "features", "train", "evaluate", "publish"]
PIPELINE: dict[str, dict[str, Any]] = yaml.safe_load((ROOT / "dvc.yaml").read_text())[
    "stages"
]


def _paths(entries: list[str | dict[str, Any]]) -> list[str]:
    return [path for e in entries for path in ([e] if isinstance(e, str) else e)]


def _made(stage: dict[str, Any]) -> list[str]:
    return _paths(stage["outs"]) + _paths(stage.get("metrics", []))


def _dvc(folder: Path, *arguments: str) -> str:
    # By module, so that the environment need not be on the path.
    done = subprocess.run(
        [sys.executable, "-m", "dvc", *arguments],
        cwd=folder,
        env=os.environ | {"DVC_NO_ANALYTICS": "1", "DVC_SITE_CACHE_DIR": str(folder)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Git repository with DVC's files; the code and the outputs are stubs."""
    folder = tmp_path_factory.mktemp("checkout")
    subprocess.run(["git", "init", "-q", folder], check=True)
    for name in ("dvc.yaml", ".dvcignore", ".gitignore", ".dvc/config"):
        (folder / name).parent.mkdir(exist_ok=True)
        shutil.copy(ROOT / name, folder / name)
    for stage in PIPELINE.values():
        for path in [*stage["deps"], *_made(stage)]:
            stub = folder / path
            if Path(path).suffix:
                stub.parent.mkdir(parents=True, exist_ok=True)
                stub.touch()
            else:
                stub.mkdir(parents=True, exist_ok=True)
    return folder


def test_repro_runs_the_five_stages_in_order(checkout: Path) -> None:
    said = _dvc(checkout, "repro", "--dry")
    lines = [line for line in said.splitlines() if line.startswith("> ")]
    assert lines == [
        f"> repurchase {stage} --config configs/complete_journey.yaml"
        for stage in STAGES
    ]


def test_left_over_bytecode_is_no_change(checkout: Path) -> None:
    cache = checkout / "features" / "__pycache__"
    cache.mkdir()
    (cache / "fold.pyc").touch()
    said = _dvc(checkout, "check-ignore", str(cache / "fold.pyc"))
    assert said.strip().endswith("fold.pyc")


def test_every_stage_is_a_command_of_the_same_name() -> None:
    group = typer.main.get_command(app)
    commands = getattr(group, "commands")  # noqa: B009
    for stage, fields in PIPELINE.items():
        program, command, option, _ = fields["cmd"].split()
        assert (program, command, option) == ("repurchase", stage, "--config")
        options = {o for p in commands[command].params for o in p.opts}
        assert option in options


def test_stages_write_where_the_configuration_says() -> None:
    for fields in PIPELINE.values():
        config = load(ROOT / fields["cmd"].split()[-1])
        for path in _made(fields):
            assert Path(path) == config.data or Path(path).is_relative_to(
                config.workspace
            )


def test_features_are_made_again_when_what_chooses_their_cutoffs_changes() -> None:
    code = {path for path in PIPELINE["features"]["deps"] if path.endswith(".py")}
    assert {path.removesuffix(".py").replace("/", ".") for path in code} == {
        "serving.stages",
        stages.one_at_a_time.__module__,
        on_spark.features.__module__,
        build.cutoffs_since.__module__,
    }


def test_every_dependency_is_in_the_checkout_or_made_by_an_earlier_stage() -> None:
    made: set[str] = set()
    for fields in PIPELINE.values():
        for path in fields["deps"]:
            assert path in made or (ROOT / path).exists()
        made |= set(_made(fields))


def test_every_stage_after_the_first_depends_on_the_configuration_and_its_defaults() -> (
    None
):
    for stage in STAGES[1:]:
        deps = PIPELINE[stage]["deps"]
        assert PIPELINE[stage]["cmd"].split()[-1] in deps
        assert "features" in deps  # the defaults are in features/config.py
