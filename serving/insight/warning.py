"""Early warning: whose spend is about to fall, by whatever sees it best.

Three things can tell: the rule on the health index (three months of decline, and
under the alert line), the fitted churn risk, and the time since the last order over
the usual gap. At past moments whose future is known they are compared on the same
customers; the best by AUC drives the warnings of those for whom it is known, and its
name stands at each. How good each was: ``hindsight``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from scipy.stats import rankdata

from features.config import HealthConfig
from features.history import Bools, Floats
from serving.insight.columns import NONE, Codes, must_match, number, words
from serving.insight.health import Months
from serving.insight.hindsight import (
    CHURN,
    DRIVERS,
    HEALTH,
    RECENCY,
    Figures,
    Past,
    before_last,
    figures_of,
    known_to,
)
from serving.insight.indicators import usual_gap
from training.calibration import Platt, fit_platt
from training.metrics import auc_gain


def scores_of(
    months: Months,
    features: pa.Table,
    churn: pa.Table | None,
    shop_gap: float,
    config: HealthConfig,
) -> dict[str, Floats]:
    """What each of ``DRIVERS`` says: 0 safe, 1 lost; NaN: nothing; ``[customer]``.

    The health index counts from 100 down, recency is gaps / (1 + gaps).

    Args:
        months: of the customers of the last cutoff.
        features: rows of ``assemble`` at that cutoff, in the same order.
        churn: rows of ``Churn.predict``, in the same order; None: not fitted.
        shop_gap: usual gap of customers with orders on one day only, days.
        config: the floor of a gap.

    Raises:
        ValueError: features or churn are of other customers.
    """
    must_match(pa.table({"customer_id": months.customer_id}), features, "features")
    if churn is not None:
        must_match(features, churn, "churn")
    nothing = np.full(features.num_rows, np.nan)
    return {
        HEALTH: 1 - months.index[:, -1] / 100,
        CHURN: nothing if churn is None else number(churn, "churn_risk"),
        RECENCY: gaps_score(features, shop_gap, config.least_gap_days),
    }


def ranked(risk: Floats) -> Floats:
    """Share of the customers with a lower risk, 0 to 1, ties by half; NaN stays.

    Two models rank customers much alike and still differ in how sure they sound. What
    is learned of the ranks of one holds for those of the other, as long as about as
    many are lost.
    """
    found, known = np.full(len(risk), np.nan), ~np.isnan(risk)
    if known.any():
        found[known] = (rankdata(risk[known]) - 0.5) / known.sum()
    return found


def gaps_score(features: pa.Table, shop_gap: float, least_days: float) -> Floats:
    """Usual gaps since the last order, as gaps / (1 + gaps), ``[row]``."""
    gap = usual_gap(features, shop_gap, least_days)
    gaps = number(features, "days_since_last_order") / gap
    return gaps / (1 + gaps)


@dataclass(frozen=True)
class Driver:
    """What warnings go by.

    Attributes:
        name: of ``DRIVERS``.
        threshold: a warning from this chance to be lost; None: no threshold had the
            wanted precision, so it never warns.
        calibration: from its score to the chance to be lost.
    """

    name: str
    threshold: float | None
    calibration: Platt


def choose(past: Past, config: HealthConfig) -> tuple[Driver, ...]:
    """Drivers from the best to the worst, by AUC where all have a score.

    The threshold is of moments whose outcome was known at the last one, so that the
    last one can say how often it is right; see ``on_last``. Where there are none it is
    of all.

    Raises:
        ValueError: nobody was lost, or everybody.
    """
    if not 0 < past.lost.sum() < len(past.lost):
        raise ValueError(
            f"warning: expected customers who were lost and others, got "
            f"{int(past.lost.sum())} lost of {len(past.lost)}"
        )
    names = [name for name in DRIVERS if not np.isnan(past.scores[name]).all()]
    rows = past.take(known_to(past, names))
    constant = np.zeros(len(rows.lost))

    def gain(name: str) -> float:
        value = auc_gain(rows.lost, rows.scores[name], constant, 0).value
        return -np.inf if np.isnan(value) else value

    best = sorted(names, key=gain, reverse=True)
    return tuple(_learned(past, name, config) for name in best)


def _learned(past: Past, name: str, config: HealthConfig) -> Driver:
    rows = past.take(~np.isnan(past.scores[name]))
    calibration = fit_platt(rows.scores[name], rows.lost)
    early = before_last(rows, config)
    if early.any():
        rows = rows.take(early)
    chance = calibration(rows.scores[name])
    return Driver(
        name, lowest_with(chance, rows.lost, config.warning_precision), calibration
    )


def on_last(
    past: Past, drivers: Sequence[Driver], config: HealthConfig, seed: int
) -> Figures | None:
    """How good the warnings of these drivers were at the last moment.

    Returns:
        Of everyone with a score there; None: the thresholds are of that moment too,
        or only one outcome came.
    """
    if not before_last(past, config).any():
        return None
    last = past.take(past.cutoff == past.cutoff.max())
    judged = judge(last.scores, drivers)
    known = judged.by != NONE
    rows = last.take(known)
    if not 0 < rows.lost.sum() < len(rows.lost):
        return None
    return figures_of(rows, judged.is_warned[known], judged.chance[known], seed)


def lowest_with(chance: Floats, lost: Floats, precision: float) -> float | None:
    """The lowest chance from which on so many were lost; None: there is none."""
    order = np.argsort(-chance, kind="stable")
    sorted_chance, found = chance[order], np.cumsum(lost[order])
    share = found / np.arange(1, len(order) + 1)
    # Equal chances are warned together: only the last of them is a threshold.
    last = np.append(np.diff(sorted_chance) < 0, True)[: len(order)]
    good = np.flatnonzero(last & (share >= precision))
    return float(sorted_chance[good[-1]]) if len(good) else None


@dataclass(frozen=True)
class Judged:
    """What is said of each customer, ``[customer]``.

    Attributes:
        by: code of ``DRIVERS``, -1: none has a score.
        chance: to spend less than half of the usual in eight weeks; NaN: not known.
        is_warned: at or over the driver's threshold.
    """

    by: Codes
    chance: Floats
    is_warned: Bools


def judge(scores: Mapping[str, Floats], drivers: Sequence[Driver]) -> Judged:
    """Every customer by the first driver that has a score of them.

    Args:
        scores: of ``scores_of``.
        drivers: the best first.
    """
    n = len(scores[HEALTH])
    by, chance = np.full(n, NONE, np.int8), np.full(n, np.nan)
    is_warned = np.zeros(n, np.bool_)
    for driver in drivers:
        score = scores[driver.name]
        mine = (by < 0) & ~np.isnan(score)
        by[mine] = DRIVERS.index(driver.name)
        chance[mine] = driver.calibration(score[mine])
        if driver.threshold is not None:
            is_warned |= mine & (chance >= driver.threshold)
    return Judged(by, chance, is_warned)


def loss_of(chance: Floats, expected_spend: Floats) -> Floats:
    """Chance to be lost times the spend of a year that is at stake, at most."""
    return chance * np.maximum(expected_spend, 0)


def warn(
    scores: Mapping[str, Floats],
    months: Months,
    value: pa.Table,
    drivers: Sequence[Driver],
) -> pa.Table:
    """Whom to look after, the largest expected loss first.

    Args:
        scores: of ``scores_of``.
        months: of the same customers.
        value: rows of ``training.value.predict_value`` of the same customers.
        drivers: the best first; a customer is judged by the first that has a score.

    Returns:
        ``customer_id``; ``driver``, by name; ``chance``: to spend less than half of
        the usual in eight weeks; ``health`` (null: no data); ``expected_loss``: the
        chance times the spend expected over the next 365 days, shop currency: what
        is at stake, at most. Customers under the driver's threshold have no row.

    Raises:
        ValueError: value is of other customers.
    """
    ids = pa.table({"customer_id": months.customer_id})
    must_match(ids, value, "value")
    judged = judge(scores, drivers)
    loss = loss_of(judged.chance, number(value, "expected_spend_365d"))
    rows = np.flatnonzero(judged.is_warned)
    rows = rows[np.argsort(-loss[rows], kind="stable")]
    return pa.table(
        {
            "customer_id": months.customer_id.take(pa.array(rows)),
            "driver": words(judged.by[rows], DRIVERS),
            "chance": judged.chance[rows],
            "health": pa.array(months.index[rows, -1], from_pandas=True),
            "expected_loss": loss[rows],
        }
    )
