"""The commands on a small shop, as a person or a script would call them."""

from __future__ import annotations

import errno
import json
from collections.abc import Callable
from pathlib import Path

import duckdb
import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest

from features.engine import Tables
from features.snapshot import DAY_US
from serving import cli
from serving.fresh import Lately, view_of
from serving.published import Published
from serving.recommend import recommend, wishes
from training.artifacts import load
from training.fresh_basis import basis_of, popular_log_odds, shop_of
from training.fresh_rows import Before, rows_of
from training.moment import sort_history
from training.offers import cold_start
from training.since import BOUGHT, VIEWED, Fresh, since_of

CUTOFF = "2024-10-01"
FAST = (
    "propensity.trees=20",
    "propensity.min_rows_per_leaf=10",
    "propensity.seeds=1",
    "recommend.trees=20",
    "recommend.min_buyers=2",
    "recommend.factors=4",
)
TABLES = ("propensity", "recommendations", "replenishment", "value", "uplift", "churn")

Run = Callable[..., int]


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch) -> Run:
    def call(*words: object) -> int:
        monkeypatch.setattr("sys.argv", ["repurchase", *(str(word) for word in words)])
        with pytest.raises(SystemExit) as ended:
            cli.main()
        return int(ended.value.code or 0)

    return call


def settings(*more: str) -> list[str]:
    return [word for key in (*FAST, *more) for word in ("--set", key)]


def words_of(data: Path, out: Path, *more: object) -> list[object]:
    """A backtest that keeps its runs beside its tables."""
    words = ("--data", data, "--cutoff", CUTOFF, "--horizon", 14, "--out", out)
    return ["backtest", *words, *more, *settings(f"workspace={out}/workspace")]


def backtest(run: Run, data: Path, out: Path, *more: object) -> int:
    return run(*words_of(data, out, *more))


