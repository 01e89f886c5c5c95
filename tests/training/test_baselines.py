"""BG/NBD and the logistic baselines, by hand and on drawn customers."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import numpy as np
import pytest
from scipy.integrate import quad
from scipy.stats import beta as beta_distribution
from scipy.stats import gamma as gamma_distribution

from features.snapshot import to_us
from training import baselines
from training.baselines import BgNbd, Visits


def customers(x: list[float], t_x: list[float], big_t: list[float]) -> Visits:
    code = np.arange(len(x), dtype=np.int32)
    return Visits(code, np.array(x), np.array(t_x), np.array(big_t))


def drawn(truth: BgNbd, n: int, big_t: float, seed: int) -> Visits:
    """Customers of the model's own story, with the same length of history."""
    random = np.random.default_rng(seed)
    rate = random.gamma(truth.r, 1 / truth.alpha, n)
    dropout = random.beta(truth.a, truth.b, n)
    x, t_x = np.zeros(n), np.zeros(n)
    for i in range(n):
        now = random.exponential(1 / rate[i])
        while now < big_t:
            x[i] += 1
            t_x[i] = now
            if random.random() < dropout[i]:
                break
            now += random.exponential(1 / rate[i])
    return Visits(np.arange(n, dtype=np.int32), x, t_x, np.full(n, big_t))


def test_likelihood_of_one_customer_is_the_integral_over_rates() -> None:
    """Equation 3 of Fader, Hardie, Lee, integrated over the rate numerically."""
    model = BgNbd(r=0.8, alpha=5.0, a=0.9, b=2.2)
    v = customers([2.0], [10.0], [14.0])

    def given(rate: float) -> float:
        alive = rate**2 * np.exp(-rate * 14.0) * 2.2 * 3.2 / (3.1 * 4.1)
        left = rate**2 * np.exp(-rate * 10.0) * 0.9 * 2.2 / (3.1 * 4.1)
        return float((alive + left) * gamma_distribution.pdf(rate, 0.8, scale=1 / 5.0))

    integral, _ = quad(given, 0, np.inf)
    assert baselines.log_likelihood(model, v) == pytest.approx(
        np.log(integral), rel=1e-6
    )


def test_customer_without_repeat_visits_is_alive() -> None:
    model = BgNbd(r=0.8, alpha=5.0, a=0.9, b=2.2)
    assert model.alive(customers([0.0], [0.0], [30.0])).tolist() == [1.0]


def test_probability_rises_with_the_days_and_falls_with_silence() -> None:
    model = BgNbd(r=0.8, alpha=5.0, a=0.9, b=2.2)
    v = customers([5.0, 5.0], [40.0, 10.0], [45.0, 45.0])
    week, month = model.probability(v, 7), model.probability(v, 30)
    assert (week < month).all()
    assert month[0] > month[1]


def test_fit_recovers_the_truth_of_drawn_customers() -> None:
    truth = BgNbd(r=1.2, alpha=12.0, a=0.8, b=3.0)
    v = drawn(truth, 4000, 120.0, seed=1)
    found = baselines.fit_bg_nbd(v)
    assert found.r / found.alpha == pytest.approx(truth.r / truth.alpha, rel=0.1)
    assert found.a / (found.a + found.b) == pytest.approx(0.8 / 3.8, rel=0.15)
    assert baselines.log_likelihood(found, v) >= baselines.log_likelihood(truth, v)


def test_expected_visits_match_drawn_futures() -> None:
    truth = BgNbd(r=1.2, alpha=12.0, a=0.8, b=3.0)
    past = drawn(truth, 20_000, 60.0, seed=2)
    longer = drawn(truth, 20_000, 90.0, seed=2)
    # Two populations of the same law: the mean growth of visits must agree.
    grown = longer.x.mean() - past.x.mean()
    assert truth.expected_visits(past, 30.0).mean() == pytest.approx(grown, rel=0.1)


