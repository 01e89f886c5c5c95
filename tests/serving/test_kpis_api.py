"""``GET /v1/kpis``: what is published, in the form of the document."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from serving.insight.kpis import BYS, KPIS
from serving.kpis_schema import KpisAnswer
from serving.publish import publish

PATH = "/v1/kpis"


@pytest.fixture(scope="module")
def client(
    tmp_path_factory: pytest.TempPathFactory,
    small: Any,
    measured: Any,
    new_client: Callable[..., Any],
) -> Any:
    workspace = tmp_path_factory.mktemp("workspace")
    publish(workspace, small, "m1", kpis=measured)
    return new_client(workspace)


def test_an_answer_has_the_form_of_the_document(client: Any) -> None:
    answer = client("GET", f"{PATH}?period=2017-10")
    found = KpisAnswer.model_validate_json(answer.content)
    assert answer.json()["period"]["complete"] is False
    assert [kpi.name for kpi in found.kpis] == [
        kpi.name for kpi in KPIS if "all" in kpi.by
    ]
    # Six order lines of one piece, each an order of its own.
    orders = next(k for k in found.kpis if k.name == "average_order_value")
    assert (orders.numerator, orders.denominator, orders.value) == (6, 6, 1)


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("by=colour", "by"),
        ("period=2017", "period"),
        ("period=2031-01", "period"),
        ("period=month&period=week", "period"),
        ("from=2017-10", "from"),
    ],
)
def test_another_question_is_refused(client: Any, query: str, field: str) -> None:
    answer = client("GET", f"{PATH}?{query}")
    assert answer.status_code == 422
    assert answer.json()["error"]["field"] == field


def test_every_grouping_is_answered(client: Any) -> None:
    for by in BYS:
        answer = client("GET", f"{PATH}?by={by}&period=week")
        assert answer.status_code == 200, by
        assert KpisAnswer.model_validate_json(answer.content).by == by


def test_a_version_without_kpis_says_so(
    tmp_path: Path, small: Any, new_client: Callable[..., Any]
) -> None:
    publish(tmp_path, small, "m1")
    answer = new_client(tmp_path)("GET", PATH)
    assert answer.status_code == 404
    assert "kpis" in answer.json()["error"]["message"]
