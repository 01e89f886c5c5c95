"""The weekly report of the hand-drawn version: its data, and its page."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from features.config import Config, KpisConfig
from serving.cli import main
from serving.erasure import purge
from serving.insight.blocks import COLUMN, Block, Kpis
from serving.insight.figures import Asked
from serving.insight.kpis import MEASURES
from serving.insight.periods import periods_of
from serving.insight.portrait import Insight
from serving.insight.tiers import ABC
from serving.publish import publish
from serving.published import Published
from serving.state import database, tombstones
from serving.weekly import customers_of
from serving.weekly.figures import sales_of, weekly
from serving.weekly.page import page, sentences
from training.predictions import Predictions


@pytest.fixture
def workspace(
    tmp_path: Path, predictions: Predictions, measured: Kpis, insight: Insight
) -> Path:
    """The hand-drawn version with all that is known of its customers."""
    publish(tmp_path, predictions, "m1", kpis=measured, insight=insight)
    return tmp_path


@pytest.fixture
def found(published: Published) -> dict[str, Any]:
    return weekly(published, ((), ()), contacts=10)


def test_it_is_of_a_week_that_says_whether_it_is_over_and_plain_json(
    found: dict[str, Any], published: Published
) -> None:
    assert found["version"] == published.version
    assert found["week"]["kind"] == "week"
    over = found["week"]["ends_at"] <= found["cutoff"] + "Z"
    assert found["week"]["complete"] == over
    assert json.loads(json.dumps(found, allow_nan=False)) == found


def test_nobody_who_refused_consent_is_named(
    found: dict[str, Any], published: Published
) -> None:
    named = customers_of(found)
    assert named
    refused = {
        published.customers[row] for row in np.flatnonzero(~published.consent).tolist()
    }
    hidden = weekly(published.without(np.arange(1)), ((), ()), contacts=10)
    assert not named & refused
    assert published.customers[0] not in customers_of(hidden)


def test_tiers_of_the_last_two_months_are_counted(published: Published) -> None:
    insight = published.insight
    assert insight is not None
    tiers = np.full(insight.tiers.shape, -1, np.int8)
    # One from C to B, one who was no customer yet, one from A to C.
    tiers[:, -2:, 0] = [
        [ABC.index("C"), ABC.index("B")],
        [-1, ABC.index("A")],
        [ABC.index("A"), ABC.index("C")],
    ]
    moved = replace(published, insight=replace(insight, tiers=tiers))
    found = weekly(moved, ((), ()), contacts=1)["tiers"]
    assert (found["up"], found["down"], found["c_to_b"]) == (1, 1, 1.0)
    names = found["names"]
    assert found["counts"][names.index("none")][names.index("A")] == 1
    assert (found["from"], found["to"]) == (
        "2017-09-15T00:00:00",
        "2017-10-15T00:00:00",
    )


def test_the_warned_are_counted_with_what_is_at_stake(published: Published) -> None:
    insight = published.insight
    assert insight is not None
    found = weekly(published, ((), ()), contacts=1)["health"]
    # anna and carl are warned; carl refused consent.
    assert found["warned"] == 1
    assert found["expected_loss"] == 150
    assert found["driver"] == "churn risk"
    # anna's 60 and 40, bert's 100 and nothing, carl's two 0.
    assert found["index"][-1] == pytest.approx((50 + 100 + 0) / 3)


def test_without_kpis_and_insight_the_rest_is_there(published: Published) -> None:
    bare = replace(published, kpis=None, insight=None)
    found = weekly(bare, ((), ()), contacts=1)
    assert (found["week"], found["sales"], found["kpis"]) == (None, None, [])
    assert (found["tiers"], found["health"]) == (None, None)
    assert found["contacts"][0]["goal"] == "replenish"
    assert "As of " in page(found)


@pytest.mark.parametrize("empty", ["before", "now"])
def test_a_week_without_an_order_has_a_page(found: dict[str, Any], empty: str) -> None:
    sums = {"before": (10.0, 20.0, 100.0), "now": (20.0, 20.0, 200.0)}
    sums[empty] = (0.0, 0.0, 0.0)
    cells = np.zeros((1, 2, len(MEASURES)))
    for at, name in enumerate(("before", "now")):
        for measure, value in zip(("buyers", "orders", "net"), sums[name], strict=True):
            cells[0, at, COLUMN[measure]] = value
    cutoff = datetime(2024, 1, 15)
    periods = periods_of("week", datetime(2024, 1, 1), cutoff, 10, "UTC")
    block = Block("all", "week", ("all",), periods, cells)
    kpis = Kpis(cutoff, KpisConfig(), {("all", "week"): block})
    sales = sales_of(kpis, Asked(block, 1))
    assert sales is not None
    assert sales["parts"] is None
    assert (
        json.loads(json.dumps(sales, allow_nan=False))["factors"]["order_value"][
            1 if empty == "now" else 0
        ]
        is None
    )
    text = page(found | {"week": found["week"], "sales": sales})
    assert "Net sales went from" in text


def test_the_page_needs_no_other_file_and_escapes_names(found: dict[str, Any]) -> None:
    found["contacts"][0]["lines"] = [
        {
            "customer_id": "<b>x</b>",
            "score": 0.5,
            "product_group": "tea",
            "due_at": None,
            "products": [],
        }
    ]
    text = page(found)
    assert "&lt;b&gt;x&lt;/b&gt;" in text
    assert "<svg" in text
    assert not re.findall(r'(?:src|href)="(?!#)', text)
    assert all(said in text.replace("&#39;", "'") for said in sentences(found))


def test_an_erasure_takes_reports_that_name_the_customer(
    found: dict[str, Any], workspace: Path
) -> None:
    config = Config(workspace=workspace)
    reports = workspace / "reports"
    reports.mkdir()
    somebody = min(customers_of(found))
    for name, kept in (("week", found), ("week-other", {"contacts": []})):
        (reports / f"{name}.json").write_text(json.dumps(kept))
        (reports / f"{name}.html").write_text("page")
    engine = database.ready(workspace, config.state)
    tombstones.erase(engine, somebody, 0)
    database.close(engine)
    purge(config)
    assert sorted(file.name for file in reports.iterdir()) == [
        "week-other.html",
        "week-other.json",
    ]


def test_a_page_elsewhere_in_the_workspace_is_refused(
    workspace: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    out = workspace / "published" / "august.html"
    arguments = ["report", "--set", f"workspace={workspace}", "--out", str(out)]
    monkeypatch.setattr("sys.argv", ["repurchase", *arguments])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 2
    said = capsys.readouterr().err
    assert "--out: expected a file in" in said
    assert "an erasure looks for reports there" in said


def test_a_damaged_proof_goes_with_an_erasure_and_other_reports_stay(
    workspace: Path,
) -> None:
    config = Config(workspace=workspace)
    proof = workspace / "proofs" / "m1" / "odd.parquet"
    proof.parent.mkdir(parents=True)
    proof.write_bytes(b"PAR1")
    reports = workspace / "reports"
    reports.mkdir()
    for name, text in (("metrics", "[1]"), ("broken", "{"), ("gate", '{"a": 1}')):
        (reports / f"{name}.json").write_text(text)
    engine = database.ready(workspace, config.state)
    tombstones.erase(engine, "anna", 0)
    database.close(engine)
    purge(config)
    assert not proof.exists()
    assert len(list(reports.iterdir())) == 3
