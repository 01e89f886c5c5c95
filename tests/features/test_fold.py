from __future__ import annotations

import itertools
import math
import statistics
from collections import Counter, defaultdict
from dataclasses import dataclass, replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from features.declare import Rows
from features.feature import Aggregate, Statistic
from features.fold import Live, stack
from features.fold import fold as fold_into
from features.history import Events, Floats, Longs, offsets_of
from features.plan import plan
from features.snapshot import DAY_US

HOUR = DAY_US // 24
N_CUSTOMERS = 3


def fold(events: Events, cutoffs: Longs, declared: tuple[Aggregate, ...]) -> Floats:
    """Everyone at every cutoff, shape ``[customer, cutoff, feature]``."""
    steps = plan(declared)
    shape = (len(events.offsets) - 1, len(cutoffs))
    places = np.arange(shape[0] * shape[1]).reshape(shape)
    found = fold_into(stack(events, steps), cutoffs, steps, places)
    return found.T.reshape(*shape, len(declared))


@dataclass(frozen=True, order=True)
class Row:
    customer: int
    ts: int
    known_at: int
    key: int = 0
    code: int = 0
    flag: bool = True
    value: float | None = None


def events(rows: list[Row]) -> Events:
    customer = np.array([r.customer for r in rows], np.int32)
    values = [math.nan if r.value is None else r.value for r in rows]
    return Events(
        customer=customer,
        ts=np.array([r.ts for r in rows], np.int64),
        known_at=np.array([r.known_at for r in rows], np.int64),
        columns={
            "key": np.array([r.key for r in rows], np.int32),
            "code": np.array([r.code for r in rows], np.int32),
            "flag": np.array([r.flag for r in rows], np.bool_),
            "value": np.array(values, np.float64),
        },
        words={},
        offsets=offsets_of(customer, N_CUSTOMERS),
    )


def vocabulary(rows: Rows, *windows: int | None) -> tuple[Aggregate, ...]:
    """One feature of every statistic and window."""
    return (
        *rows.count("n", *windows),
        *rows.age("one"),
        *rows.age_of_first("one"),
        *rows.decayed("n", 2),
        *rows.decayed("v", 2, column="value"),
        *rows.active("n", 2, *(w for w in windows if w)),
        *(
            feature
            for statistic in ("sum", "mean", "spread", "max", "last")
            for feature in rows.number("v", statistic, "value", "", windows=windows)
        ),
        *rows.trailing("n_since_flag", "flag", *windows),
        *rows.distinct("c", "code", *windows),
        *rows.top_share("c", "code", *windows),
        *(
            feature
            for statistic in ("mean", "spread", "max")
            for feature in rows.each(
                "code", "v", statistic, "value", "", windows=windows
            )
        ),
        *rows.gaps("g", "mean", "spread", "median", "max", "last", windows=windows),
    )


EVERYTHING = tuple(
    feature
    for rows in (Rows(), Rows("flag"), Rows(per="key"), Rows("flag", "key"))
    for feature in vocabulary(rows, 3, 7, None)
)


def naive(rows: list[Row], customer: int, cutoff: int, a: Aggregate) -> float:
    """The feature by its definition, in plain Python."""
    start = cutoff - a.window_days * DAY_US if a.window_days else -math.inf
    met: set[int] = set()
    chosen: list[Row] = []
    for row in rows:
        known = row.ts < cutoff and row.known_at < cutoff
        if row.customer != customer or not known or (a.where and not row.flag):
            continue
        if a.per and row.key in met:
            continue
        met.add(row.key)
        if row.ts >= start:
            chosen.append(row)
    return naive_statistic(chosen, cutoff, a)


