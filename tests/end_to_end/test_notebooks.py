"""Every notebook runs from top to bottom, on the small generated shop."""

from __future__ import annotations

import base64
import json
import math
import os
from collections.abc import Callable
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any

import nbformat
import numpy as np
import pytest
from matplotlib.image import imread
from nbclient import NotebookClient

from training.generators.fitted import SOURCES
from training.metrics import MODEL

FOLDER = Path(__file__).parents[2] / "notebooks"

SMALL = (
    "propensity.trees=15",
    "propensity.seeds=1",
    "propensity.min_rows_per_leaf=10",
    "recommend.trees=10",
    "recommend.past_cutoffs=2",
    "recommend.min_buyers=2",
    "recommend.factors=4",
    "recommend.als_iterations=2",
    "spend.trees=5",
    "spend.seeds=1",
    "churn.trees=5",
    "churn.seeds=1",
    "replenishment.trees=5",
    "replenishment.seeds=1",
    "processes=1",
    "tune.trials=3",
    # A shop of 80 customers proves nothing.
    "gate.auc_margin=0.99",
    "gate.recall_margin=0.99",
    "gate.baseline_margin=0.99",
    "gate.calibration_error=1",
)


@dataclass(frozen=True)
class Expected:
    """What a notebook leaves behind.

    Attributes:
        pictures: that are drawn.
        figures: an expression over its variables: a dictionary of numbers, all finite.
    """

    pictures: int
    figures: str


NOTEBOOKS: dict[str, Expected] = {
    "explore_the_data": Expected(
        4,
        """{
            "correct": checkup.correct.value,
            "repurchase": over["repurchase rate"].iloc[-1],
            "cohorts": float(cohorts.size.sum()),
            "gap": rows["days_gap_median"].median(),
        }""",
    ),
    "features_of_one_customer": Expected(
        3,
        """{
            "by hand": by_hand,
            "declared": then.loc[config.cutoff, "orders_count_90d"],
            "chance": chance,
            "contributions": parts.sum(),
        }""",
    ),
    "train_and_tune_propensity": Expected(
        4,
        """{
            "auc": figures.loc[MODEL, "auc"],
            "trials": len(trials),
            "present": trials[0].loss,
            "best": outcome.best_trial.loss,
            "confirmed": by_cutoff.to_numpy().sum(),
        }""",
    ),
    "retrain_and_promote": Expected(
        1,
        """{
            "versions": [first.version, again.version, second.version, third.version,
                         restored],
            "promoted": [not one.refused for one in (first, second, third)],
            "auc": auc.to_numpy().min(),
        }""",
    ),
    "bring_your_own_data": Expected(
        1,
        """{
            "set aside": sum(tables.quarantined.values()),
            "least": added.to_numpy().min(),
        }""",
    ),
    "compare_with_manual_picks": Expected(
        2,
        """{
            "campaigns": len(by_campaign),
            "ours": figures.loc[OURS, "purchases per slot"],
            "reached": figures.loc[OURS, "customers reached"],
        }""",
    ),
    "analyse_an_ab_test": Expected(
        3,
        """{
            "clicks": found["measures"][0]["uplift"],
            "low": found["measures"][0]["uplift_low"],
            "high": found["measures"][0]["uplift_high"],
            "false alarms": played[0.0].bounds / played[0.0].runs,
            "outcome": found["verdicts"][0]["outcome"],
            "broken": lost["verdicts"][0]["outcome"],
        }""",
    ),
    "train_and_compare": Expected(
        1,
        """{
            "who": {f"{a} {b}": v for a, row in who.to_dict("index").items()
                    for b, v in row.items()},
            "methods": list(who.index),
            "what": {f"{a} {b}": v for (a, b), v in what.to_dict("index").items()},
            "cutoff": str(history.until),
            "top": top[["product_id", "reason"]].to_dict("list"),
            "catalogue": sorted(catalogue["dimension"].unique()),
            "tracked": (config.workspace / "mlflow.db").exists(),
        }""",
    ),
}

RUN = (
    tuple(NOTEBOOKS)
    if os.environ.get("THOROUGH")
    else ("features_of_one_customer", "analyse_an_ab_test", "train_and_compare")
)
"""A kernel costs seconds before its first cell: by default not all are started."""

LAST = """
import json
print("FOUND", json.dumps({}, default=float))
"""


