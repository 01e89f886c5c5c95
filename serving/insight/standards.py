"""What a shop's customers are held against, told before anyone is judged.

Thresholds are quantiles of the customers that models learn from: of all of a small
shop, of some hundred thousand, drawn by their ids, of a large one.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from datetime import datetime
from typing import Any

import numpy as np
import pyarrow as pa

from features.config import Config
from features.history import History
from serving.insight.health import month_cutoffs
from serving.insight.lookback import Lookback, look_back
from serving.insight.since import is_known, known_since, returns_since
from serving.insight.slim import slim
from serving.insight.thresholds import Thresholds, fit_thresholds, threshold_moment
from training.build import at_cutoff


@dataclass(frozen=True)
class Standards:
    """As of a cutoff.

    Attributes:
        months: the cutoff and the same day of the months before it, ascending.
        thresholds: of the quarter of each month; None: nobody was a customer then.
        returns_since: when the first returned line was known; None: none was.
        past: what drives warnings.
    """

    months: tuple[datetime, ...]
    thresholds: tuple[Thresholds | None, ...]
    returns_since: datetime | None
    past: Lookback

    @property
    def now(self) -> Thresholds:
        """Those of the cutoff.

        Raises:
            ValueError: nobody is a customer.
        """
        found = self.thresholds[-1]
        if found is None:
            raise ValueError(
                "thresholds: expected customers before the cutoff, got none"
            )
        return found

    def facts(self) -> dict[str, Any]:
        """What is kept with a version, as JSON."""
        return {
            "months": [month.isoformat() for month in self.months],
            "thresholds": [
                None if one is None else _plain(asdict(one)) for one in self.thresholds
            ],
            "returns_since": None
            if self.returns_since is None
            else self.returns_since.isoformat(),
            "past": self.past.facts(),
        }

    @classmethod
    def of(cls, facts: Mapping[str, Any]) -> Standards:
        """What was published."""
        return cls(
            months=tuple(datetime.fromisoformat(one) for one in facts["months"]),
            thresholds=tuple(
                None if one is None else _thresholds(one) for one in facts["thresholds"]
            ),
            returns_since=_moment(facts.get("returns_since")),
            past=Lookback.of(facts["past"]),
        )


def standards_of(
    history: History, cutoff: datetime, first: datetime, config: Config
) -> Standards:
    """Learn them.

    Args:
        history: of the customers to learn from; rows at or after the cutoff are not
            read.
        cutoff: of the version.
        first: the first purchase of the shop.
        config: of tags, tiers, health and churn.
    """
    months = month_cutoffs(cutoff, config.health.months)
    since = returns_since(history)
    return Standards(
        months=tuple(months),
        thresholds=thresholds_at(history, months, config),
        returns_since=since if is_known(since, cutoff) else None,
        past=look_back(history, cutoff, first, config),
    )


def thresholds_at(
    history: History, moments: list[datetime], config: Config
) -> tuple[Thresholds | None, ...]:
    """The thresholds of some moments; None: no customer was known by then.

    Those of one quarter are the same, if a customer was known when it began.
    """
    first = known_since(history)
    if first is None:
        return (None,) * len(moments)
    taken = [threshold_moment(moment, first) for moment in moments]
    features = slim(history, taken)

    def fit(moment: datetime) -> Thresholds | None:
        rows: pa.Table = at_cutoff(features, moment)
        return fit_thresholds(rows, config.tags, config.tiers) if len(rows) else None

    fitted = {moment: fit(moment) for moment in set(taken)}
    return tuple(fitted[moment] for moment in taken)


def _plain(values: Mapping[str, Any]) -> dict[str, Any]:
    """Numbers with null for NaN, moments as texts."""

    def one(value: Any) -> Any:
        if isinstance(value, datetime):
            return value.isoformat()
        if isinstance(value, tuple):
            return [one(part) for part in value]
        return None if np.isnan(value) else value

    return {name: one(value) for name, value in values.items()}


def _moment(text: str | None) -> datetime | None:
    return None if text is None else datetime.fromisoformat(text)


def _thresholds(facts: Mapping[str, Any]) -> Thresholds:
    def one(value: Any) -> Any:
        if isinstance(value, list):
            return tuple(one(part) for part in value)  # pyright: ignore[reportUnknownVariableType]
        return float("nan") if value is None else value

    named: dict[str, Any] = {
        field.name: one(facts[field.name]) for field in fields(Thresholds)
    }
    named["as_of"] = datetime.fromisoformat(facts["as_of"])
    return Thresholds(**named)
