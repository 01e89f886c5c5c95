"""The walk for all horizons gives what LightGBM's own prediction gives, to the bit."""

from __future__ import annotations

import numpy as np
import pytest

from training.boosting import Gathered, bin_seed, lgb
from training.trees import with_horizon
from training.walk import nodes_of, scores

HORIZONS = np.array([1.0, 7.0, 14.0, 30.0, 180.0])
WORDS = 3
"""The column that holds codes."""


def matrix(n: int = 3_000) -> np.ndarray:
    """Ages, counts with zeros, nulls in one column, codes, some never met."""
    random = np.random.default_rng(0)
    columns = (
        random.exponential(30, n),
        random.poisson(1.0, n),
        np.where(random.random(n) < 0.3, np.nan, random.normal(size=n)),
        np.where(random.random(n) < 0.1, np.nan, random.integers(0, 70, n)),
    )
    return np.column_stack(columns).astype(np.float32)


def fit(**more: object) -> lgb.Booster:
    features = matrix()
    random = np.random.default_rng(1)
    horizon = random.integers(1, 181, len(features))
    full = np.column_stack([features, horizon]).astype(np.float32)
    odds = features[:, 1] - features[:, 0] / 30 + horizon / 60 - 2
    odds += np.where(features[:, WORDS] % 3 == 1, 1.0, -1.0)
    odds += np.where(np.isnan(features[:, 2]), 1.5, features[:, 2])
    label = random.random(len(odds)) < 1 / (1 + np.exp(-odds))
    parameters = {
        "objective": "binary",
        "verbosity": -1,
        "num_threads": 1,
        "min_data_per_group": 5,
        "cat_smooth": 1.0,
    }
    data = lgb.Dataset(full, label, categorical_feature=[WORDS])
    return lgb.train(parameters | more, data, 40)


@pytest.mark.parametrize(
    "more",
    [{}, {"use_missing": False}, {"zero_as_missing": True}, {"max_cat_to_onehot": 100}],
    ids=str,
)
def test_scores_are_those_of_lightgbm(more: dict[str, object]) -> None:
    booster = fit(**more)
    nodes = nodes_of(booster.model_to_string())
    odd = np.array([[np.nan] * 4, [0, 0, 0, 500], [-1, 0, np.nan, -3]], np.float32)
    rows = np.vstack([matrix(), odd])
    found = scores(nodes, rows, HORIZONS)
    assert (nodes.decision & 1).any() and (nodes.feature == rows.shape[1]).any()
    for place, horizon in enumerate(HORIZONS):
        expected = booster.predict(with_horizon(rows, int(horizon)), raw_score=True)
        assert (found[:, place] == expected).all()


def test_tree_without_a_split_is_its_value() -> None:
    booster = fit(min_data_in_leaf=3_000)
    nodes = nodes_of(booster.model_to_string())
    rows = matrix(5)
    assert len(nodes.feature) == 0
    expected = booster.predict(with_horizon(rows, 7), raw_score=True)
    assert (scores(nodes, rows, np.array([7.0]))[:, 0] == expected).all()


def test_gathered_rows_teach_what_a_matrix_of_them_does() -> None:
    random = np.random.default_rng(2)
    n = 210_000  # more than the rows that LightGBM finds its bins in
    features = random.normal(size=(n // 2, 3)).astype(np.float32)
    row, horizon = np.arange(n) % (n // 2), random.integers(1, 181, n)
    label = features[row, 0] + horizon / 180 > random.normal(size=n)
    parameters = {"objective": "binary", "verbosity": -1, "num_threads": 1, "seed": 5}
    copied = np.column_stack([features[row], horizon.astype(np.float32)])
    plain, gathered = (
        lgb.train(parameters | more, lgb.Dataset(data, label), 3)
        for data, more in (
            (copied, {}),
            (Gathered(features, row, horizon), {"data_random_seed": bin_seed(5)}),
        )
    )
    assert plain.model_to_string() == gathered.model_to_string()
