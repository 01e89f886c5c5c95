"""What every propensity model must beat: recency, frequency, BG/NBD.

All read the same three numbers per customer, in days, on days with a purchase
(several orders of a day are one visit):

- ``x``: visits after the first one,
- ``t_x``: time from the first visit to the last,
- ``T``: time from the first visit to the cutoff.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.optimize import minimize
from scipy.special import betaincinv, betaln, expit, gammaln, hyp2f1
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler

from features.history import Floats, History, Ints
from features.snapshot import DAY_US

_NODES = 48
"""Of the quadrature over dropout; the error is below a thousandth."""

_NEARLY_0 = 1e-9


@dataclass(frozen=True)
class Visits:
    """Repeat visits of customers with a purchase before the cutoff.

    ``customer`` are codes, ascending; the other arrays have the same shape
    ``[customer]``. Times are in days.
    """

    customer: Ints
    x: Floats
    t_x: Floats
    T: Floats

    @property
    def days_since_last(self) -> Floats:
        """Days from the last visit to the cutoff."""
        return self.T - self.t_x


def visits(history: History, cutoff_us: int) -> Visits:
    """Repeat visits as known at the cutoff; returns are no visits."""
    lines = history.purchases
    keep = lines.before(cutoff_us) & lines.bought
    customer, day = lines.customer[keep], lines.ts[keep] // DAY_US
    is_visit = np.ones(len(day), dtype=bool)
    is_visit[1:] = (customer[1:] != customer[:-1]) | (day[1:] != day[:-1])
    customer, day = customer[is_visit], day[is_visit]
    who, first, count = np.unique(customer, return_index=True, return_counts=True)
    first_day, last_day = day[first], day[first + count - 1]
    return Visits(
        customer=who.astype(np.int32),
        x=(count - 1).astype(np.float64),
        t_x=(last_day - first_day).astype(np.float64),
        T=(cutoff_us / DAY_US - first_day).astype(np.float64),
    )


@dataclass(frozen=True)
class BgNbd:
    """BG/NBD: Poisson visits with gamma rates, dropout after any visit.

    Source: Fader, Hardie, Lee (2005), "Counting Your Customers the Easy Way",
    Marketing Science 24(2), equations 6, 7 and 10.
    """

    r: float
    alpha: float
    a: float
    b: float

    def alive(self, v: Visits) -> Floats:
        """P(the customer has not dropped out), shape ``[customer]``."""
        odds = (
            np.log(self.a)
            - np.log(self.b + np.maximum(v.x, 1) - 1)
            + (self.r + v.x) * (np.log(self.alpha + v.T) - np.log(self.alpha + v.t_x))
        )
        return np.where(v.x > 0, expit(-odds), 1.0)

    def rate(self, v: Visits) -> Floats:
        """Expected visits per day of a customer who is alive, ``[customer]``."""
        return (self.r + v.x) / (self.alpha + v.T)

    def probability(self, v: Visits, days: float) -> Floats:
        """P(at least one visit in the next ``days``), shape ``[customer]``."""
        none = ((self.alpha + v.T) / (self.alpha + v.T + days)) ** (self.r + v.x)
        return self.alive(v) * (1 - none)

    def expected_visits(self, v: Visits, days: float) -> Floats:
        """Expected number of visits in the next ``days``, shape ``[customer]``."""
        z = days / (self.alpha + v.T + days)
        n = self.a + self.b + v.x - 1
        series = hyp2f1(self.r + v.x, self.b + v.x, n, z)
        none = ((self.alpha + v.T) / (self.alpha + v.T + days)) ** (self.r + v.x)
        return np.maximum(n / (self.a - 1) * (1 - none * series), 0.0) * self.alive(v)

    def days_alive(self, v: Visits, days: float) -> Floats:
        """Expected days until the customer drops out, shape ``[customer]``.

        Counted no further than ``days`` ahead: with ``a <= 1`` the expectation of
        the whole life is infinite. Of a living customer the rate is
        ``Gamma(r + x, alpha + T)``, so a chance ``p`` to drop out after a visit
        leaves ``E[exp(-rate * p * t)] = (1 + p * t / (alpha + T)) ** -(r + x)``
        of them after ``t`` days. That is integrated over ``t`` by hand, and over
        ``p``, which is ``Beta(a, b + x)``, at its quantiles: every term lies
        between 0 and ``days``, also where a fit ends at its bounds.
        """
        quantile, weight = np.polynomial.legendre.leggauss(_NODES)
        distinct, which = np.unique(v.x, return_inverse=True)
        chances = betaincinv(self.a, self.b + distinct[:, None], (quantile + 1) / 2)
        power, scale = self.r + v.x - 1, self.alpha + v.T
        power = np.where(np.abs(power) < _NEARLY_0, _NEARLY_0, power)
        life = np.zeros(len(v.x))
        for node in range(_NODES):
            chance = np.maximum(chances[which, node], _NEARLY_0)
            left = -np.expm1(-power * np.log1p(chance * days / scale))
            life += weight[node] / 2 * left * scale / (chance * power)
        return self.alive(v) * life


def log_likelihood(model: BgNbd, v: Visits) -> float:
    """Log likelihood of all customers (equation 6, in logs)."""
    r, alpha, a, b = model.r, model.alpha, model.a, model.b
    common = gammaln(r + v.x) - gammaln(r) + r * np.log(alpha)
    survived = betaln(a, b + v.x) - betaln(a, b) - (r + v.x) * np.log(alpha + v.T)
    dropped = (
        betaln(a + 1, b + np.maximum(v.x, 1) - 1)
        - betaln(a, b)
        - (r + v.x) * np.log(alpha + v.t_x)
    )
    return float(
        np.sum(common + np.where(v.x > 0, np.logaddexp(survived, dropped), survived))
    )


def fit_bg_nbd(v: Visits) -> BgNbd:
    """Maximum likelihood, on a time scale on which the longest history is 10.

    Raises:
        ValueError: no customers.
    """
    if not len(v.x):
        raise ValueError("BG/NBD: expected at least one customer, got none")
    scale = 10.0 / max(float(v.T.max()), 1.0)
    scaled = Visits(v.customer, v.x, v.t_x * scale, v.T * scale)

    def loss(log_parameters: Floats) -> float:
        return -log_likelihood(BgNbd(*np.exp(log_parameters)), scaled) / len(v.x)

    found = minimize(
        loss, np.log([1.0, 1.0, 1.5, 2.5]), method="L-BFGS-B", bounds=[(-7, 7)] * 4
    )
    r, alpha, a, b = np.exp(found.x)
    return BgNbd(float(r), float(alpha / scale), float(a), float(b))


@dataclass(frozen=True)
class Logistic:
    """A logistic regression, or the base rate where only one class was seen.

    Attributes:
        base_rate: share of ones among the labels it was fitted on.
        model: None where the labels were all 0 or all 1.
    """

    base_rate: float
    model: Pipeline | None

    def probability(self, inputs: Floats) -> Floats:
        """P(1) of rows of shape ``[row, input]``, shape ``[row]``."""
        if self.model is None:
            return np.full(len(inputs), self.base_rate)
        return self.model.predict_proba(inputs)[:, 1]


def fit_recency(past: Sequence[Visits], labels: Sequence[Floats]) -> Logistic:
    """Logistic regression on the days since the last visit, logged."""
    return _fit_logistic([_recency(v) for v in past], labels)


def score_recency(model: Logistic, v: Visits) -> Floats:
    """P(a visit in the horizon of the labels), shape ``[customer]``."""
    return model.probability(_recency(v))


def fit_recency_frequency(past: Sequence[Visits], labels: Sequence[Floats]) -> Logistic:
    """Logistic regression on recency, frequency, tenure and overdue ratio, logged."""
    return _fit_logistic([_recency_frequency(v) for v in past], labels)


def score_recency_frequency(model: Logistic, v: Visits) -> Floats:
    """P(a visit in the horizon of the labels), shape ``[customer]``."""
    return model.probability(_recency_frequency(v))


def _fit_logistic(inputs: Sequence[Floats], labels: Sequence[Floats]) -> Logistic:
    label = np.concatenate(labels)
    base_rate = float(label.mean())
    if not 0 < label.sum() < len(label):
        return Logistic(base_rate, None)
    model = make_pipeline(StandardScaler(), LogisticRegression(max_iter=500))
    return Logistic(base_rate, model.fit(np.concatenate(inputs), label))


def _recency(v: Visits) -> Floats:
    return np.log1p(v.days_since_last)[:, None]


def _recency_frequency(v: Visits) -> Floats:
    gap = (v.t_x + 30.0) / (v.x + 1.0)  # a single visit counts as a month's gap
    return np.column_stack(
        [
            np.log1p(v.days_since_last),
            np.log1p(v.x),
            np.log1p(v.T),
            np.log(gap),
            np.log1p(v.days_since_last / gap),
        ]
    )
