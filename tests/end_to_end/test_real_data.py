"""The claims of the README, measured on the real data set."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

import pytest

from features.complete_journey import write_tables
from features.config import Config
from features.engine import Tables
from features.snapshot import Snapshot
from training import backtest
from training.churn_quality import BG_NBD, TREND
from training.evaluate import Quality
from training.metrics import MODEL
from training.replenishment_quality import FREQUENCY, MEDIAN
from training.value_quality import BASELINE, LAST_WINDOW

CUTOFFS = (datetime(2017, 10, 15), datetime(2017, 11, 12))


@pytest.fixture(scope="module")
def qualities(tmp_path_factory: pytest.TempPathFactory) -> list[Quality]:
    folder: Path = tmp_path_factory.mktemp("complete_journey")
    write_tables(folder)
    found: list[Quality] = []
    with Tables(folder) as tables:
        for cutoff in CUTOFFS:
            result = backtest.run(tables, Snapshot(cutoff, 14), Config())
            assert result.quality is not None
            found.append(result.quality)
    return found


@pytest.mark.slow
@pytest.mark.parametrize("rival", ["recency", "recency-frequency logistic", "BG/NBD"])
def test_propensity_ranks_better_than_every_baseline(
    qualities: list[Quality], rival: str
) -> None:
    for quality in qualities:
        assert quality.auc_gain[rival].low > 0, quality.cutoff


@pytest.mark.slow
def test_probabilities_keep_their_promise(qualities: list[Quality]) -> None:
    for quality in qualities:
        assert quality.propensity[MODEL]["ece"] <= 0.03, quality.cutoff


@pytest.mark.slow
@pytest.mark.parametrize("figure", ["recall", "ndcg", "hit"])
def test_mixed_list_beats_every_generator_alone(
    qualities: list[Quality], figure: str
) -> None:
    for quality in qualities:
        methods = quality.lists["mixed"]
        best = max(values[figure] for name, values in methods.items() if name != MODEL)
        assert methods[MODEL][figure] > best, quality.cutoff


@pytest.mark.slow
def test_new_list_beats_popularity_among_the_unseen(qualities: list[Quality]) -> None:
    for quality in qualities:
        assert quality.recall_gain["new"]["popularity"].value > 0, quality.cutoff


@pytest.mark.slow
@pytest.mark.parametrize("rival", [BASELINE, LAST_WINDOW])
def test_expected_spend_errs_less_than_every_baseline(
    qualities: list[Quality], rival: str
) -> None:
    for quality in qualities:
        assert quality.value.mae_gain[rival].low > 0, quality.cutoff


@pytest.mark.slow
@pytest.mark.parametrize("rival", [TREND, BG_NBD])
def test_churn_risk_ranks_better_than_every_baseline(
    qualities: list[Quality], rival: str
) -> None:
    for quality in qualities:
        assert quality.churn is not None
        assert quality.churn.auc_gain[rival].low > 0, quality.cutoff
        top = {name: values["top"] for name, values in quality.churn.models.items()}
        assert top[MODEL] > top[rival], quality.cutoff


@pytest.mark.slow
@pytest.mark.parametrize("rival", [MEDIAN, FREQUENCY])
def test_due_soon_ranks_better_than_every_rule(
    qualities: list[Quality], rival: str
) -> None:
    for quality in qualities:
        due = quality.replenishment
        assert due is not None
        assert due.auc_gain[rival].low > 0, quality.cutoff
        for figure in ("precision", "top"):
            ours, theirs = due.models[MODEL][figure], due.models[rival][figure]
            assert ours > theirs, quality.cutoff


@pytest.mark.slow
def test_alerts_are_as_precise_as_stated(qualities: list[Quality]) -> None:
    stated = Config().replenishment.alert_precision
    for quality in qualities:
        assert quality.replenishment is not None
        precision = quality.replenishment.alerts["precision"]
        assert abs(precision - stated) < 0.05, quality.cutoff
