from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from features.contracts import ContractError
from features.kept_events import KeptEvents
from serving import publish as module
from serving.publish import publish, switch
from serving.published import Published, current_version
from serving.texts import SortedIds
from training.buyers import Buyers
from training.rebuy import Rebuy


def later(predictions, days: int = 7):
    return replace(predictions, cutoff=predictions.cutoff + timedelta(days=days))


def versions(workspace: Path) -> list[str]:
    folder = workspace / "published"
    return sorted(entry.name for entry in folder.iterdir() if entry.is_dir())


def test_what_was_published_is_read_back(published, predictions):
    assert published.cutoff == predictions.cutoff
    assert published.horizon_days == 14
    assert published.model_version == "m1"
    assert published.tag_threshold == predictions.tag_threshold
    assert (published.curve == predictions.curve).all()
    assert published.offers.offsets.tolist() == [0, 5, 6, 6]
    assert published.offers.score.tolist() == predictions.offers["score"].to_pylist()
    assert published.offers.is_new.tolist() == [1, 0, 0, 1, 0, 0]
    assert published.bought_products.tolist() == [0, 1, 6, 3, 0, 2]
    assert (published.last_bought == predictions.last_bought).all()
    assert (published.bought_weight == predictions.bought_weight).all()
    assert published.consent.tolist() == [True, True, False]
    assert published.buyers.offsets.tolist() == [0, 2, 3, 4, 4, 4, 4, 4, 4]
    assert published.buyers.customer.tolist() == [0, 1, 0, 1]
    assert (published.buyers.probability == predictions.buyers.probability).all()
    assert str(published.expected_next[0]) == "2017-10-20T06:00:00.000000"
    assert np.isnat(published.expected_next[1])


def test_mapped_arrays_cannot_be_written(published):
    for array in (published.curve, published.offers.score, published.bought_products):
        with pytest.raises(ValueError, match="read-only"):
            array[:1] = 0


def test_the_same_content_is_the_same_version(workspace, predictions):
    first = current_version(workspace)
    folder = publish(workspace, predictions, "m1")
    assert folder.name == current_version(workspace) == first
    assert versions(workspace) == [first]


@pytest.mark.parametrize("change", ["curve", "model", "cutoff"])
def test_other_content_is_another_version(workspace, predictions, change):
    first = current_version(workspace)
    if change == "curve":
        curve = predictions.curve.copy()
        curve[0, -1] = np.nextafter(curve[0, -1], np.float32(1))
        publish(workspace, replace(predictions, curve=curve), "m1")
    elif change == "model":
        publish(workspace, predictions, "m2")
    else:
        publish(workspace, later(predictions), "m1")
    assert current_version(workspace) != first
    assert first in versions(workspace)


def test_an_earlier_version_can_be_put_back_in_force(workspace, predictions):
    first = str(current_version(workspace))
    publish(workspace, later(predictions), "m1")
    switch(workspace / "published", first)
    assert Published.open(workspace).cutoff == predictions.cutoff


@pytest.mark.parametrize("step", ["array", "fsync", "version", "pointer"])
def test_a_killed_build_leaves_the_last_good_version(
    workspace, predictions, monkeypatch, step
):
    good = current_version(workspace)
    calls: Iterator[int] = iter(range(100))

    class Killed(BaseException):
        pass

    def die(*_args: object, **_named: object) -> None:
        raise Killed

    def die_second(source: Path, target: Path) -> None:
        # The first moves the version to its name, the second the pointer.
        if next(calls) == 1:
            raise Killed
        source.rename(target)

    with monkeypatch.context() as patch:
        if step == "fsync":
            patch.setattr(os, "fsync", die)
        elif step == "array":
            patch.setattr(module, "save", die)
        elif step == "version":
            patch.setattr(Path, "replace", die)
        else:
            patch.setattr(Path, "replace", die_second)
        with pytest.raises(Killed):
            publish(workspace, later(predictions), "m1")
    assert current_version(workspace) == good
    assert Published.open(workspace).cutoff == predictions.cutoff

    folder = publish(workspace, later(predictions), "m1")
    left = {entry.name for entry in (workspace / "published").iterdir()}
    assert left == {str(good), folder.name, "current", "moves.jsonl", ".lock"}
    assert Published.open(workspace).cutoff == later(predictions).cutoff


