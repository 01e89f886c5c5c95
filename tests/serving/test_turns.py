from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from features.config import Config
from features.contracts import SettingError
from serving.turns import chain_of_stages, one_at_a_time


@one_at_a_time
def first(config: Config, then: object = None) -> str:
    return second(config) if then else "done"


@one_at_a_time
def second(config: Config) -> str:
    return "done too"


def test_a_stage_while_another_is_at_work_is_refused_in_one_line(
    tmp_path: Path,
) -> None:
    config = Config(workspace=tmp_path / "w")
    with pytest.raises(SettingError) as refused:
        first(config, then=True)
    assert str(refused.value) == (
        f"workspace: expected no other build in {tmp_path / 'w'}, got one at work; "
        "wait for it, or choose another workspace"
    )


@chain_of_stages
def chain(config: Config, other: Config) -> list[str]:
    with pytest.raises(SettingError, match="expected no other build"):
        chain_of_another(config)
    return [second(config), second(other)]


def chain_of_another(config: Config) -> None:
    """What another process does meanwhile."""
    with ThreadPoolExecutor(1) as elsewhere:
        elsewhere.submit(second, config).result()


def test_a_chain_lets_its_own_stages_in_and_nobody_else(tmp_path: Path) -> None:
    config, other = (Config(workspace=tmp_path / name) for name in "ab")
    assert chain(config, other) == ["done too", "done too"]
    assert second(config) == "done too"


def test_one_after_the_other_is_fine_also_after_a_failure(tmp_path: Path) -> None:
    config = Config(workspace=tmp_path)
    assert first(config) == "done"
    with pytest.raises(SettingError):
        first(config, then=True)
    assert second(config) == "done too"


def test_workspace_that_cannot_be_made_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(SettingError, match=r"^workspace: expected a folder that can"):
        first(Config(workspace=tmp_path / "file"))
