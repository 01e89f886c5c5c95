"""What insight says of every customer, as it is published and read.

Words are codes, so that a filter is one comparison over a column, and all that is
said of one customer lies in four arrays.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from features.config import HealthConfig, StrategyConfig
from features.history import Array, Bools, Floats
from features.insight_config import SEGMENTS
from serving.insight.columns import NONE
from serving.insight.health import DIMENSIONS, LEVELS, TRENDS
from serving.insight.hindsight import DRIVERS
from serving.insight.slim import FACT_NAMES
from serving.insight.standards import Standards
from serving.insight.tags import LEVELS as THIRDS
from serving.insight.tags import PACES, STAGES
from serving.insight.tiers import ABC, FREQUENCIES, HALVES, NEEDS

FIFTHS = ("1", "2", "3", "4", "5")

TAG_WORDS: dict[str, tuple[str, ...]] = {
    "spending_power": THIRDS,
    "purchase_frequency": PACES,
    "price_sensitivity": THIRDS,
    "lifecycle": STAGES,
}
"""Tags of a closed set of words; the other three are words of the shop, or an hour."""

SHOP_TAGS = ("preferred_category", "preferred_channel")
HOUR = "preferred_hour"

TIER_WORDS: dict[str, tuple[str, ...]] = {
    "abc": ABC,
    "frequency_tier": FREQUENCIES,
    "recency": FIFTHS,
    "frequency": FIFTHS,
    "monetary": FIFTHS,
    "value": HALVES,
    "potential": HALVES,
    "need": NEEDS,
    "strategy": SEGMENTS,
}

MONTHLY = ("abc", "frequency_tier", "strategy")
"""Tiers that are known of every month."""

STATE_WORDS: dict[str, tuple[str, ...]] = {
    "health_level": LEVELS,
    "health_trend": TRENDS,
    "warning": ("no", "yes"),
    "driver": DRIVERS,
}

CLOSED_WORDS = TAG_WORDS | TIER_WORDS | STATE_WORDS
COLUMNS = (*TAG_WORDS, *SHOP_TAGS, HOUR, *TIER_WORDS, *STATE_WORDS)
"""Codes, in the order in which they are published."""

FIGURES = (*FACT_NAMES, "chance", "expected_loss")

ARRAYS = ("insight_codes", "insight_figures", "insight_scores", "insight_tiers")
"""Names of the files."""

Shorts = npt.NDArray[np.int16]


@dataclass(frozen=True)
class Insight:
    """Of the customers of a version, in their order.

    Attributes:
        codes: int16 ``[column, customer]`` of ``COLUMNS``, -1: not known; of the hour
            0 to 23.
        figures: float32 ``[customer, figure]`` of ``FIGURES``, NaN: not known.
            ``chance`` is to be lost, ``expected_loss`` what is at stake then.
        scores: float32 ``[customer, month, dimension]`` of the health index, 0 to
            100, NaN: no data, or no customer yet.
        tiers: int8 ``[customer, month, tier]`` of ``MONTHLY``, -1: not known.
        words: of the columns that are the shop's own.
        standards: what the customers are held against.
        strategy: what is done for whom.
        rules: of health.
    """

    codes: Shorts
    figures: npt.NDArray[np.float32]
    scores: npt.NDArray[np.float32]
    tiers: npt.NDArray[np.int8]
    words: Mapping[str, tuple[str, ...]]
    standards: Standards
    strategy: StrategyConfig
    rules: HealthConfig

    def column(self, name: str) -> Shorts:
        """Codes of a column, ``[customer]``."""
        return self.codes[COLUMNS.index(name)]

    def words_of(self, name: str) -> tuple[str, ...]:
        """The words of a column, by code."""
        return CLOSED_WORDS.get(name) or self.words.get(name, ())

    @cached_property
    def filters(self) -> dict[str, tuple[str, ...]]:
        """Columns that customers can be chosen by, with their words."""
        left_out = ("driver", HOUR, "preferred_channel")
        return {
            name: self.words_of(name)
            for name in COLUMNS
            if name not in left_out and self.words_of(name)
        }

    @property
    def is_warned(self) -> Bools:
        """Who is under an early warning, ``[customer]``."""
        return self.column("warning") == 1

    def figure(self, name: str) -> npt.NDArray[np.float32]:
        """A figure of everyone, ``[customer]``."""
        return self.figures[:, FIGURES.index(name)]

    def word(self, name: str, row: int) -> str | None:
        """The word of one customer; None: not known."""
        code = int(self.codes[COLUMNS.index(name), row])
        return None if code == NONE else self.words_of(name)[code]

    def number(self, name: str, row: int) -> float | None:
        """A figure of one customer; None: not known."""
        value = float(self.figures[row, FIGURES.index(name)])
        return None if value != value else value

    def arrays(self) -> dict[str, Array]:
        """By name of the file."""
        found = (self.codes, self.figures, self.scores, self.tiers)
        return dict(zip(ARRAYS, found, strict=True))

    def facts(self) -> dict[str, Any]:
        """The rest, as JSON."""
        return {
            "columns": list(COLUMNS),
            "figures": list(FIGURES),
            "dimensions": list(DIMENSIONS),
            "words": {name: list(words) for name, words in self.words.items()},
            "standards": self.standards.facts(),
            "strategy": self.strategy.model_dump(mode="json"),
            "health": self.rules.model_dump(mode="json"),
        }

    @classmethod
    def of(cls, facts: Mapping[str, Any], arrays: Mapping[str, Array]) -> Insight:
        """What was published."""
        codes, figures, scores, tiers = (arrays[name] for name in ARRAYS)
        return cls(
            codes=codes,
            figures=figures,
            scores=scores,
            tiers=tiers,
            words={name: tuple(words) for name, words in facts["words"].items()},
            standards=Standards.of(facts["standards"]),
            strategy=StrategyConfig.model_validate(facts["strategy"]),
            rules=HealthConfig.model_validate(facts["health"]),
        )


def index_of(scores: npt.NDArray[np.floating[Any]]) -> Floats:
    """The health index: the mean of the dimensions that have data; NaN: none has.

    Args:
        scores: ``[…, dimension]``.
    """
    known = ~np.isnan(scores)
    n = known.sum(axis=-1)
    total = np.where(known, scores, 0.0).sum(axis=-1, dtype=np.float64)
    return total / np.where(n > 0, n, np.nan)
