"""The repurchase model, trained, asked and explained, beside plain LightGBM.

    python -m pytest tests/benchmarks/bench_training.py -s

Two million feature rows of sixty columns are drawn (counts, sums, ages, shares,
words, nulls; the next purchase follows some of them) and a million customers to
score. Each measurement runs in a process of its own, which also tells its peak
memory; seconds begin when its input is read: ours is a table of features, the
rival's a ready matrix and label. CPU seconds are the steadier ones on a busy machine.

Ours learns from more rows than it is given: each row once at the stated horizon and
once at a drawn one. It trains once on the earlier cutoffs to be calibrated, then
boosters of following seeds on all rows. The rival, ``lgb.Dataset`` and ``lgb.train``
with the same parameters, trees and threads, trains as many boosters on as many
rows: the ratio is what our code adds, and one plain booster on the rows as they
were given stands beside it to show what the design itself costs. When scoring, ours
draws the whole curve over horizons, the rival calls ``predict`` at each of them, or
at one only. Contributions of a million rows take most of an hour on either side:
both are measured on ``BENCH_EXPLAINED`` rows and stated for all in proportion.

Prints ratios; fails on wrong values only: no reasons for a customer, or another AUC
than the rival's. ``BENCH_ROWS``, ``BENCH_SCORED`` and ``BENCH_TREES`` set the size.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from rich.console import Console
from rich.table import Table as Printed
from sklearn.metrics import roc_auc_score

from features.assemble import FEATURES
from features.config import PropensityConfig
from training import explain, propensity
from training.boosting import lgb
from training.propensity import KNOTS
from training.split import CALIBRATION_CUTOFFS, past_cutoffs, with_calibration

ROWS = int(os.environ.get("BENCH_ROWS", "2000000"))
SCORED = int(os.environ.get("BENCH_SCORED", "1000000"))
TREES = int(os.environ.get("BENCH_TREES", "500"))
EXPLAINED = int(os.environ.get("BENCH_EXPLAINED", "20000"))

HORIZON_DAYS = 14
UNTIL = datetime(2025, 1, 1)
CONFIG = PropensityConfig(trees=TREES)
CUTOFFS = past_cutoffs(
    datetime(2024, 1, 1), UNTIL, HORIZON_DAYS, CONFIG.step_days, CONFIG.max_cutoffs
)
FOLD = with_calibration(CUTOFFS, HORIZON_DAYS, CALIBRATION_CUTOFFS)
SEED = 7

SAID = (
    "days_since_last_order",
    "days_gap_mean",
    "orders_count_30d",
    "orders_count_90d",
    "spend_sum_90d",
    "order_lines_mean",
    "categories_distinct_90d",
    "discount_share",
    "weekend_orders_share",
    "days_since_first_order",
    "returned_lines_count",
    "browses_count_30d",
    "carts_count_30d",
    "inquiries_count_90d",
    "complaints_count_90d",
    "feedbacks_count",
    "sent_count",
    "redeemed_count",
    "region",
    "member_tier",
    "age_years",
)
"""Columns that reasons are said in; sixty with others of all dimensions."""

WORDS = {
    "region": ("north", "south", "east", "west"),
    "segment": tuple(f"segment {i}" for i in range(12)),
    "member_tier": ("gold", "silver"),
    "preferred_channel": ("app", "shop", "web"),
}
NAMES = tuple(dict.fromkeys((*SAID, *(f.name for f in FEATURES[::7]))))[:60]


# -- the rows -------------------------------------------------------------------


def draw(n: int, seed: int) -> tuple[pa.Table, np.ndarray]:
    """Feature rows at all cutoffs, and days to the next purchase as seen by the end."""
    random = np.random.default_rng(seed)
    rate = random.lognormal(-3.5, 1.0, n)
    units = {feature.name: feature.unit for feature in FEATURES}
    windows = {feature.name: feature.window_days or 365 for feature in FEATURES}
    cutoff = np.sort(np.arange(n) % len(CUTOFFS))
    columns: dict[str, Any] = {
        "customer": np.arange(n, dtype=np.int32),
        "cutoff": pa.array(np.array(CUTOFFS, "datetime64[us]")[cutoff]),
    }
    for name in NAMES:
        # Every column knows a little of the rate, a few of them much.
        known = rate * random.lognormal(0, 0.3 if name in SAID else 1.5, n)
        columns[name] = _column(name, units[name], windows[name], known, random)
    waited = random.exponential(1 / rate)
    seen = np.array([(UNTIL - at) / timedelta(days=1) for at in CUTOFFS])[cutoff]
    return pa.table(columns), np.where(waited < seen, waited, np.inf)


def _column(
    name: str,
    unit: str,
    window: int,
    rate: np.ndarray,
    random: np.random.Generator,
) -> pa.Array:
    n = len(rate)
    if name in WORDS:
        code = np.minimum(random.poisson(rate * 30), len(WORDS[name]) - 1)
        words = pa.array(code.astype(np.int32), mask=random.random(n) < 0.1)
        return pa.DictionaryArray.from_arrays(words, pa.array(WORDS[name]))
    if unit == "days":
        values, nulls = random.exponential(1 / rate), 0.15
    elif unit == "shop currency":
        values, nulls = np.round(random.gamma(2, 10, n) * rate * window, 2), 0.0
    elif unit in ("share", "ratio"):
        values, nulls = random.beta(2, 5, n) * (1 + rate), 0.25
    elif "mean" in name or "spread" in name:
        values, nulls = random.gamma(3, 1, n) * (1 + rate), 0.1
    else:
        values, nulls = random.poisson(rate * window).astype(np.float64), 0.02
    return pa.array(values, mask=random.random(n) < nulls)


def write(folder: Path) -> None:
    """The tables that ours reads, and the same as matrices for the rival."""
    for name, n, seed in (("train", ROWS, 1), ("score", SCORED, 2)):
        table, days = draw(n, seed)
        pq.write_table(table, folder / f"{name}.parquet")
        np.save(folder / f"{name}_days.npy", days)
        encoding = propensity.encoding_of(table)
        matrix = encoding.matrix(table)
        cutoff = table.column("cutoff").to_numpy()
        del table
        if name == "score":
            _save(folder / "score", matrix, np.full(n, float(HORIZON_DAYS)))
            continue
        (folder / "words.json").write_text(json.dumps(encoding.categorical))
        np.save(folder / "given.npy", matrix)
        _drawn(folder / "all", matrix, days, cutoff, UNTIL)
        early = cutoff <= np.datetime64(FOLD.fit[-1])
        by = FOLD.calibration[0]
        _drawn(folder / "early", matrix[early], days[early], cutoff[early], by)


def _drawn(
    file: Path,
    matrix: np.ndarray,
    days: np.ndarray,
    cutoff: np.ndarray,
    until: datetime,
) -> None:
    """Each row at the stated horizon, and again at drawn ones: what the rival learns."""
    random = np.random.default_rng(0)
    seen = (np.datetime64(until) - cutoff) / np.timedelta64(1, "D")
    horizon = [np.full(len(days), float(HORIZON_DAYS))]
    for _ in range(CONFIG.drawn_horizons):
        longest = np.log(np.minimum(seen, 180.0) + 1)
        horizon.append(np.maximum(np.floor(np.exp(random.uniform(0, longest))), 1.0))
    every = np.concatenate(horizon)
    label = np.tile(days, len(horizon)) < every
    np.save(f"{file}_label.npy", label.astype(np.float32))
    _save(file, np.tile(matrix, (len(horizon), 1)), every)


def _save(file: Path, matrix: np.ndarray, horizon: np.ndarray) -> None:
    np.save(f"{file}.npy", np.column_stack([matrix, horizon.astype(np.float32)]))


# -- one measurement each, in a process of its own ------------------------------


def now() -> np.ndarray:
    """Of the clock, and of the processor; the latter is steadier on a busy machine."""
    return np.array([time.perf_counter(), time.process_time()])


def since(started: np.ndarray) -> dict[str, float]:
    seconds, cpu = (now() - started).tolist()
    return {"seconds": seconds, "cpu": cpu}


def ours_train(folder: Path) -> dict[str, float]:
    table = pq.read_table(folder / "train.parquet")
    days = np.load(folder / "train_days.npy")
    started = now()
    model = propensity.fit(table, days, FOLD, HORIZON_DAYS, UNTIL, CONFIG, SEED)
    spent = since(started)
    made = folder / "ours"
    made.mkdir(exist_ok=True)
    (made / "rest.json").write_text(json.dumps(propensity.save(model, made)))
    return {**spent, "rows": len(days)}


def rival_train(folder: Path) -> dict[str, float]:
    """One booster on the earlier rows, then one for each seed on all of them."""
    early, every = (
        _plain(folder, name, n) for name, n in (("early", 1), ("all", CONFIG.seeds))
    )
    return {
        **{key: early[key] + every[key] for key in ("seconds", "cpu")},
        "rows": every["rows"],
    }


def _plain(folder: Path, name: str, n_boosters: int) -> dict[str, float]:
    matrix = np.load(folder / f"{name}.npy")
    label = (
        (np.load(folder / "train_days.npy") < HORIZON_DAYS).astype(np.float32)
        if name == "given"
        else np.load(folder / f"{name}_label.npy")
    )
    words = json.loads((folder / "words.json").read_text())
    parameters: dict[str, Any] = {
        "objective": "binary",
        "learning_rate": CONFIG.learning_rate,
        "num_leaves": CONFIG.leaves,
        "min_child_samples": CONFIG.min_rows_per_leaf,
        "feature_fraction": CONFIG.feature_share,
        "bagging_fraction": CONFIG.row_share,
        "bagging_freq": 1,
        "lambda_l2": CONFIG.l2,
        "cat_smooth": 50.0,
        "max_cat_to_onehot": 8,
        "deterministic": True,
        "force_row_wise": True,
        "num_threads": CONFIG.threads,
        "verbosity": -1,
    }
    if name != "given":
        monotone = [0] * (matrix.shape[1] - 1) + [1]
        parameters["monotone_constraints"] = monotone
    started = now()
    data = lgb.Dataset(matrix, label, categorical_feature=words)
    boosters = [
        lgb.train(parameters | {"seed": SEED + k}, data, CONFIG.trees)
        for k in range(n_boosters)
    ]
    spent = since(started)
    for k, booster in enumerate(boosters):
        booster.save_model(str(folder / f"{name}_{k}.txt"))
    return {**spent, "rows": len(matrix)}


def ours_curve(folder: Path) -> dict[str, float]:
    model, table = _ours(folder)
    started = now()
    curve = model.curve(table)
    spent = since(started)
    label = np.load(folder / "score_days.npy") < HORIZON_DAYS
    auc = roc_auc_score(label, curve[:, HORIZON_DAYS - 1])
    return {**spent, "auc": float(auc), "rows": len(curve)}


def rival_predict(folder: Path, horizons: Sequence[int]) -> dict[str, float]:
    """``predict`` once for each horizon; the mean of the seeds, as ours."""
    boosters = _boosters(folder)
    matrix = np.load(folder / "score.npy")
    scores: dict[int, np.ndarray] = {}
    started = now()
    for horizon in horizons:
        matrix[:, -1] = horizon
        found = [np.asarray(b.predict(matrix, raw_score=True)) for b in boosters]
        scores[horizon] = np.mean(found, axis=0)
    spent = since(started)
    label = np.load(folder / "score_days.npy") < HORIZON_DAYS
    auc = float(roc_auc_score(label, scores[HORIZON_DAYS]))
    return {**spent, "auc": auc, "rows": len(matrix)}


def ours_explained(folder: Path) -> dict[str, float]:
    model, table = _ours(folder)
    table = table.slice(0, EXPLAINED)
    started = now()
    said = explain.reasons(model, table)
    spent = since(started)
    without = sum(not reasons for reasons in said)
    return {**spent, "rows": len(said), "without": without}


def rival_explained(folder: Path) -> dict[str, float]:
    boosters = _boosters(folder)
    matrix = np.load(folder / "score.npy")[:EXPLAINED].copy()
    started = now()
    parts = [b.predict(matrix, pred_contrib=True) for b in boosters]
    spent = since(started)
    return {**spent, "rows": len(np.asarray(parts[0]))}


def _ours(folder: Path) -> tuple[propensity.Propensity, pa.Table]:
    rest = json.loads((folder / "ours" / "rest.json").read_text())
    model = propensity.load(folder / "ours", rest)
    return model, pq.read_table(folder / "score.parquet")


def _boosters(folder: Path) -> list[lgb.Booster]:
    files = (folder / f"all_{k}.txt" for k in range(CONFIG.seeds))
    return [lgb.Booster(model_file=str(file)) for file in files]


def _knots() -> list[int]:
    longest = (UNTIL - CUTOFFS[0]).days
    return KNOTS[longest >= KNOTS].tolist()


CASES: dict[str, Callable[[Path], dict[str, float]]] = {
    "ours, train": ours_train,
    "LightGBM, as many boosters on as many rows": rival_train,
    "LightGBM, one booster on the rows given": lambda f: _plain(f, "given", 1),
    "ours, the whole curve": ours_curve,
    "LightGBM, predict at every horizon": lambda f: rival_predict(f, _knots()),
    "LightGBM, predict at one horizon": lambda f: rival_predict(f, [HORIZON_DAYS]),
    "ours, reasons": ours_explained,
    "LightGBM, contributions": rival_explained,
}
SOME = ("ours, reasons", "LightGBM, contributions")
"""Measured on ``EXPLAINED`` rows."""

RATIOS = (
    ("ours, train", "LightGBM, as many boosters on as many rows"),
    ("ours, train", "LightGBM, one booster on the rows given"),
    ("ours, the whole curve", "LightGBM, predict at every horizon"),
    ("ours, the whole curve", "LightGBM, predict at one horizon"),
    ("ours, reasons", "LightGBM, contributions"),
)


def measure(case: str, folder: Path) -> dict[str, float]:
    """The case in a new process, with its peak memory in GB."""
    command = [sys.executable, __file__, case, str(folder)]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    return json.loads(done.stdout.splitlines()[-1])


# -- tests ----------------------------------------------------------------------


def test_print_ratios(tmp_path: Path) -> None:
    # In a process of its own, too: a million rows would stay in memory here.
    subprocess.run([sys.executable, __file__, "write", str(tmp_path)], check=True)
    found = {case: measure(case, tmp_path) for case in CASES}
    title = f"{ROWS:,} rows x {len(NAMES)} columns, {TREES} trees; {SCORED:,} customers"
    table = Printed(title=title)
    for column in ("", "rows", "seconds", "CPU seconds", "peak GB"):
        table.add_column(column, justify="left" if not column else "right")
    for case, figure in found.items():
        table.add_row(
            case,
            f"{figure['rows']:,.0f}",
            f"{figure['seconds']:.1f}",
            f"{figure['cpu']:.1f}",
            f"{figure['peak']:.2f}",
        )
    Console(width=120).print(table)
    print_ratios(found)
    ours, rival = (
        found[c] for c in ("ours, the whole curve", "LightGBM, predict at one horizon")
    )
    assert ours["rows"] == SCORED
    assert abs(ours["auc"] - rival["auc"]) < 0.01
    assert found["ours, reasons"]["rows"] == min(EXPLAINED, SCORED)
    assert found["ours, reasons"]["without"] == 0


def print_ratios(found: dict[str, dict[str, float]]) -> None:
    table = Printed(title="ratios")
    for column in ("", "seconds", "CPU seconds", "peak"):
        table.add_column(column, justify="left" if not column else "right")
    for ours, rival in RATIOS:
        figures = (found[ours][k] / found[rival][k] for k in ("seconds", "cpu", "peak"))
        table.add_row(f"{ours} / {rival}", *(f"{figure:.2f}" for figure in figures))
    times = SCORED / min(EXPLAINED, SCORED)
    both: list[dict[str, float]] = []
    for once, some in zip(RATIOS[3], SOME, strict=True):
        both.append(
            {k: found[once][k] + times * found[some][k] for k in ("seconds", "cpu")}
        )
    figures = (both[0][k] / both[1][k] for k in ("seconds", "cpu"))
    table.add_row(
        f"ours, curve and reasons / LightGBM, predict at one horizon and contributions; "
        f"{both[0]['seconds']:,.0f} s / {both[1]['seconds']:,.0f} s, explaining "
        f"{SCORED:,} stated in proportion from {min(EXPLAINED, SCORED):,}",
        *(f"{figure:.2f}" for figure in figures),
        "",
    )
    Console(width=120).print(table)


if __name__ == "__main__":
    if sys.argv[1] == "write":
        write(Path(sys.argv[2]))
        sys.exit()
    result = CASES[sys.argv[1]](Path(sys.argv[2]))
    # Not ru_maxrss, which a process takes over from the one that started it.
    status = Path("/proc/self/status").read_text()
    peak = int(status.split("VmHWM:")[1].split()[0]) / 1e6
    print(json.dumps({**result, "peak": peak}))
