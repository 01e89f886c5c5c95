"""Planted faults: what a broken export or a leak does, the gate says no to."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta
from io import StringIO
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from rich.console import Console

from features.config import Config
from features.engine import Tables
from features.snapshot import Snapshot
from serving import gate_text, gating, proofs
from serving.gating import look_at_data
from serving.state import database, tombstones
from training import build, contest, gate, proof
from training.metrics import MODEL
from training.proof import Proof
from training.recipe import Record, record_of

CUTOFF = datetime(2024, 10, 1)
PROVED = datetime(2024, 9, 3)
FAST = {
    "propensity": {"trees": 20, "seeds": 1, "min_rows_per_leaf": 10},
    "recommend": {
        "trees": 5,
        "min_buyers": 2,
        "factors": 4,
        "als_iterations": 1,
        "past_cutoffs": 1,
    },
    "evaluation": {"permutations": 2},
}

EASY = {"baseline_margin": 0.99, "calibration_error": 1.0}


def changed(
    shop: Path, folder: Path, change: Callable[[pd.DataFrame], pd.DataFrame]
) -> Config:
    """The shop with other purchases."""
    shutil.copytree(shop, folder / "data")
    file = folder / "data" / "purchases.parquet"
    change(pd.read_parquet(file)).to_parquet(file)
    return Config(data=folder / "data", workspace=folder / "w", cutoff=CUTOFF)


def refused(config: Config) -> list[str]:
    return [f"{c.name}: {c.found}" for c in look_at_data(config) if not c.passed]


def times_100(rows: pd.DataFrame) -> pd.DataFrame:
    later = rows["ts"] >= datetime(2024, 8, 1)
    return rows.assign(amount=rows["amount"].where(~later, rows["amount"] * 100))


def half_since_summer(rows: pd.DataFrame) -> pd.DataFrame:
    lost = (rows["ts"] >= datetime(2024, 8, 6)) & (np.arange(len(rows)) % 2 == 0)
    return rows[~lost]


def ends_early(rows: pd.DataFrame) -> pd.DataFrame:
    known = rows["known_at"].fillna(rows["ts"])
    return rows[known < CUTOFF - timedelta(days=9)]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda rows: rows, []),
        (times_100, ["shape of the data: purchases.amount: expected values of one"]),
        (half_since_summer, ["shape of the data: purchases: expected 60% or more of"]),
        (ends_early, ["freshness of the data: none after 2024-09-21 for the cutoff"]),
    ],
)
def test_a_broken_export_is_refused_before_anything_is_trained(
    shop_dir: Path,
    tmp_path: Path,
    change: Callable[[pd.DataFrame], pd.DataFrame],
    said: list[str],
) -> None:
    found = refused(changed(shop_dir, tmp_path, change))
    assert [one[: len(start)] for one, start in zip(found, said, strict=True)] == said


def test_half_the_purchases_missing_throughout_is_seen_beside_the_champion(
    shop_dir: Path, tmp_path: Path
) -> None:
    config = changed(shop_dir, tmp_path, lambda rows: rows[::2])
    assert refused(config) == []
    put_in_force(config, shop_dir, CUTOFF)
    (said,) = refused(config)
    assert "that the champion read" in said
    # Nothing is missing of the whole shop.
    assert refused(config.model_copy(update={"data": shop_dir})) == []


def test_a_snapshot_from_before_the_champion_is_stale(
    shop_dir: Path, tmp_path: Path
) -> None:
    config = Config(data=shop_dir, workspace=tmp_path / "w", cutoff=CUTOFF)
    put_in_force(config, shop_dir, CUTOFF + timedelta(days=1))
    assert refused(config) == [
        "freshness of the data: the cutoff 2024-10-01, the champion's is 2024-10-02"
    ]


@pytest.mark.parametrize("lost", ["record", "settings", "manifest"])
def test_a_champion_that_nothing_can_be_compared_with_is_a_no(
    shop_dir: Path, tmp_path: Path, lost: str
) -> None:
    config = Config(data=shop_dir, workspace=tmp_path / "w", cutoff=CUTOFF)
    put_in_force(config, shop_dir, CUTOFF)
    assert refused(config) == []
    record = config.workspace / "models" / "m1" / "record.json"
    if lost == "record":
        record.unlink()
    elif lost == "settings":
        record.write_text(record.read_text().replace('"max_learners"', '"learners"'))
    else:
        (config.workspace / "published" / "v1" / "manifest.json").write_text("{")
    (said,) = refused(config)
    assert said.startswith("the champion: ")


def test_views_that_the_champion_read_and_are_gone_are_seen(
    shop_dir: Path, tmp_path: Path
) -> None:
    config = changed(shop_dir, tmp_path, lambda rows: rows)
    put_in_force(config, shop_dir, CUTOFF)
    file = tmp_path / "data" / "browses.parquet"
    pd.read_parquet(file).iloc[:0].to_parquet(file)
    (said,) = refused(config)
    assert "browses: expected the" in said


def put_in_force(config: Config, data: Path, cutoff: datetime) -> None:
    """A champion by name, with the record of what it read."""
    from features.blocks import blocks

    with Tables(data) as tables:
        read = blocks(tables, cutoff, config.gate.block_days)
    folder = config.workspace / "models" / "m1"
    folder.mkdir(parents=True)
    record_of(config, cutoff, "digest", "features", read).save(folder)
    assert Record.load(folder) is not None
    version = config.workspace / "published" / "v1"
    version.mkdir(parents=True)
    (version / "manifest.json").write_text('{"model_version": "m1"}')
    (version.parent / "current").write_text("v1\n")


def proved(data: Path) -> Proof:
    config = Config.model_validate({"data": data, "cutoff": CUTOFF, **FAST})
    with Tables(data) as tables:
        return proof.prove(tables, Snapshot(PROVED, 14), config)


@pytest.fixture(scope="module")
def honest(shop_dir: Path) -> Proof:
    return proved(shop_dir)


def refused_by(found: Proof) -> list[str]:
    evidence = contest.evidence([found], None, (), 0, same_data=False)
    checks = gate.model_checks(evidence, Config().gate)
    return [check.name for check in checks if not check.passed]


def test_a_feature_that_knows_the_answer_is_an_alarm(
    shop_dir: Path, tmp_path: Path, honest: Proof
) -> None:
    assert "strongest feature" not in refused_by(honest)
    data = tmp_path / "data"
    shutil.copytree(shop_dir, data)
    rows = pd.read_parquet(data / "purchases.parquet")
    inside = (rows["ts"] >= PROVED) & (rows["ts"] < PROVED + timedelta(days=14))
    buyers = set(rows.loc[inside & (rows["quantity"] > 0), "customer_id"])
    people = pd.read_parquet(data / "customers.parquet")
    people["vip_score"] = people["customer_id"].isin(buyers).astype(float)
    people.to_parquet(data / "customers.parquet")
    found = proved(data)
    assert found.strongest.feature == "vip_score"
    assert "strongest feature" in refused_by(found)


def test_shuffled_labels_lose_to_the_baselines(
    shop_dir: Path, honest: Proof, monkeypatch: pytest.MonkeyPatch
) -> None:
    answers = build.next_purchase
    random = np.random.default_rng(0)
    monkeypatch.setattr(
        build, "next_purchase", lambda *known: random.permutation(answers(*known))
    )
    found = proved(shop_dir)
    assert honest.figures()[f"{MODEL}/auc"] > 0.75
    assert found.figures()[f"{MODEL}/auc"] < 0.65
    assert "AUC over BG/NBD" in refused_by(found)


def test_a_proof_is_kept_as_it_was_and_a_damaged_one_is_none(
    honest: Proof, tmp_path: Path
) -> None:
    file = tmp_path / "proof.parquet"
    proof.save(honest, file, "made of this")
    kept = proof.load(file)
    assert kept is not None and proof.key_of(file) == "made of this"
    assert kept.figures() == honest.figures()
    assert (kept.shuffled, kept.strongest) == (honest.shuffled, honest.strongest)
    # Against itself it is a tie on every row.
    same = contest.evidence([honest], [kept], (), 0, same_data=True)
    for rival in (one for one in same.contests if one.rival is None):
        assert {(g.value, g.low, g.high) for g in rival.gains} == {(0.0, 0.0, 0.0)}
    file.write_bytes(file.read_bytes()[:-9])
    assert proof.load(file) is None is proof.key_of(file)


def test_rows_that_came_late_count_for_both(honest: Proof) -> None:
    ours = proof.recall_of(honest.offered, honest.bought)
    np.testing.assert_allclose(ours, honest.recall[MODEL])
    # Since the champion was proved the first buyer's first offer turned out bought.
    rows = np.flatnonzero([len(one) > 0 for one in honest.bought.to_pylist()])
    bought = honest.bought.to_pylist()
    bought[rows[0]] = honest.offered.to_pylist()[rows[0]][:1]
    now = pa.array(bought, honest.bought.type)
    recall = {**honest.recall, MODEL: proof.recall_of(honest.offered, now)}
    late = replace(honest, bought=now, recall=recall)
    assert late.recall[MODEL][rows[0]] == 1.0 != honest.recall[MODEL][rows[0]]
    found = contest.evidence([late], [honest], (), 0, same_data=True)
    for rival in (one for one in found.contests if one.rival is None):
        assert {(g.value, g.low, g.high) for g in rival.gains} == {(0.0, 0.0, 0.0)}


def test_equal_settings_are_built_once_for_challenger_and_champion(
    shop_dir: Path, tmp_path: Path, honest: Proof, monkeypatch: pytest.MonkeyPatch
) -> None:
    built: list[datetime] = []

    def prove(_: Tables, moment: Snapshot, __: Config) -> Proof:
        built.append(moment.cutoff)
        return replace(honest, cutoff=moment.cutoff)

    monkeypatch.setattr(proof, "prove", prove)
    place = {"data": shop_dir, "workspace": tmp_path, "cutoff": CUTOFF}
    config = Config.model_validate(place)
    moments = [Snapshot(PROVED, 14), Snapshot(PROVED + timedelta(days=14), 14)]
    champion = ("m1", record_of(config, CUTOFF, "digest", "features", ()))
    ours, theirs = proofs.of_both(config, "m2", champion, moments, None)
    assert built == [one.cutoff for one in ours] == [one.cutoff for one in theirs or ()]
    # Other settings are other builds; the champion is met as it was tested.
    other = config.model_copy(update={"seed": 1})
    proofs.of_both(other, "m3", champion, moments, None)
    assert len(built) == 4
    # A proof of an older form is none, and is built anew from the champion's settings.
    for file in (tmp_path / "proofs" / "m1").iterdir():
        table = pq.read_table(file)
        pq.write_table(table.drop_columns("offered"), file)
    for file in (tmp_path / "proofs" / "m2").iterdir():
        file.unlink()
    proofs.of_both(other, "m3", champion, moments, None)
    assert len(built) == 6


def test_proofs_of_an_erased_customer_go_with_the_next_publish(
    honest: Proof, tmp_path: Path
) -> None:
    from serving.erasure import purge

    config = Config(workspace=tmp_path)
    (tmp_path / "published").mkdir()
    file = tmp_path / "proofs" / "m1" / "20240903T000000-0.parquet"
    proof.save(honest, file, "key")
    engine = database.ready(tmp_path, config.state)
    tombstones.erase(engine, "somebody else", 0)
    purge(config)
    assert file.exists()
    tombstones.erase(engine, str(honest.customers[0]), 0)
    database.close(engine)
    purge(config)
    assert not file.exists()


def test_without_evaluation_cutoffs_the_latest_windows_that_ended_are_taken() -> None:
    config = Config(cutoff="2024-10-01", horizon_days=14)
    assert gating.cutoffs_of(config) == (datetime(2024, 9, 3), datetime(2024, 9, 17))


def test_the_table_names_the_first_beaten_baseline_and_every_lost_one(
    honest: Proof,
) -> None:
    evidence = contest.evidence([honest, honest], None, (), 0, same_data=False)
    checks = gate.model_checks(evidence, Config().gate.model_copy(update=EASY))
    judged = gating.Judged("m2", "m1", gate.Decision(checks), {})
    console = Console(width=200, file=StringIO())
    gate_text.show(console, judged)
    said = console.file.getvalue()
    assert "AUC over recency-frequency logistic, and 2 more" in said
    assert "BG/NBD" not in said
    lost = gate.Decision(gate.model_checks(evidence, Config().gate))
    gate_text.show(console, gating.Judged("m2", "m1", lost, {}))
    said = console.file.getvalue()
    assert said.splitlines()[-1] == "no: m2; m1 stays in force"
    assert all(name in said for name in (c.name for c in lost.checks if not c.passed))
