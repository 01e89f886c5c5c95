"""Histories part by part -> what insight says of every customer.

Standards are known beforehand, so a part is judged on its way and only codes stay in
memory; what needs the predictions (who is at risk, who is warned) follows at the end.
"""

from __future__ import annotations

from datetime import datetime

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from features.config import Config
from features.history import Array, Bools, Floats, History, Ints, Longs
from features.snapshot import to_us
from serving.insight.columns import NONE, number
from serving.insight.health import DIMENSIONS, TRENDS, health, level_of, trend_of
from serving.insight.hindsight import CHURN, DRIVERS, HEALTH, RECENCY, usual_spend
from serving.insight.portrait import (
    COLUMNS,
    FIGURES,
    HOUR,
    MONTHLY,
    SHOP_TAGS,
    Insight,
    index_of,
)
from serving.insight.preferences import preferences
from serving.insight.since import is_known
from serving.insight.slim import FACT_NAMES, slim
from serving.insight.standards import Standards
from serving.insight.tags import (
    STAGES,
    lifecycle,
    price_sensitivity,
    purchase_frequency,
    spending_power,
    stated_or_usual,
)
from serving.insight.thresholds import Thresholds
from serving.insight.tiers import tier_codes
from serving.insight.warning import gaps_score, judge, loss_of, ranked
from serving.known import rows_of
from training.build import at_cutoff

Shorts = npt.NDArray[np.int16]
MOST_WORDS = 1_000
"""Of a column of the shop's own words; of the rarer ones nothing is said."""


