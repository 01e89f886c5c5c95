"""A text of CSV that is known later does not decide what an earlier column is."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from pathlib import Path

import pytest

from features.assemble import assemble
from features.engine import Tables
from features.history import History
from features.profile import left_out

CUTOFF = datetime(2024, 3, 1)

PURCHASES = """\
customer_id,product_id,ts,order_id,quantity,amount
a,tea,2024-01-10,1,1,2.5
a,tea,2024-02-10,2,1,2.5
b,tea,2024-02-11,3,1,2.5
"""
CUSTOMERS = """\
customer_id,valid_from,joined_at,income,vegan,seen,postcode
a,,,52000,true,2024-01-05,01234
b,2024-02-01,,1.5e3,,,20095
"""
ODD = "unknown,maybe,never,9\n"

ReadCustomers = Callable[[str], History]


@pytest.fixture
def read_customers(tmp_path: Path) -> ReadCustomers:
    """What is known before the cutoff, of ``customers`` in CSV."""

    def read(customers: str) -> History:
        (tmp_path / "purchases.csv").write_text(PURCHASES)
        (tmp_path / "customers.csv").write_text(customers)
        with Tables(tmp_path) as tables:
            return tables.history(CUTOFF)

    return read


@pytest.mark.parametrize(
    "known",
    [
        "2024-03-01,",
        "2024-03-01 00:00:00.000001,",
        "2024-02-20,2024-03-01",
        "2024-05-01,2024-05-01",
    ],
)
def test_an_odd_text_known_at_the_cutoff_or_later_changes_no_bit(
    read_customers: ReadCustomers, known: str
) -> None:
    expected, found = (
        read_customers(CUSTOMERS + more) for more in ("", f"a,{known},{ODD}")
    )
    assert found.fingerprint == expected.fingerprint
    assert left_out(found) == left_out(expected) == ("seen",)
    wide = assemble(found, [CUTOFF])
    assert wide.equals(assemble(expected, [CUTOFF]))
    assert wide["income"].to_pylist() == [52000.0, 1500.0]
    assert wide["vegan"].to_pylist() == [1.0, None]


def test_an_odd_text_known_before_the_cutoff_makes_the_column_a_text(
    read_customers: ReadCustomers,
) -> None:
    history = read_customers(f"{CUSTOMERS}a,2024-02-29 23:59:59.999999,,{ODD}")
    wide = assemble(history, [CUTOFF])
    further = {n: wide[n].to_pylist() for n in ("income", "vegan", "seen", "postcode")}
    assert further == {
        "income": ["unknown", "1.5e3"],
        "vegan": ["maybe", None],
        "seen": ["never", None],
        "postcode": ["9", "20095"],
    }
    assert left_out(history) == ()


def test_texts_of_someone_who_first_buys_later_decide_nothing(
    read_customers: ReadCustomers,
) -> None:
    wide = assemble(read_customers(f"{CUSTOMERS}c,,,{ODD}"), [CUTOFF])
    assert wide["income"].to_pylist() == [52000.0, 1500.0]


def test_which_row_of_a_key_counts_does_not_depend_on_a_later_text(
    read_customers: ReadCustomers,
) -> None:
    # As texts 1.5e3 comes first, as numbers 9 would.
    repeated = f"{CUSTOMERS}b,2024-02-01,,9,,,\n"
    for more in ("", f"a,2024-05-01,,{ODD}"):
        wide = assemble(read_customers(repeated + more), [CUTOFF])
        assert wide["income"].to_pylist() == [52000.0, 1500.0]
