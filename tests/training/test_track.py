"""Runs in MLflow: what is kept, which version is in force, a server that is down."""

from __future__ import annotations

import json
import os
import signal
import socket
import sqlite3
import subprocess
import sys
from collections.abc import Generator
from datetime import datetime
from pathlib import Path

import httpx
import pyarrow as pa
import pytest
from sqlalchemy import event
from sqlalchemy.pool import Pool

from features.config import Config, TrackingConfig
from features.contracts import SettingError
from features.database import Database
from training import track


def test_server_that_is_down_is_told_in_one_line(tmp_path: Path) -> None:
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))  # bound, never listening: refused at once
        address = f"http://127.0.0.1:{held.getsockname()[1]}"
        config = Config(workspace=tmp_path, tracking=TrackingConfig(uri=address))
        with (
            pytest.raises(
                SettingError, match="expected a reachable MLflow store"
            ) as told,
            track.run(config, "any"),
        ):
            pass
    assert "\n" not in str(told.value)


@pytest.mark.parametrize("own", [True, False])
def test_full_disk_is_told_in_one_line_and_nothing_else(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], *, own: bool
) -> None:
    address = f"sqlite:///{tmp_path}/{'mlflow' if own else 'theirs'}.db"
    tracking = TrackingConfig(uri=None if own else address)
    config = Config(workspace=tmp_path, tracking=tracking)
    with track.run(config, "before"):
        pass

    def no_more_pages(connection: sqlite3.Connection, *_: object) -> None:
        connection.execute("PRAGMA max_page_count = 1")

    event.listen(Pool, "checkout", no_more_pages)
    try:
        with pytest.raises(SettingError) as told, track.run(config, "full") as run:
            for n in range(30):
                run.metrics({f"{n}/{k}": 1.0 for k in range(100)})
    finally:
        event.remove(Pool, "checkout", no_more_pages)
    assert str(told.value) == (
        f"{'workspace' if own else 'tracking.uri'}: expected room for MLflow's runs in "
        f"{address}, got database or disk is full; free some, or choose another one"
    )
    assert capfd.readouterr().err == ""


def test_database_that_could_not_be_made_is_made_by_the_next_run(
    tmp_path: Path,
) -> None:
    def half(connection: sqlite3.Connection, *_: object) -> None:
        connection.execute("PRAGMA max_page_count = 60")

    config = Config(workspace=tmp_path)
    event.listen(Pool, "checkout", half)
    try:
        with (
            pytest.raises(SettingError, match=r"^workspace: expected room for MLflow"),
            track.run(config, "full"),
        ):
            pass
    finally:
        event.remove(Pool, "checkout", half)
    assert not list(tmp_path.iterdir())
    with track.run(config, "after") as run:
        run.params({"seed": 1})
    assert [file.name for file in tmp_path.iterdir()] == ["mlflow.db"]


def test_run_that_raises_ends_as_failed(tmp_path: Path) -> None:
    import mlflow

    config = Config(workspace=tmp_path)
    with pytest.raises(RuntimeError, match="stop"), track.run(config, "broken") as run:
        run.params({"seed": 1})
        raise RuntimeError("stop")
    client = mlflow.MlflowClient(track.uri(config))
    (found,) = client.search_runs(
        [client.get_experiment_by_name("repurchase").experiment_id]
    )
    assert (found.info.status, found.data.params) == ("FAILED", {"seed": "1"})


@pytest.mark.parametrize(
    ("source", "kept"),
    [("workspace/data", "workspace/data"), ("postgresql://me@h/shop", "://me@h/shop")],
)
def test_rows_of_a_folder_and_of_a_database_are_recorded(
    tmp_path: Path, source: str, kept: str
) -> None:
    import mlflow

    config = Config(workspace=tmp_path)
    with track.run(config, "train") as run:
        run.data(pa.table({"customer": [1], "orders": [2.0]}), source, "abc")
    found = mlflow.MlflowClient(track.uri(config)).get_run(run.run_id)
    (recorded,) = found.inputs.dataset_inputs
    assert recorded.dataset.digest == "abc"
    assert kept in recorded.dataset.source


def test_configuration_is_recorded_without_a_password(tmp_path: Path) -> None:
    import mlflow

    data = Database.parse("postgresql://me:s3cret@h/shop")
    config = Config(workspace=tmp_path, data=data)
    with track.run(config, "train") as run:
        run.config(config)
    found = mlflow.MlflowClient(track.uri(config)).get_run(run.run_id)
    assert found.data.params["data"] == "postgresql://me:***@h/shop"
    assert "s3cret" not in str(found.to_dictionary())


