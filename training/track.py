"""Runs in MLflow: the only module that imports it.

SQLite and a folder in the workspace by default, any server by URL. MLflow takes
seconds to import, so it is imported when the first run starts.
"""

from __future__ import annotations

import logging
import os
import sqlite3
import warnings
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager, suppress
from datetime import datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pyarrow as pa

from features.config import Config
from features.contracts import SettingError
from features.scratch import folder_in
from training.example import typical

MODEL = "repurchase"
"""Name in the registry; the alias ``champion`` is the version in force, and
``challenger`` the one that was trained last."""

_BUNDLE = "bundle"
"""Tag of a registered version: the folder's name of the bundle it holds."""

_KEY = "key"
"""Tag of a run that later ones go on with: what they have in common."""

_ENVIRONMENT = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    # By default an unreachable server is asked for minutes.
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "20",
}

_LOUDEST = {
    "mlflow": logging.ERROR,
    # It logs what it raises.
    "mlflow.store.db.utils": logging.CRITICAL,
}
"""Levels of MLflow's loggers while a run is open."""

_LOCK = Path(__file__).parents[1] / "requirements.lock"

_PACKAGES = ("lightgbm", "implicit", "numpy", "pyarrow", "scikit-learn", "scipy")


def uri(config: Config) -> str:
    """Where runs are kept: the configured server, or SQLite in the workspace."""
    return config.tracking.uri or f"sqlite:///{_file(config)}"


def _file(config: Config) -> Path:
    return (config.workspace / "mlflow.db").resolve()


