"""Bundles: a damaged one is refused, and mended by writing it again."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any, cast

import lightgbm as lgb
import numpy as np
import pytest

from features.config import ChurnConfig
from features.contracts import ContractError
from training.artifacts import Bundle, load, save
from training.calibration import Platt
from training.churn import Churn
from training.encoding import Encoding
from training.propensity import Propensity
from training.ranker import Recommender
from training.replenishment import Replenishment
from training.spend import Spend
from training.trees import Trees
from training.uplift import Uplift
from training.uplift_evidence import Evidence

NO_HOLDOUT = Evidence(False, "No past campaign held customers out.", None, 0, 0, 0)


class Written:
    """A recommender that is one file."""

    def to_files(self, folder: Path) -> None:
        (folder / "factors.bin").write_bytes(b"\x00\x01")


def bundle() -> Bundle:
    data = lgb.Dataset(np.zeros((4, 2)), np.array([0.0, 1.0, 0.0, 1.0]))
    booster = lgb.train({"objective": "binary", "verbosity": -1}, data, 1)
    return Bundle(
        propensity=Propensity(
            trees=Trees((booster,), tuple(np.linspace(-2, 2, 180).tolist())),
            encoding=Encoding(("orders_count_30d",), {}),
            calibration=Platt(),
            longest_horizon=28,
            horizon_days=14,
            interval=(0.1, 0.9),
            tag_threshold=0.5,
        ),
        recommender=cast(Recommender, Written()),
        churn=Churn(
            (booster,), (booster,), Encoding((), {}), Platt(), 0.3, ChurnConfig(seeds=1)
        ),
        replenishment=Replenishment(
            (booster,), ("tea",), Platt(0.9, 0.1), Platt(), 28, 3, 0.4
        ),
        uplift=Uplift(None, None, Encoding((), {}), 14, NO_HOLDOUT),
        spend=Spend((booster,), Encoding(("orders_count_30d",), {}), 28),
        cutoff=datetime(2024, 7, 1),
        horizon_days=14,
        fingerprint="f",
        seed=0,
    )


def content(folder: Path) -> dict[str, bytes]:
    return {
        str(file.relative_to(folder)): file.read_bytes()
        for file in folder.rglob("*")
        if file.is_file()
    }


def _cut(folder: Path) -> None:
    (folder / "recommender" / "factors.bin").write_bytes(b"\x00")


def _lose(folder: Path) -> None:
    (folder / "propensity_0.txt").unlink()


def _unstate(folder: Path) -> None:
    (folder / "manifest.json").unlink()


def _garble(folder: Path) -> None:
    (folder / "manifest.json").write_text("{")


@pytest.mark.parametrize("damage", [_cut, _lose, _unstate, _garble])
def test_writing_again_mends_a_damaged_bundle(
    tmp_path: Path, damage: Callable[[Path], None]
) -> None:
    folder = save(bundle(), tmp_path)
    whole = content(folder)
    damage(folder)
    with pytest.raises(ContractError, match="train"):
        load(folder)
    assert save(bundle(), tmp_path) == folder
    assert content(folder) == whole
    assert [path.name for path in tmp_path.iterdir()] == [folder.name]


def test_whole_bundle_is_left_untouched(tmp_path: Path) -> None:
    folder = save(bundle(), tmp_path)
    before = {file: file.stat().st_ino for file in folder.rglob("*")}
    assert save(bundle(), tmp_path) == folder
    assert {file: file.stat().st_ino for file in folder.rglob("*")} == before


def test_bundle_of_an_older_format_asks_for_training(tmp_path: Path) -> None:
    folder = save(bundle(), tmp_path)
    manifest: dict[str, Any] = json.loads((folder / "manifest.json").read_text())
    (folder / "manifest.json").write_text(json.dumps(manifest | {"format": 1}))
    with pytest.raises(ContractError, match=r"expected format 8, got 1 .* train again"):
        load(folder)
