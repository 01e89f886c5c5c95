"""Tiers: RFM, A/B/C, frequency, value x potential x need; and who moved.

Source: row 10 of the product description. RFM after Hughes (1994), "Strategic
Database Marketing": fifths of recency, frequency and spend, 5 the best.
"""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from features.config import TiersConfig
from features.history import Floats
from features.insight_config import SEGMENTS
from serving.insight.columns import NONE, Codes, number, standing, words
from serving.insight.indicators import need_indicators, potential
from serving.insight.thresholds import Thresholds

ABC = ("A", "B", "C")
FREQUENCIES = ("none", "low", "medium", "high")
HALVES = ("low", "high")
NEEDS = ("rational", "emotional", "social")


def tier(features: pa.Table, thresholds: Thresholds, config: TiersConfig) -> pa.Table:
    """All tiers of every customer at a cutoff.

    Args:
        features: rows of ``assemble`` at the cutoff.
        thresholds: of the quarter.
        config: the frequency tiers.

    Returns:
        In the order of ``features``: ``customer_id``; ``recency``, ``frequency``,
        ``monetary`` (1 to 5, 5 the best) and ``rfm`` (their digits, 111 to 555);
        ``abc``; ``frequency_tier``; ``value`` and ``potential`` (low, high);
        ``need``; ``segment`` by value and potential, see ``SEGMENTS``. Null: no data.
    """
    codes = tier_codes(features, thresholds, config)
    fifths = [_of_five(codes[name]) for name in ("recency", "frequency", "monetary")]
    return pa.table(
        {
            "customer_id": features.column("customer_id").cast(pa.string()),
            "recency": _score(fifths[0]),
            "frequency": _score(fifths[1]),
            "monetary": _score(fifths[2]),
            "rfm": _rfm(*fifths),
            "abc": words(codes["abc"], ABC),
            "frequency_tier": words(codes["frequency_tier"], FREQUENCIES),
            "value": words(codes["value"], HALVES),
            "potential": words(codes["potential"], HALVES),
            "need": words(codes["need"], NEEDS),
            "segment": words(codes["strategy"], SEGMENTS),
        }
    )


def tier_codes(
    features: pa.Table, thresholds: Thresholds, config: TiersConfig
) -> dict[str, Codes]:
    """The same as codes, ``NONE``: no data; arguments as of ``tier``.

    ``recency``, ``frequency`` and ``monetary`` are 0 for the first fifth to 4;
    ``strategy`` is the segment by value and potential.
    """
    spend = number(features, "spend_sum_365d")
    quiet = number(features, "days_since_last_order")
    orders = number(features, "orders_count_365d")
    high = above(spend, thresholds.value)
    promising = above(potential(features), thresholds.potential)
    fifths = {
        "recency": fifth(-quiet, thresholds.recency),
        "frequency": fifth(orders, thresholds.frequency),
        "monetary": fifth(spend, thresholds.spend),
    }
    from_zero = {
        name: np.where(code < 0, NONE, code - 1).astype(np.int8)
        for name, code in fifths.items()
    }
    return from_zero | {
        "abc": abc(spend, thresholds),
        "frequency_tier": frequency_tier(features, config),
        "value": high,
        "potential": promising,
        "need": need(features, thresholds),
        "strategy": segment(high, promising),
    }


def _of_five(codes: Codes) -> Codes:
    """Fifths from 1 to 5; ``NONE`` stays."""
    return np.where(codes < 0, NONE, codes + 1).astype(np.int8)


def fifth(values: Floats, edges: tuple[float, ...]) -> Codes:
    """1 to 5: 1 and the edges below; a value at an edge is in the fifth below it.

    Where a value fills several fifths it takes the middle one: 3 if all are equal.
    """
    below = standing(values, edges)
    known = ~np.isnan(below)
    codes = np.full(len(values), NONE, np.int8)
    codes[known] = 1 + np.floor(below[known]).astype(np.int8)
    return codes


def above(values: Floats, threshold: float) -> Codes:
    """Codes of ``HALVES``: high above the threshold; NaN: ``NONE``."""
    codes = (values > threshold).astype(np.int8)
    codes[np.isnan(values) | np.isnan(threshold)] = NONE
    return codes


def abc(spend: Floats, thresholds: Thresholds) -> Codes:
    """Codes of ``ABC`` by net spend of the last 365 days.

    A are the best customers who together made up ``a_share`` of the spend of all, B
    those who fill it up to ``b_share``, C all others: also who spent nothing.
    """
    codes = np.full(len(spend), ABC.index("C"), np.int8)
    codes[spend >= thresholds.b_spend] = ABC.index("B")
    codes[spend >= thresholds.a_spend] = ABC.index("A")
    codes[np.isnan(spend)] = NONE
    return codes


def frequency_tier(features: pa.Table, config: TiersConfig) -> Codes:
    """Codes of ``FREQUENCIES`` by orders of the last 365 days; none: no order."""
    orders = number(features, "orders_count_365d")
    codes = np.zeros(len(orders), np.int8)
    codes[orders >= 1] = FREQUENCIES.index("low")
    codes[orders >= config.medium_orders] = FREQUENCIES.index("medium")
    codes[orders > config.high_orders] = FREQUENCIES.index("high")
    codes[np.isnan(orders)] = NONE
    return codes


def segment(value: Codes, promising: Codes) -> Codes:
    """Codes of ``SEGMENTS``; ``NONE`` where one of the two is."""
    codes = np.array([[3, 1], [2, 0]], np.int8)[value, promising]
    codes[(value < 0) | (promising < 0)] = NONE
    return codes


def need(features: pa.Table, thresholds: Thresholds) -> Codes:
    """Codes of ``NEEDS``: the need in which a customer stands highest in the shop.

    A standing is the place among customers who have any of it; of equal ones the
    earlier of ``NEEDS``. Null where nothing speaks for any, and where fewer than two
    needs have data: one alone would be everybody's.
    """
    found = need_indicators(features)
    place = np.stack(
        [
            np.where(
                values > 0, standing(values, getattr(thresholds, name)) + 1, values * 0
            )
            for name, values in found.items()
        ]
    )
    known = ~np.isnan(place)
    place[~known] = -1
    codes = place.argmax(axis=0).astype(np.int8)
    codes[(known.sum(axis=0) < 2) | (place.max(axis=0) <= 0)] = NONE
    return codes


def _score(codes: Codes) -> pa.Array:
    return pa.array(codes, mask=codes < 0)


def _rfm(recency: Codes, frequency: Codes, monetary: Codes) -> pa.Array:
    digits = recency.astype(np.int16) * 100 + frequency * np.int16(10) + monetary
    unknown = (recency < 0) | (frequency < 0) | (monetary < 0)
    return pa.array(digits, mask=unknown)
