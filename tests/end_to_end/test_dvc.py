"""``dvc.yaml`` names the stages of the command line, in an order that works."""

from __future__ import annotations

import json
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
CONFIG = "configs/complete_journey.yaml"
STAGES = ["data", "features", "train", "evaluate", "gate", "publish"]
PIPELINE: dict[str, dict[str, Any]] = yaml.safe_load((ROOT / "dvc.yaml").read_text())[
    "stages"
]


def _paths(entries: list[str | dict[str, Any]]) -> list[str]:
    return [path for e in entries for path in ([e] if isinstance(e, str) else e)]


def _made(stage: dict[str, Any]) -> list[str]:
    kinds = ("outs", "metrics", "plots")
    return [path for kind in kinds for path in _paths(stage.get(kind, []))]


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
    for name in ("dvc.yaml", ".dvcignore", ".gitignore", ".dvc/config", CONFIG):
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


def test_repro_runs_the_stages_in_order(checkout: Path) -> None:
    said = _dvc(checkout, "repro", "--dry")
    lines = [line for line in said.splitlines() if line.startswith("> ")]
    assert lines == [
        f"> repurchase {stage} --config configs/complete_journey.yaml"
        for stage in STAGES
    ]


def test_metrics_params_and_plots_are_compared_with_the_last_commit(
    tmp_path: Path,
) -> None:
    subprocess.run(["git", "init", "-q", tmp_path], check=True)
    stage = {**PIPELINE["evaluate"], "deps": ["figures.json"]}
    stage["cmd"] = f"{sys.executable} evaluate.py"
    (tmp_path / "dvc.yaml").write_text(yaml.safe_dump({"stages": {"evaluate": stage}}))
    for name in (".dvcignore", ".gitignore", ".dvc/config", CONFIG):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        shutil.copy(ROOT / name, tmp_path / name)
    (tmp_path / "evaluate.py").write_text(
        f"import pathlib, shutil\nfor name in {_made(stage)}:\n"
        "    file = pathlib.Path(name)\n"
        "    file.parent.mkdir(parents=True, exist_ok=True)\n"
        "    shutil.copy('figures' + (file.suffix if file.suffix in ('.csv', '.json') "
        "else '.json'), file)\n"
    )
    head = "cutoff,repurchase,others,buyers,promised,bought\n"
    for auc in ("0.85", "0.86"):
        (tmp_path / "figures.json").write_text(f'{{"auc": {auc}}}')
        row = f"2017-10-15,{auc},0.1,0.4,0.9,0.95\n"
        (tmp_path / "figures.csv").write_text(head + row)
        _dvc(tmp_path, "repro", "-q")
        if auc == "0.85":
            _git(tmp_path, "add", "-A")
            _git(tmp_path, "commit", "-qm", "first")
    found = json.loads(_dvc(tmp_path, "metrics", "diff", "--json"))
    (figures,) = found.values()
    assert figures["auc"] == {"old": 0.85, "new": 0.86, "diff": pytest.approx(0.01)}
    drawn = json.loads(_dvc(tmp_path, "plots", "diff", "--json", "HEAD"))["data"]
    (over_time,) = [one for name, one in drawn.items() if "auc_by_cutoff" in name]
    assert set(over_time[0]["revisions"]) == {"HEAD", "workspace"}
    assert len(drawn) == 3
    config = tmp_path / CONFIG
    config.write_text(config.read_text().replace("seed: 0", "seed: 1"))
    changed = json.loads(_dvc(tmp_path, "params", "diff", "--json"))
    assert changed == {CONFIG: {"seed": {"old": 0, "new": 1, "diff": 1}}}


def _git(folder: Path, *words: str) -> None:
    who = ["-c", "user.name=test", "-c", "user.email=test@example.org"]
    subprocess.run(["git", "-C", folder, *who, *words], check=True)


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
