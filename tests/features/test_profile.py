from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import pytest

from features.assemble import assemble
from features.contracts import ContractError
from features.history import History
from features.profile import left_out

ReadHistory = Callable[..., History]
CUTOFF = datetime(2024, 3, 1)
US = timedelta(microseconds=1)
PURCHASES = [
    {
        "customer_id": customer,
        "product_id": "p1",
        "ts": datetime(2024, 1, 1 + n),
        "order_id": f"{customer}{n}",
        "quantity": 1.0,
        "amount": 1.0,
    }
    for customer in "abc"
    for n in range(2)
]


def profile(customer: str, valid_from: datetime | None, **more: Any) -> dict[str, Any]:
    row = {
        "customer_id": customer,
        "valid_from": valid_from,
        "joined_at": datetime(2023, 1, 1),
        "birthday": None,
        "member_tier": None,
        "points_balance": None,
        "consent": None,
        "shoe_size": None,
        "diet": None,
    }
    return row | more


@pytest.mark.parametrize(
    ("valid_from", "tier"),
    [(CUTOFF - US, "gold"), (CUTOFF, "silver"), (CUTOFF + US, "silver")],
)
def test_the_row_in_force_began_before_the_cutoff(
    read_history: ReadHistory, valid_from: datetime, tier: str
) -> None:
    customers = [
        profile("a", None, member_tier="basic"),
        profile("a", datetime(2024, 2, 1), member_tier="silver"),
        profile("a", valid_from, member_tier="gold"),
    ]
    tables = {"purchases": PURCHASES, "customers": customers}
    history = read_history(tables, CUTOFF + timedelta(days=9))
    cutoffs = [datetime(2024, 2, 1), CUTOFF]
    table = assemble(history, cutoffs)
    assert table["member_tier"].to_pylist()[::3] == ["basic", tier]


def test_a_row_is_not_known_before_the_customer_joined(
    read_history: ReadHistory,
) -> None:
    customers = [
        profile("a", None, joined_at=CUTOFF),
        profile("b", None, joined_at=CUTOFF - timedelta(days=1)),
        profile("c", None, joined_at=None, points_balance=7.0),
    ]
    tables = {"purchases": PURCHASES, "customers": customers}
    table = assemble(read_history(tables, CUTOFF + timedelta(days=9)), [CUTOFF])
    assert table["tenure_days"].to_pylist() == [None, 1.0, None]
    assert table["points_balance"].to_pylist() == [None, None, 7.0]
    # No row, no consent known; a row that does not say gives consent.
    assert table["consent"].to_pylist() == [None, 1.0, 1.0]


def test_birthdays_around_the_cutoff_and_on_a_leap_day(
    read_history: ReadHistory,
) -> None:
    customers = [
        profile("a", None, birthday=datetime(1990, 3, 1)),
        profile("b", None, birthday=datetime(1990, 2, 28)),
        profile("c", None, birthday=datetime(1992, 2, 29)),
    ]
    tables = {"purchases": PURCHASES, "customers": customers}
    table = assemble(read_history(tables, CUTOFF), [CUTOFF])
    # From 1 March 2024 to 28 February 2025, and to 1 March 2025.
    assert table["days_to_birthday"].to_pylist() == [0, 364, 365]
    age = table["age_years"].to_pylist()[0]
    assert age == pytest.approx(34.0, abs=0.01)


def test_further_columns_become_features(read_history: ReadHistory) -> None:
    customers = [
        profile("a", None, shoe_size=42.0, diet="vegan"),
        profile("b", None, diet="any"),
    ]
    tables = {"purchases": PURCHASES, "customers": customers}
    table = assemble(read_history(tables, CUTOFF), [CUTOFF])
    assert table["shoe_size"].to_pylist() == [42.0, None, None]
    diet = table["diet"].combine_chunks()
    assert diet.to_pylist() == ["vegan", "any", None]
    # Words in ascending order, so that codes do not follow the rows.
    assert diet.dictionary.to_pylist() == ["any", "vegan"]


def test_a_further_column_named_like_a_feature_is_an_error(
    read_history: ReadHistory,
) -> None:
    customers = [profile("a", None, orders_count=3.0)]
    tables = {"purchases": PURCHASES, "customers": customers}
    with pytest.raises(ContractError, match=r"^customers.orders_count: expected"):
        assemble(read_history(tables, CUTOFF), [CUTOFF])


def shop(n: int) -> dict[str, list[dict[str, Any]]]:
    """So many customers with two orders each, and an address."""
    names = [f"c{i:03}" for i in range(n)]
    purchases = [
        {**line, "customer_id": name, "order_id": f"{name}{n}"}
        for name in names
        for n, line in enumerate(PURCHASES[:2])
    ]
    customers = [
        {"customer_id": name, "email": f"{name}@shop", "diet": "any", "region": name}
        for name in names
    ]
    return {"purchases": purchases, "customers": customers}


@pytest.mark.parametrize(("n", "kept"), [(10, True), (11, False), (150, False)])
def test_text_with_too_many_words_is_null_and_named(
    read_history: ReadHistory, n: int, *, kept: bool
) -> None:
    history = read_history(shop(n), CUTOFF)
    table = assemble(history, [CUTOFF])
    assert left_out(history) == (() if kept else ("region", "email"))
    for name in ("email", "region"):
        assert table[name].null_count == (0 if kept else n)
        words = table[name].combine_chunks().dictionary.to_pylist()
        assert len(words) == (n if kept else 0)
    assert table["diet"].null_count == 0


def test_text_has_at_most_a_hundred_words(read_history: ReadHistory) -> None:
    for n_words, named in ((100, ()), (101, ("diet",))):
        tables = shop(202)
        for i, row in enumerate(tables["customers"]):
            row["diet"] = f"diet {i % n_words}"
            row["email"] = row["region"] = None
        assert left_out(read_history(tables, CUTOFF)) == named


def test_words_of_rows_that_come_later_do_not_count(read_history: ReadHistory) -> None:
    tables = shop(10)
    later = [
        {**row, "valid_from": CUTOFF, "email": row["email"] + "2"}
        for row in tables["customers"]
    ]
    tables["customers"] = [{**r, "valid_from": None} for r in tables["customers"]]
    expected = assemble(read_history(tables, CUTOFF), [CUTOFF])
    tables["customers"] += later
    history = read_history(tables, CUTOFF + timedelta(days=9))
    assert assemble(history, [CUTOFF]).equals(expected)


def test_further_lists_and_times_are_left_out_and_named(
    read_history: ReadHistory,
) -> None:
    customers = [profile("a", None, likes=["milk"], seen=CUTOFF, shoe_size=2**60)]
    history = read_history({"purchases": PURCHASES, "customers": customers}, CUTOFF)
    table = assemble(history, [CUTOFF])
    assert left_out(history) == ("likes", "seen")
    assert {"likes", "seen"}.isdisjoint(table.column_names)
    # Larger than a double can count to: a loyalty card, say.
    assert table["shoe_size"].to_pylist() == [float(2**60), None, None]
