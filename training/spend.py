"""Expected spend of the next H days by trees that know the whole history.

Boosted trees (Tweedie, log link: most customers spend little, some nothing, few
much) learn from past cutoffs how a customer's spend per window compares with the
average; the baseline's expectation is one of their inputs. Two things are left to
the baseline (BG/NBD with Gamma-Gamma):

- the total: a season's level cannot be learned from a year, who spends can;
- growth beyond the window that is learned: a horizon of 365 days would need two
  years of history, so a short window is learned and stretched, customer by
  customer, as the baseline's expectation grows. On a year of grocery purchases 14
  days are the better window for 14, 28 and 49 days than 56 or 84: more windows have
  ended, and the latest ones are nearer.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from features.config import SpendConfig
from features.history import Floats, History
from features.snapshot import DAY_US, to_us
from training.boosting import (
    Boosters,
    Matrix,
    dataset,
    fit_boosters,
    load_boosters,
    mean_score,
    save_boosters,
)
from training.btyd import (
    Baseline,
    PastOrders,
    fit_baseline,
    net_spend,
    past_orders,
)
from training.encoding import Encoding, encoding_of


@dataclass(frozen=True)
class Spend:
    """A fitted model.

    Attributes:
        boosters: averaged on the log scale.
        encoding: of the features; the baseline's expectation follows as one more.
        window_days: of the spend that was learned.
    """

    boosters: Boosters
    encoding: Encoding
    window_days: int

    def relative_spend(
        self, features: pa.Table, past: PastOrders, baseline: Baseline, days: int
    ) -> Floats:
        """Net spend of the next ``days``, up to a factor that is the same for all.

        Args:
            features: rows of ``assemble`` at the cutoff.
            past: orders before the cutoff, of the same customers.
            baseline: fitted at the cutoff.
            days: any horizon.

        Returns:
            Shape ``[row]``, never negative.
        """
        near = baseline.expected_spend(past, self.window_days)
        far = baseline.expected_spend(past, days)
        matrix = _matrix(self.encoding, features, near)
        growth = np.divide(far, near, out=np.zeros_like(far), where=near > 0)
        return np.exp(mean_score(self.boosters, matrix)) * growth

    def level(
        self, features: pa.Table, past: PastOrders, baseline: Baseline, days: int
    ) -> float:
        """The factor with which the sum over these customers is the baseline's.

        Args: as of ``relative_spend``. 0 where nobody is expected to spend.
        """
        total = self.relative_spend(features, past, baseline, days).sum()
        if total <= 0:
            return 0.0
        return float(baseline.expected_spend(past, days).sum() / total)


def fit_spend(
    history: History,
    features: pa.Table,
    horizon_days: int,
    config: SpendConfig,
    seed: int,
) -> Spend | None:
    """Learn from the past cutoffs whose window had ended before ``history.until``.

    Args:
        history: labels and baseline; nothing at or after ``until`` is in it.
        features: rows of ``assemble`` at past cutoffs; those at ``until`` are
            not learned from.
        horizon_days: the window that is learned, or half of the time since the
            earliest cutoff where that is shorter.
        config: the trees.
        seed: of the trees.

    Returns:
        None where nothing was spent after any past cutoff: there is nothing to learn.

    Raises:
        ValueError: the features are of other customers.
    """
    until = to_us(history.until)
    us = features.column("cutoff").cast(pa.int64()).to_numpy()
    past_us = np.unique(us[us < until])
    observed = int((until - past_us.min()) // DAY_US) if len(past_us) else 0
    window = min(horizon_days, max(observed // 2, 1))
    ended = past_us[past_us + window * DAY_US <= until]
    # Of all that is known by now: seven numbers of the whole shop, fitted once.
    baseline = fit_baseline(past_orders(history, until))
    encoding = encoding_of(features.filter(pa.array(us < until)))
    matrices: list[Matrix] = []
    spends: list[Floats] = []
    for cutoff in ended.tolist():
        rows = features.filter(pa.array(us == cutoff))
        past = _past(history, rows, cutoff)
        near = baseline.expected_spend(past, window)
        matrices.append(_matrix(encoding, rows, near))
        end = cutoff + window * DAY_US
        spends.append(net_spend(history.purchases, past.visits.customer, cutoff, end))
    if not spends or not np.concatenate(spends).any():
        return None
    spent = np.concatenate(spends)
    data = dataset(np.vstack(matrices), spent / spent.mean(), encoding)
    more = {"tweedie_variance_power": config.variance_power}
    boosters = fit_boosters(data, "tweedie", config, seed, config.seeds, more)
    return Spend(boosters, encoding, window)


def save(model: Spend, folder: Path) -> dict[str, Any]:
    """Write the boosters as text to ``folder``; return the rest, ready for JSON."""
    return {
        "boosters": save_boosters(model.boosters, folder, "spend"),
        **model.encoding.as_json(),
        "window_days": model.window_days,
    }


def load(folder: Path, rest: dict[str, Any]) -> Spend:
    """The model that ``save`` wrote; predictions are equal to the bit."""
    return Spend(
        boosters=load_boosters(folder, "spend", rest["boosters"]),
        encoding=Encoding.from_json(rest),
        window_days=rest["window_days"],
    )


def _past(history: History, rows: pa.Table, cutoff_us: int) -> PastOrders:
    past = past_orders(history, cutoff_us)
    if not np.array_equal(rows.column("customer").to_numpy(), past.visits.customer):
        raise ValueError(
            f"spend: expected features of the {len(past.spend)} customers with a "
            f"purchase before the cutoff, got {rows.num_rows} other rows"
        )
    return past


def _matrix(encoding: Encoding, rows: pa.Table, near: Floats) -> Matrix:
    return np.column_stack([encoding.matrix(rows), near.astype(np.float32)])
