"""The repurchase model: monotone in the horizon, seeded, savable, useful."""

from __future__ import annotations

from datetime import datetime, timedelta

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import roc_auc_score

from features.config import PropensityConfig
from features.snapshot import DAY_US, to_us
from training import explain, propensity
from training.predictions import HORIZONS
from training.split import Fold

UNTIL = datetime(2024, 7, 1)
CUTOFFS = tuple(UNTIL - timedelta(days=14 * k) for k in (6, 5, 4, 3, 2, 1))
FOLD = Fold(CUTOFFS[:4], CUTOFFS[4:])
CONFIG = PropensityConfig(trees=40, seeds=1, min_rows_per_leaf=20)
PEOPLE = 400


def rows(seed: int = 0, nights: bool = False) -> tuple[pa.Table, np.ndarray]:
    """Customers whose rate is one of their features; the next purchase follows it.

    With ``nights`` nobody buys in the first half of a day.
    """
    random = np.random.default_rng(seed)
    rate = random.uniform(0.005, 0.3, PEOPLE)
    tables, days = [], []
    for cutoff in CUTOFFS:
        tables.append(
            pa.table(
                {
                    "customer": np.arange(PEOPLE, dtype=np.int32),
                    "customer_id": [str(i) for i in range(PEOPLE)],
                    "cutoff": pa.array([cutoff] * PEOPLE, pa.timestamp("us")),
                    "orders_count_30d": rate * 30 + random.normal(0, 0.3, PEOPLE),
                    "nps_last": pa.array([None] * PEOPLE, pa.float64()),
                    "region": pa.array(
                        random.choice(["north", "south"], PEOPLE)
                    ).dictionary_encode(),
                }
            )
        )
        next_days = random.exponential(1 / rate)
        if nights:
            next_days = np.floor(next_days) + 0.5 + next_days % 1 / 2
        seen = (to_us(UNTIL) - to_us(cutoff)) / DAY_US
        days.append(np.where(next_days < seen, next_days, np.inf))
    return pa.concat_tables(
        tables, promote_options="default"
    ).unify_dictionaries(), np.concatenate(days)


@pytest.fixture(scope="module")
def model() -> propensity.Propensity:
    features, days = rows()
    return propensity.fit(features, days, FOLD, 14, UNTIL, CONFIG, seed=3)


def test_ranks_customers_it_has_not_seen(model: propensity.Propensity) -> None:
    features, days = rows(seed=9)
    label = days < 14
    assert roc_auc_score(label, model.probability(features, 14)) > 0.7


def test_permuted_labels_teach_nothing() -> None:
    features, days = rows()
    shuffled = np.random.default_rng(1).permutation(days)
    fitted = propensity.fit(features, shuffled, FOLD, 14, UNTIL, CONFIG, seed=3)
    other, truth = rows(seed=9)
    auc = roc_auc_score(truth < 14, fitted.probability(other, 14))
    assert 0.4 < auc < 0.6


@given(
    st.lists(st.floats(-5, 50), min_size=1, max_size=20),
    st.sampled_from(["north", "south", None, "moon"]),
)
@settings(max_examples=30, deadline=None)
def test_curve_never_decreases_in_the_horizon(
    model: propensity.Propensity, counts: list[float], region: str | None
) -> None:
    n = len(counts)
    features = pa.table(
        {
            "orders_count_30d": pa.array(counts, pa.float64()),
            "region": pa.array([region] * n, pa.string()).dictionary_encode(),
        }
    )
    curve = model.curve(features)
    assert curve.shape == (n, len(HORIZONS))
    assert (np.diff(curve, axis=1) >= 0).all()
    assert curve.min() >= 0 and curve.max() <= 1


def test_same_seed_same_scores_and_another_seed_others(
    model: propensity.Propensity,
) -> None:
    features, days = rows()
    again = propensity.fit(features, days, FOLD, 14, UNTIL, CONFIG, seed=3)
    other = propensity.fit(features, days, FOLD, 14, UNTIL, CONFIG, seed=4)
    assert (again.curve(features) == model.curve(features)).all()
    assert (other.curve(features) != model.curve(features)).any()


def test_save_and_load_give_equal_scores(
    model: propensity.Propensity, tmp_path: object
) -> None:
    from pathlib import Path

    folder = Path(str(tmp_path))
    features, _ = rows()
    loaded = propensity.load(folder, propensity.save(model, folder))
    assert (loaded.curve(features) == model.curve(features)).all()
    assert loaded.tag_threshold == model.tag_threshold


def test_column_without_any_value_is_left_out(model: propensity.Propensity) -> None:
    assert "nps_last" not in model.encoding.columns


def test_column_may_have_any_name() -> None:
    features, days = rows()
    odd = {"region": 'income, USD: {"a"}', "orders_count_30d": "umsatz € [30]"}
    renamed = features.rename_columns([odd.get(n, n) for n in features.column_names])
    plain = propensity.fit(features, days, FOLD, 14, UNTIL, CONFIG, seed=3)
    fitted = propensity.fit(renamed, days, FOLD, 14, UNTIL, CONFIG, seed=3)
    assert set(odd.values()) <= set(fitted.encoding.columns)
    assert (fitted.curve(renamed) == plain.curve(features)).all()


