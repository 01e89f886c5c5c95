"""Tiers at two days, part by part: who moved between them."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

import pyarrow as pa

from features.config import Config
from features.engine import Tables
from features.history import History
from serving.insight.columns import words
from serving.insight.migration import Migration, migrate
from serving.insight.portrait import TIER_WORDS
from serving.insight.slim import slim
from serving.insight.standards import thresholds_at
from serving.insight.thresholds import Thresholds
from serving.insight.tiers import tier_codes
from training.build import at_cutoff
from training.survey import read_survey


def moves(
    tables: Tables, days: tuple[datetime, datetime], tier: str, config: Config
) -> tuple[Migration, pa.Table]:
    """The matrix of a tier between two days, and the customers who moved.

    Args:
        tables: the input; each day is judged by what was known then.
        days: ascending.
        tier: of ``portrait.TIER_WORDS``.
        config: of tiers.

    Returns:
        As of ``migration.migrate``.
    """
    survey = read_survey(tables, days[1], config)
    thresholds = thresholds_at(survey.history, list(days), config)
    parts = [
        tiers_at(part, days, thresholds, tier, config) for part in survey.parts(tables)
    ]
    before, after = (
        pa.concat_tables([part[at] for part in parts]) for at in range(len(days))
    )
    return migrate(before, after, tier, TIER_WORDS[tier])


def tiers_at(
    history: History,
    days: Sequence[datetime],
    thresholds: Sequence[Thresholds | None],
    tier: str,
    config: Config,
) -> list[pa.Table]:
    """``customer_id`` and the tier of a part's customers at each day."""
    features = slim(history, days)
    found: list[pa.Table] = []
    for day, known in zip(days, thresholds, strict=True):
        rows = at_cutoff(features, day)
        ids = rows.column("customer_id").cast(pa.string())
        if known is None:
            column = pa.nulls(len(rows), pa.dictionary(pa.int32(), pa.string()))
        else:
            codes = tier_codes(rows, known, config.tiers)[tier]
            column = words(codes, TIER_WORDS[tier])
        found.append(pa.table({"customer_id": ids, tier: column}))
    return found
