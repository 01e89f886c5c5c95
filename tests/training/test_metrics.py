from __future__ import annotations

import numpy as np
import pytest

from training.metrics import (
    average_precision_at,
    bootstrap_interval,
    hit_at,
    hits,
    ndcg_at,
    precision_at,
    recall_at,
    truth_of,
)

CUSTOMERS = np.array([0, 1, 2], np.int32)
# Customer 0 bought 1 and 2 (1 twice), customer 1 bought 0, customer 2 nothing.
TRUTH = truth_of(np.array([0, 0, 0, 1]), np.array([1, 2, 1, 0]), (3, 4))
LISTS = np.array([[1, 3], [3, 0], [0, -1]], np.int32)


def test_repeated_purchases_count_once() -> None:
    assert TRUTH.count.tolist() == [2, 1, 0]
    assert TRUTH.buyers.tolist() == [0, 1]


def test_an_empty_slot_is_no_hit() -> None:
    # Key of customer 1 and product -1 would be that of customer 0, product 3.
    truth = truth_of(np.array([0]), np.array([3]), (3, 4))
    lists = np.array([[-1]], np.int32)
    assert not hits(lists, np.array([1], np.int32), truth).any()
    assert hits(LISTS, CUSTOMERS, TRUTH).tolist() == [
        [True, False],
        [False, True],
        [False, False],
    ]


def test_ranking_metrics_by_hand() -> None:
    hit = hits(LISTS, CUSTOMERS, TRUTH)
    assert recall_at(hit, TRUTH.count)[:2].tolist() == [0.5, 1.0]
    assert np.isnan(recall_at(hit, TRUTH.count)[2])
    second = 1 / np.log2(3)
    expected = [1 / (1 + second), second / 1]
    assert ndcg_at(hit, TRUTH.count)[:2] == pytest.approx(expected)
    assert hit_at(hit).tolist() == [1, 1, 0]


def test_ideal_gain_is_cut_at_k() -> None:
    hit = np.array([[True, True]])
    assert ndcg_at(hit, np.array([50])).tolist() == [1.0]


def test_nobody_bought_anything() -> None:
    none = truth_of(np.zeros(0, np.int32), np.zeros(0, np.int32), (3, 4))
    assert not hits(LISTS, CUSTOMERS, none).any()


def test_interval_of_equal_customers_is_a_point() -> None:
    interval = bootstrap_interval(np.full(50, 0.25), seed=1)
    assert (interval.value, interval.low, interval.high) == (0.25, 0.25, 0.25)


def test_interval_covers_the_normal_one() -> None:
    values = np.random.default_rng(5).normal(10, 2, 400)
    interval = bootstrap_interval(values, seed=1, draws=2000)
    half = 1.96 * values.std() / 20
    assert interval.low == pytest.approx(values.mean() - half, abs=0.03)
    assert interval.high == pytest.approx(values.mean() + half, abs=0.03)
    assert interval == bootstrap_interval(values, seed=1, draws=2000)


def test_ratio_of_paired_sums_is_tighter_than_its_parts() -> None:
    theirs = np.random.default_rng(5).gamma(1, 1, 300)
    interval = bootstrap_interval(theirs * 2, theirs, seed=1)
    assert (interval.low, interval.high) == (pytest.approx(2), pytest.approx(2))


def test_undefined_ratio_is_nan() -> None:
    assert np.isnan(bootstrap_interval(np.ones(3), np.zeros(3), seed=1).value)
    assert np.isnan(bootstrap_interval(np.zeros(0), seed=1).low)


def test_average_precision_and_precision_by_hand() -> None:
    hit = np.array([[True, False, True], [False, False, True], [False] * 3])
    bought = np.array([2, 5, 0])
    found = average_precision_at(hit, bought)
    # (1/1 + 2/3) of two; 1/3 of the three that fit; nothing bought: undefined.
    assert found[:2].tolist() == pytest.approx([5 / 6, 1 / 9])
    assert np.isnan(found[2])
    # Precision is of all slots, empty ones too.
    assert precision_at(hit).tolist() == pytest.approx([2 / 3, 1 / 3, 0])