def naive_statistic(rows: list[Row], cutoff: int, a: Aggregate) -> float:
    ages = [(cutoff - r.ts) / DAY_US for r in rows]
    values = [r.value for r in rows if r.value is not None]
    codes = Counter(r.code for r in rows if r.code >= 0)
    sums: dict[int, float] = defaultdict(float)
    for r in rows:
        if r.code >= 0 and r.value is not None:
            sums[r.code] += r.value
    totals = list(sums.values())
    gaps = [x - y for x, y in itertools.pairwise(ages)]
    nan = math.nan
    match a.statistic:
        case Statistic.COUNT:
            return len(rows)
        case Statistic.DECAY:
            weights = [(r.value if a.column else 1.0) for r in rows]
            pairs = zip(weights, ages, strict=True)
            return sum(w * 0.5 ** (d / a.parameter) for w, d in pairs if w is not None)
        case Statistic.PERIODS:
            length = int(a.parameter) * DAY_US
            return len({(cutoff - r.ts - 1) // length for r in rows})
        case Statistic.AGE_LAST:
            return ages[-1] if ages else nan
        case Statistic.AGE_FIRST:
            return ages[0] if ages else nan
        case Statistic.TOTAL:
            return sum(values)
        case Statistic.MEAN:
            return statistics.fmean(values) if values else nan
        case Statistic.SPREAD:
            return statistics.stdev(values) if len(values) > 1 else nan
        case Statistic.GREATEST:
            return max(values, default=nan)
        case Statistic.LAST:
            return values[-1] if values else nan
        case Statistic.TRAILING:
            rest = itertools.takewhile(lambda r: not r.flag, reversed(rows))
            return len(list(rest))
        case Statistic.GROUP_MEAN:
            return statistics.fmean(totals) if totals else nan
        case Statistic.GROUP_SPREAD:
            return statistics.stdev(totals) if len(totals) > 1 else nan
        case Statistic.GROUP_GREATEST:
            return max(totals, default=nan)
        case Statistic.DISTINCT:
            return len(codes)
        case Statistic.TOP_SHARE:
            return max(codes.values()) / codes.total() if codes else nan
        case Statistic.GAP_MEAN:
            return statistics.fmean(gaps) if gaps else nan
        case Statistic.GAP_SPREAD:
            return statistics.stdev(gaps) if len(gaps) > 1 else nan
        case Statistic.GAP_MEDIAN:
            return statistics.median(gaps) if gaps else nan
        case Statistic.GAP_GREATEST:
            return max(gaps, default=nan)
        case Statistic.GAP_LAST:
            return gaps[-1] if gaps else nan


@st.composite
def drawn_rows(draw: st.DrawFn) -> list[Row]:
    drawn = draw(
        st.lists(
            st.builds(
                lambda customer, hour, late, key, code, flag, value: Row(
                    customer,
                    hour * HOUR,
                    (hour + late) * HOUR,
                    key,
                    code,
                    flag,
                    value,
                ),
                st.integers(0, N_CUSTOMERS - 1),
                st.integers(0, 20 * 24),
                st.sampled_from([0, 0, 0, 1, 30, 200, -90]),
                st.integers(0, 5),
                st.integers(-1, 3),
                st.booleans(),
                st.none() | st.integers(-9, 9).map(float),
            ),
            max_size=40,
        )
    )
    return sorted(drawn, key=lambda r: (r.customer, r.ts, r.known_at))


CUTOFFS = st.lists(
    st.integers(0, 24 * 24).map(lambda h: h * HOUR), min_size=1, max_size=4, unique=True
).map(sorted)


@settings(max_examples=60, deadline=None)
@given(drawn_rows(), CUTOFFS)
def test_fold_equals_a_naive_loop_at_every_cutoff(
    rows: list[Row], cutoffs: list[int]
) -> None:
    found = fold(events(rows), np.array(cutoffs, np.int64), EVERYTHING)
    expected = [
        [[naive(rows, c, cutoff, a) for a in EVERYTHING] for cutoff in cutoffs]
        for c in range(N_CUSTOMERS)
    ]
    np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-9)


def test_every_statistic_is_on_trial() -> None:
    assert {feature.statistic for feature in EVERYTHING} == set(Statistic)


STEPS = plan(EVERYTHING)
LIVE = Live(STEPS, longest=40, n_codes=6)
"""Used for one drawn customer after the other, as a service would."""


def alone(rows: list[Row], customer: int) -> Events:
    """The events of one customer, as if there was no other."""
    mine = [replace(r, customer=0) for r in rows if r.customer == customer]
    events_of_mine = events(mine)
    return replace(events_of_mine, offsets=events_of_mine.offsets[:2])


@settings(max_examples=60, deadline=None)
@given(drawn_rows(), CUTOFFS, st.permutations(range(N_CUSTOMERS)))
def test_live_equals_the_fold_bit_by_bit_whoever_came_before(
    rows: list[Row], cutoffs: list[int], order: list[int]
) -> None:
    expected = fold(events(rows), np.array(cutoffs, np.int64), EVERYTHING)
    for customer in order:
        table = stack(alone(rows, customer), STEPS)
        # Back in time too: a moment owes nothing to the one before.
        for k in reversed(range(len(cutoffs))):
            found = LIVE(table, cutoffs[k])
            assert found.tobytes() == expected[customer, k].tobytes()


def test_live_says_that_there_is_no_room() -> None:
    rows = [Row(0, hour * HOUR, hour * HOUR) for hour in range(41)]
    table = stack(alone(rows[:40], 0), STEPS)
    assert LIVE(table, 100 * HOUR)[:3].tolist() == [12.0, 40.0, 40.0]
    with pytest.raises(ValueError, match=r"^rows: expected at most 40, got 41; make a"):
        LIVE(stack(alone(rows, 0), STEPS), 100 * HOUR)
    # A code outside would be written beside the room.
    for strange in (replace(rows[0], code=6), replace(rows[0], key=6)):
        with pytest.raises(ValueError, match=r"^codes: expected at most 6, got 7; "):
            LIVE(stack(alone([strange], 0), STEPS), 100 * HOUR)


@pytest.mark.parametrize("n", [0, 2])
def test_live_refuses_any_number_of_customers_but_one(n: int) -> None:
    drawn = events([Row(1, HOUR, HOUR)] if n == 2 else [])
    table = stack(replace(drawn, offsets=drawn.offsets[: n + 1]), STEPS)
    with pytest.raises(ValueError, match=f"^customers: expected one, got {n}; call"):
        LIVE(table, 100 * HOUR)


@settings(max_examples=40, deadline=None)
@given(drawn_rows(), CUTOFFS)
def test_customers_may_be_cut_into_slices(rows: list[Row], cutoffs: list[int]) -> None:
    at = np.array(cutoffs, np.int64)
    together = fold(events(rows), at, EVERYTHING)
    apart = [fold(alone(rows, c), at, EVERYTHING) for c in range(N_CUSTOMERS)]
    assert np.concatenate(apart).tobytes() == together.tobytes()


@settings(max_examples=40, deadline=None)
@given(drawn_rows(), CUTOFFS)
def test_many_cutoffs_at_once_equal_one_by_one(
    rows: list[Row], cutoffs: list[int]
) -> None:
    at = np.array(cutoffs, np.int64)
    together = fold(events(rows), at, EVERYTHING)
    for k in range(len(at)):
        alone = fold(events(rows), at[k : k + 1], EVERYTHING)
        assert alone[:, 0].tobytes() == together[:, k].tobytes()


@settings(max_examples=40, deadline=None)
@given(drawn_rows(), CUTOFFS)
def test_rows_not_known_at_the_cutoff_change_no_bit(
    rows: list[Row], cutoffs: list[int]
) -> None:
    cutoff = cutoffs[-1]
    known = [r for r in rows if r.ts < cutoff and r.known_at < cutoff]
    at = np.array(cutoffs, np.int64)
    with_all, with_known = (fold(events(r), at, EVERYTHING) for r in (rows, known))
    assert with_all.tobytes() == with_known.tobytes()


@settings(max_examples=40, deadline=None)
@given(drawn_rows(), CUTOFFS)
def test_a_wider_window_never_lowers_a_count(
    rows: list[Row], cutoffs: list[int]
) -> None:
    counts = (*Rows().count("n", 1, 3, 7, None), *Rows().distinct("c", "code", 1, 3, 7))
    found = fold(events(rows), np.array(cutoffs, np.int64), counts)
    assert (np.diff(found[:, :, :4]) >= 0).all()
    assert (np.diff(found[:, :, 4:]) >= 0).all()


@settings(max_examples=20, deadline=None)
@given(drawn_rows(), CUTOFFS)
def test_input_is_not_changed(rows: list[Row], cutoffs: list[int]) -> None:
    given_events, at = events(rows), np.array(cutoffs, np.int64)
    arrays = [
        given_events.ts,
        given_events.known_at,
        given_events.offsets,
        at,
        *given_events.columns.values(),
    ]
    for array in arrays:
        array.flags.writeable = False
    before = [array.tobytes() for array in arrays]
    fold(given_events, at, EVERYTHING)
    assert [array.tobytes() for array in arrays] == before


def one(rows: list[Row], cutoff: int, *declared: Aggregate) -> list[float]:
    return fold(events(rows), np.array([cutoff]), declared)[0, 0].tolist()


CUTOFF = 100 * DAY_US


@pytest.mark.parametrize(
    ("ts", "counted"), [(CUTOFF - 1, 1.0), (CUTOFF, 0.0), (CUTOFF + 1, 0.0)]
)
def test_an_event_counts_until_a_microsecond_before_the_cutoff(
    ts: int, counted: float
) -> None:
    for known_at in (ts, CUTOFF - DAY_US):
        assert one([Row(0, ts, known_at)], CUTOFF, *Rows().count("n")) == [counted]


@pytest.mark.parametrize(
    ("known_at", "counted"), [(CUTOFF - 1, 1.0), (CUTOFF, 0.0), (CUTOFF + 1, 0.0)]
)
def test_an_event_counts_once_it_was_known_before_the_cutoff(
    known_at: int, counted: float
) -> None:
    rows = [Row(0, CUTOFF - 5 * DAY_US, known_at)]
    assert one(rows, CUTOFF, *Rows().count("n")) == [counted]


@pytest.mark.parametrize(("offset", "counted"), [(-1, 0.0), (0, 1.0), (1, 1.0)])
def test_a_window_begins_with_its_first_microsecond(
    offset: int, counted: float
) -> None:
    ts = CUTOFF - 7 * DAY_US + offset
    assert one([Row(0, ts, ts)], CUTOFF, *Rows().count("n", 7)) == [counted]


def test_a_late_row_goes_in_between_at_the_cutoff_at_which_it_is_known() -> None:
    rows = [
        Row(0, 10 * DAY_US, 10 * DAY_US),
        Row(0, 20 * DAY_US, 45 * DAY_US),
        Row(0, 30 * DAY_US, 30 * DAY_US),
    ]
    cutoffs = np.array([40, 50]) * DAY_US
    found = fold(events(rows), cutoffs, Rows().gaps("g", "mean", "max"))
    assert found[0].tolist() == [[20.0, 20.0], [10.0, 10.0]]


def test_a_customer_whose_only_row_comes_late_has_none_before() -> None:
    rows = [Row(0, 10 * DAY_US, 45 * DAY_US), Row(1, 10 * DAY_US, 10 * DAY_US)]
    cutoffs = np.array([11 * DAY_US, 45 * DAY_US, 45 * DAY_US + 1])
    found = fold(events(rows), cutoffs, (*Rows().count("n"), *Rows().age("x")))
    assert found[0, :, 0].tolist() == [0.0, 0.0, 1.0]
    assert np.isnan(found[0, :2, 1]).all()
    assert found[0, 2, 1] == 35 + 1 / DAY_US
    assert found[1, :, 0].tolist() == [1.0, 1.0, 1.0]


def test_an_order_is_counted_once_however_its_lines_are_mixed() -> None:
    day = DAY_US
    lines = [Row(0, day, day, key=k) for k in (4, 5, 4)] + [Row(0, 2 * day, 2 * day, 4)]
    assert one(lines, CUTOFF, *Rows(per="key").count("orders")) == [2.0]


def test_an_order_is_first_seen_in_the_line_that_is_known_first() -> None:
    lines = [Row(0, 10 * DAY_US, 99 * DAY_US, 7), Row(0, 20 * DAY_US, 20 * DAY_US, 7)]
    cutoffs = np.array([50, 100]) * DAY_US
    found = fold(events(lines), cutoffs, Rows(per="key").age("order"))
    assert found[0, :, 0].tolist() == [30.0, 90.0]


def test_statistics_of_four_drawn_events() -> None:
    # Days 90, 92, 96 and 99 of 100; values 2, null, 4, 9.
    rows = [
        Row(0, day * DAY_US, day * DAY_US, code=code, value=value)
        for day, code, value in (
            (90, 1, 2.0),
            (92, 1, None),
            (96, 2, 4.0),
            (99, -1, 9.0),
        )
    ]
    every = Rows()
    found = one(
        rows,
        CUTOFF,
        *every.age("x"),
        *every.age_of_first("x"),
        *every.number("v", "mean", "value", ""),
        *every.number("v", "spread", "value", ""),
        *every.number("v", "sum", "value", "", windows=(4,)),
        *every.distinct("c", "code"),
        *every.top_share("c", "code"),
        *every.gaps("g", "mean", "median", "max", "last", "spread"),
        *every.active("x", 5, 10),
        *every.decayed("x", 4),
    )
    # Gaps 2, 4, 3; days 90 to 94 and 95 to 99 both have an event.
    decay = 0.5 ** (10 / 4) + 0.5**2 + 0.5 + 0.5**0.25
    expected = [1, 10, 5, math.sqrt(13), 13, 2, 2 / 3, 3, 3, 4, 3, 1, 2, decay]
    assert found == pytest.approx(expected)


def test_a_customer_without_events_has_zero_counts_and_null_ages() -> None:
    found = one([], CUTOFF, *Rows().count("n", 7), *Rows().age("x"))
    assert found[0] == 0.0
    assert math.isnan(found[1])


def test_a_column_that_is_not_there_is_named() -> None:
    with pytest.raises(ValueError, match="expected a column 'absent'"):
        one([], CUTOFF, *Rows("absent").count("n"))
