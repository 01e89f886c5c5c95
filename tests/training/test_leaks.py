"""Checks for answers among what was learned from: what fires, and what cannot."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pytest

from features.config import Config
from features.engine import Tables
from features.history import History
from features.snapshot import Snapshot
from training import build, labels, leaks, stability
from training.details import Details, details, look
from training.encoding import encoding_of
from training.leaks import Leaks, Strongest
from training.metrics import MODEL
from training.propensity import Propensity
from training.sample import Sample, sample_of
from training.stability import TOO_EARLY, TOO_LATE, LeftOut, Moment

CUTOFF = datetime(2024, 9, 10)
CONFIG = Config.model_validate(
    {
        "evaluation_cutoffs": ["2024-08-20", CUTOFF],
        "propensity": {"trees": 20, "seeds": 1, "min_rows_per_leaf": 20},
        "evaluation": {"min_group": 10, "importance_customers": 30},
    }
)
FINE = Strongest("orders", 0.84, 0.92)


class Found(NamedTuple):
    model: Propensity
    history: History
    features: pa.Table
    sample: Sample


@pytest.fixture(scope="module")
def found(shop_dir: Path) -> Found:
    snapshot = Snapshot(CUTOFF, CONFIG.horizon_days)
    with Tables(shop_dir) as tables:
        history = tables.history(CUTOFF)
        bought = labels.truth(tables, snapshot)
    assert bought is not None
    features = build.build_features(history, CONFIG)
    model = build.fit_propensity(history, features, CONFIG)
    rows = build.at_cutoff(features, CUTOFF)
    ours = model.probability(rows, CONFIG.horizon_days)
    ids = bought.column("customer_id").to_pylist()
    sample = sample_of(rows, ours, ids, history, snapshot, CONFIG)
    return Found(model, history, features, sample)


@pytest.fixture(scope="module")
def put_together(found: Found) -> Details:
    early = LeftOut(datetime(2024, 1, 2), TOO_EARLY)
    return details([look(*found, CONFIG)], [early], CONFIG)


def test_shuffled_aucs_around_a_half_pass_and_ones_above_it_are_an_alarm() -> None:
    passed = Leaks((0.47, 0.54, 0.59, 0.44), FINE)
    assert not passed.is_alarm
    # Mean 0.51, standard error 0.0339, t of 3 degrees of freedom at 99.5 % 5.841.
    assert passed.interval.value == pytest.approx(0.51)
    assert passed.interval.high == pytest.approx(0.51 + 5.841 * 0.03391, abs=1e-3)
    assert Leaks((0.84, 0.86, 0.85, 0.86), FINE).is_alarm


def test_shuffled_check_is_not_defined_with_one_class() -> None:
    nothing = Leaks((float("nan"),) * 4, FINE)
    assert np.isnan(nothing.interval.value)
    assert not nothing.is_alarm


def test_answers_are_dealt_out_anew() -> None:
    days = np.array([1.0, 2.0, 3.0, np.inf, 10.0, 20.0, 30.0, 40.0])
    dealt = leaks.shuffled(days, seed=1)
    assert sorted(dealt) == sorted(days)
    assert dealt.tolist() != days.tolist()
    assert leaks.shuffled(days, seed=1).tolist() == dealt.tolist()


def test_the_shop_passes_both_checks(put_together: Details) -> None:
    checks = put_together.leaks
    assert len(checks.shuffled) == CONFIG.evaluation.permutations
    assert not checks.is_alarm
    assert not checks.strongest.is_alarm


def test_answers_that_reach_the_fit_in_spite_of_the_shuffle_are_an_alarm(
    found: Found, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(leaks, "shuffled", lambda days, seed: days)
    aucs = leaks.shuffled_aucs(
        found.history, found.features, found.sample.label, CONFIG
    )
    assert Leaks(aucs, FINE).is_alarm


def test_a_feature_that_holds_the_answer_is_an_alarm_also_by_its_nulls(
    found: Found,
) -> None:
    label = found.sample.label
    rows = build.at_cutoff(found.features, CUTOFF)
    for leak in (
        pa.array(1 - label),
        pa.array(np.ones(len(label)), mask=label == 0),
    ):
        leaking = rows.append_column("orders_next_week", leak)
        encoding = encoding_of(leaking)
        alone = leaks.strongest(
            encoding.matrix(leaking), encoding, label, found.sample.scores
        )
        assert alone.feature == "orders_next_week"
        assert alone.auc == 1
        assert alone.is_alarm


def test_strongest_is_held_to_half_of_the_best_baselines_errors() -> None:
    table = pa.table({"x": [1.0, 2.0, 3.0, 4.0]})
    label = np.array([0.0, 1, 0, 1])
    encoding = encoding_of(table)
    scores = {MODEL: label, "a": np.array([1.0, 2, 3, 4]), "b": np.ones(4)}
    alone = leaks.strongest(encoding.matrix(table), encoding, label, scores)
    assert alone == Strongest("x", 0.75, 0.875)
    assert not alone.is_alarm
    nobody = leaks.strongest(encoding.matrix(table), encoding, np.zeros(4), scores)
    assert nobody.feature is None
    assert not nobody.is_alarm


def test_details_are_of_the_customers_of_the_sample(
    found: Found, put_together: Details
) -> None:
    (moment,) = put_together.stability.moments
    assert moment.models == found.sample.figures()
    assert put_together.customers == len(found.sample.label)
    assert put_together.base_rate == found.sample.label.mean()
    assert list(put_together.curves) == list(found.sample.scores)
    values = put_together.to_json()
    assert values["stability"]["left_out"][0]["cutoff"] == "2024-01-02T00:00:00"
    assert values["leaks"]["is_alarm"] is False


def test_importance_is_of_used_features_and_adds_up(put_together: Details) -> None:
    weights = put_together.importance
    assert weights.customers == 30
    assert sum(weights.dimensions.values()) == pytest.approx(1)
    shares = [weight.share for weight in weights.top]
    assert shares == sorted(shares, reverse=True)
    assert 0 < len(shares) <= 20
    assert all(weight.meaning and weight.dimension for weight in weights.top)


def test_further_cutoffs_lead_up_to_the_last_and_are_not_built_twice() -> None:
    three = CONFIG.evaluation.model_copy(
        update={"stability_cutoffs": 3, "stability_step_days": 21}
    )
    config = CONFIG.model_copy(update={"evaluation": three})
    assert stability.further_cutoffs(config) == (datetime(2024, 7, 30),)
    assert len(stability.further_cutoffs(CONFIG)) == 5


def test_a_moment_is_a_build_of_its_own_at_that_cutoff(
    shop_dir: Path, found: Found
) -> None:
    with Tables(shop_dir) as tables:
        moment = stability.measure(tables, CUTOFF, CONFIG)
        early = stability.measure(tables, datetime(2024, 3, 1), CONFIG)
        late = stability.measure(tables, datetime(2024, 12, 29), CONFIG)
    assert moment == stability.moment_of(found.sample, CUTOFF)
    assert early == LeftOut(datetime(2024, 3, 1), TOO_EARLY)
    assert late == LeftOut(datetime(2024, 12, 29), TOO_LATE)


def test_summary_has_means_over_cutoffs_and_our_lowest_auc() -> None:
    def moment(day: int, auc: float) -> Moment:
        ours = {"auc": auc, "brier": 0.1, "ece": 0.02}
        models = {MODEL: ours, "rival": ours | {"auc": 0.5}}
        return Moment(datetime(2024, 6, day), 10, 0.5, models)

    found = stability.stability([moment(2, 0.9), moment(1, 0.8)])
    assert [one.cutoff.day for one in found.moments] == [1, 2]
    named = found.summary()
    assert named[f"{MODEL}/auc_mean"] == pytest.approx(0.85)
    assert named[f"{MODEL}/auc_min"] == 0.8
    assert named["rival/auc_mean"] == 0.5
    assert named["cutoffs"] == 2
    undefined = replace(found.moments[0], models={MODEL: {"auc": float("nan")}})
    assert np.isnan(stability.stability([undefined]).summary()[f"{MODEL}/auc_min"])
