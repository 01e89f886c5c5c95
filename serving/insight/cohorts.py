"""The retention triangle: of the customers of a month, who orders so many months on."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from serving.insight.blocks import COLUMN, Block


@dataclass(frozen=True)
class Triangle:
    """Cohorts by the month of their first order.

    Attributes:
        cohorts: months, ascending.
        size: customers of each, ``[cohort]``.
        buyers: those with an order so many months later, ``[cohort, age]``; NaN: that
            month is not over by the cutoff. Age 0 is the month of the first order.
    """

    cohorts: tuple[str, ...]
    size: npt.NDArray[np.float64]
    buyers: npt.NDArray[np.float64]

    @property
    def retention(self) -> npt.NDArray[np.float64]:
        """Shares ``[cohort, age]``; NaN: nobody is in the cohort, or not known yet."""
        size = np.where(self.size == 0, np.nan, self.size)
        return self.buyers / size[:, None]


def triangle(block: Block) -> Triangle:
    """The triangle of the block of cohorts by month.

    Raises:
        ValueError: the block is another one.
    """
    if (block.by, block.kind) != ("cohort", "month"):
        raise ValueError(
            f"block: expected cohort by month, got {block.by} by {block.kind}"
        )
    cohorts = tuple(group for group in block.groups if group is not None)
    months = {name: at for at, name in enumerate(block.periods.names)}
    over = int(block.periods.complete.sum())
    buyers = np.full((len(cohorts), len(months)), np.nan)
    size = np.zeros(len(cohorts))
    for row, cohort in enumerate(cohorts):
        at = months[cohort]
        known = block.cells[row, at:over, COLUMN["cohort_buyers"]]
        buyers[row, : len(known)] = known
        size[row] = block.cells[row, at, COLUMN["cohort_customers"]]
    return Triangle(cohorts, size, buyers)
