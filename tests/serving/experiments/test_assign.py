from __future__ import annotations

import time

import duckdb
import numpy as np
import pandas as pd
import pytest
from scipy import stats

from serving.experiments.assign import (
    Arm,
    LayerRange,
    Split,
    arm_sql,
    arms_of,
    assign,
    points,
)

HALVES = (Arm("manual", 1), Arm("model", 1))
GOLDEN = ["13e2b5a1655b6ea7", "d0c66281cc4b7b4c", "e3a1f5ccc24c792f"]
GOLDEN_ARMS = ["manual", "model", "model", "manual", "manual", "model"]
AWKWARD = ["", "a'b", "  7 ", "ümlaut", "顧客", "x" * 300, "a\x1fb"]


def split(name: str = "spring", **more: object) -> Split:
    return Split(**{"name": name, "salt": "pepper", "arms": HALVES} | more)  # type: ignore[arg-type]


def test_golden_vectors() -> None:
    # Any language: SHA-256 of the text, its first 16 hexadecimal digits.
    # printf 'spring\x1f1\x1fpepper\x1f42' | sha256sum | cut -c1-16
    found = [f"{p:016x}" for p in points("spring", "1", "pepper", ["42", "ümlaut", ""])]
    assert found == GOLDEN
    # printf 'home\x1f\x1fs\x1f42' | sha256sum | cut -c1-16: of a layer.
    assert f"{points('home', '', 's', ['42'])[0]:016x}" == "3134d8ed381521f3"
    names = [a.arm for a in assign(split(), ["42", "ümlaut", "1", "2", "3", "4"])]
    assert names == GOLDEN_ARMS


def test_borders_are_whole_numbers() -> None:
    thirds = split(arms=tuple(Arm(n, 1) for n in "abc"))
    text = arm_sql(thirds)
    assert f"< {2**64 // 3} THEN 'a'" in text
    assert f"< {2 * 2**64 // 3} THEN 'b'" in text


def test_a_million_are_split_evenly_and_quickly() -> None:
    ids = [str(i) for i in range(1_000_000)]
    arms = (Arm("control", 4), Arm("a", 4), Arm("holdout", 2, holdout=True))
    started = time.process_time()
    arm = arms_of(split(arms=arms), ids)
    assert time.process_time() - started < 10
    counts = np.bincount(arm)
    assert stats.chisquare(counts, [400_000, 400_000, 200_000]).pvalue > 0.001
    for other in (split("summer", arms=arms), split(arms=arms, version=2)):
        mine, theirs = arm[:200_000], arms_of(other, ids[:200_000])
        table = np.bincount(mine * 3 + theirs, minlength=9).reshape(3, 3)
        assert stats.chi2_contingency(table).pvalue > 0.001
    some = [assign(split(arms=arms), [i])[0].arm for i in ids[:500]]
    assert some == [arms[a].name for a in arm[:500]]


def test_the_engine_draws_the_same() -> None:
    layered = split(
        arms=(Arm("it's", 1), Arm("b", 2)), layer=LayerRange("page", "s", 2000, 7000)
    )
    ids = [*AWKWARD, *map(str, range(5000))]
    frame = pd.DataFrame({"customer_id": ids})  # noqa: F841
    rows = duckdb.sql(f"SELECT customer_id, {arm_sql(layered)} FROM frame").fetchall()
    assert dict(rows) == {a.customer_id: a.arm for a in assign(layered, ids)}


def test_experiments_of_a_layer_share_no_customer() -> None:
    ids = [str(i) for i in range(20_000)]
    ranges = [LayerRange("home", "s", 0, 5000), LayerRange("home", "s", 5000, 10_000)]
    one, two = (arms_of(split(str(i), layer=r), ids) >= 0 for i, r in enumerate(ranges))
    assert (one ^ two).all()
    assert abs(one.mean() - 0.5) < 0.02
    assert not ranges[0].overlaps(ranges[1])
    assert ranges[0].overlaps(LayerRange("home", "s", 4999, 5000))
    assert not ranges[0].overlaps(LayerRange("mail", "s", 0, 5000))
    # Inside the range the arms are as even as outside.
    arm = arms_of(split("0", layer=ranges[0]), ids)
    assert abs((arm[one] == 0).mean() - 0.5) < 0.02


def test_overrides_and_exclusions_win_and_say_so() -> None:
    found = assign(
        split(layer=LayerRange("l", "s", 0, 1)),
        ["1", "2", "3"],
        overrides={"1": "model", "2": "model"},
        excluded={"2"},
    )
    assert [(a.arm, a.why) for a in found] == [
        ("model", "override"),
        (None, "excluded"),
        (None, "outside layer"),
    ]
    with pytest.raises(ValueError, match="overrides"):
        assign(split(), ["1"], overrides={"1": "modell"})


@pytest.mark.parametrize(
    "arms",
    [(Arm("a", 1),), (Arm("a", 1), Arm("a", 1)), (Arm("a", 1), Arm("b", 0))],
)
def test_arms_that_are_no_split(arms: tuple[Arm, ...]) -> None:
    with pytest.raises(ValueError, match="arms"):
        split(arms=arms)
