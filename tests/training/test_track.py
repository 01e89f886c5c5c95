"""Runs in MLflow: what is kept, which version is in force, a server that is down."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from features.config import Config, TrackingConfig
from features.contracts import SettingError
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


def test_bundle_that_was_never_registered_is_not_promoted(tmp_path: Path) -> None:
    with track.run(Config(workspace=tmp_path), "publish") as run:
        assert run.promote("20240101-unknown") is None