@dataclass(frozen=True)
class Executed:
    """A notebook after its run."""

    notebook: nbformat.NotebookNode

    @property
    def outputs(self) -> list[Any]:
        return [o for cell in self.notebook.cells for o in cell.get("outputs", [])]

    @property
    def pictures(self) -> list[np.ndarray]:
        drawn = [o.get("data", {}).get("image/png") for o in self.outputs]
        return [imread(BytesIO(base64.b64decode(png))) for png in drawn if png]

    @property
    def found(self) -> dict[str, Any]:
        said = "".join(o["text"] for o in self.outputs if o.get("name") == "stdout")
        line = next(t for t in said.splitlines() if t.startswith("FOUND "))
        return json.loads(line.removeprefix("FOUND "))


Run = Callable[[str], Executed]


@pytest.fixture(scope="module")
def run(shop_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """Runs a notebook, once."""
    kept: dict[str, Executed] = {}

    def once(name: str) -> Executed:
        if name not in kept:
            kept[name] = _run(name, shop_dir, tmp_path_factory.mktemp(name))
        return kept[name]

    return once


def _run(name: str, data: Path, workspace: Path) -> Executed:
    notebook = nbformat.read(FOLDER / f"{name}.ipynb", as_version=4)
    assert not any(cell.get("outputs") for cell in notebook.cells)
    last = LAST.replace("{}", NOTEBOOKS[name].figures)
    notebook.cells.append(nbformat.v4.new_code_cell(last))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("REPURCHASE_DATA", str(data))
        patch.setenv("REPURCHASE_CUTOFF", "2024-10-01")
        patch.setenv("REPURCHASE_SET", " ".join([*SMALL, f"workspace={workspace}"]))
        patch.setenv("PYTHONPATH", str(FOLDER.parent), prepend=os.pathsep)
        NotebookClient(
            notebook,
            timeout=180,
            kernel_name="python3",
            resources={"metadata": {"path": str(FOLDER)}},
        ).execute()
    return Executed(notebook)


def test_every_notebook_is_run_here() -> None:
    assert {file.stem for file in FOLDER.glob("*.ipynb")} == set(NOTEBOOKS)


@pytest.mark.parametrize("name", RUN)
def test_it_draws_its_pictures_and_its_figures_are_finite(run: Run, name: str) -> None:
    executed = run(name)
    errors = [o["text"] for o in executed.outputs if o.get("name") == "stderr"]
    assert errors == []
    assert len(executed.pictures) == NOTEBOOKS[name].pictures
    for picture in executed.pictures:
        # Empty axes and text are grey; whatever is drawn of data has a colour.
        assert (np.ptp(picture[..., :3], axis=2) > 0.2).mean() > 0.002
    figures = [v for v in executed.found.values() if isinstance(v, float | int)]
    assert all(map(math.isfinite, figures))


def test_the_future_is_not_read_and_a_feature_is_what_it_says(run: Run) -> None:
    found = run("features_of_one_customer").found
    assert found["by hand"] == found["declared"] > 0
    assert 0 < found["chance"] < 1


if "retrain_and_promote" in RUN:

    def test_a_worse_model_is_refused_and_the_former_one_comes_back(run: Run) -> None:
        found = run("retrain_and_promote").found
        first, again, second, third, restored = found["versions"]
        assert found["promoted"] == [True, True, False]
        assert first == again == restored != second == third


def test_the_experiment_has_the_truth_that_it_was_given(run: Run) -> None:
    found = run("analyse_an_ab_test").found
    assert 0 < found["low"] < 0.25 < found["high"]
    assert found["false alarms"] < 0.1
    assert (found["outcome"], found["broken"]) == ("won", "invalid")


@pytest.fixture(scope="module")
def found(run: Run) -> dict[str, Any]:
    return run("train_and_compare").found


def test_it_reads_the_given_data_up_to_the_given_cutoff(found: dict[str, Any]) -> None:
    assert found["cutoff"] == "2024-10-01 00:00:00"
    assert found["tracked"]
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
    methods = [
        "repurchase",
        "recency-frequency logistic",
        "BG/NBD",
        "recency",
    ]
    assert found["methods"] == methods
    assert set(found["who"]) == {
        f"{m} {f}" for m in methods for f in ("auc", "brier", "ece")
    }
    assert all(map(math.isfinite, found["who"].values()))
    # The shop has weekly and rare buyers: whoever cannot tell them is broken.
    assert found["who"]["repurchase auc"] > 0.7


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
