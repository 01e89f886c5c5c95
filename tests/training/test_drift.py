"""Drift of features and scores: drawn tables, planted faults, and chance."""

from __future__ import annotations

import math
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import ks_2samp

from features.contracts import ContractError
from features.drift_config import DriftConfig
from training.drift import (
    ALIKE,
    APPEARED,
    DRIFTED,
    SEEN,
    USUAL,
    Shift,
    compare,
    p_value,
)
from training.psi import stability_index
from training.reference import SCORE, Reference, bins_of, reference_of

CUTOFF = datetime(2024, 6, 1)
LATER = CUTOFF + timedelta(days=28)
LIMITS = DriftConfig()


def rows(moment: datetime, **columns: Any) -> pa.Table:
    """Feature rows of one cutoff; texts as codes of words, as ``assemble`` has them."""
    made = {
        name: pa.array(values, from_pandas=True) for name, values in columns.items()
    }
    size = len(next(iter(made.values())))
    made = {
        name: one.dictionary_encode() if pa.types.is_string(one.type) else one
        for name, one in made.items()
    }
    return pa.table({"cutoff": pa.array([moment] * size, pa.timestamp("us")), **made})


def shifts(
    then: pa.Table, now: pa.Table, limits: DriftConfig = LIMITS
) -> dict[str, Shift]:
    found = compare(reference_of(then, None), now, LATER, limits)
    return {one.name: one for one in found.features}


def test_the_stability_index_is_that_of_the_formula() -> None:
    # With half a customer more in each of two bins: 30.5 and 70.5 of 101, and halves.
    a, b = 30.5 / 101, 70.5 / 101
    by_hand = (a - 0.5) * math.log(a / 0.5) + (b - 0.5) * math.log(b / 0.5)
    assert by_hand == pytest.approx(0.1659, abs=1e-4)
    assert stability_index([30, 70], [50, 50]) == pytest.approx(by_hand)
    assert stability_index([7, 0, 3], [7, 0, 3]) == 0


def test_the_distance_is_the_largest_gap_of_cumulative_shares() -> None:
    then, now = (
        np.repeat([1.0, 2, 3, 4], 25),
        np.repeat([1.0, 2, 3, 4], [10, 20, 30, 40]),
    )
    # .25 .5 .75 1 then, .1 .3 .6 1 now: the largest gap is .2, at 2.
    found = shifts(rows(CUTOFF, x=then), rows(LATER, x=now))["x"]
    assert found.distance.gap == pytest.approx(0.2)
    # .2 * sqrt(100 * 100 / 200) = sqrt(2), by Kolmogorov's series to two terms.
    assert found.p == pytest.approx(2 * (math.exp(-4) - math.exp(-16)), rel=1e-6)
    assert found.p == pytest.approx(ks_2samp(then, now, method="asymp").pvalue, rel=0.2)


def test_a_null_counts_as_less_than_any_number() -> None:
    then = [None] * 10 + [5.0] * 90
    now = [None] * 60 + [5.0] * 40
    found = shifts(rows(CUTOFF, x=then), rows(LATER, x=now))["x"]
    assert found.distance.gap == pytest.approx(0.5)
    assert (found.known_then, found.known_now) == pytest.approx((0.9, 0.4))
    assert found.verdict == DRIFTED


def test_texts_are_compared_by_word_and_unknown_words_count() -> None:
    then, now = ["a"] * 60 + ["b"] * 40, ["a"] * 30 + ["b"] * 30 + ["new"] * 40
    found = shifts(rows(CUTOFF, x=then), rows(LATER, x=now))["x"]
    # 40 of 100 would have to change their word.
    assert found.distance.gap == pytest.approx(0.4)
    assert found.p < 1e-9 and found.verdict == DRIFTED


def test_chi_square_of_two_words_is_that_of_the_formula() -> None:
    spread = reference_of(rows(CUTOFF, x=["a"] * 50 + ["b"] * 50), None).columns["x"]
    # 30 and 70 beside 50 and 50: expected 40 and 60, 4 * 10²/40/2 + 4 * 10²/60/2 = 8.33.
    chance = p_value(spread, np.array([0, 30, 70, 0]))
    assert chance == pytest.approx(math.erfc(math.sqrt(25 / 3 / 2)), rel=1e-6)


