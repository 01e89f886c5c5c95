"""The pages of docs/: what they name is there."""

from __future__ import annotations

import ast
import configparser
import re
from pathlib import Path

import pytest
from typer.main import get_command

from features.gate_config import GateConfig
from serving.cli import app

ROOT = Path(__file__).parents[1]
MODEL = (ROOT / "docs" / "threat-model.md").read_text()
RUNBOOK = (ROOT / "docs" / "runbook.md").read_text()
RETRAINING = (ROOT / "docs" / "retraining.md").read_text()


def named_in(file: Path) -> set[str]:
    return {
        node.name
        for node in ast.walk(ast.parse(file.read_text()))
        if isinstance(node, ast.FunctionDef) and node.name.startswith("test_")
    }


def test_every_test_that_the_threat_model_names_exists() -> None:
    named = re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", MODEL)
    assert len(named) > 30
    there = {file: named_in(ROOT / file) for file, _ in named}
    assert [f"{file}::{name}" for file, name in named if name not in there[file]] == []


def test_every_threat_that_is_defended_has_a_test() -> None:
    part = MODEL.split("## Defended")[1].split("## ")[0]
    rows = [line for line in part.splitlines() if line.startswith("| ")][1:]
    assert len(rows) > 20
    assert [row for row in rows if "tests/" not in row.split(" | ")[-1]] == []


@pytest.mark.parametrize(("page", "least"), [(RUNBOOK, 12), (RETRAINING, 4)])
def test_every_command_of_the_pages_exists(page: str, least: int) -> None:
    top = get_command(app)
    commands = {
        name: sorted(getattr(one, "commands", {})) for name, one in top.commands.items()
    }  # type: ignore[attr-defined]
    used = re.findall(r"\$R (\w+)(?: (\w+))?", page)
    assert len(used) > least
    for command, below in used:
        assert command in commands, command
        assert not commands[command] or below in commands[command], (command, below)


@pytest.mark.parametrize("page", ["threat-model.md", "runbook.md", "retraining.md"])
def test_the_readme_leads_to_the_pages(page: str) -> None:
    assert f"docs/{page}" in (ROOT / "README.md").read_text()


def test_every_setting_of_the_gate_is_there_with_its_default() -> None:
    named = re.findall(r"`gate\.(\w+)` \(([\d.]+)\)", RETRAINING)
    assert len(named) > 5
    defaults = GateConfig().model_dump()
    assert {name: float(value) for name, value in named} == {
        name: defaults[name] for name, _ in named
    }
    assert set(re.findall(r"`gate\.(\w+)`", RETRAINING)) <= set(defaults)


def test_schedules_call_retrain_with_the_day_as_cutoff() -> None:
    blocks = dict[str, str]()
    for kind, text in re.findall(r"```(cron|ini)\n(.*?)```", RETRAINING, re.DOTALL):
        blocks[kind if kind == "cron" else text.split("\n")[0].rpartition(".")[2]] = (
            text
        )
    minute, hour, *days, _ = blocks["cron"].split(maxsplit=5)
    assert (int(minute), int(hour), days) == (30, 4, ["*", "*", "1"])
    # In cron a bare % ends the command.
    assert re.findall(r"(?<!\\)%", blocks["cron"]) == []
    service, timer = (
        configparser.ConfigParser(interpolation=None, strict=True) for _ in range(2)
    )
    service.read_string(blocks["service"])
    timer.read_string(blocks["timer"])
    assert service["Service"]["Type"] == "oneshot"
    assert timer["Timer"]["OnCalendar"] == "Mon *-*-* 04:30:00"
    command = "repurchase retrain --config shop.yaml --set cutoff=$(date -u +%F)"
    started = service["Service"]["ExecStart"].replace("$$", "$").replace("%%", "%")
    assert command in started
    assert command in blocks["cron"].replace("\\%", "%")


def test_every_metric_of_the_runbook_is_exposed(workspace_metrics: str) -> None:
    named = set(re.findall(r"`(repurchase_\w+)", RUNBOOK))
    assert len(named) > 10
    exposed = set(re.findall(r"^# HELP (\S+)", workspace_metrics, re.MULTILINE))
    assert {name for name in named if name not in exposed} == set()
    # And none that can be alarmed on is passed over.
    assert exposed - named <= {"repurchase_events_total", "repurchase_log_events"}


@pytest.fixture
def workspace_metrics() -> str:
    from serving.metrics import Metrics

    return Metrics().text(None, 0).decode()
