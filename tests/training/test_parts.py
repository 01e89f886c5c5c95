"""A shop that is counted, learned from and scored in parts of its customers."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest

from features.assemble import assemble
from features.config import (
    Config,
    PropensityConfig,
    RecommendConfig,
    ReplenishmentConfig,
)
from features.engine import Tables
from features.history import Bools, History
from features.kept import Kept
from features.mapped import Mapped
from features.samples import take
from features.simulate import Truths, simulate
from features.snapshot import Snapshot, to_us
from serving.publish import publish
from training import build, joined
from training.artifacts import Bundle
from training.ground import ground_of
from training.moment import moment_at, sort_history
from training.past_window import past_windows, windows_since
from training.predict import predict, predict_parts
from training.predictions import OfCustomers, Predictions
from training.ranker import moments_of
from training.survey import Survey, read_survey, survey_of

CUTOFF = datetime(2024, 6, 1)
CONFIG = Config(
    cutoff=CUTOFF,
    horizon_days=28,
    propensity=PropensityConfig(trees=20, max_cutoffs=4, seeds=1),
    replenishment=ReplenishmentConfig(trees=20, seeds=1),
    recommend=RecommendConfig(trees=20, min_buyers=3, factors=4, past_cutoffs=2),
)


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("parts") / "shop"
    truths = Truths(products=150, categories=10, orders_per_month=1.0)
    simulate(folder, 500, truths, seed=4)
    return folder


@pytest.fixture(scope="module")
def parts(shop: Path) -> list[History]:
    with Tables(shop) as tables:
        found = list(tables.parts(CUTOFF, customers_per_part=120))
    assert len(found) > 2
    return found


@pytest.fixture(scope="module")
def history(shop: Path) -> History:
    with Tables(shop) as tables:
        return tables.history(CUTOFF)


@pytest.fixture(scope="module")
def features(history: History) -> pa.Table:
    return build.build_features(history, CONFIG)


@pytest.fixture(scope="module")
def bundle(history: History, features: pa.Table) -> Bundle:
    return build.fit(history, features, CONFIG)


def moments(history: History) -> list[Snapshot]:
    first = int(history.purchases.ts[history.purchases.bought].min())
    return moments_of(first, CUTOFF, CONFIG.horizon_days, CONFIG.recommend)


def of_parts(parts: list[History]) -> Iterator[tuple[History, pa.Table]]:
    for part in parts:
        yield part, assemble(part, [CUTOFF])


def same(one: Predictions, other: Predictions) -> None:
    """Alike in all but the last bits: sums over customers add in another order."""
    for name, value in vars(one).items():
        theirs: Any = getattr(other, name)
        if isinstance(value, np.ndarray):
            assert value.shape == theirs.shape
            assert np.allclose(value, theirs, rtol=1e-5, equal_nan=True), name
        elif isinstance(value, pa.Table):
            alike(name, value, theirs)
    assert one.buyers.offsets.tolist() == other.buyers.offsets.tolist()
    assert np.allclose(one.buyers.probability, other.buyers.probability, rtol=1e-5)
    assert np.mean(one.buyers.customer == other.buyers.customer) > 0.999


def alike(table: str, one: pa.Table, other: pa.Table) -> None:
    assert one.schema.names == other.schema.names
    assert len(one) == len(other)
    for name in one.column_names:
        a, b = (t[name].to_pandas() for t in (one, other))
        where = f"{table}.{name}"
        if a.dtype.kind == "f":
            assert np.allclose(a, b, rtol=1e-5, equal_nan=True), where
        elif a.dtype.kind == "M":
            apart = (a - b).abs().max()
            assert not apart > np.timedelta64(60, "s"), where
        else:
            assert (a.astype(str) == b.astype(str)).mean() > 0.999, where


def test_customers_scored_in_parts_are_told_what_the_whole_shop_is_told(
    bundle: Bundle,
    history: History,
    features: pa.Table,
    parts: list[History],
    tmp_path: Path,
) -> None:
    whole, _ = predict(bundle, history, features)
    ground = ground_of(bundle, Survey(history), build.at_cutoff(features, CUTOFF))
    same(predict_parts(bundle, ground, of_parts(parts), Mapped(tmp_path)), whole)


def part_of(whole: Predictions, history: History, keep: Bools) -> OfCustomers:
    """Some customers of predictions, as if they had been scored as a part."""
    rows = np.flatnonzero(keep)
    mine = pc.field("customer_id").isin(whole.customers["customer_id"].take(rows))
    tables = {
        name: table.filter(mine)
        for name in ("customers", "replenishment", "value", "uplift", "profiles")
        if isinstance(table := getattr(whole, name), pa.Table)
    }
    customer = whole.offers["customer"].to_numpy()
    offers = whole.offers.filter(pa.array(keep[customer]))
    place = (np.cumsum(keep) - 1).astype(np.int32)[customer[keep[customer]]]
    reason = offers["reason"].cast(pa.string()).dictionary_encode()
    sizes = np.diff(whole.bought_offsets)
    bought = np.repeat(keep, sizes)
    return OfCustomers(
        number=rows,
        curve=whole.curve[keep],
        offers=offers.set_column(0, "customer", pa.array(place)).set_column(
            6, "reason", reason.combine_chunks()
        ),
        bought_offsets=np.append(0, np.cumsum(sizes[keep])).astype(np.int64),
        bought_products=whole.bought_products[bought],
        last_bought=whole.last_bought[bought],
        bought_weight=whole.bought_weight[bought],
        churn=whole.churn and whole.churn.filter(mine),
        kept=Kept.of(take(history, keep)),
        **tables,
    )


@pytest.mark.parametrize("n_parts", [1, 7])
def test_a_version_bears_the_same_name_whatever_the_parts(
    bundle: Bundle,
    history: History,
    features: pa.Table,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    n_parts: int,
) -> None:
    monkeypatch.setattr(joined, "PIECE", 90)
    whole, _ = predict(bundle, history, features)
    assert len(whole.customers) == len(history.customers) > 4 * 90
    files = Mapped(tmp_path)
    parts = joined.Joined(files)
    part = np.random.default_rng(3).integers(0, n_parts, len(whole.customers))
    for n in range(n_parts):
        parts.add(part_of(whole, history, part == n))
    again = replace(whole, **parts.whole().columns())
    one, other = tmp_path / "one", tmp_path / "other"
    assert publish(other, again, "m", files).name == publish(one, whole, "m").name


def test_no_parts_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="parts: expected at least one"):
        joined.Joined(Mapped(tmp_path)).whole()


def test_a_shop_counted_in_parts_is_the_whole_shop(
    history: History,
    features: pa.Table,
    parts: list[History],
    bundle: Bundle,
    tmp_path: Path,
) -> None:
    survey = survey_of(parts, moments(history), 1.0, CONFIG.recommend, 0)
    assert survey.history.customers.tolist() == history.customers.tolist()
    counted = build.fit(survey.history, features, CONFIG, censuses=survey.censuses)
    ground = ground_of(counted, survey, build.at_cutoff(features, CUTOFF))
    said = predict_parts(counted, ground, of_parts(parts), Mapped(tmp_path))
    same(said, predict(bundle, history, features)[0])


def test_some_customers_are_learned_from_and_all_are_counted(
    history: History, parts: list[History]
) -> None:
    survey = survey_of(parts, moments(history), 0.4, CONFIG.recommend, 0)
    assert 0.3 < len(survey.history.customers) / len(history.customers) < 0.5
    assert survey.censuses is not None
    for snapshot in moments(history):
        census = survey.census(snapshot)
        assert census is not None
        whole = moment_at(sort_history(history), snapshot.cutoff, 28).counts
        for name, values in vars(whole).items():
            assert np.allclose(values, getattr(census.counts, name)), name


def test_all_customers_of_a_shop_that_was_learned_from_some_are_scored(
    shop: Path, parts: list[History], history: History, tmp_path: Path
) -> None:
    config = CONFIG.model_copy(update={"data": str(shop), "max_learners": 200})
    with Tables(shop) as tables:
        survey = read_survey(tables, CUTOFF, config)
    features = build.build_features(survey.history, config)
    fitted = build.fit(survey.history, features, config, censuses=survey.censuses)
    ground = ground_of(fitted, survey, build.at_cutoff(features, CUTOFF))
    said = predict_parts(fitted, ground, of_parts(parts), Mapped(tmp_path))
    ids = said.customers["customer_id"].to_pylist()
    assert ids == sorted(ids) == history.customers.tolist()
    offered = np.bincount(said.offers["customer"].to_numpy(), minlength=len(ids))
    assert (offered > 0).all()
    # What sells in the whole shop is what strangers get, not what the drawn ones buy.
    lines = moment_at(sort_history(history), CUTOFF, 28).shelf.lines_28d
    best = said.cold_start["product"].to_numpy()[0]
    assert lines[best] == lines[said.cold_start["product"].to_numpy()].max()


def test_rows_of_later_days_change_no_count(shop: Path, history: History) -> None:
    with Tables(shop) as tables:
        later = tables.history(datetime(2024, 12, 1))
    assert len(later.purchases) > len(history.purchases)
    now = moment_at(sort_history(history), CUTOFF, 28).counts
    then = moment_at(sort_history(later), CUTOFF, 28).counts
    code = np.searchsorted(later.products.ids, history.products.ids)
    assert np.array_equal(now.lines, then.lines[:, code])
    assert np.array_equal(now.buyers, then.buyers[code])
    first = now.first_us < to_us(CUTOFF)
    assert np.array_equal(now.first_us[first], then.first_us[code][first])


def test_a_sample_learns_at_the_cutoffs_of_the_table(
    history: History, features: pa.Table
) -> None:
    # Whoever bought first is not drawn: counted from their own first purchase, the
    # sample's cutoffs would be fewer.
    late = history.purchases.ts[history.purchases.offsets[:-1]] > to_us(
        datetime(2023, 9, 1)
    )
    some = take(history, late)
    rows = features.filter(pc.field("customer_id").isin(some.customers.tolist()))
    assert build.training_cutoffs(history, CONFIG)[0] < datetime(2024, 5, 1)
    found = build.cutoffs_in(features, CUTOFF)
    assert found == list(build.training_cutoffs(history, CONFIG))
    assert build.cutoffs_in(rows, CUTOFF)[-1] == found[-1]


def test_a_return_before_the_first_purchase_begins_no_window(
    read_history: Callable[..., History],
) -> None:
    def line(days: float, quantity: float) -> dict[str, Any]:
        return {
            "customer_id": "a",
            "product_id": "p",
            "ts": CUTOFF - timedelta(days=days),
            "order_id": str(days),
            "quantity": quantity,
            "amount": quantity,
        }

    rows = [line(200, -1.0), line(90, 1.0), line(5, 1.0)]
    found = past_windows(read_history({"purchases": rows}, CUTOFF), CUTOFF, 28, 9)
    first = to_us(CUTOFF - timedelta(days=90))
    assert found == windows_since(first, CUTOFF, 28, 9)
    assert len(found) == 2