def test_bundle_that_was_never_registered_is_not_promoted(tmp_path: Path) -> None:
    with track.run(Config(workspace=tmp_path), "publish") as run:
        assert run.promote("20240101-unknown") is None


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Generator[str]:
    """A real MLflow server on a free port, with its own store."""
    folder = tmp_path_factory.mktemp("server")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    words = ["--host", "127.0.0.1", "--port", str(port), "--workers", "1"]
    words += ["--backend-store-uri", f"sqlite:///{folder}/server.db"]
    words += ["--artifacts-destination", str(folder / "artifacts")]
    command = [sys.executable, "-m", "mlflow", "server", *words]
    address = f"http://127.0.0.1:{port}"
    with subprocess.Popen(
        command,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    ) as process:
        try:
            with httpx.Client(transport=httpx.HTTPTransport(retries=8)) as client:
                client.get(f"{address}/health", timeout=60).raise_for_status()
            yield address
        finally:
            os.killpg(process.pid, signal.SIGTERM)


@pytest.mark.parametrize("where", ["file", "server"])
def test_promoted_version_is_the_one_of_that_bundle(
    request: pytest.FixtureRequest, tmp_path: Path, where: str
) -> None:
    import mlflow

    address = request.getfixturevalue("server") if where == "server" else None
    config = Config(workspace=tmp_path, tracking=TrackingConfig(uri=address))
    example = pa.table({"customer": [0], "cutoff": [datetime(2024, 1, 1)], "x": [1.0]})
    for name in ("20240101-first", "20240101-second"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "manifest.json").write_text(name)
        with track.run(config, f"train {name}") as run:
            run.model(tmp_path / name, example)
    with track.run(config, "publish") as run:
        assert run.promote("20240101-first") == "1"
    client = mlflow.MlflowClient(track.uri(config))
    champion = client.get_model_version_by_alias(track.MODEL, "champion")
    assert champion.tags["bundle"] == "20240101-first"
    challenger = client.get_model_version_by_alias(track.MODEL, "challenger")
    assert challenger.tags["bundle"] == "20240101-second"
    mlflow.set_tracking_uri(track.uri(config))
    kept = mlflow.artifacts.download_artifacts(f"models:/{track.MODEL}@champion")
    (manifest,) = Path(kept).rglob("manifest.json")
    assert manifest.read_text() == "20240101-first"


def test_the_example_is_what_is_usual_and_nobodys_row(tmp_path: Path) -> None:
    import mlflow

    rows = pa.table(
        {
            "customer": [0, 1, 2],
            "customer_id": ["anna", "bert", "carl"],
            "cutoff": [datetime(2024, 1, 1)] * 3,
            "orders": [1, 9, 3],
            "gap": [None, 4.0, 6.0],
            "region": pa.array(["south", "north", "north"]).dictionary_encode(),
            "tier": pa.array([None] * 3, pa.string()),
        }
    )
    config = Config(workspace=tmp_path)
    (tmp_path / "m").mkdir()
    (tmp_path / "m" / "manifest.json").write_text("m")
    with track.run(config, "retrain") as outer, track.run(config, "train") as run:
        run.model(tmp_path / "m", rows)
    client = mlflow.MlflowClient(track.uri(config))
    found = client.get_run(run.run_id).data.tags["mlflow.parentRunId"]
    assert found == outer.run_id
    (example,) = tmp_path.rglob("input_example.json")
    (row,) = [
        dict(zip(kept["columns"], kept["data"][0], strict=True))
        for kept in [json.loads(example.read_text())]
    ]
    assert row == {"orders": 3.0, "gap": 5.0, "region": "north", "tier": None}


def test_mlflow_is_told_to_report_nothing_before_it_is_imported(tmp_path: Path) -> None:
    code = (
        "import sys, pathlib; from features.config import Config; from training import track\n"
        "assert 'mlflow' not in sys.modules\n"
        f"with track.run(Config(workspace=pathlib.Path({str(tmp_path)!r})), 'quiet'): pass\n"
        "from mlflow.telemetry import client\n"
        "print(client.get_telemetry_client())"
    )
    clean = {k: v for k, v in os.environ.items() if "TELEMETRY" not in k and k != "CI"}
    done = subprocess.run(
        [sys.executable, "-c", code],
        env=clean,
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.split() == ["None"]
