"""Facts of the whole input, put together from those of slices."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

import pyarrow as pa

from features.contracts import CUSTOMERS
from features.profile import is_wordy
from features.spark_worker import LEAST

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

_Key = tuple[str, str | None]


@dataclass(frozen=True)
class Facts:
    """What ``CountFacts`` said of all slices.

    Attributes:
        until: what was known before was looked at; None: only rows were counted.
        sums, least: by what and name, the sum or the minimum of the numbers; see
            ``spark_worker.FACT``.
        words: by what and name, every word, ascending.
        reasons: by table, the rows of each reason.
    """

    until: datetime | None
    sums: Mapping[_Key, int]
    least: Mapping[_Key, int]
    words: Mapping[_Key, tuple[str, ...]]
    reasons: Mapping[str, Mapping[str, int]]

    def rows(self, table: str) -> int:
        """Rows of the input."""
        return self.sums.get(("rows", table), 0)

    def bad(self, table: str) -> int:
        """How many of them are bad."""
        return sum(self.reasons.get(table, {}).values())

    def usual(self, table: str) -> str:
        """The reason of most bad rows; of equally frequent ones the first."""
        reasons = self.reasons.get(table, {})
        return min(reasons, key=lambda reason: (-reasons[reason], reason), default="")

    @property
    def first(self) -> int | None:
        """Time of the first purchase, whenever known, microseconds."""
        return self.least.get(("first", None))

    @property
    def first_known(self) -> int:
        """Time of the first purchase known, microseconds."""
        return self.least["first_known", None]

    @property
    def customers(self) -> int:
        """With a purchase known."""
        return self.sums.get(("customers", None), 0)

    @property
    def twice(self) -> int:
        """Customers with two orders known."""
        return self.sums.get(("twice", None), 0)

    @property
    def known(self) -> frozenset[str]:
        """Tables with a row known."""
        names = {name for (what, name), n in self.sums.items() if what == "known" and n}
        return frozenset(name for name in names if name is not None)

    @property
    def since(self) -> dict[str, int]:
        """As ``History.since``."""
        return {
            name: us
            for (what, name), us in self.least.items()
            if what == "since" and name is not None
        }

    @property
    def is_undated(self) -> bool:
        """As ``profile.is_undated``."""
        name = CUSTOMERS.name
        return name in self.since and not self.sums.get(("dated", name), 0)

    @property
    def wordy(self) -> tuple[str, ...]:
        """As ``History.wordy``."""
        return tuple(
            name
            for (what, name), n in self.sums.items()
            if what == "speaking"
            and name is not None
            and is_wordy(len(self.words.get(("word", name), ())), n)
        )

    @property
    def products(self) -> pa.Array:
        """Ids of the products of every purchase known."""
        return pa.array(self.words.get(("product", None), ()), pa.string())


def facts_of(counted: DataFrame, until: datetime | None) -> Facts:
    """Facts of the rows of ``CountFacts``, put together by Spark."""
    from pyspark.sql import functions as F  # noqa: N812

    added = F.when(~F.col("what").isin(*LEAST), F.col("number"))
    rows = (
        counted.groupBy("what", "name", "word")
        .agg(F.sum(added).alias("total"), F.min("number").alias("least"))
        .toArrow()
        .to_pylist()
    )
    rows.sort(key=lambda row: [value or "" for value in list(row.values())[:3]])
    words: dict[_Key, list[str]] = {}
    reasons: dict[str, dict[str, int]] = {}
    for row in rows:
        if row["what"] == "reason":
            reasons.setdefault(row["name"], {})[row["word"]] = row["total"]
        elif row["word"] is not None:
            words.setdefault((row["what"], row["name"]), []).append(row["word"])
    numbers: dict[str, dict[_Key, int]] = {"total": {}, "least": {}}
    for row in (row for row in rows if row["word"] is None):
        by = "least" if row["what"] in LEAST else "total"
        if row[by] is not None:
            numbers[by][row["what"], row["name"]] = row[by]
    return Facts(
        until=until,
        sums=numbers["total"],
        least=numbers["least"],
        words={key: tuple(found) for key, found in words.items()},
        reasons=reasons,
    )