def test_what_is_drawn_from_one_law_does_not_drift() -> None:
    told = 0
    for seed in range(60):
        random = np.random.default_rng(seed)

        def drawn(moment: datetime, random: np.random.Generator = random) -> pa.Table:
            numbers = {f"x{i}": random.normal(size=200) for i in range(6)}
            texts = {f"w{i}": random.choice(["a", "b", "c"], 200) for i in range(6)}
            return rows(moment, **numbers, **texts)

        found = shifts(drawn(CUTOFF), drawn(LATER))
        assert {one.verdict for one in found.values()} == {ALIKE}
        told += any(one.p <= LIMITS.false_discoveries for one in found.values())
    # At most one in a hundred is promised; four of sixty would come once in 300 times.
    assert told <= 3


def test_a_shift_of_many_customers_that_is_small_is_no_drift() -> None:
    random = np.random.default_rng(0)
    then, now = random.normal(size=20_000), random.normal(0.1, size=20_000)
    found = shifts(rows(CUTOFF, x=then), rows(LATER, x=now))["x"]
    assert found.p < 1e-6 and found.verdict == ALIKE


def test_a_shift_of_few_customers_that_chance_explains_is_no_drift() -> None:
    found = shifts(rows(CUTOFF, x=[1.0, 2, 3, 4, 5]), rows(LATER, x=[5.0]))["x"]
    assert found.distance.gap == pytest.approx(0.8) and found.verdict == ALIKE


def test_a_column_that_changed_its_unit_drifts_alone() -> None:
    random = np.random.default_rng(1)
    then = {"spend": random.lognormal(size=500), "gap": random.lognormal(size=500)}
    now = {"spend": random.lognormal(size=500) * 100, "gap": random.lognormal(size=500)}
    found = shifts(rows(CUTOFF, **then), rows(LATER, **now))
    assert found["spend"].verdict == DRIFTED and found["spend"].distance.gap > 0.9
    assert found["gap"].verdict == ALIKE
    assert next(iter(found)) == "spend"


@pytest.mark.parametrize("value", [4.0, 6.0])
def test_a_constant_column_drifts_if_it_moves_either_way(value: float) -> None:
    found = shifts(rows(CUTOFF, x=[5.0] * 200), rows(LATER, x=[value] * 200))["x"]
    assert found.distance.gap == pytest.approx(1) and found.verdict == DRIFTED
    same = shifts(rows(CUTOFF, x=[5.0] * 200), rows(LATER, x=[5.0] * 200))["x"]
    assert (same.distance.index, same.distance.gap, same.verdict) == (0, 0, ALIKE)


def test_a_dimension_that_appeared_later_is_told_and_one_that_is_lost_drifts() -> None:
    then = rows(CUTOFF, views=pa.nulls(100, pa.float64()), asked=[1.0] * 100)
    now = rows(LATER, views=[3.0] * 100, shop=["north"] * 100)
    found = shifts(then, now)
    assert found["views"].verdict == found["shop"].verdict == APPEARED
    assert found["asked"].verdict == DRIFTED and found["asked"].known_now == 0
    assert math.isnan(found["views"].p)


def test_a_number_that_became_a_text_drifts() -> None:
    found = shifts(rows(CUTOFF, x=[1.0, 2] * 50), rows(LATER, x=["one", "two"] * 50))
    assert found["x"].verdict == DRIFTED


def test_a_single_customer_is_compared() -> None:
    found = shifts(rows(CUTOFF, x=[1.0], w=["a"]), rows(LATER, x=[9.0], w=["b"]))
    assert {one.verdict for one in found.values()} == {ALIKE}


def past(*columns: dict[str, Any]) -> pa.Table:
    """Rows at cutoffs four weeks apart, the last one the model's."""
    last = len(columns) - 1
    return pa.concat_tables(
        rows(CUTOFF - timedelta(days=28 * (last - at)), **one)
        for at, one in enumerate(columns)
    )


