"""Who moved between two drawn tables."""

from __future__ import annotations

import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st

from serving.insight.migration import ABSENT, Migration, migrate
from serving.insight.tiers import ABC


def table(tiers: dict[str, str | None]) -> pa.Table:
    return pa.table(
        {
            "customer_id": pa.array(list(tiers), pa.string()),
            "abc": pa.array(list(tiers.values()), pa.string()).dictionary_encode(),
        }
    )


def moved(
    before: dict[str, str | None], after: dict[str, str | None]
) -> tuple[Migration, list[tuple[str, ...]]]:
    migration, movers = migrate(table(before), table(after), "abc", ABC)
    columns = movers.to_pydict().values()
    return migration, list(zip(*columns, strict=True))


def test_matrix_rates_and_movers() -> None:
    migration, movers = moved(
        {"d": "C", "a": "A", "b": "C", "c": "C", "e": "B", "g": None},
        {"a": "A", "b": "B", "c": "C", "d": "A", "f": "C", "g": "C"},
    )
    assert migration.names == ("A", "B", "C", ABSENT)
    assert migration.counts.tolist() == [
        [1, 0, 0, 0],
        [0, 0, 0, 1],
        [1, 1, 1, 0],
        [0, 0, 2, 0],
    ]
    assert migration.rate("C", "B") == 1 / 3
    assert migration.rate("B", ABSENT) == 1.0
    assert movers == [
        ("b", "C", "B"),
        ("d", "C", "A"),
        ("e", "B", ABSENT),
        ("f", ABSENT, "C"),
        ("g", ABSENT, "C"),
    ]


def test_a_tier_that_was_empty_has_no_rate() -> None:
    migration, movers = moved({"a": "A"}, {"a": "A"})
    assert (migration.rate("C", "B"), movers) == (None, [])
    shares = migration.to_table().to_pydict()["share"]
    assert shares == [1.0, 0.0, 0.0, 0.0] + [None] * 12


def test_nobody_at_either_date() -> None:
    migration, movers = moved({}, {})
    assert (migration.counts.sum(), movers) == (0, [])


tiers_drawn = st.dictionaries(
    st.text("abcdef", min_size=1, max_size=2), st.sampled_from([*ABC, None])
)


@given(tiers_drawn, tiers_drawn)
def test_everyone_is_counted_once_and_the_way_back_is_the_transpose(
    before: dict[str, str | None], after: dict[str, str | None]
) -> None:
    there, movers = moved(before, after)
    back, _ = moved(after, before)
    assert (back.counts == there.counts.T).all()
    assert there.counts.sum() == len(before.keys() | after.keys())
    assert len(movers) == there.counts.sum() - there.counts.trace()
