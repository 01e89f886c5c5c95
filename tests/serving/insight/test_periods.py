"""Months, quarters and weeks, and how they are named."""

from __future__ import annotations

from datetime import date, datetime, timedelta

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from features.contracts import SettingError
from features.snapshot import to_us
from serving.insight.kpis import KINDS, Kind
from serving.insight.periods import (
    first_day,
    moved,
    name_of,
    parse_period,
    periods_of,
)

US = timedelta(microseconds=1)


@pytest.mark.parametrize(
    ("text", "kind", "day"),
    [
        ("2017-10", "month", date(2017, 10, 1)),
        ("2017-Q4", "quarter", date(2017, 10, 1)),
        ("2017-W01", "week", date(2017, 1, 2)),
        # Friday, 1 January 2021 is of the last week of 2020.
        ("2020-W53", "week", date(2020, 12, 28)),
        ("week", "week", None),
    ],
)
def test_a_period_by_its_name(text: str, kind: Kind, day: date | None) -> None:
    assert parse_period(text) == (kind, day)
    assert day is None or name_of(kind, day) == text


@pytest.mark.parametrize(
    "text", ["", "2017", "2017-13", "2017-00", "2017-Q5", "2017-W54", "0000-01", "day"]
)
def test_another_text_is_refused(text: str) -> None:
    with pytest.raises(SettingError, match=r"^period: expected 2017-10"):
        parse_period(text)


@given(st.dates(date(1990, 1, 1), date(2050, 1, 1)), st.sampled_from(KINDS))
def test_every_day_is_in_one_period(day: date, kind: Kind) -> None:
    first = first_day(kind, day)
    assert first <= day < moved(kind, first, 1)
    assert moved(kind, moved(kind, first, 13), -13) == first
    assert parse_period(name_of(kind, first)) == (kind, first)


def test_moments_at_the_edges() -> None:
    cutoff = datetime(2024, 4, 15)
    periods = periods_of("month", datetime(2023, 1, 1), cutoff, most=2)
    assert periods.names == ("2024-03", "2024-04")
    assert periods.complete.tolist() == [True, False]
    edges = [datetime(2024, 2, 1), datetime(2024, 3, 1), datetime(2024, 4, 1)]
    at = np.array([to_us(edge + US * step) for edge in edges for step in (-1, 0)])
    assert periods.find(at).tolist() == [-2, -1, -1, 0, 0, 1]


def test_a_cutoff_at_an_edge_begins_no_period() -> None:
    april = datetime(2024, 4, 1)
    assert periods_of("month", april - US, april, 9).names == ("2024-03",)
    assert periods_of("month", april - US, april + US, 9).names[-1] == "2024-04"


def test_days_of_summer_time_have_their_own_midnight() -> None:
    periods = periods_of(
        "month", datetime(2024, 3, 5), datetime(2024, 5, 1), 9, "Europe/Berlin"
    )
    assert [start.hour for start in periods.starts] == [23, 22, 22, 22]