class Portraits:
    """Takes in parts and gives the whole.

    Args:
        cutoff: of the histories.
        standards: as of it.
        config: of tags, tiers, health and strategy.
    """

    def __init__(self, cutoff: datetime, standards: Standards, config: Config) -> None:
        self._cutoff, self._standards, self._config = cutoff, standards, config
        self._ids: list[pa.Array] = []
        self._parts: list[dict[str, Array]] = []
        self._words: dict[str, dict[str, int]] = {name: {} for name in SHOP_TAGS}

    def add(self, history: History) -> Ints:
        """Adds customers, who come no second time.

        Returns:
            Code of ``tiers.ABC`` of each customer of the history, -1: not known.
        """
        config, months = self._config, self._standards.months
        features = slim(history, months)
        here = at_cutoff(features, self._cutoff)
        customer = here.column("customer").to_numpy()
        scores = np.full((len(here), len(months), len(DIMENSIONS)), np.nan, np.float32)
        tiers = np.full((len(here), len(months), len(MONTHLY)), NONE, np.int8)
        returns = self._standards.returns_since
        for place, (moment, thresholds) in enumerate(
            zip(months, self._standards.thresholds, strict=True)
        ):
            rows = at_cutoff(features, moment)
            if thresholds is None or not len(rows):
                continue
            recorded = is_known(returns, moment)
            found = health(rows, config.health, has_returns=recorded)
            at = np.searchsorted(customer, rows.column("customer").to_numpy())
            codes = tier_codes(rows, thresholds, config.tiers)
            for i, name in enumerate(DIMENSIONS):
                scores[at, place, i] = number(found, name)
            for i, name in enumerate(MONTHLY):
                tiers[at, place, i] = codes[name]
        figures = np.full((len(here), len(FIGURES)), np.nan, np.float32)
        for name in FACT_NAMES:
            figures[:, FIGURES.index(name)] = number(here, name)
        now = self._standards.now
        floor = config.health.least_gap_days
        recency = gaps_score(here, now.usual_gap, floor)
        us = to_us(self._cutoff)
        can_fall = usual_spend(history, us, config.health)[1][customer]
        self._ids.append(here.column("customer_id").cast(pa.string()).combine_chunks())
        codes, shop = self._codes(history, here, now)
        self._parts.append(
            {
                **shop,
                "codes": codes.T,
                "figures": figures,
                "scores": scores,
                "tiers": tiers,
                "recency": recency,
                "can_fall": can_fall,
            }
        )
        of_all = np.full(len(history.customers), NONE, np.int32)
        of_all[customer] = codes[COLUMNS.index("abc")]
        return of_all

    def insight(
        self, ids: pa.ChunkedArray, value: pa.Table, churn: pa.Table | None
    ) -> Insight:
        """All parts in one, in the order of the predictions.

        Args:
            ids: of the customers of the predictions.
            value: their ``expected_spend_365d``, in the same order.
            churn: their ``churn_risk``, in the same order; None: not fitted.

        Raises:
            ValueError: the parts are of other customers.
        """
        order = self._order(ids)
        whole = {
            name: np.concatenate([part.pop(name) for part in self._parts])[order]
            for name in list(self._parts[0])
        }
        codes = np.ascontiguousarray(whole["codes"].T)
        words: dict[str, tuple[str, ...]] = {}
        for name in SHOP_TAGS:
            words[name], row = commonest(self._words[name], whole[name])
            codes[COLUMNS.index(name)] = row
        unknown = np.full(len(order), np.nan)
        risk = unknown if churn is None else number(churn, "churn_risk")
        stage = codes[COLUMNS.index("lifecycle")]
        calm = stage == STAGES.index("active")
        stage[calm & (risk >= self._config.tags.at_risk_churn)] = STAGES.index(
            "at risk"
        )
        spend = number(value, "expected_spend_365d")
        self._warn(codes, whole, risk, spend)
        return Insight(
            codes=codes,
            figures=whole["figures"],
            scores=whole["scores"],
            tiers=whole["tiers"],
            words=words,
            standards=self._standards,
            strategy=self._config.strategy,
            rules=self._config.health,
        )

    def _order(self, ids: pa.ChunkedArray) -> Longs:
        """Place in the parts of each customer of the predictions."""
        own = pa.chunked_array(self._ids, pa.string())
        row = rows_of(own, ids)
        if len(own) != len(ids) or (row < 0).any():
            raise ValueError(
                f"insight: expected parts of the {len(ids)} customers of the "
                f"predictions, got {len(own)} customers, {int((row < 0).sum())} others"
            )
        return np.argsort(row, kind="stable")

    def _codes(
        self, history: History, here: pa.Table, now: Thresholds
    ) -> tuple[Shorts, dict[str, Array]]:
        """Codes ``[column, customer]``; apart, those of the shop's words as first met."""
        tags = self._config.tags
        found: dict[str, Array] = {
            "spending_power": spending_power(here, now),
            "purchase_frequency": purchase_frequency(here, tags),
            "price_sensitivity": price_sensitivity(here, now),
            # Who is at risk by the model is told when all are scored.
            "lifecycle": lifecycle(here, None, now, tags),
        }
        usual = preferences(history, to_us(self._cutoff)).take(here.column("customer"))
        category = usual.column("preferred_category")
        channel = stated_or_usual(here, usual.column("preferred_channel"))
        shop: dict[str, Array] = {
            name: self._coded(name, column)
            for name, column in zip(SHOP_TAGS, (category, channel), strict=True)
        }
        hour = usual.column(HOUR).fill_null(NONE)
        found[HOUR] = np.asarray(hour.to_numpy())
        found |= tier_codes(here, now, self._config.tiers)
        codes = np.full((len(COLUMNS), len(here)), NONE, np.int16)
        for name, code in found.items():
            codes[COLUMNS.index(name)] = code
        return codes, shop

    def _coded(self, name: str, words: pa.ChunkedArray) -> Ints:
        known = self._words[name]
        encoded = words.cast(pa.string()).combine_chunks().dictionary_encode()
        local = np.array(
            [known.setdefault(w, len(known)) for w in encoded.dictionary.to_pylist()]
            + [NONE],
            np.int32,
        )
        at = encoded.indices.fill_null(len(local) - 1)
        return local[np.asarray(at.to_numpy(zero_copy_only=False))]

    def _warn(
        self, codes: Shorts, whole: dict[str, Array], risk: Floats, spend: Floats
    ) -> None:
        """Level, trend and warning of everyone, in place."""
        rules, drivers = self._config.health, self._standards.past.drivers
        index = index_of(whole["scores"][:, -1])
        trend = trend_of(whole["scores"])
        scores = {HEALTH: 1 - index / 100, CHURN: risk, RECENCY: whole["recency"]}
        can_fall: Bools = whole["can_fall"]
        # Of whom nothing is usual, nothing can be missed.
        of = {n: np.where(can_fall, score, np.nan) for n, score in scores.items()}
        judged = judge({**of, CHURN: ranked(of[CHURN])}, drivers)
        is_warned, by = judged.is_warned, judged.by
        if not drivers:
            is_falling = trend == TRENDS.index("falling")
            is_warned = can_fall & is_falling & (index < rules.alert_line)
            by = np.where(can_fall, DRIVERS.index(HEALTH), NONE).astype(np.int8)
        codes[COLUMNS.index("health_level")] = level_of(index, rules)
        codes[COLUMNS.index("health_trend")] = trend
        codes[COLUMNS.index("warning")] = is_warned
        codes[COLUMNS.index("driver")] = by
        whole["figures"][:, FIGURES.index("chance")] = judged.chance
        loss = loss_of(judged.chance, spend)
        whole["figures"][:, FIGURES.index("expected_loss")] = loss


def commonest(known: dict[str, int], codes: Ints) -> tuple[tuple[str, ...], Shorts]:
    """The words that most customers have, in order, and the codes by them.

    Args:
        known: code by word.
        codes: of each customer, -1: unknown.
    """
    count = np.bincount(codes[codes >= 0], minlength=len(known))
    kept = sorted(known, key=lambda word: (-count[known[word]], word))[:MOST_WORDS]
    words = tuple(sorted(kept))
    new = np.full(len(known) + 1, NONE, np.int16)
    for code, word in enumerate(words):
        new[known[word]] = code
    return words, new[codes]
