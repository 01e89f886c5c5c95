"""The health index on drawn tables: every part, its ends, and the months."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from features.config import HealthConfig
from serving.insight import health as insight
from serving.insight.health import (
    DIMENSIONS,
    health,
    month_cutoffs,
    months_of,
)
from serving.insight.radar import radar_png, radar_svg

RULES = HealthConfig()
Draw = Callable[..., pa.Table]
MONTHS = month_cutoffs(datetime(2024, 5, 10), 4)


def rows_of(
    indices: dict[str, list[float | None]], part: str = "product_fit"
) -> pa.Table:
    """Rows of ``health`` where one dimension alone has data, by month."""
    ids, cutoffs, values = [], [], []
    for customer, months in indices.items():
        for cutoff, value in zip(MONTHS[-len(months) :], months, strict=True):
            ids.append(customer)
            cutoffs.append(cutoff)
            values.append(value)
    columns: dict[str, Any] = {
        name: pa.nulls(len(ids), pa.float64()) for name in DIMENSIONS
    }
    columns[part] = pa.array(values, pa.float64())
    when = pa.array(cutoffs, pa.timestamp("us"))
    return pa.table({"customer_id": ids, "cutoff": when, **columns})


def steady(days: int, known: float) -> float:
    """Decayed days with an order of one order a day over so long a time."""
    return days * (1 - 0.5 ** (known / days))


@pytest.mark.parametrize(
    ("quiet", "points"),
    [(0, 100), (10, 100), (30, 50), (50, 0), (51, 0)],
)
def test_recency_in_usual_gaps(quiet: float, points: float, draw: Draw) -> None:
    """The usual gap is 10 days: 100 up to it, 0 from five of them."""
    features = draw(days_gap_mean=[10], days_since_last_order=[quiet])
    assert insight.consumption_frequency(features, RULES).tolist() == [points]


def test_pace_and_weeks(draw: Draw) -> None:
    """Half the rhythm of late is half the points; three of twelve weeks half of theirs."""
    known = [200.0, 200.0, 200.0]
    long = [steady(90, 200)] * 3
    late = [steady(35, 200) * share for share in (1.0, 0.5, 2.0)]
    features = draw(
        days_since_first_order=known, days_decay_h35d=late, days_decay_h90d=long
    )
    found = insight.consumption_frequency(features, RULES)
    assert found == pytest.approx([100, 50, 100])
    weeks = draw(weeks_active_84d=[0, 3, 6])
    assert insight.consumption_frequency(weeks, RULES).tolist() == [0, 50, 75]


def test_interaction_counts_answers_only_of_who_ever_answered(draw: Draw) -> None:
    features = draw(
        browse_days_count_30d=[2, None, None, 0],
        responses_count_90d=[1, 0, 0, 1],
        responses_count=[1, 0, 5, 1],
    )
    found = insight.interaction_depth(features, RULES)
    # (50 + 50) / 2; never answered: no data; stopped; (0 + 50) / 2.
    assert np.array_equal(found, [50, np.nan, 0, 25], equal_nan=True)


def test_returns_count_where_the_shop_records_them(draw: Draw) -> None:
    features = draw(
        returned_share_90d=[0, 0.25, 0.5, 0.9, None],
        returned_lines_count=[0, 1, 2, 3, 0],
    )
    found = insight.product_fit(features, RULES)
    assert np.array_equal(found, [100, 50, 0, 0, np.nan], equal_nan=True)
    nowhere = draw(returned_share_90d=[0, 0], returned_lines_count=[0, 0])
    assert np.isnan(insight.product_fit(nowhere, RULES)).all()
    rated = draw(rating_mean=[1, 3, 5])
    assert insight.product_fit(rated, RULES).tolist() == [0, 50, 100]


def test_service_is_the_mean_of_what_is_known(draw: Draw) -> None:
    features = draw(
        csat_last=[5, 1, None, None],
        nps_last=[10, None, None, None],
        complaints_count_90d=[0, 2, 1, None],
        resolved_share_90d=[1, None, None, None],
        response_mean_90d=[0, None, 14_400, None],
    )
    found = insight.service_rating(features, RULES)
    # 100; (0 + 25) / 2; (50 + 50) / 2; nothing.
    assert np.array_equal(found, [100, 12.5, 50, np.nan], equal_nan=True)


def test_the_index_is_the_mean_of_dimensions_that_exist_and_says_which(
    draw: Draw,
) -> None:
    features = draw(
        weeks_active_84d=[3, 3, None],
        rating_mean=[5, None, None],
        referrals_count=[2, None, None],
        shares_count=[0, None, None],
    )
    found = health(features, RULES).to_pydict()
    assert found["health"] == [75.0, 50.0, None]  # (50 + 100 + 75) / 3
    assert found["dimensions"] == [
        "consumption frequency, product fit, social influence",
        "consumption frequency",
        None,
    ]
    assert found["social_influence"] == [75.0, None, None]
    assert found["level"] == ["fair", "watch", None]


def test_levels_at_their_edges() -> None:
    index = np.array([0, 39.9, 40, 59.9, 60, 79.9, 80, 100, np.nan])
    codes = insight.level_of(index, RULES).tolist()
    assert codes == [0, 0, 1, 1, 2, 2, 3, 3, -1]


def test_months_end_where_a_month_is_short() -> None:
    found = month_cutoffs(datetime(2024, 3, 31, 6), 4)
    days = [(2023, 12, 31), (2024, 1, 31), (2024, 2, 29), (2024, 3, 31)]
    assert found == [datetime(*day, 6) for day in days]


def test_three_falls_under_the_line_warn() -> None:
    drawn: dict[str, list[float | None]] = {
        "falls": [90, 80, 70, 59.9],
        "on the line": [90, 80, 70, 60],
        "above": [99, 98, 97, 96],
        "pauses": [90, 70, 70, 50],
        "rises": [10, 20, 30, 40],
        "two falls": [50, 60, 50, 40],
        "young": [90, 80, 20],
        "unknown once": [90, None, 70, 50],
    }
    months = months_of(rows_of(drawn))
    words = dict(zip(drawn, months.trend.tolist(), strict=True))
    falling, flat, rising, unknown = 0, 1, 2, -1
    assert words == {
        "falls": falling,
        "on the line": falling,
        "above": falling,
        "pauses": flat,
        "rises": rising,
        "two falls": flat,
        "young": unknown,
        "unknown once": unknown,
    }
    warned = months.is_warned(RULES.alert_line)
    assert months.customer_id.filter(pa.array(warned)).to_pylist() == ["falls"]


def test_a_new_kind_of_data_is_no_fall() -> None:
    """Fit rises from 60 to 90; a first and bad rating of service comes last."""
    table = rows_of({"a": [60, 70, 80, 90]})
    service = pa.array([None, None, None, 0.0])
    place = table.column_names.index("service_rating")
    months = months_of(table.set_column(place, "service_rating", service))
    assert months.index.tolist() == [[60, 70, 80, 45]]
    assert months.comparable.tolist() == [[60, 70, 80, 90]]
    assert months.trend.tolist() == [2]


def test_months_do_not_depend_on_the_order_of_rows() -> None:
    table = rows_of({"a": [4, 3, 2, 1], "b": [1, 2]})
    gone = rows_of({"c": [9, 9, 9, 9]}).slice(0, 2)
    shuffled = pa.concat_tables([gone, table]).take(pa.array([7, 0, 5, 1, 3, 4, 2, 6]))
    months = months_of(shuffled)
    found = dict(
        zip(months.customer_id.to_pylist(), months.index.tolist(), strict=True)
    )
    assert set(found) == {"a", "b"}  # c is no customer at the last cutoff
    assert found["a"] == [4, 3, 2, 1]
    assert np.isnan(found["b"][:2]).all()
    with pytest.raises(ValueError, match="expected rows of at least one cutoff"):
        months_of(table.slice(0, 0))


def test_radar_names_what_it_knows_and_what_not() -> None:
    scores: dict[str, float | None] = dict.fromkeys(DIMENSIONS)
    scores["consumption_frequency"], scores["product_fit"] = 100.0, 33.3
    drawn = radar_svg(scores, scores)
    assert drawn == radar_svg(scores, scores)
    assert 'aria-label="Health: consumption frequency 100, product fit 33"' in drawn
    assert drawn.count("no data") == 3
    assert 'aria-label="Health: no data"' in radar_svg(dict.fromkeys(DIMENSIONS))
    assert radar_png(scores).startswith(b"\x89PNG")
    with pytest.raises(ValueError, match="product_fit from 0 to 100, got 101"):
        radar_svg(scores | {"product_fit": 101.0})
