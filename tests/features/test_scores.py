"""The five parts of the score, counted by hand."""

from __future__ import annotations

from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from features.engine import Tables
from features.scores import Share, TableScore

US = timedelta(microseconds=1)
DAY = timedelta(days=1)
START = datetime(2024, 3, 1)
Rows = list[dict[str, Any]]


def order(n: int, **more: Any) -> dict[str, Any]:
    row = {"customer_id": "a", "product_id": "p", "order_id": str(n)}
    row |= {"ts": START + n * DAY, "quantity": 1.0, "amount": 2.0}
    return row | more


def measure(
    folder: Path, moment: datetime | None = None, **tables: Rows
) -> dict[str, TableScore]:
    for name, rows in tables.items():
        pq.write_table(pa.Table.from_pylist(rows), folder / f"{name}.parquet")
    with Tables(folder) as opened:
        return {score.table: score for score in opened.scores(moment)}


def test_completeness_counts_values_of_the_columns_that_are_there(
    tmp_path: Path,
) -> None:
    rows = [order(0, channel="web"), order(1, channel=None), order(2, channel=None)]
    found = measure(tmp_path, purchases=rows)["purchases"]
    assert found.columns["channel"] == Share(1, 3)
    assert found.columns["amount"] == Share(3, 3)
    assert "list_amount" not in found.columns
    assert found.absent == ("list_amount", "campaign_id", "known_at")
    assert found.completeness == Share(6 * 3 + 1, 7 * 3)


def test_null_that_says_something_is_not_incomplete(tmp_path: Path) -> None:
    rows = [
        order(0, campaign_id=None, known_at=None),
        order(1, campaign_id="k", known_at=START + DAY),
    ]
    feedback = [
        {"customer_id": "a", "ts": START, "kind": kind, "score": score}
        for kind, score in (("nps", 9.0), ("csat", None), ("return", None))
    ]
    found = measure(tmp_path, purchases=rows, feedback=feedback)
    assert found["purchases"].columns["campaign_id"] == Share(0, 0)
    assert found["purchases"].columns["known_at"].value is None
    assert found["purchases"].completeness == Share(12, 12)
    assert found["feedback"].columns["score"] == Share(1, 2)


def test_validity_counts_each_reason_and_leaves_repeats_to_uniqueness(
    tmp_path: Path,
) -> None:
    products = [
        {"product_id": "p", "price": 1.0},
        {"product_id": "p", "price": 2.0},
        {"product_id": "q", "price": -1.0},
        {"product_id": None, "price": 1.0},
        {"product_id": "r", "price": -2.0},
    ]
    found = measure(tmp_path, purchases=[order(0), order(1)], products=products)
    table = found["products"]
    assert table.reasons == {"price: below 0": 2, "product_id: missing": 1}
    assert list(table.reasons) == ["price: below 0", "product_id: missing"]
    assert table.validity == Share(2, 5)
    assert table.uniqueness == Share(4, 5)
    assert table.correct == Share(1, 5)


def test_event_is_a_repeat_only_if_every_column_of_the_input_is_equal(
    tmp_path: Path,
) -> None:
    # The last two differ in a column that the contract does not know.
    rows = [order(0, line=1), order(0, line=1), order(0, line=1), order(0, line=2)]
    found = measure(tmp_path, purchases=rows)["purchases"]
    assert found.uniqueness == Share(2, 4)
    assert found.correct == Share(2, 4)


def test_ids_lead_to_good_rows_only_and_null_ids_lead_nowhere_to_no_harm(
    tmp_path: Path,
) -> None:
    found = measure(
        tmp_path,
        purchases=[order(0), order(1, product_id="bad"), order(2, product_id="none")],
        products=[
            {"product_id": "p", "price": 1.0},
            {"product_id": "bad", "price": -1.0},
        ],
        customers=[{"customer_id": "b"}],
        browses=[
            {"customer_id": c, "ts": START, "kind": "view", "product_id": p}
            for c, p in (("a", "p"), ("b", None), ("c", "p"), ("c", "none"))
        ],
    )
    assert found["purchases"].references == {"product_id -> products": Share(1, 3)}
    assert found["purchases"].correct == Share(1, 3)
    assert found["browses"].references == {
        "customer_id -> customers or purchases": Share(2, 4),
        "product_id -> products": Share(2, 3),
    }
    assert found["browses"].integrity == Share(4, 7)
    assert found["browses"].correct == Share(2, 4)
    assert found["customers"].integrity.value is None


def test_reference_to_a_table_that_is_not_there_does_not_apply(tmp_path: Path) -> None:
    found = measure(tmp_path, purchases=[order(0, campaign_id="k")])["purchases"]
    assert found.references == {}
    assert found.integrity.value is None
    # Complete, valid and unique; neither fresh nor whole.
    assert found.score == 1.0


@pytest.mark.parametrize(
    ("days_later", "value"), [(1, 1.0), (12, 1.0), (24, 0.5), (120, 0.1)]
)
def test_freshness_is_the_usual_age_over_the_age(
    tmp_path: Path, days_later: int, value: float
) -> None:
    # Gaps of 1, 4 and 5 days: the median is 4, three of them are allowed.
    rows = [order(n) for n in (0, 1, 5, 10)]
    moment = START + timedelta(days=10 + days_later)
    found = measure(tmp_path, moment, purchases=rows)["purchases"]
    assert found.freshness.value == pytest.approx(value)
    assert found.newest == START + timedelta(days=10)


@pytest.mark.parametrize(("known", "newest"), [(-US, 5), (timedelta(0), 1)])
def test_row_counts_for_freshness_only_if_known_before_the_moment(
    tmp_path: Path, known: timedelta, newest: int
) -> None:
    moment = START + 6 * DAY
    late = order(5, known_at=moment + known)
    rows = [order(0, known_at=None), order(1, known_at=None), late]
    found = measure(tmp_path, moment, purchases=rows)["purchases"]
    expected = moment - US if newest == 5 else START + newest * DAY
    assert found.newest == expected


def test_freshness_needs_a_moment_and_two_days_with_rows(tmp_path: Path) -> None:
    rows = [order(0), order(1)]
    assert measure(tmp_path, purchases=rows)["purchases"].freshness.value is None
    one = [order(0), order(0, order_id="2")]
    found = measure(tmp_path, START + 9 * DAY, purchases=one)["purchases"]
    assert found.freshness.value is None and found.newest is None


def test_event_known_before_it_happened_is_read_and_counted(tmp_path: Path) -> None:
    rows = [order(0, known_at=START - US), order(1, known_at=START + DAY)]
    found = measure(tmp_path, purchases=rows)["purchases"]
    assert found.early == 1
    assert found.validity == Share(2, 2)


def test_table_without_rows_has_no_score(tmp_path: Path) -> None:
    pq.write_table(
        pa.table({"product_id": pa.array([], pa.string())}),
        tmp_path / "products.parquet",
    )
    found = measure(tmp_path, purchases=[order(0), order(1)])["products"]
    assert found.score is None and found.correct.value is None
