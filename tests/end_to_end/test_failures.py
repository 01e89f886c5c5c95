"""Builds that are killed, run out of disk, or lose their input half-way."""

from __future__ import annotations

import fcntl
import json
import os
import select
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Generator
from contextlib import suppress
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from features.config import Config
from features.contracts import ContractError
from features.simulate import simulate
from serving import stages
from serving.published import Published
from training import artifacts, track

KILLS = 10 if os.environ.get("THOROUGH") else 4
"""Moments at which a build of features is killed."""

RETRAININGS = [(n,) for n in range(20)] if os.environ.get("THOROUGH") else [range(4)]
"""Each with the kills that it survives, by their place among all moments."""

CUTOFF = "cutoff=2024-10-01"
EARLIER = "cutoff=2024-09-01"
FAST = (
    "propensity.trees=10",
    "propensity.min_rows_per_leaf=10",
    "propensity.seeds=1",
    "recommend.trees=10",
    "recommend.min_buyers=2",
    "recommend.factors=4",
    "recommend.als_iterations=1",
    "recommend.past_cutoffs=1",
)

STARTED = """if True:
    import json, os, resource, sys, traceback
    import lightgbm, mlflow
    from features import store
    from serving import cli, stages
    from training import track
    store.code_version()
    for line in sys.stdin:
        words, out, file_bytes = json.loads(line)
        child = os.fork()
        if not child:
            os.dup2(os.open(out, os.O_CREAT | os.O_TRUNC | os.O_WRONLY), 2)
            os.dup2(2, 1)
            if file_bytes:
                resource.setrlimit(resource.RLIMIT_FSIZE, (file_bytes, file_bytes))
            sys.argv = ["repurchase", *words]
            status = 1
            try:
                cli.main()
            except SystemExit as ended:
                status = ended.code or 0
            except BaseException:
                traceback.print_exc()
            finally:
                sys.stdout.flush()
                os._exit(status)
        print(child, flush=True)
        print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
"""
"""Runs commands one after the other, each in a fork with all modules imported."""


REPURCHASE = [sys.executable, "-c", "from serving.cli import main; main()"]


class Commands:
    """The command line in processes of their own that can be killed at once."""

    def __init__(self, process: subprocess.Popen[bytes], folder: Path) -> None:
        self._process = process
        self._out = folder / "out.txt"

    def __call__(
        self, *words: object, kill_after: float | None = None, file_bytes: int = 0
    ) -> int:
        """The exit status; minus the signal's number if it was killed.

        Args:
            words: of the command line.
            kill_after: seconds from its start.
            file_bytes: no file may become larger; as on a disk that is full.
        """
        line = json.dumps([[str(word) for word in words], str(self._out), file_bytes])
        assert self._process.stdin and self._process.stdout
        self._process.stdin.write(f"{line}\n".encode())
        self._process.stdin.flush()
        child = int(self._process.stdout.readline())
        # Readable: it is done.
        pipe = [self._process.stdout]
        if kill_after is not None and not select.select(pipe, [], [], kill_after)[0]:
            # It may have ended just now.
            with suppress(ProcessLookupError):
                os.kill(child, signal.SIGKILL)
        return int(self._process.stdout.readline())

    @property
    def said(self) -> list[str]:
        """The lines that the last one printed."""
        return self._out.read_text().splitlines()


