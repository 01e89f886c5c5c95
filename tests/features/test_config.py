"""Configuration is strict, and says what is wrong in one line."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

import pytest

from features import config


def test_overrides_lie_over_the_file(tmp_path: Path) -> None:
    file = tmp_path / "c.yaml"
    file.write_text("horizon_days: 7\npropensity: {trees: 9}\n")
    loaded = config.load(
        file, ("horizon_days=21", "propensity.leaves=5", "cutoff=2024-01-02")
    )
    assert (loaded.horizon_days, loaded.propensity.trees, loaded.propensity.leaves) == (
        21,
        9,
        5,
    )
    assert loaded.cutoff == datetime(2024, 1, 2)


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("horizon=7", "horizon: extra inputs are not permitted"),
        ("propensity.tree=7", "propensity.tree: extra inputs"),
        (
            "horizon_days=0",
            "horizon_days: input should be greater than or equal to 1, got 0",
        ),
        ("horizon_days=soon", "horizon_days: input should be a valid integer"),
        ("horizon_days", "expected key=value"),
        ("seed.x=1", "seed: expected a section, got a value"),
    ],
)
def test_bad_key_or_value_is_one_line(
    tmp_path: Path, override: str, message: str
) -> None:
    file = tmp_path / "c.yaml"
    file.write_text("seed: 3\n")
    with pytest.raises(ValueError, match=message) as refused:
        config.load(file, (override,))
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("content", ["[1, 2]", "a: b: c", "just text"])
def test_file_that_is_no_mapping_is_refused(tmp_path: Path, content: str) -> None:
    file = tmp_path / "c.yaml"
    file.write_text(content)
    with pytest.raises(ValueError, match=r"config: .*c\.yaml"):
        config.load(file)


def test_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"none\.yaml"):
        config.load(tmp_path / "none.yaml")
