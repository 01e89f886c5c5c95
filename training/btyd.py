"""Buy till you die: BG/NBD says how often, Gamma-Gamma for how much.

The baseline of value, and what ``training.spend`` takes its total from.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.optimize import minimize
from scipy.special import gammaln

from features.history import Events, Floats, History, Ints
from training.baselines import BgNbd, Visits, fit_bg_nbd, visits


@dataclass(frozen=True)
class GammaGamma:
    """Spend per visit: gamma around a personal mean that is itself gamma.

    Source: Fader, Hardie (2013), "The Gamma-Gamma Model of Monetary Value",
    equations 1a and 5.
    """

    p: float
    q: float
    v: float

    def expected_spend(self, n: Floats, mean: Floats) -> Floats:
        """Mean spend of a future visit, given ``n`` visits of that mean."""
        return (self.p * (self.v + n * mean)) / (self.p * n + self.q - 1)


def fit_gamma_gamma(n: Floats, mean: Floats) -> GammaGamma:
    """Maximum likelihood over customers with a positive mean spend.

    Args:
        n: visits, shape ``[customer]``.
        mean: mean spend of a visit, shop currency, same shape.

    Raises:
        ValueError: no customer has spent anything.
    """
    n, mean = n[mean > 0], mean[mean > 0]
    if not len(n):
        raise ValueError(
            "Gamma-Gamma: expected customers with positive spend, got none"
        )
    scale = float(np.mean(mean))
    z = mean / scale

    def loss(log_parameters: Floats) -> float:
        p, q_less_one, v = np.exp(log_parameters)
        q = q_less_one + 1  # q > 1, or the mean spend has no expectation
        log_density = (
            gammaln(p * n + q)
            - gammaln(p * n)
            - gammaln(q)
            + q * np.log(v)
            + (p * n - 1) * np.log(z)
            + p * n * np.log(n)
            - (p * n + q) * np.log(v + n * z)
        )
        return -float(np.mean(log_density))

    found = minimize(loss, np.zeros(3), method="L-BFGS-B", bounds=[(-6, 6)] * 3)
    p, q_less_one, v = np.exp(found.x)
    return GammaGamma(float(p), float(q_less_one + 1), float(v * scale))


@dataclass(frozen=True)
class PastOrders:
    """What customers bought before a cutoff, shape ``[customer]``.

    Attributes:
        visits: their repeat visits; ``visits.customer`` are the codes.
        orders: number of orders.
        spend: net of returns, shop currency.
    """

    visits: Visits
    orders: Floats
    spend: Floats

    @property
    def n_visits(self) -> Floats:
        """Visits, the first one too."""
        return self.visits.x + 1


def past_orders(history: History, cutoff_us: int) -> PastOrders:
    """Of customers with a purchase before the cutoff, as known at it."""
    v = visits(history, cutoff_us)
    orders, spend = _orders_and_spend(history, cutoff_us, v)
    return PastOrders(v, orders, spend)


@dataclass(frozen=True)
class Baseline:
    """BG/NBD says how often, Gamma-Gamma for how much.

    Attributes:
        spend: None where no customer has spent anything.
    """

    visits: BgNbd
    spend: GammaGamma | None

    def expected_orders(self, past: PastOrders, days: float) -> Floats:
        """Orders of the next ``days``, shape ``[customer]``."""
        expected = self.visits.expected_visits(past.visits, days)
        return expected * (past.orders / past.n_visits)

    def expected_spend(self, past: PastOrders, days: float) -> Floats:
        """Net spend of the next ``days``, shop currency, shape ``[customer]``."""
        if self.spend is None:
            return np.zeros(len(past.spend))
        mean = np.maximum(past.spend / past.n_visits, 0.0)
        per_visit = self.spend.expected_spend(past.n_visits, mean)
        return self.visits.expected_visits(past.visits, days) * per_visit


def fit_baseline(past: PastOrders) -> Baseline:
    """Both by maximum likelihood.

    Raises:
        ValueError: no customers.
    """
    mean = past.spend / past.n_visits
    spend = fit_gamma_gamma(past.n_visits, mean) if (mean > 0).any() else None
    return Baseline(fit_bg_nbd(past.visits), spend)


def _orders_and_spend(
    history: History, cutoff_us: int, v: Visits
) -> tuple[Floats, Floats]:
    """Orders and net spend before the cutoff, of the customers of ``v``."""
    lines = history.purchases
    keep = lines.before(cutoff_us)
    customer = lines.customer[keep]
    n = len(history.customers)
    spend = np.bincount(customer, weights=lines.columns["amount"][keep], minlength=n)
    bought = lines.bought[keep]
    pairs = np.unique(
        np.stack([customer[bought], lines.columns["order"][keep][bought]]), axis=1
    )
    orders = np.bincount(pairs[0], minlength=n).astype(np.float64)
    return orders[v.customer], spend.astype(np.float64)[v.customer]


def net_spend(lines: Events, customer: Ints, start_us: int, end_us: int) -> Floats:
    """Spend in ``[start, end)``, shop currency, at least 0: returns may exceed it.

    Args:
        lines: purchases and returns.
        customer: codes of who is asked for, shape ``[customer]``.
        start_us: of the window, microseconds.
        end_us: of it.
    """
    inside = (lines.ts >= start_us) & (lines.ts < end_us)
    spent = np.bincount(
        lines.customer[inside],
        lines.columns["amount"][inside],
        minlength=int(customer.max(initial=-1)) + 1,
    )
    return np.maximum(spent[customer], 0.0)