@pytest.fixture(scope="module")
def temporary(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the commands put temporary files."""
    return tmp_path_factory.mktemp("temporary")


@pytest.fixture(scope="module")
def run(
    temporary: Path, tmp_path_factory: pytest.TempPathFactory
) -> Generator[Commands]:
    quiet = {"OMP_WAIT_POLICY": "PASSIVE", "OPENBLAS_NUM_THREADS": "1"}
    with subprocess.Popen(
        [sys.executable, "-c", STARTED],
        env={**os.environ, **quiet, "TMPDIR": str(temporary)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        bufsize=0,
    ) as process:
        yield Commands(process, tmp_path_factory.mktemp("commands"))
        assert process.stdin
        process.stdin.close()


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("shop") / "data"
    simulate(folder, 2000)
    return folder


def words_of(data: Path, workspace: Path, *more: str) -> list[str]:
    keys = (f"data={data}", f"workspace={workspace}", *more)
    return [word for key in keys for word in ("--set", key)]


def moments(seconds: float, n: int) -> list[float]:
    """So many random moments, spread over the time that a run takes."""
    drawn = np.random.default_rng(20240901).random(n)
    return ((np.arange(n) + drawn) / n * seconds).tolist()


def killed(run: Commands, words: list[str], after: float) -> None:
    """Kill the command at the moment, or earlier if it is done by then."""
    while run(*words, kill_after=after) != -signal.SIGKILL:
        after *= 0.8


def test_features_killed_at_any_moment_leave_the_last_good_table(
    run: Commands, data: Path, temporary: Path, tmp_path: Path
) -> None:
    def words(place: str, cutoff: str) -> list[str]:
        return ["features", *words_of(data, tmp_path / place, cutoff)]

    def table(place: str) -> bytes | None:
        file = tmp_path / place / "features" / "features.parquet"
        return file.read_bytes() if file.exists() else None

    assert run(*words("earlier", EARLIER)) == 0
    started = time.perf_counter()
    assert run(*words("undisturbed", CUTOFF)) == 0
    moments_of_kill = moments(time.perf_counter() - started, KILLS)
    whole = table("undisturbed")
    for n, moment in enumerate(moments_of_kill):
        place = f"killed-{n}"
        if n % 2:
            (tmp_path / place / "features").mkdir(parents=True)
            file = tmp_path / place / "features" / "features.parquet"
            file.write_bytes(table("earlier") or b"")
        before = table(place)
        killed(run, words(place, CUTOFF), moment)
        # A kill after the last step of all finds the new table in force, whole.
        assert table(place) in (before, whole)

        assert run(*words(place, CUTOFF)) == 0
        assert table(place) == whole
        left = {file.name for file in (tmp_path / place / "features").iterdir()}
        assert left == {"features.parquet"}
        assert not list(temporary.glob("repurchase-*"))


def test_models_and_versions_in_force_outlive_killed_stages(
    run: Commands, shop_dir: Path, temporary: Path, tmp_path: Path
) -> None:
    def words(stage: str, seed: int) -> list[str]:
        more = ["--ungated"] if stage == "publish" else []
        named = words_of(shop_dir, tmp_path, CUTOFF, f"seed={seed}", *FAST)
        return [stage, *more, *named]

    pointers = {
        "train": tmp_path / "models" / "latest",
        "publish": tmp_path / "published" / "current",
    }
    seconds: dict[str, float] = {}
    for stage in ("features", *pointers):
        started = time.perf_counter()
        assert run(*words(stage, 0)) == 0, run.said
        seconds[stage] = time.perf_counter() - started

    for stage, pointer in pointers.items():
        good = pointer.read_text()
        for moment in moments(0.9 * seconds[stage], 3):
            killed(run, words(stage, 1), moment)
            named = pointer.parent / pointer.read_text().strip()
            assert (named / "manifest.json").exists()
            assert load(stage, tmp_path)
            pointer.write_text(good)
        assert run(*words(stage, 1)) == 0, run.said
        assert pointer.read_text() != good
        hidden = {f.name for f in pointer.parent.iterdir() if f.name.startswith(".")}
        assert hidden <= {".lock"}
        assert not list(temporary.glob("repurchase-*"))


NOTHING_TO_BEAT = (
    "gate.baseline_margin=0.99",
    "gate.auc_margin=0.99",
    "gate.recall_margin=0.99",
    "gate.calibration_error=1",
    "evaluation.permutations=2",
    "spend.trees=5",
    "churn.trees=5",
    "replenishment.trees=5",
)
"""A shop of 80 customers proves nothing."""


def test_champion_and_version_in_force_stay_together_whenever_a_retraining_is_killed(
    run: Commands, shop_dir: Path, temporary: Path, tmp_path: Path
) -> None:
    def words(day: int) -> list[str]:
        # On newer data, so that a model no better than the one in force is taken.
        cutoff = f"cutoff=2024-10-{day:02}"
        more = words_of(shop_dir, tmp_path, cutoff, *FAST, *NOTHING_TO_BEAT)
        return ["retrain", *more]

    started = time.perf_counter()
    assert run(*words(1)) == 0, run.said
    drawn = moments(time.perf_counter() - started, sum(map(len, RETRAININGS)))
    for day, places in enumerate(RETRAININGS, 2):
        before = in_force(tmp_path)
        for place in places:
            run(*words(day), kill_after=drawn[place])
            # Whatever is in force is whole, and of a model that the gate let pass.
            now = in_force(tmp_path)
            if now != before:
                said = tmp_path / "proofs" / now[1] / "gate.json"
                assert json.loads(said.read_text())["promote"]
        assert run(*words(day)) == 0, run.said
        version, model = in_force(tmp_path)
        assert (version[:8], model[:8]) == (f"202410{day:02}", f"202410{day:02}")
        assert champion_in_registry(tmp_path) == model
        assert (tmp_path / "models" / "latest").read_text() == model
        assert not list(temporary.glob("repurchase-*"))


def in_force(workspace: Path) -> tuple[str, str]:
    """The version in force and its model, with all their checksums."""
    published = Published.open(workspace)
    artifacts.load(workspace / "models" / published.model_version)
    return published.version, published.model_version


def champion_in_registry(workspace: Path) -> str:
    import mlflow

    client = mlflow.MlflowClient(track.uri(Config(workspace=workspace)))
    found = client.get_model_version_by_alias(track.MODEL, "champion")
    return str(found.tags["bundle"])


def test_a_second_retraining_at_the_same_time_is_refused_in_one_line(
    run: Commands, shop_dir: Path, tmp_path: Path
) -> None:
    with (tmp_path / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        assert run("retrain", *words_of(shop_dir, tmp_path, CUTOFF)) == 2
    assert run.said == [
        f"error: workspace: expected no other build in {tmp_path}, got one at work; "
        "wait for it, or choose another workspace"
    ]
    assert [file.name for file in tmp_path.iterdir()] == [".lock"]


def load(stage: str, workspace: Path) -> object:
    """What is in force, with all its checksums."""
    if stage == "publish":
        return Published.open(workspace)
    models = workspace / "models"
    return artifacts.load(models / (models / "latest").read_text())


def test_two_builds_in_one_workspace_do_not_destroy_each_other(
    run: Commands, data: Path, tmp_path: Path
) -> None:
    words = ["features", *words_of(data, tmp_path, CUTOFF)]
    with subprocess.Popen(
        [*REPURCHASE, *words], stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    ) as first:
        assert first.stdout
        assert first.stdout.readline() == b"- features\n"
        assert run(*words) == 2
        assert run.said == [
            f"error: workspace: expected no other build in {tmp_path}, got one at work; "
            "wait for it, or choose another workspace"
        ]
        first.communicate()
    assert first.returncode == 0
    assert run(*words) == 0
    assert run.said[0].startswith("- features: unchanged, ")


@pytest.fixture(scope="module")
def dirty(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The shop; of every other purchase the customer is missing."""
    folder = tmp_path_factory.mktemp("dirty")
    for file in data.glob("*.parquet"):
        (folder / file.name).write_bytes(file.read_bytes())
    rows = pq.read_table(data / "purchases.parquet").to_pandas()
    rows.loc[::2, "customer_id"] = None
    rows.to_parquet(folder / "purchases.parquet")
    return folder


@pytest.mark.parametrize(
    ("words", "shop", "file_bytes", "said"),
    [
        (
            ("features",),
            "data",
            100_000,
            "workspace: expected room for the feature table in {workspace}/features, got",
        ),
        (
            ("features", "--set", "engine.memory_limit=20MB"),
            "data",
            100_000,
            "TMPDIR: expected room to sort the tables of {data} in {temporary}/",
        ),
        (
            ("features",),
            "dirty",
            100_000,
            "quarantine: expected a folder that can be written, got "
            "{workspace}/quarantine (File too large)",
        ),
        (
            ("check",),
            "data",
            6_000,
            "--out: expected a file that can be written, got "
            "{workspace}/reports/quality.html (File too large)",
        ),
    ],
)
def test_full_disk_is_one_line_and_the_last_good_state_stays(
    run: Commands,
    temporary: Path,
    tmp_path: Path,
    request: pytest.FixtureRequest,
    words: tuple[str, ...],
    shop: str,
    file_bytes: int,
    said: str,
) -> None:
    folder = request.getfixturevalue(shop)
    for name in ("features/features.parquet", "quarantine/purchases.parquet"):
        (tmp_path / name).parent.mkdir()
        (tmp_path / name).write_bytes(b"the last good one")
    before = {file for file in tmp_path.rglob("*") if file.is_file()}
    keys = words_of(folder, tmp_path, CUTOFF)
    assert run(*words, *keys, file_bytes=file_bytes) == 2, run.said
    (line,) = [line for line in run.said if line.startswith("error: ")]
    places = {"workspace": tmp_path, "data": folder, "temporary": temporary}
    assert line.startswith(f"error: {said.format(**places)}")
    assert (tmp_path / "features/features.parquet").read_bytes() == b"the last good one"
    after = {file for file in tmp_path.rglob("*") if file.is_file()}
    assert after - before <= {tmp_path / ".lock"}
    assert not list(temporary.glob("repurchase-*"))


def test_full_disk_inside_mlflow_is_one_line_and_the_next_run_goes_on(
    run: Commands, shop_dir: Path, temporary: Path, tmp_path: Path
) -> None:
    words = words_of(shop_dir, tmp_path, CUTOFF, *FAST)
    assert run("features", *words) == 0, run.said
    # Every file of the models is smaller, MLflow's database is not.
    assert run("train", *words, file_bytes=500_000) == 2, run.said
    told = [line for line in run.said if not line.startswith("- ")]
    assert told == [
        f"error: workspace: expected room for MLflow's runs in sqlite:///{tmp_path}/"
        "mlflow.db, got disk i/o error; free some, or choose another one"
    ]
    assert run("train", *words) == 0, run.said
    assert load("train", tmp_path)
    assert not [f.name for f in tmp_path.iterdir() if f.name.startswith(".mlflow")]


def test_file_replaced_during_a_build_leaves_no_table_of_mixed_moments(
    data: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "data"
    shutil.copytree(data, folder)
    file = folder / "browses.parquet"
    config = Config(data=folder, workspace=tmp_path, cutoff="2024-10-01")

    def replace(step: str) -> None:
        # After the input's hash, before its rows.
        if step == "features":
            pq.write_table(pq.read_table(file).slice(0, 1000), tmp_path / "new")
            (tmp_path / "new").replace(file)

    with pytest.raises(ContractError) as told:
        stages.features(config, replace)
    assert told.value.lines == (
        "data: expected files that stay as they are while they are read, got another "
        f"browses.parquet in {folder}; run again once it is written",
    )
    assert not list((tmp_path / "features").iterdir())
    assert stages.features(config).exists()