def flip(file: Path) -> None:
    content = bytearray(file.read_bytes())
    content[-1] ^= 1
    file.write_bytes(content)


FILES = [
    "curve.npy",
    "customers.arrow",
    "offers.arrow",
    "products.arrow",
    "value.arrow",
    "manifest.json",
]


@pytest.mark.parametrize("name", FILES)
def test_an_altered_file_is_refused(workspace, name):
    version = str(current_version(workspace))
    file = workspace / "published" / version / name
    if name == "manifest.json":
        file.write_text(file.read_text().replace('"m1"', '"m9"'))
    else:
        flip(file)
    with pytest.raises(ContractError) as caught:
        Published.open(workspace)
    (line,) = caught.value.lines
    assert line.startswith(f"published/{version}: expected {name}") or (
        "manifest" in line
    )
    assert "publish again" in line


@pytest.mark.parametrize("name", FILES)
def test_a_missing_or_short_file_is_refused(workspace, name):
    version = str(current_version(workspace))
    file = workspace / "published" / version / name
    file.write_bytes(file.read_bytes()[:-1])
    with pytest.raises(ContractError, match=name):
        Published.open(workspace)
    file.unlink()
    with pytest.raises(ContractError, match=name):
        Published.open(workspace)


def test_another_format_is_refused(workspace):
    version = str(current_version(workspace))
    file = workspace / "published" / version / "manifest.json"
    manifest = json.loads(file.read_text())
    file.write_text(json.dumps({**manifest, "format": 99}))
    with pytest.raises(ContractError, match="expected format 9, got format 99"):
        Published.open(workspace)


def test_a_damaged_version_is_replaced_by_publishing_it_again(workspace, predictions):
    version = str(current_version(workspace))
    flip(workspace / "published" / version / "curve.npy")
    assert publish(workspace, predictions, "m1").name == version
    assert (Published.open(workspace).curve == predictions.curve).all()


def test_nothing_published_is_one_clear_line(tmp_path):
    with pytest.raises(ContractError, match="run `repurchase publish` first"):
        Published.open(tmp_path)


def swapped(table: pa.Table) -> pa.Table:
    return table.take(list(reversed(range(len(table)))))


@pytest.mark.parametrize(
    ("name", "line"),
    [
        ("customers", "customers.customer_id: expected ascending"),
        ("products", "products.product_id: expected ascending"),
        ("offers", "offers.customer: expected rows of customers, ascending"),
        ("curve", "curve: expected shape"),
        ("bought_offsets", "bought_offsets: expected customer + 1"),
        ("bought_products", "bought_products: expected rows of products"),
        ("last_bought", "last_bought: expected one moment for each"),
        ("bought_weight", "bought_weight: expected one for each"),
        ("buyers", "buyers.offsets: expected product + 1"),
    ],
)
def test_parts_that_do_not_fit_are_refused_before_anything_is_written(
    tmp_path, predictions, name, line
):
    wrong = {
        "curve": predictions.curve[:2],
        "bought_offsets": predictions.bought_offsets[:-1],
        "bought_products": predictions.bought_products + np.int32(8),
        "last_bought": predictions.last_bought[:-1],
        "bought_weight": predictions.bought_weight[:-1],
        "buyers": replace(predictions.buyers, offsets=predictions.buyers.offsets[:-1]),
    }
    part = wrong.get(name)
    if part is None:
        part = swapped(getattr(predictions, name))
    with pytest.raises(ContractError, match=re.escape(line)):
        publish(tmp_path, replace(predictions, **{name: part}), "m1")
    assert not (tmp_path / "published").exists()


