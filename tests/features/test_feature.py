from __future__ import annotations

from features.feature import Statistic
from features.snapshot import DAY_US


def test_numbers_that_compiled_kernels_hold_are_never_changed() -> None:
    # Numba compiles them into the kernel and keeps it until kernel.py changes, so
    # with other numbers here it would compute other statistics, without an error.
    # A new statistic is a new line; where a line must change, change kernel.py too.
    assert {statistic.name: statistic.value for statistic in Statistic} == {
        "COUNT": 0,
        "DECAY": 1,
        "PERIODS": 2,
        "AGE_LAST": 3,
        "AGE_FIRST": 4,
        "TOTAL": 10,
        "MEAN": 11,
        "SPREAD": 12,
        "GREATEST": 13,
        "LAST": 14,
        "TRAILING": 15,
        "DISTINCT": 20,
        "TOP_SHARE": 21,
        "GROUP_MEAN": 22,
        "GROUP_SPREAD": 23,
        "GROUP_GREATEST": 24,
        "GAP_MEAN": 30,
        "GAP_SPREAD": 31,
        "GAP_MEDIAN": 32,
        "GAP_GREATEST": 33,
        "GAP_LAST": 34,
    }
    assert DAY_US == 86_400_000_000
