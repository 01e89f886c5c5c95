from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest

from features.assemble import assemble
from features.contracts import ContractError
from features.history import History
from features.profile import is_undated, is_wordy, left_out

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


def test_words_of_every_row_known_count_whether_in_force_or_not(
    read_history: ReadHistory,
) -> None:
    tables = shop(10)
    rows = [{**row, "valid_from": None} for row in tables["customers"]]
    moved = [{**row, "valid_from": CUTOFF, "email": f"{row['email']}2"} for row in rows]
    tables["customers"] = rows + moved
    # Twenty words of ten customers; at the cutoff itself only ten are known.
    assert left_out(read_history(tables, CUTOFF)) == ()
    history = read_history(tables, CUTOFF + US)
    assert left_out(history) == ("email",)
    assert assemble(history, [CUTOFF])["email"].null_count == 10


@pytest.mark.parametrize(
    ("words", "customers", "wordy"),
    [
        (10, 1, False),
        (11, 21, True),
        (11, 22, False),
        (100, 900, False),
        (101, 900, True),
    ],
)
def test_a_text_has_a_word_for_two_customers_and_a_hundred_at_most(
    words: int, customers: int, *, wordy: bool
) -> None:
    assert is_wordy(words, customers) == wordy


def test_a_part_of_the_customers_without_rows_has_the_same_columns(
    read_history: ReadHistory,
) -> None:
    customers = [profile("a", None, diet="vegan", shoe_size=42.0)]
    history = read_history({"purchases": PURCHASES, "customers": customers}, CUTOFF)
    assert history.profiles is not None
    empty = replace(history, profiles=history.profiles.slice(0, 0))
    expected, found = (assemble(h, [CUTOFF]) for h in (history, empty))
    assert found.schema == expected.schema
    for name in ("diet", "shoe_size", "consent", "tier_changes_count", "is_member"):
        assert found[name].null_count == 3


@pytest.mark.parametrize(
    ("change", "tiers", "gained", "days"),
    [
        (CUTOFF - US, 2, 40.0, 1 / 86_400e6),
        (CUTOFF, 1, None, 29.0),
        (CUTOFF + US, 1, None, 29.0),
    ],
)
def test_changes_count_rows_that_began_before_the_cutoff(
    read_history: ReadHistory,
    change: datetime,
    tiers: int,
    gained: float | None,
    days: float,
) -> None:
    february = datetime(2024, 2, 1)
    customers = [
        profile("a", None, member_tier="basic"),
        profile("a", february, member_tier="silver", points_balance=10.0),
        profile("a", change, member_tier="gold", points_balance=50.0),
        profile("b", None, member_tier=None, points_balance=7.0),
        profile("b", february, member_tier=None, points_balance=5.0),
    ]
    tables = {"purchases": PURCHASES, "customers": customers}
    history = read_history(tables, CUTOFF + timedelta(days=9))
    table = assemble(history, [february, CUTOFF])
    assert table["tier_changes_count"].to_pylist() == [0, 0, None, tiers, 0, None]
    assert table["points_change"].to_pylist()[3:] == [gained, -2.0, None]
    since = table["days_since_profile_change"].to_pylist()
    assert since[:3] == [None, None, None]
    assert since[3:] == [pytest.approx(days), 29.0, None]
    assert table["is_member"].to_pylist()[3:] == [1.0, 0.0, None]


def test_a_change_that_was_known_only_when_the_customer_joined(
    read_history: ReadHistory,
) -> None:
    customers = [
        profile("a", None, joined_at=None, points_balance=1.0),
        profile("a", CUTOFF - US, joined_at=CUTOFF, points_balance=9.0),
    ]
    tables = {"purchases": PURCHASES, "customers": customers}
    history = read_history(tables, CUTOFF + timedelta(days=9))
    table = assemble(history, [CUTOFF, CUTOFF + US])
    assert table["points_change"].to_pylist()[::3] == [None, 8.0]
    assert table["days_since_profile_change"].to_pylist()[0] is None


@pytest.mark.parametrize(
    ("birthday", "near"),
    [((3, 1), 1.0), ((3, 15), 1.0), ((3, 16), 0.0), ((2, 29), 0.0), ((2, 28), 0.0)],
)
def test_a_birthday_is_near_for_a_fortnight_before_it(
    read_history: ReadHistory, birthday: tuple[int, int], near: float
) -> None:
    customers = [profile("a", None, birthday=datetime(1992, *birthday))]
    tables = {"purchases": PURCHASES, "customers": customers}
    table = assemble(read_history(tables, CUTOFF), [CUTOFF])
    assert table["is_birthday_near"].to_pylist() == [near, None, None]


def test_a_leap_day_is_kept_on_the_first_of_march(read_history: ReadHistory) -> None:
    # 2023 has no 29 February: from its 28th to 1 March is one day.
    purchases = [{**row, "ts": datetime(2023, 1, 5)} for row in PURCHASES]
    customers = [
        profile("a", None, joined_at=None, birthday=datetime(1992, 2, 29)),
    ]
    history = read_history({"purchases": purchases, "customers": customers}, CUTOFF)
    cutoffs = [datetime(2023, 2, 28), datetime(2023, 3, 1), datetime(2024, 2, 28)]
    days = assemble(history, cutoffs)["days_to_birthday"].to_pylist()[::3]
    assert days == [1.0, 0.0, 1.0]


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


def test_rows_of_people_who_never_bought_are_no_data(read_history: ReadHistory) -> None:
    tables = {"purchases": PURCHASES, "customers": [profile("nobody", None)]}
    table = assemble(read_history(tables, CUTOFF), [CUTOFF])
    assert table["consent"].to_pylist() == [None, None, None]


@pytest.mark.parametrize(("since", "undated"), [(None, True), (CUTOFF, False)])
def test_profiles_are_undated_where_no_row_says_since_when_it_holds(
    read_history: ReadHistory, since: datetime | None, *, undated: bool
) -> None:
    customers = [profile("a", None), profile("b", since)]
    tables = {"purchases": PURCHASES, "customers": customers}
    assert is_undated(read_history(tables, CUTOFF + timedelta(days=9))) is undated
    assert not is_undated(read_history({"purchases": PURCHASES}, CUTOFF))
