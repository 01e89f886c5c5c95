"""Figures by group, and which customers a dimension knows."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import numpy as np
import pytest

from features.assemble import assemble
from training.groups import (
    DATA_OF,
    NOT_KNOWN,
    ORDERS,
    OTHERS,
    availability,
    breakdowns,
    by_group,
    groups_of,
)
from training.metrics import MODEL

CUTOFF = datetime(2024, 7, 1)
LABEL = np.array([1.0, 0, 1, 0, 1, 1])
OURS = np.array([0.8, 0.2, 0.6, 0.4, 0.9, 0.7])
RIVAL = np.array([0.2, 0.8, 0.6, 0.4, 0.9, 0.7])
SCORES = {MODEL: OURS, "rival": RIVAL}


def test_a_group_has_its_own_figures_and_no_auc_with_one_class() -> None:
    group = np.array(["a", "a", "a", "a", "b", "b"], dtype=object)
    (a, b), pooled, dropped = by_group(LABEL, SCORES, group, least=2)
    assert (a.name, a.customers, a.base_rate) == ("a", 4, 0.5)
    assert a.promised == pytest.approx(0.5)
    # Of four pairs ours has all right, the rival one.
    assert a.auc == {MODEL: 1.0, "rival": 0.25}
    assert a.ece == pytest.approx((0.2 + 0.2 + 0.4 + 0.4) / 4)
    # One customer a bin: mean of sqrt(2 / pi * p * (1 - p)).
    by_chance = np.sqrt(2 / np.pi) * (0.4 + 0.4 + 2 * np.sqrt(0.24)) / 4
    assert a.ece_by_chance == pytest.approx(by_chance)
    assert np.isnan(b.auc[MODEL])
    assert (pooled, dropped) == (0, 0)


def test_small_groups_are_pooled_and_dropped_with_a_count_if_still_small() -> None:
    group = np.array(["a", "a", "b", None, "c", "c"], dtype=object)
    found, pooled, dropped = by_group(LABEL, SCORES, group, least=2)
    assert [(one.name, one.customers) for one in found] == [
        ("a", 2),
        ("c", 2),
        (OTHERS, 2),
    ]
    assert (pooled, dropped) == (2, 0)
    group = np.array(["a", "a", "a", "a", "a", None], dtype=object)
    found, pooled, dropped = by_group(LABEL, SCORES, group, least=2)
    assert [one.name for one in found] == ["a"]
    assert (pooled, dropped) == (1, 1)
    found, *_ = by_group(LABEL, SCORES, group, least=1)
    assert [one.name for one in found] == ["a", NOT_KNOWN]


def test_a_property_that_parts_nobody_is_left_out() -> None:
    groups = {
        "same": np.full(6, "x", dtype=object),
        ORDERS: np.array(
            ["13 or more", "1", "1", "2 to 4", "13 or more", "13 or more"]
        ),
    }
    (orders,) = breakdowns(LABEL, SCORES, groups, least=1)
    assert [one.name for one in orders.groups] == ["1", "2 to 4", "13 or more"]


def test_groups_of_customers_are_what_was_known_at_the_cutoff(
    read_history: Callable[..., Any],
) -> None:
    def order(customer: str, days: int) -> dict[str, Any]:
        return {
            "customer_id": customer,
            "product_id": "p",
            "order_id": f"{customer}{days}",
            "ts": CUTOFF - timedelta(days=days),
            "quantity": 1.0,
            "amount": 5.0,
        }

    orders = {"a": 1, "b": 2, "c": 5, "d": 13}
    rows = [order(who, day) for who, n in orders.items() for day in range(1, n + 1)]
    browse = {"kind": "view", "product_id": "p"}
    profile = {"valid_from": None, "segment": "family"}
    tables = {
        "purchases": rows,
        "browses": [
            {"customer_id": "a", "ts": CUTOFF - timedelta(days=200), **browse},
            {"customer_id": "b", "ts": CUTOFF, **browse},
        ],
        "customers": [
            {"customer_id": "c", "joined_at": CUTOFF - timedelta(days=9), **profile},
            {"customer_id": "d", "joined_at": CUTOFF, **profile},
        ],
    }
    history = read_history(tables, CUTOFF + timedelta(days=1))
    found = groups_of(assemble(history, [CUTOFF]))
    assert found[ORDERS].tolist() == ["1", "2 to 4", "5 to 12", "13 or more"]
    assert found["segment"].tolist() == [None, None, "family", None]
    known = {name: (group == "with").tolist() for name, group in found.items()}
    assert known[f"{DATA_OF}purchase"] == [True] * 4
    assert known[f"{DATA_OF}browse"] == [True, False, False, False]
    assert known[f"{DATA_OF}profile"] == [False, False, True, False]
    assert known[f"{DATA_OF}inquiry"] == [False] * 4
    assert availability(found) == {
        "purchase": 1,
        "browse": 0.25,
        "inquiry": 0,
        "feedback": 0,
        "campaign": 0,
        "profile": 0.25,
    }