@pytest.fixture(scope="module")
def written(shop_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("backtest")
    with pytest.MonkeyPatch.context() as patch:
        words = words_of(shop_dir, out, "--seed", 5)
        patch.setattr("sys.argv", ["repurchase", *(str(word) for word in words)])
        with pytest.raises(SystemExit) as ended:
            cli.main()
    assert not ended.value.code
    return out


def before_cutoff(shop_dir: Path, folder: Path) -> Path:
    """The shop without any row that happened at the cutoff or later."""
    times = {
        "customers": "greatest(valid_from, joined_at)",
        "products": "launched_at",
        "campaigns": "starts_at",
        "promotions": "coalesce(known_at, starts_at)",
        "picks": "chosen_at",
    }
    with duckdb.connect() as db:
        for file in shop_dir.glob("*.parquet"):
            time = times.get(file.stem, "ts")
            db.execute(
                f"COPY (SELECT * FROM read_parquet('{file}') WHERE "
                f"coalesce({time} < TIMESTAMP '{CUTOFF}', true)) "
                f"TO '{folder / file.name}'"
            )
    return folder


def test_backtest_writes_every_promised_column(written: Path, shop_dir: Path) -> None:
    tables = {name: pq.read_table(written / f"{name}.parquet") for name in TABLES}
    assert tables["propensity"].column_names == [
        "customer_id",
        "probability",
        "expected_next_at",
    ]
    assert tables["recommendations"].column_names == [
        "customer_id",
        "list",
        "rank",
        "product_id",
        "score",
        "probability",
        "reason",
    ]
    assert tables["replenishment"].column_names == [
        "customer_id",
        "product_group",
        "due_at",
        "due_p10",
        "due_p90",
        "probability",
        "abstain",
        "probability_soon",
        "alert",
    ]
    assert tables["value"].column_names == [
        "customer_id",
        "expected_orders",
        "expected_spend",
        "expected_spend_365d",
        "average_order_value",
        "repurchases_per_year",
        "remaining_lifetime_years",
        "acquisition_cost",
        "clv",
    ]
    assert tables["uplift"].column_names == [
        "customer_id",
        "uplift",
        "expected_extra_spend",
    ]
    assert tables["churn"].column_names == [
        "customer_id",
        "visits_norm",
        "spend_norm",
        "churn_risk",
        "expected_loss",
    ]
    with duckdb.connect() as db:
        known = db.execute(
            f"SELECT DISTINCT customer_id FROM read_parquet('{shop_dir}/purchases.parquet') "
            f"WHERE ts < TIMESTAMP '{CUTOFF}' AND coalesce(known_at, ts) < TIMESTAMP '{CUTOFF}'"
            " AND quantity >= 0 ORDER BY ALL"
        ).fetchall()
    everyone = [row[0] for row in known]
    assert tables["propensity"]["customer_id"].to_pylist() == everyone
    assert tables["value"]["customer_id"].to_pylist() == everyone
    assert set(tables["recommendations"]["customer_id"].to_pylist()) == set(everyone)


def test_lists_are_ranked_from_one_without_repeats(written: Path) -> None:
    lists = pq.read_table(written / "recommendations.parquet").to_pandas()
    assert set(lists["list"]) == {"mixed", "again", "new"}
    for _, one in lists.groupby(["customer_id", "list"]):
        assert one["rank"].tolist() == list(range(1, len(one) + 1))
        assert len(one) <= 20
        assert one["product_id"].is_unique
        assert one["score"].is_monotonic_decreasing
    assert lists["reason"].str.len().min() > 0
    assert lists["probability"].between(0, 1).all()


def test_no_list_offers_a_durable_again_too_soon(written: Path, shop_dir: Path) -> None:
    with duckdb.connect() as db:
        db.execute(
            "CREATE TABLE lasting AS SELECT customer_id, product_id FROM "
            f"read_parquet('{shop_dir}/purchases.parquet') AS bought JOIN "
            f"read_parquet('{shop_dir}/products.parquet') AS range USING (product_id) "
            f"WHERE greatest(ts, coalesce(known_at, ts)) < TIMESTAMP '{CUTOFF}' "
            "AND quantity >= 0 AND service_life_days >= 90 "
            "GROUP BY customer_id, product_id, service_life_days HAVING "
            f"max(ts) + service_life_days * INTERVAL 1 DAY > TIMESTAMP '{CUTOFF}'"
        )
        offered = db.execute(
            "SELECT count(*) FROM lasting JOIN "
            f"read_parquet('{written}/recommendations.parquet') "
            "USING (customer_id, product_id)"
        ).fetchone()
        lasting = db.execute("SELECT count(*) FROM lasting").fetchone()
    assert lasting is not None and lasting[0] > 20
    assert offered == (0,)


def test_metrics_stand_beside_baselines_with_seconds_and_memory(written: Path) -> None:
    metrics = json.loads((written / "metrics.json").read_text())
    assert set(metrics["quality"]["propensity"]) == {
        "repurchase",
        "recency-frequency logistic",
        "BG/NBD",
        "recency",
    }
    assert {"repurchase", "own history", "popularity"} <= set(
        metrics["quality"]["lists"]["mixed"]
    )
    assert metrics["seconds"].keys() == metrics["peak_memory_mb"].keys()


def test_backtest_is_a_run_with_its_models(written: Path) -> None:
    import mlflow

    client = mlflow.MlflowClient(f"sqlite:///{written / 'workspace' / 'mlflow.db'}")
    (run,) = client.search_runs(
        [client.get_experiment_by_name("repurchase").experiment_id]
    )
    metrics = json.loads((written / "metrics.json").read_text())
    assert run.data.params["data_fingerprint"] == metrics["data_fingerprint"]
    auc = metrics["quality"]["propensity"]["repurchase"]["auc"]
    assert run.data.metrics["repurchase/auc"] == pytest.approx(auc)
    (bundle,) = client.list_artifacts(run.info.run_id)
    files = {
        Path(f.path).name for f in client.list_artifacts(run.info.run_id, bundle.path)
    }
    assert {"manifest.json", "propensity_0.txt"} <= files


def test_rows_at_or_after_the_cutoff_change_no_byte(
    run: Run, written: Path, shop_dir: Path, tmp_path: Path
) -> None:
    (tmp_path / "data").mkdir()
    data = before_cutoff(shop_dir, tmp_path / "data")
    assert backtest(run, data, tmp_path / "out", "--seed", 5) == 0
    for name in TABLES:
        left, right = (f / f"{name}.parquet" for f in (written, tmp_path / "out"))
        assert left.read_bytes() == right.read_bytes(), name
    assert (
        json.loads((tmp_path / "out" / "metrics.json").read_text())["quality"] is None
    )


def test_same_seed_same_bytes_and_another_seed_others(
    run: Run, written: Path, shop_dir: Path, tmp_path: Path
) -> None:
    assert backtest(run, shop_dir, tmp_path / "same", "--seed", 5) == 0
    assert backtest(run, shop_dir, tmp_path / "other", "--seed", 6) == 0
    for name in TABLES:
        file = f"{name}.parquet"
        assert (written / file).read_bytes() == (
            tmp_path / "same" / file
        ).read_bytes(), name
    file = "propensity.parquet"
    assert (written / file).read_bytes() != (tmp_path / "other" / file).read_bytes()


def without(column: str) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        file = folder / "purchases.parquet"
        pq.write_table(pq.read_table(file).drop_columns([column]), file)

    return change


def as_text(folder: Path) -> None:
    file = folder / "purchases.parquet"
    with duckdb.connect() as db:
        db.execute(
            f"CREATE TABLE t AS SELECT * REPLACE (amount || ' $' AS amount) FROM read_parquet('{file}')"
        )
        db.execute(f"COPY t TO '{file}' (FORMAT parquet)")


def one_order_each(folder: Path) -> None:
    file = folder / "purchases.parquet"
    with duckdb.connect() as db:
        db.execute(
            f"CREATE TABLE t AS SELECT * REPLACE (customer_id AS order_id) FROM read_parquet('{file}')"
        )
        db.execute(f"COPY t TO '{file}' (FORMAT parquet)")


@pytest.mark.parametrize(
    ("change", "words", "message"),
    [
        (
            lambda f: (f / "purchases.parquet").unlink(),
            (),
            "purchases: expected a table",
        ),
        (without("order_id"), (), "purchases.order_id: expected a column"),
        (as_text, (), "purchases.amount: expected number, got text"),
        (
            lambda f: (f / "purchases.parquet").write_bytes(b""),
            (),
            "purchases: expected rows, got an empty file",
        ),
        (
            lambda f: None,
            ("--cutoff", "2023-12-31"),
            "cutoff: expected a moment after the first purchase",
        ),
        (
            lambda f: None,
            ("--cutoff", "2024-01-20"),
            "history: expected enough time before the cutoff",
        ),
        (lambda f: None, ("--cutoff", "soon"), "cutoff: expected an ISO date"),
        (one_order_each, (), "at least one customer with two orders"),
        (
            lambda f: None,
            ("--set", "propensity.tree=3"),
            "propensity.tree: extra inputs",
        ),
        (lambda f: None, ("--config", "nowhere.yaml"), "nowhere.yaml"),
    ],
)
def test_input_faults_end_in_one_line_and_status_2(
    run: Run,
    shop_dir: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    change: Callable[[Path], None],
    words: tuple[str, ...],
    message: str,
) -> None:
    data = tmp_path / "data"
    data.mkdir()
    for file in shop_dir.glob("*.parquet"):
        (data / file.name).write_bytes(file.read_bytes())
    change(data)
    assert backtest(run, data, tmp_path / "out", *words) == 2
    told = capsys.readouterr().err.splitlines()
    assert len(told) == 1
    assert message in told[0]
    assert not list((tmp_path / "out").glob("*.parquet"))


def test_stages_end_in_a_champion_that_answers_like_the_batch(
    run: Run, shop_dir: Path, tmp_path: Path
) -> None:
    workspace = tmp_path / "workspace"
    words = settings(
        f"data={shop_dir}",
        f"workspace={workspace}",
        f"cutoff={CUTOFF}",
        "evaluation_cutoffs=[2024-08-20, 2024-09-10]",
    )
    for stage in ("features", "train", "evaluate", "publish"):
        assert run(stage, *words) == 0, stage
    assert (workspace / "reports" / "report.html").exists()
    assert list(
        json.loads((workspace / "reports" / "metrics.json").read_text())["cutoffs"]
    ) == [
        "2024-08-20",
        "2024-09-10",
    ]

    import mlflow

    client = mlflow.MlflowClient(f"sqlite:///{workspace / 'mlflow.db'}")
    champion = client.get_model_version_by_alias("repurchase", "champion")
    published = Published.open(workspace)
    assert champion.tags["bundle"] == published.model_version

    assert backtest(run, shop_dir, tmp_path / "out") == 0
    lists = pq.read_table(tmp_path / "out" / "recommendations.parquet").to_pandas()
    scores = pq.read_table(tmp_path / "out" / "propensity.parquet").to_pandas()
    for customer_id, one in lists[lists["list"] == "mixed"].groupby("customer_id"):
        row = published.customers.row(customer_id)
        answer = recommend(published, row, wishes(published, n=len(one)))
        assert [item["product_id"] for item in answer] == one["product_id"].tolist()
        assert np.allclose([item["probability"] for item in answer], one["probability"])
    rows = [published.customers.row(i) for i in scores["customer_id"]]
    assert np.allclose(published.curve[rows, 13], scores["probability"])
    nobody_who_refused(run, shop_dir, published, tmp_path, words)
    fresh_events_mean_what_was_learned(shop_dir, workspace, published)


def fresh_events_mean_what_was_learned(
    shop_dir: Path, workspace: Path, published: Published
) -> None:
    """The service judges a customer's events by the rows that the build learns from."""
    model = load(workspace / "models" / published.model_version).recommender
    with Tables(shop_dir) as tables:
        history = tables.history(published.cutoff)
    ordered = sort_history(history)
    generators = model.generators(ordered, published.cutoff)
    basis = basis_of(ordered, generators, 14, model.fresh, model.config)
    cold = cold_start(generators.moment)
    popular = popular_log_odds(cold.product, cold.probability, len(history.products))
    groups = generators.moment.group_of["subcategory"]
    available = history.products.available
    shop = shop_of(basis, popular, cold.product, available, groups)
    scored = model.score(generators, generators.moment.customers)
    pairs = generators.moment.pairs["product"]
    now_us = published.cutoff_us + 3 * DAY_US
    for customer in generators.moment.customers[:20].tolist():
        own = slice(*pairs.offsets[customer : customer + 2])
        low, high = np.searchsorted(scored.customer, (customer, customer + 1))
        was = Before(
            scored.product[low:high],
            scored.is_new[low:high],
            scored.score[low:high],
            pairs.item[own],
            pairs.slow[own],
        )
        kind = np.array([BOUGHT, BOUGHT, VIEWED], np.int8)
        product = np.array([customer % 40, customer % 7, 5], np.int32)
        ts = np.array([now_us - 1, now_us - 2, now_us - 3])
        events = Fresh(kind, product, ts, np.ones(3, np.float32))
        since = since_of(events, basis.weights)
        rows = rows_of(shop, was, since, now_us, fold=model.fresh.folds_in)
        row = published.customers.row(str(history.customers[customer]))
        offers = view_of(published, row, Lately(events, now_us))
        assert offers is not None
        expected = np.zeros(len(available)) * np.nan
        expected[rows.product] = model.fresh.log_odds(rows)
        assert len(offers.offers.product) == len(rows.product)
        assert np.allclose(offers.offers.score, expected[offers.offers.product])


def nobody_who_refused(
    run: Run, shop_dir: Path, published: Published, folder: Path, words: list[str]
) -> None:
    """Consent in force at the cutoff is published, and holds in every audience."""
    profiles = pq.read_table(shop_dir / "customers.parquet").to_pandas()
    since = profiles[["valid_from", "joined_at"]].max(axis=1)
    known = profiles[~(since >= pd.Timestamp(CUTOFF))]
    last = known.sort_values("valid_from", na_position="first").groupby("customer_id")
    consent = last["consent"].last()
    refused = set(consent.index[consent == False])  # noqa: E712
    ids = [published.customers[row] for row in range(len(published.customers))]
    expected = [customer not in refused for customer in ids]
    assert published.consent.tolist() == expected and not all(expected)
    assert published.consent[published.buyers.customer].all()
    categories = published.catalogue.categories
    busiest = published.catalogue.names[int(np.diff(published.buyers.offsets).argmax())]
    for ask in (("--category", next(iter(categories))), ("--product", busiest)):
        file = folder / "audience.csv"
        goal = ("audience", "--goal", "product", *ask, "--top", 9999, "--out", file)
        assert run(*goal, *words) == 0
        found = pd.read_csv(file, dtype={"customer_id": str})
        assert len(found) and not set(found["customer_id"]) & refused
        assert (found["score"].diff().dropna() <= 0).all()


def test_missing_stage_is_told(
    run: Run, shop_dir: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = settings(f"data={shop_dir}", f"workspace={tmp_path}", f"cutoff={CUTOFF}")
    assert run("publish", *words) == 2
    assert "run repurchase train first" in capsys.readouterr().err
    assert run("train", *words) == 2
    assert "run repurchase features" in capsys.readouterr().err
    assert run("serve", *words) == 2
    assert "publish" in capsys.readouterr().err


def test_simulated_shop_is_a_folder_of_tables_and_truths(
    run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "shop"
    words = ("simulate", "--customers", 50, "--seed", 3, "--truth")
    assert run(*words, "uplift=0.5", "--out", out) == 0
    assert f"{out}/picks.parquet: 480 rows" in capsys.readouterr().out
    assert json.loads((out / "truths/truths.json").read_text())["uplift"] == 0.5
    with Tables(out) as tables:
        assert sum(tables.quarantined.values()) == 0

    assert run(*words, "uplift=-2", "--out", tmp_path / "other") == 2
    assert capsys.readouterr().err == (
        "error: --truth: uplift: input should be greater than or equal to -1, got -2\n"
    )
    assert [path.name for path in tmp_path.iterdir()] == ["shop"]


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (
            PermissionError(errno.EACCES, "Permission denied", "/Data/a"),
            "system: expected to read or write /Data/a, got permission denied; check "
            "that it is there, what it is, and permissions",
        ),
        (
            OSError("no\nHost"),
            "system: expected to read or write what the command needs, got no Host; "
            "check that it is there, what it is, and permissions",
        ),
        (
            OSError(errno.ENOSPC, "No space left on device", "/Data/a"),
            "disk: expected room for /Data/a, got no space left on device; free some",
        ),
    ],
)
def test_whatever_the_system_refuses_is_one_line(
    run: Run,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    error: OSError,
    said: str,
) -> None:
    def refused() -> None:
        raise error

    monkeypatch.setattr(cli, "app", refused)
    assert run() == 2
    assert capsys.readouterr().err == f"error: {said}\n"


def test_a_folder_where_the_table_is_written_to_is_one_line(
    run: Run, shop_dir: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    place = tmp_path / "features" / ".features.parquet"
    place.mkdir(parents=True)
    words = settings(f"data={shop_dir}", f"workspace={tmp_path}", f"cutoff={CUTOFF}")
    assert run("features", *words) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"error: system: expected to read or write {place}, got ")
