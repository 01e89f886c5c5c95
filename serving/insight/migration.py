"""Who moved between two dates: the matrix of a tier, and the list of movers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from features.history import Longs
from serving.insight.columns import Codes, codes_of, find, words

ABSENT = "absent"
"""No customer yet, or no longer in the table; or without a tier."""


@dataclass(frozen=True)
class Migration:
    """How the customers of one date are spread at another.

    Attributes:
        names: of the tiers, then ``ABSENT``.
        counts: customers, shape ``[before, after]``, in the order of ``names``.
    """

    names: tuple[str, ...]
    counts: Longs

    def rate(self, before: str, after: str) -> float | None:
        """Share of those in one tier who are in another now; None: nobody was in it.

        Who is absent now counts in the denominator.
        """
        row = self.counts[self.names.index(before)]
        total = int(row.sum())
        return int(row[self.names.index(after)]) / total if total else None

    def to_table(self) -> pa.Table:
        """``before``, ``after``, ``customers`` and ``share`` of the before; all pairs.

        ``share`` is null where nobody was in the tier before.
        """
        n = len(self.names)
        totals = self.counts.sum(axis=1, keepdims=True)
        share = self.counts / np.where(totals > 0, totals, np.nan)
        return pa.table(
            {
                "before": words(np.repeat(np.arange(n), n), self.names),
                "after": words(np.tile(np.arange(n), n), self.names),
                "customers": self.counts.ravel(),
                "share": pa.array(share.ravel(), from_pandas=True),
            }
        )


def migrate(
    before: pa.Table, after: pa.Table, column: str, names: Sequence[str]
) -> tuple[Migration, pa.Table]:
    """Compare a tier at two cutoffs.

    Args:
        before: rows of ``tiers.tier``, of ``tags.tag`` or any other with
            ``customer_id``, each customer once, and the column.
        after: the same of the later cutoff.
        column: of the tier.
        names: its values, in the order of the matrix.

    Returns:
        The matrix; and the movers, ordered by id: ``customer_id``, ``before``,
        ``after``, one row for everyone whose tier is not the same. A customer who
        is absent at one of the dates moved from or to ``ABSENT``.
    """
    absent = len(names)
    ids = _ids(before), _ids(after)
    everyone = pa.concat_arrays(ids).unique()
    old, new = (
        _at(everyone, one, codes_of(table.column(column), names), absent)
        for one, table in zip(ids, (before, after), strict=True)
    )
    labels = (*names, ABSENT)
    counts = np.bincount(old * len(labels) + new, minlength=len(labels) ** 2)
    moved = np.flatnonzero(old != new)
    movers = pa.table(
        {
            "customer_id": everyone.take(pa.array(moved)),
            "before": words(old[moved], labels),
            "after": words(new[moved], labels),
        }
    )
    square = counts.reshape(len(labels), len(labels)).astype(np.int64)
    return Migration(labels, square), movers.sort_by("customer_id")


def _ids(table: pa.Table) -> pa.Array:
    return table.column("customer_id").cast(pa.string()).combine_chunks()


def _at(everyone: pa.Array, ids: pa.Array, codes: Codes, absent: int) -> Longs:
    row = find(everyone, ids).fill_null(len(ids)).to_numpy()
    known = np.append(codes.astype(np.int64), absent)[row]
    known[known < 0] = absent
    return known
