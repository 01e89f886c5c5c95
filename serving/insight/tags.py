"""Tags: what kind of customer this is, in words, each by a rule of its own.

Source: row 9 of the product description; thresholds in ``features.insight_config``.
"""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from features.config import TagsConfig
from features.history import Floats
from serving.insight.columns import NONE, Codes, find, level, must_match, number, words
from serving.insight.indicators import order_amount, usual_gap
from serving.insight.thresholds import Thresholds

LEVELS = ("low", "medium", "high")
PACES = ("weekly", "monthly", "quarterly", "rarely", "once")
STAGES = ("new", "active", "dormant", "at risk", "lost")

_NEW, _ACTIVE, _DORMANT, _AT_RISK, _LOST = range(len(STAGES))


def tag(
    features: pa.Table,
    churn: pa.Table | None,
    preferred: pa.Table,
    thresholds: Thresholds,
    config: TagsConfig,
) -> pa.Table:
    """All tags of every customer at a cutoff.

    Args:
        features: rows of ``assemble`` at the cutoff.
        churn: rows of ``Churn.predict`` of the same customers in the same order;
            None: no risk is known.
        preferred: rows of ``preferences``; more customers, in any order, are allowed.
        thresholds: of the quarter.
        config: rules.

    Returns:
        In the order of ``features``: ``customer_id``, ``spending_power``,
        ``purchase_frequency``, ``price_sensitivity``, ``lifecycle`` (texts as
        dictionaries), ``preferred_category``, ``preferred_channel``,
        ``preferred_hour``. The channel is the one that the profile names, else that
        of most orders. Null: the dimension has no data, or the customer none in it.

    Raises:
        ValueError: churn is of other customers.
    """
    columns = {
        "customer_id": features.column("customer_id").cast(pa.string()),
        "spending_power": words(spending_power(features, thresholds), LEVELS),
        "purchase_frequency": words(purchase_frequency(features, config), PACES),
        "price_sensitivity": words(price_sensitivity(features, thresholds), LEVELS),
        "lifecycle": words(lifecycle(features, churn, thresholds, config), STAGES),
    }
    return pa.table(columns | _preferred(features, preferred))


def spending_power(features: pa.Table, thresholds: Thresholds) -> Codes:
    """Codes of ``LEVELS`` by the mean net spend of an order in the last 365 days."""
    low, high = thresholds.order_amount
    return level(order_amount(features), low, high)


def price_sensitivity(features: pa.Table, thresholds: Thresholds) -> Codes:
    """Codes of ``LEVELS`` by the share of order lines bought on offer.

    On offer: below the list amount, or of a campaign. Who never does is "low",
    however rare that is. Null: no line says either.
    """
    share = number(features, "offer_lines_share")
    codes = level(share, *thresholds.discount)
    codes[share == 0] = 0
    return codes


def purchase_frequency(features: pa.Table, config: TagsConfig) -> Codes:
    """Codes of ``PACES`` by the median gap between days with an order.

    "once": all orders on one day.
    """
    gap = number(features, "days_gap_median")
    steps = (config.weekly_days, config.monthly_days, config.quarterly_days)
    # A gap at a step still has its pace; NaN sorts after all steps.
    codes = np.searchsorted(steps, gap, side="left").astype(np.int8)
    codes[np.isnan(gap)] = PACES.index("once")
    return codes


def lifecycle(
    features: pa.Table,
    churn: pa.Table | None,
    thresholds: Thresholds,
    config: TagsConfig,
) -> Codes:
    """Codes of ``STAGES``; the first rule that holds.

    1. lost: no order for ``lost_gaps`` usual gaps, or for ``lost_days``;
    2. dormant: none for ``dormant_gaps`` usual gaps;
    3. new: the first order is less than ``new_days`` ago;
    4. at risk: none for ``at_risk_gaps`` usual gaps, or the churn risk is
       ``at_risk_churn`` or higher;
    5. active.

    Raises:
        ValueError: churn is of other customers.
    """
    quiet = number(features, "days_since_last_order")
    gaps = quiet / usual_gap(features, thresholds.usual_gap, config.least_gap_days)
    risk = _risk(features, churn)
    rules = (
        (_AT_RISK, (gaps >= config.at_risk_gaps) | (risk >= config.at_risk_churn)),
        (_NEW, number(features, "days_since_first_order") < config.new_days),
        (_DORMANT, gaps >= config.dormant_gaps),
        (_LOST, (gaps >= config.lost_gaps) | (quiet >= config.lost_days)),
    )
    codes = np.full(len(quiet), _ACTIVE, np.int8)
    for code, holds in rules:
        codes[holds] = code
    codes[np.isnan(quiet)] = NONE
    return codes


def _risk(features: pa.Table, churn: pa.Table | None) -> Floats:
    if churn is None:
        return np.full(features.num_rows, np.nan)
    must_match(features, churn, "churn")
    return number(churn, "churn_risk")


def _preferred(features: pa.Table, preferred: pa.Table) -> dict[str, pa.ChunkedArray]:
    row = find(features.column("customer_id"), preferred.column("customer_id"))
    names = ("preferred_category", "preferred_channel", "preferred_hour")
    found = {name: preferred.column(name).take(row) for name in names}
    channel = stated_or_usual(features, found["preferred_channel"])
    found["preferred_channel"] = channel.dictionary_encode()
    return found


def stated_or_usual(features: pa.Table, usual: pa.ChunkedArray) -> pa.ChunkedArray:
    """The channel that the profile names, else that of most orders; ``[row]``."""
    stated = features.column("preferred_channel").cast(pa.string())
    return pc.call_function("coalesce", [stated, usual.cast(pa.string())])
