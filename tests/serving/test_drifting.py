"""Drift of a shop's model: exit status, planted faults, matured promises, metrics."""

from __future__ import annotations

import json
import math
import shutil
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from typer.testing import CliRunner

from features.assemble import assemble
from features.config import Config
from features.contracts import ContractError, SettingError
from features.engine import Tables
from serving import drift_report, drifting
from serving.cli import app
from serving.drift_alarm import Latest
from serving.drifting import Drift, drift
from serving.metrics import Metrics
from training import artifacts
from training.drift import DRIFTED, Shifts
from training.propensity import Propensity
from training.reference import reference_of

TRAINED, NOW = datetime(2024, 9, 3), datetime(2024, 10, 1)


class Model:
    """Stands for a bundle; its score is a feature."""

    cutoff, horizon_days = TRAINED, 14

    @property
    def propensity(self) -> Model:
        return self

    def probability(self, rows: pa.Table, horizon_days: int) -> np.ndarray:
        assert horizon_days == 14
        days = rows.column("days_since_last_order").cast(pa.float64()).to_numpy()
        return np.exp(-days / 60)


@pytest.fixture(scope="module")
def workspace(shop_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """With the reference of a model that learned from six cutoffs."""
    folder = tmp_path_factory.mktemp("w")
    cutoffs = [TRAINED - timedelta(days=28 * back) for back in range(5, -1, -1)]
    with Tables(shop_dir) as tables:
        rows = assemble(tables.history(TRAINED), cutoffs)
    model = folder / "models" / "m1"
    model.mkdir(parents=True)
    (folder / "models" / "latest").write_text("m1")
    given: Propensity = Model()  # type: ignore[assignment]
    reference_of(rows, given).save(model)
    return folder


@pytest.fixture(autouse=True)
def no_bundle(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(artifacts, "load", lambda folder: Model())


def settings(data: Path, workspace: Path) -> Config:
    return Config(data=data, workspace=workspace, cutoff=NOW)


def changed(
    shop: Path, folder: Path, change: Callable[[pd.DataFrame], pd.DataFrame]
) -> Path:
    shutil.copytree(shop, folder / "data")
    file = folder / "data" / "purchases.parquet"
    change(pd.read_parquet(file)).to_parquet(file)
    return folder / "data"


def times_100(rows: pd.DataFrame) -> pd.DataFrame:
    later = rows["ts"] >= TRAINED
    return rows.assign(amount=rows["amount"].where(~later, rows["amount"] * 100))


def half_missing(rows: pd.DataFrame) -> pd.DataFrame:
    lost = (rows["ts"] >= TRAINED) & (np.arange(len(rows)) % 2 == 0)
    return rows[~lost]


def test_a_shop_that_goes_on_as_before_has_no_alarm(
    shop_dir: Path, workspace: Path
) -> None:
    found = drift(settings(shop_dir, workspace))
    assert found.alarms == () and found.drifted == 0
    assert found.shifts.score is not None
    assert (found.matured, found.matures) == (None, None)
    assert "not matured" in drift_report.promises(found)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (times_100, "purchases.amount"),
        (half_missing, "purchases: expected 60% or more"),
    ],
)
def test_a_broken_export_is_an_alarm(
    shop_dir: Path,
    workspace: Path,
    tmp_path: Path,
    change: Callable[[pd.DataFrame], pd.DataFrame],
    said: str,
) -> None:
    found = drift(settings(changed(shop_dir, tmp_path, change), workspace))
    assert any(said in alarm for alarm in found.alarms)
    if change is times_100:
        names = {one.name for one in found.shifts.of(DRIFTED)}
        assert "spend_sum_30d" in names and "orders_count_30d" not in names


def test_the_command_ends_in_1_past_the_limits_and_writes_its_report(
    shop_dir: Path, workspace: Path, tmp_path: Path
) -> None:
    def run(data: Path) -> int:
        given = ["--set", f"data={data}", "--set", f"workspace={workspace}"]
        done = CliRunner().invoke(app, ["drift", "--cutoff", "2024-10-01", *given])
        assert "report:" in done.output, done.output
        return done.exit_code

    assert run(shop_dir) == 0
    now, latest = NOW + timedelta(hours=1), Latest(workspace)
    assert latest.values(now)["drift_alarm"] == 0
    assert run(changed(shop_dir, tmp_path, times_100)) == 1
    said = latest.values(now)
    assert said["drift_alarm"] == 1 and said["drift_features"] >= 1
    assert math.isnan(said["calibration_error"])
    assert said["drift_age_seconds"] == 3600
    page = (workspace / "reports" / "drift.html").read_text()
    assert page.count("<svg") == 2 and "spend_sum_30d" in page
    assert not any(outside in page for outside in ("<script", "<link", "src=", "http"))
    text = Metrics().text(None, 0, said).decode()
    assert "\nrepurchase_drift_alarm 1.0\n" in text
    # What cannot be read is an alarm, too.
    (workspace / "reports" / "drift.json").write_text("{")
    assert latest.values(now) == {"drift_alarm": 1.0}
    (workspace / "reports" / "drift.json").unlink()
    assert latest.values(now) == {}