class Run:
    """One open MLflow run.

    Attributes:
        is_new: no earlier run is continued.
    """

    def __init__(self, mlflow: Any, run_id: str, *, is_new: bool = True) -> None:
        self._mlflow = mlflow
        self.run_id = run_id
        self.is_new = is_new

    def config(self, config: Config) -> None:
        """Record the whole configuration, nested keys joined by dots."""
        self.params(_flat(config.model_dump(mode="json")))

    def params(self, values: Mapping[str, Any]) -> None:
        """Record configuration values."""
        self._mlflow.log_params(dict(values))

    def metrics(self, values: Mapping[str, float], step: int | None = None) -> None:
        """Record figures; ``step`` orders repeated ones."""
        self._mlflow.log_metrics(dict(values), step=step)

    def tags(self, values: Mapping[str, str]) -> None:
        """Mark the run, such as with what was decided."""
        self._mlflow.set_tags(dict(values))

    def environment(self) -> None:
        """Keep the lock file of the packages, where the code is a checkout."""
        if _LOCK.is_file():
            self._mlflow.log_artifact(str(_LOCK))

    def file(self, file: Path) -> None:
        """Keep one file."""
        self._mlflow.log_artifact(str(file))

    def files(self, folder: Path) -> None:
        """Keep every file of a folder."""
        self._mlflow.log_artifacts(str(folder), folder.name)

    def nested(
        self,
        name: str,
        params: Mapping[str, Any],
        metrics: Mapping[str, Sequence[float]],
        tags: Mapping[str, str],
        times: tuple[datetime, datetime],
    ) -> None:
        """Record a finished run under this one, in one batch.

        Args:
            name: among the runs under this one.
            params: what was tried.
            metrics: by name; position in the sequence is the step.
            tags: such as the state.
            times: start and end, local.
        """
        from mlflow.entities import Metric, Param, RunTag

        client = self._mlflow.MlflowClient()
        start, end = (int(moment.timestamp() * 1000) for moment in times)
        home = client.get_run(self.run_id).info.experiment_id
        parent = {"mlflow.parentRunId": self.run_id}
        run_id = client.create_run(home, start, parent, name).info.run_id
        client.log_batch(
            run_id,
            [
                Metric(key, value, end, step)
                for key, values in metrics.items()
                for step, value in enumerate(values)
            ],
            [Param(key, str(value)) for key, value in params.items()],
            [RunTag(key, value) for key, value in tags.items()],
        )
        client.set_terminated(run_id, "FINISHED", end)

    def names_of_nested(self) -> set[str]:
        """Names of the finished runs under this one; unfinished ones are removed."""
        client = self._mlflow.MlflowClient()
        home = client.get_run(self.run_id).info.experiment_id
        names: set[str] = set()
        token: str | None = None
        while token != "":
            found = client.search_runs(
                [home], f"tags.`mlflow.parentRunId` = '{self.run_id}'", page_token=token
            )
            for one in found:
                if one.info.status == "FINISHED":
                    names.add(one.info.run_name)
                else:
                    client.delete_run(one.info.run_id)
            token = found.token or ""
        return names

    def data(self, features: pa.Table, source: str, fingerprint: str) -> None:
        """Record the rows that a model was fitted on, by hash.

        Args:
            features: the rows.
            source: folder or file, or address without its password.
            fingerprint: of the history behind the rows.
        """
        from mlflow.data.code_dataset_source import CodeDatasetSource

        # MLflow resolves paths, and knows no kind of source for a database.
        is_address = "://" in source
        dataset = self._mlflow.data.from_pandas(
            features.slice(0, 1000).to_pandas(),
            source=CodeDatasetSource({"data": source}) if is_address else source,
            name="features",
            digest=fingerprint[:32],
        )
        self._mlflow.log_input(dataset, context="training")

    def model(self, bundle: Path, example: pa.Table) -> str:
        """Keep a bundle, register it, and call it the challenger.

        Args:
            bundle: folder of ``artifacts.save``.
            example: rows of features. What is usual in them is kept as the example
                and gives the signature; no row of a customer is.

        Returns:
            The version in the registry.
        """
        from mlflow.models import infer_signature

        frame = typical(example)
        return self.register(
            bundle,
            signature=infer_signature(frame, [0.5] * len(frame)),
            input_example=frame,
        )

    def register(self, bundle: Path, **described: Any) -> str:
        """The same without an example, or with what describes the bundle otherwise."""
        info = self._mlflow.pyfunc.log_model(
            name="bundle",
            loader_module="training.artifacts",
            data_path=str(bundle),
            # Given, since the search for them starts processes and takes seconds.
            pip_requirements=[f"{name}=={version(name)}" for name in _PACKAGES],
            **described,
        )
        client = self._mlflow.MlflowClient()
        with suppress(self._mlflow.MlflowException):  # it is there already
            client.create_registered_model(MODEL)
        made = client.create_model_version(
            MODEL,
            info.model_uri,
            self.run_id,
            tags={_BUNDLE: bundle.name},
            model_id=info.model_id,  # a server refuses a source without its owner
        )
        client.set_registered_model_alias(MODEL, "challenger", str(made.version))
        return str(made.version)

    def als(self, folder: Path, product_ids: Sequence[str]) -> None:
        """Keep the factors of ``als_frame.save``; they are not registered.

        Args:
            folder: of the factors.
            product_ids: some products, for the example: no customer bought them.
        """
        import pandas as pd
        from mlflow.models import infer_signature

        rows = {"customer_id": "example", "product_id": list(product_ids)}
        example = pd.DataFrame(rows)
        answer = pd.DataFrame({**rows, "rank": 1, "score": 0.5})
        self._mlflow.pyfunc.log_model(
            name="als",
            loader_module="training.als_frame",
            data_path=str(folder),
            pip_requirements=[f"{name}=={version(name)}" for name in _PACKAGES],
            signature=infer_signature(example, answer, {"n": 10}),
            input_example=example,
        )

    def promote(self, bundle_name: str) -> str | None:
        """Point the alias ``champion`` at the latest version that holds a bundle.

        Returns:
            The version; None if the bundle was never registered.
        """
        client = self._mlflow.MlflowClient()
        found = client.search_model_versions(
            f"name = '{MODEL}' AND tags.{_BUNDLE} = '{bundle_name}'"
        )
        if not found:
            return None
        number = str(max(int(version.version) for version in found))
        client.set_registered_model_alias(MODEL, "champion", number)
        return number


