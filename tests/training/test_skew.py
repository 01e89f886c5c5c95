"""Features that were trained on, beside those of that day's own history."""

from __future__ import annotations

import pyarrow as pa

from training.skew import skewed

ROWS = pa.table(
    {
        "customer": [3, 5],
        "customer_id": ["a", "b"],
        "orders": [2.0, None],
        "region": pa.array(["north", None]).dictionary_encode(),
        "tenure": [10, 20],
    }
)


def changed(name: str, values: list[object]) -> pa.Table:
    at = ROWS.column_names.index(name)
    return ROWS.set_column(at, name, pa.array(values))


def test_equal_values_are_no_skew_whatever_their_codes() -> None:
    words = pa.DictionaryArray.from_arrays([1, None], ["south", "north"])
    served = ROWS.set_column(3, "region", words)
    served = served.set_column(0, "customer", pa.array([0, 1]))
    assert skewed(ROWS, served) == ()


def test_what_a_later_row_reached_is_named() -> None:
    assert skewed(ROWS, changed("orders", [3.0, None])) == ("orders",)
    assert skewed(ROWS, changed("orders", [2.0, 0.0])) == ("orders",)
    assert skewed(ROWS, changed("region", ["north", "north"])) == ("region",)


def test_missing_customers_and_columns_differ() -> None:
    assert skewed(ROWS, ROWS.slice(0, 1)) == ("customer_id",)
    assert skewed(ROWS, ROWS.drop_columns("tenure")) == ("tenure",)
    assert skewed(ROWS.drop_columns("tenure"), ROWS) == ("tenure",)