def test_a_season_that_the_model_has_seen_is_named_after_its_day() -> None:
    random = np.random.default_rng(2)
    winter, summer = random.poisson(2, 400) * 1.0, random.poisson(6, 400) * 1.0
    then = past({"x": winter}, {"x": summer})
    found = shifts(then, rows(LATER, x=random.poisson(2, 400) * 1.0))["x"]
    assert (found.verdict, found.like) == (SEEN, CUTOFF - timedelta(days=28))
    # In neither.
    assert shifts(then, rows(LATER, x=random.poisson(20, 400) * 1.0))["x"].verdict == (
        DRIFTED
    )


def test_a_trend_that_goes_on_as_before_is_usual() -> None:
    level = np.random.default_rng(3).normal(size=500)
    then = past({"x": level}, {"x": level + 1}, {"x": level + 2})
    assert shifts(then, rows(LATER, x=level + 3))["x"].verdict == USUAL
    assert shifts(then, rows(LATER, x=level + 9))["x"].verdict == DRIFTED


def test_what_was_the_same_for_everybody_at_every_cutoff_is_not_read() -> None:
    same, now = {"x": [0.0] * 200}, rows(LATER, x=[0.0, 1] * 100)
    assert shifts(past(same, same), now)["x"].verdict == APPEARED
    # Once it told customers apart.
    once = {"x": [0.0] * 190 + [3.0] * 10}
    assert shifts(past(once, same), now)["x"].verdict == DRIFTED


def test_what_lies_between_two_days_that_were_seen_is_usual() -> None:
    def sent(share: int) -> list[float]:
        return [1.0] * share + [0.0] * (100 - share)

    then = past({"x": sent(60)}, {"x": sent(0)})
    assert shifts(then, rows(LATER, x=sent(30)))["x"].verdict == USUAL
    assert shifts(then, rows(LATER, x=sent(90)))["x"].verdict == DRIFTED


def test_an_age_may_be_older_by_the_time_that_has_passed() -> None:
    age = np.random.default_rng(4).normal(200, 5, 500)
    then = rows(CUTOFF, days_since_first_order=age, visits=age)
    found = shifts(then, rows(LATER, days_since_first_order=age + 28, visits=age + 28))
    assert found["days_since_first_order"].verdict == USUAL
    assert found["visits"].verdict == DRIFTED


def test_limits_decide() -> None:
    then, now = rows(CUTOFF, x=[1.0, 2] * 100), rows(LATER, x=[1.0, 1, 1, 2] * 50)
    # A quarter moved: gap .25, index .27.
    assert shifts(then, now)["x"].verdict == DRIFTED
    loose = DriftConfig(stability_index=0.3, distance=0.3)
    assert shifts(then, now, loose)["x"].verdict == ALIKE


def test_the_score_is_judged_beside_the_features() -> None:
    random = np.random.default_rng(5)
    then = rows(CUTOFF, **{"x": [1.0] * 400, SCORE: random.beta(2, 5, 400)})
    now = rows(LATER, **{"x": [1.0] * 400, SCORE: random.beta(5, 2, 400)})
    found = compare(reference_of(then, None), now, LATER, LIMITS)
    assert [one.name for one in found.features] == ["x"]
    assert found.score is not None and found.score.verdict == DRIFTED
    assert sum(found.score_then) == pytest.approx(1)


def test_a_reference_is_kept_and_read_again(tmp_path: Path) -> None:
    early = {"x": [1.0, None], "w": ["a", "b"]}
    made = reference_of(past(early, {"x": [2.0, 3.0], "w": ["b", None]}), None)
    made.save(tmp_path)
    assert Reference.load(tmp_path) == made
    (tmp_path / "reference.json").write_text("{")
    with pytest.raises(ContractError, match=r"reference.json .* run repurchase train"):
        Reference.load(tmp_path)


@given(
    st.lists(st.none() | st.floats(-1e6, 1e6), min_size=1, max_size=60),
    st.lists(st.none() | st.floats(), min_size=1, max_size=60),
)
def test_every_customer_is_in_one_bin(then: list[Any], now: list[Any]) -> None:
    bins = bins_of(pa.chunked_array([pa.array(then, pa.float64())]))
    counts = bins.count(pa.chunked_array([pa.array(now, pa.float64())]), len(now))
    assert counts.sum() == len(now)
    assert counts[0] == sum(one is None or math.isnan(one) for one in now)
    tenths = bins.by_tenths(counts)
    assert tenths.sum() == len(now) and tenths[0] == counts[0]