@contextmanager
def run(config: Config, name: str, key: str | None = None) -> Generator[Run]:
    """A run of that name; it ends as failed if the block raises.

    Args:
        config: where it is kept.
        name: of a new run.
        key: the latest run of this key is continued, if there is one.

    Raises:
        SettingError: no MLflow can be reached, or it has no room for what it keeps.
    """
    with _quiet(), _with_room(config):
        mlflow = _open(config)
        earlier = _earlier(mlflow, config, key) if key else None
        tags = {_KEY: key} if key and not earlier else None
        # Within another run it is one of its stages.
        nested = mlflow.active_run() is not None
        with mlflow.start_run(
            earlier, run_name=name, tags=tags, nested=nested
        ) as active:
            yield Run(mlflow, active.info.run_id, is_new=earlier is None)


def _earlier(mlflow: Any, config: Config, key: str) -> str | None:
    """Id of the latest run with this key."""
    client = mlflow.MlflowClient()
    home = client.get_experiment_by_name(config.tracking.experiment).experiment_id
    found = client.search_runs(
        [home], f"tags.{_KEY} = '{key}'", max_results=1, order_by=["start_time DESC"]
    )
    return found[0].info.run_id if found else None


def _flat(values: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for name, value in values.items():
        if isinstance(value, dict):
            flat.update(_flat(value, f"{prefix}{name}."))
        else:
            flat[prefix + name] = value
    return flat


@contextmanager
def _quiet() -> Generator[None]:
    """Hide MLflow's notices about itself; its errors still rise."""
    # Before the import, at which MLflow starts what it would report.
    for name, value in _ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    # MLflow sets its own log level when it is imported, so that comes first.
    import mlflow  # noqa: F401  # pyright: ignore[reportUnusedImport]

    levels = {name: logging.getLogger(name).level for name in _LOUDEST}
    for name, level in _LOUDEST.items():
        logging.getLogger(name).setLevel(level)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        for name, level in levels.items():
            logging.getLogger(name).setLevel(level)


@contextmanager
def _with_room(config: Config) -> Generator[None]:
    """A database that cannot grow, as one line."""
    from mlflow.exceptions import MlflowException
    from sqlalchemy.exc import SQLAlchemyError

    try:
        yield
    except (MlflowException, SQLAlchemyError) as error:
        full = _full(error)
        if full is None:
            raise
        raise SettingError(
            f"{'tracking.uri' if config.tracking.uri else 'workspace'}: expected room "
            f"for MLflow's runs in {uri(config)}, got {str(full).lower()}; free some, "
            "or choose another one"
        ) from None


def _full(error: BaseException | None) -> sqlite3.Error | None:
    """What SQLite said, if it could not write what lies behind the error."""
    while error is not None:
        if isinstance(error, sqlite3.Error):
            # The kind is in the lowest byte; a limit of the system is told as IOERR.
            kind = getattr(error, "sqlite_errorcode", 0) & 0xFF
            return (
                error if kind in (sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR) else None
            )
        error = error.__cause__ or error.__context__
    return None


def _open(config: Config) -> Any:
    config.workspace.mkdir(parents=True, exist_ok=True)
    import mlflow

    artifacts = None
    if config.tracking.uri is None:
        artifacts = (config.workspace / "mlflow").resolve().as_uri()
        _make_store(_file(config), artifacts)
    mlflow.set_tracking_uri(uri(config))
    try:
        mlflow.search_experiments(max_results=1)
    except mlflow.MlflowException as error:
        if _full(error):
            raise
        reason = " ".join(str(error).split())[:160]
        raise SettingError(
            f"tracking.uri: expected a reachable MLflow store, got {uri(config)} "
            f"({reason}); start it or take the setting out"
        ) from None
    if mlflow.get_experiment_by_name(config.tracking.experiment) is None:
        mlflow.create_experiment(
            config.tracking.experiment, artifact_location=artifacts
        )
    mlflow.set_experiment(config.tracking.experiment)
    return mlflow


def _make_store(file: Path, artifacts: str) -> None:
    """Make MLflow's database, whole or not at all: half of one it could not use."""
    if file.exists():
        return
    from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore

    with folder_in(file.parent, f".{file.name}.") as folder:
        store = SqlAlchemyStore(f"sqlite:///{folder / file.name}", artifacts)
        store.engine.dispose()
        # Another build may have made one meanwhile.
        if not file.exists():
            (folder / file.name).replace(file)