@pytest.mark.parametrize(
    "name", ["value", "churn", "uplift", "profiles", "replenishment"]
)
def test_tables_of_other_customers_are_refused(tmp_path, predictions, name):
    wrong = getattr(predictions, name).take(pa.array([1, 0, 2]))
    line = f"{name}.customer_id: expected"
    if name == "replenishment":
        wrong = getattr(predictions, name).take(pa.array([2, 0]))
    with pytest.raises(ContractError, match=line):
        publish(tmp_path, replace(predictions, **{name: wrong}), "m1")


def test_what_is_known_of_customers_is_read_as_it_was_published(published, predictions):
    known = published.known
    for name, read in (("value", known.value), ("churn", known.churn)):
        made = getattr(predictions, name)
        for column, values in read.items():
            expected = made[column].to_numpy(zero_copy_only=False).astype(float)
            assert np.array_equal(values, expected, equal_nan=True)
    assert known.due.offsets.tolist() == [0, 2, 4, 5]
    assert [known.due.groups[code] for code in known.due.group] == [
        "bread",
        "dairy",
        "bread",
        "tea",
        "dairy",
    ]
    assert known.due.alert.tolist() == [False, True, False, False, True]
    # Nothing is known of any city.
    assert set(known.profiles) == {"segment", "region", "member_tier"}
    assert known.profiles["member_tier"].words == ("gold", "silver")
    assert known.profiles["member_tier"].codes.tolist() == [0, -1, 1]


def test_scores_must_stand_best_first(tmp_path, predictions):
    offers = predictions.offers
    worse = pa.array([0.1, 0.8, 0.8, 0.5, 0.4, 0.7], pa.float32())
    offers = offers.set_column(3, "score", worse)
    with pytest.raises(ContractError, match=r"offers.score: expected best first"):
        publish(tmp_path, replace(predictions, offers=offers), "m1")


@pytest.mark.parametrize(
    ("change", "line"),
    [
        ({"items": [0, 1, 2, 3, 4, 5, 7, 6]}, "fresh.items: expected ascending"),
        ({"items": [0, 1, 2, 3, 4, 5, 6, 8]}, "fresh.items: expected ascending"),
        ({"factors": np.ones((7, 2))}, "fresh.factors: expected one row"),
        ({"factors": np.full((8, 2), np.nan)}, "fresh.factors: expected one row"),
        ({"gram": np.ones((2, 3))}, "fresh.gram: expected factors x factors"),
        ({"rebuy": Rebuy(np.zeros(7), np.zeros(8))}, "fresh.rebuy: expected finite"),
    ],
)
def test_a_basis_that_does_not_fit_is_refused(tmp_path, predictions, change, line):
    parts = {
        name: part if isinstance(part, Rebuy) else np.asarray(part)
        for name, part in change.items()
    }
    wrong = replace(predictions, fresh=replace(predictions.fresh, **parts))
    with pytest.raises(ContractError, match=line):
        publish(tmp_path, wrong, "m1")


def test_the_basis_of_fresh_events_is_read_as_it_was_published(tmp_path, predictions):
    publish(tmp_path, predictions, "m1")
    read, made = Published.open(tmp_path).fresh, predictions.fresh
    for name in ("items", "factors", "gram", "weights"):
        assert np.array_equal(getattr(read, name), getattr(made, name)), name
    assert np.array_equal(read.rebuy.log_odds, made.rebuy.log_odds)
    assert np.array_equal(read.model.weights, made.model.weights)