@pytest.mark.parametrize("a", [0.4, 1.0, 2.5])
def test_days_alive_are_the_integral_over_rates_and_dropouts(a: float) -> None:
    """Alive t days later: E[exp(-rate * p * t)] = E[(1 + p * t / s) ** -n], by hand.

    A rate of gamma law with shape n and scale 1 / s; over the 1,000 days by
    hand too, over the dropout chance p numerically.
    """
    model = BgNbd(r=1.3, alpha=9.0, a=a, b=3.0)
    v = customers([0.0, 6.0], [0.0, 80.0], [2.0, 90.0])
    found = model.days_alive(v, 1000.0) / model.alive(v)
    for i in range(2):
        n, s = 1.3 + v.x[i], 9.0 + v.T[i]
        dropouts = beta_distribution(a, 3.0 + v.x[i])

        def given(p: float, n: float = n, s: float = s, law: Any = dropouts) -> float:
            life = s / (p * (n - 1)) * (1 - (1 + p * 1000.0 / s) ** (1 - n))
            return float(life * law.pdf(p))

        expected = quad(given, 0, 0.01)[0] + quad(given, 0.01, 1)[0]
        assert found[i] == pytest.approx(expected, rel=1e-3)


def test_days_alive_stay_below_the_days_and_fall_with_silence() -> None:
    model = BgNbd(r=1.4, alpha=9.4, a=0.07, b=103.0)
    v = customers([50.0, 50.0, 0.0], [275.0, 100.0, 0.0], [280.0, 280.0, 1.0])
    life = model.days_alive(v, 1095.0)
    at_bounds = BgNbd(r=1096.0, alpha=30_000.0, a=1096.0, b=1e-3)
    assert np.isfinite(at_bounds.days_alive(v, 1095.0)).all()
    assert (life > 0).all() and (life < 1095.0).all()
    assert life[1] < life[0]
    assert model.days_alive(v, 1.0) == pytest.approx(model.alive(v), rel=1e-2)


def test_visits_are_days_and_returns_are_none(read_history: Callable[..., Any]) -> None:
    day = datetime(2024, 3, 1, 9)

    def row(order: str, ts: datetime, quantity: float = 1.0) -> dict[str, Any]:
        ids = {"customer_id": "a", "product_id": "p", "order_id": order}
        return {**ids, "ts": ts, "quantity": quantity, "amount": 1.0}

    rows = [
        row("1", day),
        row("2", day + timedelta(hours=3)),
        row("3", day + timedelta(days=10)),
        row("4", day + timedelta(days=12), -1.0),
    ]
    cutoff = datetime(2024, 4, 1)
    v = baselines.visits(read_history({"purchases": rows}, cutoff), to_us(cutoff))
    assert (v.x.tolist(), v.t_x.tolist(), v.T.tolist()) == ([1.0], [10.0], [31.0])
    assert v.days_since_last.tolist() == [21.0]


def test_expected_visits_agree_with_the_published_example() -> None:
    """Customer 0001 of CDNOW, 39 weeks ahead: 1.226 repeat transactions.

    Source: Fader, Hardie, Lee (2005), "Implementing the BG/NBD Model for Customer
    Base Analysis in Excel", sheet "Conditional Expectation".
    """
    model = BgNbd(r=0.243, alpha=4.414, a=0.793, b=2.426)
    v = customers([2.0], [30.43], [38.86])
    assert model.expected_visits(v, 39.0)[0] == pytest.approx(1.226, abs=5e-4)


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("share", [0.0, 1.0])
def test_labels_of_one_class_give_the_base_rate(share: float) -> None:
    past = [customers([1.0, 4.0], [5.0, 30.0], [40.0, 40.0])] * 2
    labels = [np.full(2, share)] * 2
    recency = baselines.fit_recency(past, labels)
    frequency = baselines.fit_recency_frequency(past, labels)
    now = customers([2.0, 0.0, 9.0], [10.0, 0.0, 40.0], [41.0, 1.0, 41.0])
    assert baselines.score_recency(recency, now).tolist() == [share] * 3
    assert baselines.score_recency_frequency(frequency, now).tolist() == [share] * 3
