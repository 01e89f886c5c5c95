"""What a notebook runs with, from three environment variables."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

import pytest

from features.contracts import SettingError
from features.notebook import ROOT, settings

CONFIG = "data: {data}\nevaluation_cutoffs: [2017-10-15, 2017-11-12]\nseed: 7\n"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "configs").mkdir()
    (tmp_path / "there").mkdir()
    file = tmp_path / "configs" / "complete_journey.yaml"
    file.write_text(CONFIG.format(data="there"))
    return tmp_path


def test_the_default_is_the_last_cutoff_whose_future_is_known(root: Path) -> None:
    found = settings(given={}, root=root)
    assert found.cutoff == datetime(2017, 11, 12)
    assert (found.data, found.seed) == (root / "there", 7)
    assert found.workspace == root / "workspace"
    assert len(found.evaluation_cutoffs) == 2


def test_own_data_bring_their_own_cutoff(root: Path) -> None:
    own = {"REPURCHASE_DATA": "/my/shop", "REPURCHASE_CUTOFF": "2024-10-01"}
    found = settings(given=own, root=root)
    assert (found.data, found.cutoff) == (Path("/my/shop"), datetime(2024, 10, 1))
    assert found.evaluation_cutoffs == ()
    with pytest.raises(SettingError, match="REPURCHASE_CUTOFF"):
        settings(given={"REPURCHASE_DATA": "/my/shop"}, root=root)


def test_further_settings_have_the_last_word(root: Path) -> None:
    more = {"REPURCHASE_SET": "seed=9  propensity.trees=3 workspace=/w"}
    found = settings("seed=8", "propensity.leaves=5", given=more, root=root)
    assert found.propensity.leaves == 5
    assert (found.seed, found.propensity.trees) == (9, 3)
    assert found.workspace == Path("/w")
    with pytest.raises(SettingError, match="sead"):
        settings(given={"REPURCHASE_SET": "sead=9"}, root=root)


def test_the_real_configuration_lies_where_notebooks_look() -> None:
    assert (ROOT / "configs" / "complete_journey.yaml").is_file()
