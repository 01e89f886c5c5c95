"""The notebook runs from top to bottom, on the small generated shop."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import nbformat
import pytest
from nbclient import NotebookClient

from training.generators.fitted import SOURCES
from training.metrics import MODEL

ROOT = Path(__file__).parents[2]
NOTEBOOK = ROOT / "notebooks" / "train_and_compare.ipynb"

SMALL = (
    "propensity.trees=15",
    "propensity.seeds=1",
    "propensity.min_rows_per_leaf=10",
    "recommend.trees=10",
    "recommend.past_cutoffs=2",
    "recommend.min_buyers=2",
    "recommend.factors=4",
    "recommend.als_iterations=2",
)

# What a reader would have at hand after the last cell.
LAST = """
import json
print("FOUND", json.dumps({
    "cutoff": str(history.until),
    "who": who.to_dict("index"),
    "what": {f"{a} {b}": v for (a, b), v in what.to_dict("index").items()},
    "top": top[["product_id", "reason"]].to_dict("list"),
    "catalogue": sorted(catalogue["dimension"].unique()),
}))
"""


@pytest.fixture(scope="module")
def executed(
    shop_dir: Path, tmp_path_factory: pytest.TempPathFactory
) -> nbformat.NotebookNode:
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    assert not any(cell.get("outputs") for cell in notebook.cells)
    notebook.cells.append(nbformat.v4.new_code_cell(LAST))
    workspace = tmp_path_factory.mktemp("notebook")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("REPURCHASE_DATA", str(shop_dir))
        patch.setenv("REPURCHASE_CUTOFF", "2024-10-01")
        patch.setenv("REPURCHASE_SET", " ".join([*SMALL, f"workspace={workspace}"]))
        NotebookClient(
            notebook,
            timeout=180,
            kernel_name="python3",
            resources={"metadata": {"path": str(NOTEBOOK.parent)}},
        ).execute()
    assert (workspace / "mlflow.db").exists()
    return notebook


@pytest.fixture(scope="module")
def found(executed: nbformat.NotebookNode) -> dict[str, Any]:
    texts = [o["text"] for o in executed.cells[-1]["outputs"] if "text" in o]
    line = next(t for t in "".join(texts).splitlines() if t.startswith("FOUND "))
    return json.loads(line.removeprefix("FOUND "))


def test_it_reads_the_given_data_up_to_the_given_cutoff(found: dict[str, Any]) -> None:
    assert found["cutoff"] == "2024-10-01 00:00:00"
    assert found["catalogue"] == [
        "browse",
        "campaign",
        "feedback",
        "inquiry",
        "profile",
        "purchase",
    ]


def test_our_model_stands_beside_every_baseline_with_finite_figures(
    found: dict[str, Any],
) -> None:
    assert list(found["who"]) == [
        "repurchase",
        "recency-frequency logistic",
        "BG/NBD",
        "recency",
    ]
    for figures in found["who"].values():
        assert set(figures) == {"auc", "brier", "ece"}
        assert all(math.isfinite(value) for value in figures.values())
    # The shop has weekly and rare buyers: whoever cannot tell them is broken.
    assert found["who"]["repurchase"]["auc"] > 0.7


def test_our_lists_stand_beside_every_generator_with_finite_figures(
    found: dict[str, Any],
) -> None:
    # Every product of this shop sold in its first weeks: nothing arrives.
    rivals = [name for name in SOURCES if name != "new arrivals"]
    assert list(found["what"]) == [
        *(f"{lane} {name}" for lane in ("mixed", "again") for name in (MODEL, *rivals)),
        *(f"new {name}" for name in (MODEL, *rivals[1:])),
    ]
    for figures in found["what"].values():
        for name in ("recall", "ndcg", "map", "hit", "precision"):
            assert 0 <= figures[name] <= 1
        # A list that shows nothing is like nothing.
        assert figures["coverage"] == 0 or all(map(math.isfinite, figures.values()))
    # Seven in ten lines are one of six favourites: best sellers cannot keep up.
    ours, popular = found["what"]["mixed repurchase"], found["what"]["mixed popularity"]
    assert ours["recall"] > popular["recall"]


def test_one_customer_has_ten_different_offers_with_reasons(
    found: dict[str, Any],
) -> None:
    assert len(set(found["top"]["product_id"])) == 10
    assert all(found["top"]["reason"])


def test_it_draws_one_picture_with_reliability_and_roc(
    executed: nbformat.NotebookNode,
) -> None:
    drawn = [
        output["data"]["image/png"]
        for cell in executed.cells
        for output in cell.get("outputs", [])
        if "image/png" in output.get("data", {})
    ]
    assert len(drawn) == 1
    assert len(drawn[0]) > 40_000  # base64; a pair of empty axes has under 20,000


def test_nothing_is_printed_as_an_error_or_a_warning(
    executed: nbformat.NotebookNode,
) -> None:
    outputs = [o for cell in executed.cells for o in cell.get("outputs", [])]
    errors = [o["text"] for o in outputs if o.get("name") == "stderr"]
    assert errors == []
