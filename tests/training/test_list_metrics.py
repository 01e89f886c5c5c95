"""What lists are like: every figure worked out by hand."""

from __future__ import annotations

import numpy as np
import pytest

from training.list_metrics import (
    coverage,
    diversity,
    mean_of,
    personalisation,
    popularity,
    self_information,
)

EMPTY = np.full((2, 3), -1, np.int32)
NOBODY = np.zeros((0, 3), np.int32)
LISTS = np.array([[0, 1, 2], [0, 3, -1]], np.int32)


def test_coverage_counts_available_products_shown_to_anybody() -> None:
    available = np.array([True, True, True, True, True, False])
    assert coverage(LISTS, available) == 4 / 5
    assert coverage(EMPTY, available) == 0
    assert np.isnan(coverage(LISTS, np.zeros(6, dtype=np.bool_)))


def test_a_product_that_everybody_bought_is_no_surprise() -> None:
    buyers = np.array([7, 3, 0], np.float32)
    assert self_information(buyers, 7).tolist() == [0, 1, 3]


def test_popularity_is_the_share_of_products_with_fewer_buyers() -> None:
    buyers = np.array([5, 1, 1, 9, 100], np.float32)
    available = np.array([True, True, True, True, False])
    found = popularity(buyers, available)
    # Two with 1 buyer share the places 0 and 1 of four: a half of two.
    assert found[:4].tolist() == [2.5 / 4, 1 / 4, 1 / 4, 3.5 / 4]
    assert found[:4].mean() == 0.5
    assert found[4] == 1


def test_a_mean_over_slots_leaves_out_empty_ones() -> None:
    value = np.array([1.0, 2.0, 3.0, 4.0])
    assert mean_of(LISTS, value) == (1 + 2 + 3 + 1 + 4) / 5
    assert np.isnan(mean_of(EMPTY, value))


def test_diversity_is_the_share_of_pairs_of_different_groups() -> None:
    # First list: groups a, a, b, so 2 of 3 pairs differ; second: a and b, 1 of 1.
    assert diversity(LISTS, np.array([0, 0, 1, 1])) == pytest.approx((2 / 3 + 1) / 2)
    assert diversity(LISTS, np.zeros(4, np.int32)) == 0


def test_products_of_unknown_group_and_single_ones_make_no_pair() -> None:
    # First list: a and b are known; second: only one is.
    assert diversity(LISTS, np.array([0, -1, 1, -1])) == 1
    assert np.isnan(diversity(LISTS, np.array([0, -1, -1, -1])))
    assert np.isnan(diversity(EMPTY, np.zeros(4, np.int32)))
    assert np.isnan(diversity(NOBODY, np.zeros(4, np.int32)))


def test_personalisation_by_pairs_of_customers() -> None:
    # One product in common, of the two of the shorter list.
    assert personalisation(LISTS) == 0.5
    assert personalisation(LISTS[[0, 0, 0]]) == 0
    assert personalisation(np.array([[0, 1], [2, 3]], np.int32)) == 1
    # Three customers: pairs share 1, 0 and 0 of 2, 1 and 1 products.
    three = np.array([[0, 1, 2], [0, 3, -1], [4, -1, -1]], np.int32)
    assert personalisation(three) == 1 - 1 / 4


@pytest.mark.parametrize("lists", [EMPTY, NOBODY, LISTS[:1]])
def test_there_is_no_personalisation_without_two_lists(lists: np.ndarray) -> None:
    assert np.isnan(personalisation(lists))
