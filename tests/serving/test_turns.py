from __future__ import annotations

from pathlib import Path

import pytest

from features.config import Config
from features.contracts import SettingError
from serving.turns import one_at_a_time


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
