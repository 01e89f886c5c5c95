"""`repurchase versions`: what is published, and a rollback."""

from __future__ import annotations

import fcntl
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from features.contracts import ContractError
from serving import champion
from serving.cli import app
from serving.publish import current_version, publish


def run(workspace: Path, *words: str) -> Any:
    there = ["--set", f"workspace={workspace}"]
    return CliRunner().invoke(app, ["versions", *words, *there])


@pytest.fixture
def two(workspace: Path, predictions: Any) -> tuple[str, str]:
    """An earlier and a later version; the later is in force."""
    first = current_version(workspace)
    later = replace(predictions, cutoff=predictions.cutoff + timedelta(days=1))
    return str(first), publish(workspace, later, "m2").name


def test_an_earlier_version_is_put_in_force_and_back(workspace, two) -> None:
    first, second = two
    for version, before in ((first, second), (second, first), (second, second)):
        done = run(workspace, "use", version)
        assert done.stdout == f"in force: {version} (before: {before})\n"
        assert current_version(workspace) == version


def test_an_earlier_version_withdraws_the_model_that_it_replaces(
    tmp_path, predictions
) -> None:
    names: list[str] = []
    for day, model in enumerate(("m1", "m2")):
        (tmp_path / "models" / model).mkdir(parents=True)
        later = replace(predictions, cutoff=predictions.cutoff + timedelta(days=day))
        names.append(publish(tmp_path, later, model).name)
    champion.told(tmp_path, "m1")  # MLflow need not be told
    run(tmp_path, "use", names[0])
    assert champion.withdrawn(tmp_path) == {"m2"}
    assert (tmp_path / "models" / "latest").read_text() == "m1"


def test_no_version_is_put_in_force_while_a_build_is_at_work(workspace, two) -> None:
    with (workspace / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        done = run(workspace, "use", two[0])
    assert "expected no other build" in str(done.exception)
    assert current_version(workspace) == two[1]


def test_the_list_says_which_is_in_force(workspace, two) -> None:
    (workspace / "published" / two[0] / "manifest.json").write_text("{")
    (workspace / "published" / ".broken-x").mkdir()
    rows = [line.split() for line in run(workspace, "list").stdout.splitlines()]
    found = {row[1]: (row[3], row[-2]) for row in rows if row[0] == "│"}
    assert found == {two[0]: ("damaged", "│"), two[1]: ("m2", "yes")}


def test_without_versions_the_list_says_so(tmp_path) -> None:
    assert run(tmp_path, "list").stdout == "no versions\n"


def test_a_damaged_version_is_not_put_in_force(workspace, two) -> None:
    first, second = two
    (workspace / "published" / first / "curve.npy").write_bytes(b"")
    done = run(workspace, "use", first)
    assert isinstance(done.exception, ContractError)
    assert current_version(workspace) == second


@pytest.mark.parametrize("name", ["nothing", "..", ".", "../published", ".build-1", ""])
def test_what_is_no_version_is_one_line(workspace, name) -> None:
    before = current_version(workspace)
    done = run(workspace, "use", name)
    assert "version: expected one of" in str(done.exception)
    assert current_version(workspace) == before