def test_a_moment_before_the_model_and_a_model_without_reference_are_refused(
    shop_dir: Path, workspace: Path, tmp_path: Path
) -> None:
    early = settings(shop_dir, workspace).model_copy(
        update={"cutoff": TRAINED - timedelta(days=1)}
    )
    with pytest.raises(SettingError, match="cutoff: expected the model's, 2024-09-03"):
        drift(early)
    (tmp_path / "models" / "m2").mkdir(parents=True)
    (tmp_path / "models" / "latest").write_text("m2")
    with pytest.raises(ContractError, match=r"expected reference\.json"):
        drift(settings(shop_dir, tmp_path))


class Said:
    """A published version that knows 60 of the shop's 80 customers."""

    version, cutoff, horizon_days = "v1", TRAINED, 14

    def __init__(self, promised: np.ndarray) -> None:
        self.curve = np.tile(promised[:, None].astype(np.float32), 180)

    @property
    def customers(self) -> Said:
        return self

    def row(self, identifier: str) -> int | None:
        place = int(identifier[1:])
        return place if place < 60 else None


@pytest.fixture
def published(workspace: Path) -> Iterator[Path]:
    folder = workspace / "published" / "v1"
    folder.mkdir(parents=True)
    yield folder / "manifest.json"
    shutil.rmtree(workspace / "published")


@pytest.mark.parametrize("is_true", [True, False])
def test_published_promises_are_compared_once_their_window_is_over(
    shop_dir: Path,
    workspace: Path,
    published: Path,
    monkeypatch: pytest.MonkeyPatch,
    is_true: bool,
) -> None:
    rows = pd.read_parquet(shop_dir / "purchases.parquet")
    known = rows["known_at"].fillna(rows["ts"]) < NOW
    inside = rows["ts"].between(TRAINED, TRAINED + timedelta(days=14), inclusive="left")
    mine = rows["customer_id"] < "c060"
    found_buyers = rows[known & inside & mine & (rows["quantity"] >= 0)]["customer_id"]
    bought = np.isin([f"c{at:03}" for at in range(60)], found_buyers)
    value = np.where(bought, 0.98, 0.02) if is_true else np.full(60, 0.99)
    monkeypatch.setattr(
        drifting.Published, "open_version", lambda workspace, version: Said(value)
    )
    manifest = {"format": drifting.FORMAT, "model_version": "m1", "horizon_days": 14}
    published.write_text(json.dumps(manifest | {"cutoff": "2024-09-17T00:00:01"}))
    config = settings(shop_dir, workspace)
    waiting = drift(config)
    assert waiting.matured is None and waiting.matures == NOW + timedelta(seconds=1)
    published.write_text(json.dumps(manifest | {"cutoff": TRAINED.isoformat()}))
    found = drift(config)
    assert found.matured is not None
    figures = found.matured.figures
    assert (figures.customers, figures.bought) == (60, pytest.approx(bought.mean()))
    assert any("calibration" in one for one in found.alarms) != is_true
    assert drift_report.write(found, config.drift, workspace / "r")[0].is_file()


def test_alarms_of_auc_need_the_evaluation_and_the_whole_interval() -> None:
    from training.realised import realised

    label = np.tile([0.0, 1.0], 200)
    coin = np.random.default_rng(0).random(400) * 0.02 + 0.49
    figures = realised(label, coin, seed=0)
    nothing = Shifts((), None)

    def said(expected: dict[str, float]) -> tuple[str, ...]:
        matured = drifting.Matured("v1", TRAINED, figures, expected)
        return drifting.alarms(nothing, (), matured, Config())

    assert said({}) == said({"auc": 0.55}) == ()
    (line,) = said({"auc": 0.9})
    assert line.startswith("AUC: expected 0.900 as evaluated, less 0.05, or more, got")


def test_the_page_escapes_what_a_shop_named(tmp_path: Path) -> None:
    then = pa.table(
        {"cutoff": pa.array([TRAINED] * 99, pa.timestamp("us")), "<b>": [1.0] * 99}
    )
    now = then.set_column(1, "<b>", pa.array([5.0] * 99))
    shifts = drifting.compare(reference_of(then, None), now, NOW, Config().drift)
    made = Drift("m", TRAINED, NOW, 14, 99, shifts, (), None, None, ("<i>",))
    page = drift_report.write(made, Config().drift, tmp_path)[0].read_text()
    assert "&lt;b&gt;" in page and "<b>" not in page and "<i>" not in page
