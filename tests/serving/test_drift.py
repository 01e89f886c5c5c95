"""The stability index of answered scores, and what it is counted from."""

from __future__ import annotations

import math
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import values
from prometheus_client.values import MultiProcessValue

from serving import drift, schema
from serving.metrics import Metrics

PSI = "repurchase_scores_psi"
TENTHS = np.arange(1000) / 1000


def test_a_column_without_ties_has_ten_equal_bins() -> None:
    bins = drift.bins_of(TENTHS)
    assert bins.edges == pytest.approx([0.099 + 0.1 * at for at in range(9)])
    # The edges are the 100th, 200th, … value, and belong above.
    assert bins.shares == pytest.approx([0.099, *[0.1] * 8, 0.101])


def test_between_equal_edges_there_is_nobody() -> None:
    """Three quarters have the same probability: tenths 2 to 8 are between its edges."""
    column = np.array([0.1] * 1 + [0.5] * 15 + [0.9] * 4)
    bins = drift.bins_of(column)
    assert math.fsum(bins.shares) == pytest.approx(1)
    answers = drift.Answers()
    answers.add("v", column, column.tolist())
    answered, expected = answers.take()
    assert answered == pytest.approx(expected) and 0 in answered


@given(st.lists(st.floats(0, 1, width=32), min_size=1, max_size=50))
def test_who_asks_for_everybody_once_sees_no_drift(column: list[float]) -> None:
    answers = drift.Answers()
    answers.add("v", np.array(column, dtype=np.float32), column)
    answered, expected = answers.take()
    assert sum(answered) == len(column)
    assert answered == pytest.approx(expected)


def test_the_index_of_a_drawn_case() -> None:
    """500 in the lower half only, where 250 and 250 were expected.

    With half an answer in each of two bins, shares are 500.5 / 501 and .5 / 501
    against 1/2 each: (.99900 - .5) ln(1.99800) + (.00100 - .5) ln(.00200)
    = .49900 * .69215 + .49900 * 6.21661 = 3.4475.
    """
    assert drift.psi([500, 0], [250, 250]) == pytest.approx(3.4475, abs=1e-3)
    assert drift.psi([250, 250], [250, 250]) == 0
    assert math.isnan(drift.psi([499, 0], [250, 249]))


@given(st.lists(st.integers(0, 10_000), min_size=10, max_size=10))
def test_the_index_is_never_negative(counts: list[int]) -> None:
    found = drift.psi(counts, [sum(counts) / 10] * 10)
    assert math.isnan(found) if sum(counts) < drift.ENOUGH else found >= -1e-12


def test_random_customers_are_alike_and_the_best_are_not() -> None:
    random = np.random.default_rng(1)
    column = random.beta(2, 5, 100_000).astype(np.float32)

    def index(asked: np.ndarray) -> float:
        answers = drift.Answers()
        answers.add("v", column, asked.astype(float).tolist())
        return drift.psi(*answers.take())

    assert index(random.choice(column, 2000)) < 0.02
    assert index(np.sort(column)[-2000:]) > 0.25


def test_a_new_version_has_bins_of_its_own() -> None:
    answers = drift.Answers()
    answers.add("v1", TENTHS, [0.05] * 3)
    answers.add("v2", TENTHS / 2 + 0.5, [0.95, 0.52])
    answered, _ = answers.take()
    assert answered == [4, 0, 0, 0, 0, 0, 0, 0, 0, 1]
    assert answers.take() == ([0] * 10, [0.0] * 10)


def test_threads_lose_no_answer() -> None:
    answers = drift.Answers()
    with ThreadPoolExecutor(4) as pool:
        for _ in range(200):
            pool.submit(answers.add, "v", TENTHS, [0.5] * 50)
    assert sum(answers.take()[0]) == 10_000


def gauge(client, name: str) -> float:
    for line in client("GET", "/metrics").text.splitlines():
        if line.startswith(f"{name} "):
            return float(line.split()[1])
    raise AssertionError(name)


def test_the_scrape_has_the_index_once_there_are_enough_answers(
    workspace, new_client
) -> None:
    client = new_client(workspace)

    def ask(ids: list[str], **more: int) -> None:
        answer = client.post("/v1/propensity", customer_ids=ids, **more)
        schema.PropensityAnswer.model_validate_json(answer.content)

    ask(["anna", "bert", "carl"] * 150)
    ask(["nobody"] * 500)
    assert math.isnan(gauge(client, PSI))
    # Whatever horizon was asked for, that of the version is compared.
    ask(["anna", "bert", "carl"] * 20, horizon_days=180)
    assert gauge(client, PSI) == pytest.approx(0, abs=1e-6)
    ask(["bert"] * 1000)
    assert gauge(client, PSI) > 0.25
    text = client("GET", "/metrics").text
    assert 'repurchase_scores_answered_total{bin="4"} 1170.0' in text


def test_the_counts_of_workers_are_added_up(tmp_path, monkeypatch) -> None:
    """Two processes, each with 300 answers: neither has enough, both have."""
    monkeypatch.setenv("PROMETHEUS_MULTIPROC_DIR", str(tmp_path))
    found: list[str] = []
    for process in (1, 2):
        kind = MultiProcessValue(lambda process=process: process)
        monkeypatch.setattr(values, "ValueClass", kind)
        worker = Metrics()
        worker.scores([300] + [0] * 9, [30.0] * 10)
        found.append(worker.text(None, 0).decode())
    assert "repurchase_scores_psi NaN" in found[0]
    assert 'repurchase_scores_answered_total{bin="0"} 600.0' in found[1]
    assert 'repurchase_scores_expected_total{bin="9"} 60.0' in found[1]
    (line,) = [x for x in found[1].splitlines() if x.startswith(f"{PSI} ")]
    assert float(line.split()[1]) > 1
