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
        ("cutoff=[", "expected a value for cutoff"),
        ("cutoff=soon", "cutoff: expected an ISO date such as 2017-10-15, got 'soon'"),
        ("seed=-1", "seed: input should be greater than or equal to 0"),
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


@pytest.mark.parametrize(
    "text",
    ["2017-10-15", "'2017-10-15'", "2017-10-15T00:00:00Z", "2017-10-14 20:00:00-04:00"],
)
def test_every_spelling_of_a_cutoff_is_naive_utc(text: str) -> None:
    moment = datetime(2017, 10, 15)
    assert config.load(None, (f"cutoff={text}",)).cutoff == moment
    loaded = config.load(None, (f"evaluation_cutoffs=[{text}]",))
    assert loaded.evaluation_cutoffs == (moment,)