@pytest.mark.parametrize(
    ("change", "line"),
    [
        ({"customer": [0, 2, 0, 1]}, "buyers.customer: expected nobody who refused"),
        ({"customer": [0, 3, 0, 1]}, "buyers.customer: expected rows of customers"),
        ({"probability": [0.05, 0.45, 0.4, 0.15]}, "buyers.probability: expected best"),
        ({"probability": [0.4, 0.4, 0.4, 0.15], "customer": [1, 0, 0, 1]}, "ties by"),
    ],
)
def test_buyers_who_do_not_fit_are_refused(tmp_path, predictions, change, line):
    types = {"customer": np.int32, "probability": np.float32}
    arrays = {name: np.array(row, types[name]) for name, row in change.items()}
    wrong = replace(predictions, buyers=replace(predictions.buyers, **arrays))
    with pytest.raises(ContractError, match=line):
        publish(tmp_path, wrong, "m1")


def test_no_offers_and_no_customers_can_be_published(tmp_path, predictions):
    empty = replace(
        predictions,
        customers=predictions.customers.slice(0, 0),
        curve=predictions.curve[:0],
        offers=predictions.offers.slice(0, 0),
        buyers=Buyers(
            np.zeros(9, np.int64), np.zeros(0, np.int32), np.zeros(0, np.float32)
        ),
        bought_offsets=np.zeros(1, dtype=np.int64),
        bought_products=np.zeros(0, dtype=np.int32),
        last_bought=np.zeros(0, dtype=np.int64),
        bought_weight=np.zeros(0, dtype=np.float32),
        **{
            name: getattr(predictions, name).slice(0, 0)
            for name in ("replenishment", "value", "churn", "uplift", "profiles")
        },
        kept=replace(
            predictions.kept,
            events={"purchases": nothing_of(predictions.kept.events["purchases"])},
            profile_offsets=np.zeros(1, np.int64),
        ),
    )
    publish(tmp_path, empty, "m1")
    published = Published.open(tmp_path)
    assert published.customers.row("anna") is None
    assert published.offers.product.size == 0


@pytest.mark.parametrize("size", [0, 1, 63, 64, 65, 128, 1000])
def test_every_id_is_found_and_no_other(size):
    texts = sorted(f"id-{number * 2:05d}" for number in range(size))
    ids = SortedIds(pa.array(texts, pa.string()))
    assert [ids.row(text) for text in texts] == list(range(size))
    absent = ["", "id", "id-00001", "id-99999", "zz", "é", "id-00000 "]
    assert [ids.row(text) for text in absent] == [None] * len(absent)


def test_ids_of_other_scripts_are_found():
    texts = sorted(["a", "ä", "z", "é", "客户", "客户2", "\U0001f600", "\uffff"])
    ids = SortedIds(pa.array(texts, pa.string()))
    assert [ids.row(text) for text in texts] == list(range(len(texts)))
    assert [ids[row] for row in range(len(texts))] == texts


def test_a_sliced_column_is_read_from_its_offset():
    ids = SortedIds(pa.array(["a", "b", "c", "d"], pa.string()).slice(1, 2))
    assert [ids.row(text) for text in "abcd"] == [None, 0, 1, None]


def nothing_of(events: KeptEvents) -> KeptEvents:
    columns = {name: column[:0] for name, column in events.columns.items()}
    none = np.zeros(0, np.int64)
    return replace(
        events, offsets=np.zeros(1, np.int64), ts=none, late=none, columns=columns
    )


def test_what_is_kept_must_be_of_customers_and_products(tmp_path, predictions):
    kept, lines = predictions.kept, predictions.kept.events["purchases"]
    product = lines.columns["product"]
    wrong = {
        "kept: expected customer": {"offsets": lines.offsets[:-1]},
        "kept: expected rows of products": {
            "columns": {**lines.columns, "product": product + 8}
        },
        "kept.purchases: expected one": {"offsets": np.array([0, 0, 4, 6])},
    }
    for said, parts in wrong.items():
        changed = {**kept.events, "purchases": replace(lines, **parts)}
        with pytest.raises(ContractError, match=said):
            publish(
                tmp_path,
                replace(predictions, kept=replace(kept, events=changed)),
                "m1",
            )
    with pytest.raises(ContractError, match="launched: expected"):
        publish(tmp_path, replace(predictions, launched=np.zeros(7, np.int64)), "m1")
