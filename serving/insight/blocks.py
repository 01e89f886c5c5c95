"""Measures by group and period, as they are published: one array and its facts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

import numpy as np
import numpy.typing as npt

from features.config import KpisConfig
from serving.insight.kpis import MEASURES, By, Kind
from serving.insight.periods import Periods, periods_from

Floats = npt.NDArray[np.float64]

COLUMN = {name: at for at, name in enumerate(MEASURES)}
"""The place of each measure."""


@dataclass(frozen=True)
class Block:
    """The measures of one grouping and one kind of period.

    Attributes:
        groups: names, ascending; None comes last: the group is not known.
        cells: float64 ``[group, period, measure]``, the measures in the order of
            ``MEASURES``; NaN: not measured.
    """

    by: By
    kind: Kind
    groups: tuple[str | None, ...]
    periods: Periods
    cells: Floats


@dataclass(frozen=True)
class Kpis:
    """All measures as of a cutoff.

    Attributes:
        cutoff: nothing later is known.
        config: what they were made with.
        blocks: by grouping and kind.
    """

    cutoff: datetime
    config: KpisConfig
    blocks: Mapping[tuple[By, Kind], Block]

    def facts(self) -> dict[str, Any]:
        """What ``Kpis.of`` needs beside ``cells``, as JSON."""
        return {
            "config": self.config.model_dump(mode="json"),
            "measures": list(MEASURES),
            "blocks": [
                {
                    "by": block.by,
                    "kind": block.kind,
                    "groups": list(block.groups),
                    "days": [day.isoformat() for day in block.periods.days],
                }
                for block in self.blocks.values()
            ],
        }

    def cells(self) -> Floats:
        """The cells of all blocks, one after the other, ``[cell, measure]``."""
        parts = [b.cells.reshape(-1, len(MEASURES)) for b in self.blocks.values()]
        return np.concatenate(parts) if parts else np.empty((0, len(MEASURES)))

    @classmethod
    def of(cls, facts: Mapping[str, Any], cells: Floats, cutoff: datetime) -> Kpis:
        """What was published.

        Args:
            facts: of ``facts``.
            cells: of ``cells``, perhaps mapped.
            cutoff: of the version.
        """
        config = KpisConfig.model_validate(facts["config"])
        blocks: dict[tuple[By, Kind], Block] = {}
        start = 0
        for said in facts["blocks"]:
            days = [date.fromisoformat(day) for day in said["days"]]
            periods = periods_from(said["kind"], days, cutoff, config.timezone)
            groups = tuple(said["groups"])
            shape = (len(groups), len(periods), len(facts["measures"]))
            end = start + shape[0] * shape[1]
            blocks[said["by"], said["kind"]] = Block(
                said["by"],
                said["kind"],
                groups,
                periods,
                cells[start:end].reshape(shape),
            )
            start = end
        return cls(cutoff, config, blocks)