def test_last_fit_learns_from_the_cutoffs_in_the_gap() -> None:
    features, days = rows()
    fold = Fold(CUTOFFS[:3], CUTOFFS[4:])  # the fourth cutoff is the gap
    in_gap = features.column("cutoff").to_numpy() == np.datetime64(CUTOFFS[3])
    # The first fit and the calibration do not see these labels, the last one does.
    never = np.where(in_gap, np.inf, days)
    fitted = propensity.fit(features, days, fold, 14, UNTIL, CONFIG, seed=3)
    other = propensity.fit(features, never, fold, 14, UNTIL, CONFIG, seed=3)
    assert fitted.calibration == other.calibration
    assert fitted.tag_threshold == other.tag_threshold
    assert (
        other.probability(features, 14).mean() < fitted.probability(features, 14).mean()
    )


def test_shop_too_small_for_a_split_has_the_curve_of_its_average_customer() -> None:
    features, days = rows()
    few = np.isin(features.column("customer").to_numpy(), range(5))
    days = np.full(few.sum(), 20.5)  # everybody buys on the 21st day
    small = features.filter(pa.array(few))
    days[small.column("cutoff").to_numpy() > np.datetime64(UNTIL - timedelta(21))] = (
        np.inf
    )
    curve = propensity.fit(small, days, FOLD, 14, UNTIL, CONFIG, seed=3).curve(small)
    assert (curve == curve[0]).all()
    assert (np.diff(curve[0]) >= 0).all()
    assert curve[0, 0] < 0.05 and curve[0, 13] < 0.35 and curve[0, 27] > 0.6


@pytest.mark.filterwarnings("error")
def test_one_class_only_is_its_base_rate() -> None:
    features, _ = rows()
    for days, low, high in ((np.inf, 0.0, 0.02), (0.5, 0.98, 1.0)):
        always = np.full(features.num_rows, days)
        fitted = propensity.fit(features, always, FOLD, 14, UNTIL, CONFIG, seed=3)
        probability = fitted.probability(features, 14)
        assert low <= probability.min() and probability.max() <= high


def test_missing_column_is_refused(model: propensity.Propensity) -> None:
    with pytest.raises(ValueError, match="expected the column orders_count_30d"):
        model.curve(pa.table({"region": ["north"]}))


def test_threshold_is_the_smallest_that_reaches_the_precision() -> None:
    probability = np.array([0.9, 0.8, 0.7, 0.6, 0.5])
    label = np.array([1.0, 1.0, 0.0, 1.0, 0.0])
    assert propensity.threshold_for(probability, label, 0.75) == 0.6
    assert propensity.threshold_for(probability, label, 1.0) == 0.8


def test_equal_probabilities_stand_above_a_threshold_together() -> None:
    # Of the first two rows one bought, of the first four one: never .75.
    probability = np.array([0.9, 0.5, 0.5, 0.5])
    first_bought = np.array([1.0, 1.0, 0.0, 0.0])
    assert propensity.threshold_for(probability, first_bought, 0.75) == 0.9
    assert propensity.threshold_for(probability, first_bought, 0.5) == 0.5
    assert propensity.threshold_for(probability[1:], np.ones(3), 0.9) == 0.5


def test_precision_out_of_reach_tags_nobody() -> None:
    for n in (0, 5):
        threshold = propensity.threshold_for(np.ones(n), np.zeros(n), 0.5)
        assert threshold == propensity.NEVER > 1


def test_dates_are_read_from_the_curve() -> None:
    curve = np.zeros((2, 180), dtype=np.float32)
    curve[0, 9:] = 0.6  # half of such customers have bought by day 10
    dates = propensity.next_dates(curve, datetime(2024, 1, 1), 0.5)
    # Within the tenth day the hazard is constant: ln 2 of ln 2.5 have passed.
    found = dates.to_pylist()
    assert found[1] is None
    days = (found[0] - datetime(2024, 1, 1)) / timedelta(days=1)
    assert days == pytest.approx(9 + np.log(2) / np.log(2.5), abs=1e-4)


def test_four_of_five_buy_within_the_interval() -> None:
    features, days = rows(nights=True)
    fitted = propensity.fit(features, days, FOLD, 14, UNTIL, CONFIG, seed=3)
    other, truth = rows(seed=9, nights=True)
    curve = fitted.curve(other)
    cutoff = other.column("cutoff").cast(pa.int64()).to_numpy()
    seen = (to_us(UNTIL) - cutoff) / DAY_US

    def share_within(levels: tuple[float, float]) -> float:
        low, high = (
            (
                propensity.next_dates(curve, UNTIL, level)
                .cast(pa.int64())
                .fill_null(2**62)
            )
            .to_numpy()
            .astype(np.float64)
            for level in levels
        )
        low, high = (low - to_us(UNTIL)) / DAY_US, (high - to_us(UNTIL)) / DAY_US
        bought = np.isfinite(truth)
        return float(
            np.where(bought, (truth >= low) & (truth <= high), high > seen).mean()
        )

    assert 0.77 < share_within(fitted.interval) < 0.83
    # By the curve alone everybody would seem to buy later than it says.
    assert fitted.interval[0] > 0.11
    assert share_within((0.1, 0.9)) > share_within(fitted.interval) + 0.01


def test_reasons_are_sentences_with_a_direction(model: propensity.Propensity) -> None:
    features, _ = rows()
    said = explain.reasons(model, features.slice(0, 20))
    assert all(1 <= len(reasons) <= 3 for reasons in said)
    assert all(
        r.endswith(("(raises)", "(lowers)")) for reasons in said for r in reasons
    )
    high = int(np.argmax(features.column("orders_count_30d").to_numpy()))
    count = round(features.column("orders_count_30d")[high].as_py())
    assert (
        f"{count} orders in the last 30 days (raises)"
        in explain.reasons(model, features.slice(high, 1))[0]
    )
