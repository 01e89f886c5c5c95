"""Part by part gives what all at once gives, and warnings by hand."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime, timedelta

import numpy as np
import pyarrow as pa
import pytest

from features.config import Config
from features.engine import Tables
from features.history import History
from features.samples import take
from features.simulate.shop import simulate
from features.snapshot import from_us
from serving.insight.columns import NONE
from serving.insight.hindsight import CHURN, HEALTH, RECENCY
from serving.insight.knowledge import know
from serving.insight.lookback import Lookback
from serving.insight.portrait import ARRAYS, COLUMNS, Insight, index_of
from serving.insight.portraits import MOST_WORDS, Portraits, commonest
from serving.insight.standards import Standards, standards_of
from serving.insight.warning import Driver
from training.calibration import Platt

CUTOFF = datetime(2024, 9, 20)
QUICK = Config.model_validate(
    {"churn": {"trees": 5, "min_rows_per_leaf": 10, "least_visits": 2}}
)


@pytest.fixture(scope="module")
def history(tmp_path_factory: pytest.TempPathFactory) -> Iterator[History]:
    folder = tmp_path_factory.mktemp("shop")
    simulate(folder, 300, seed=5)
    with Tables(folder) as tables:
        yield tables.history(CUTOFF)


@pytest.fixture(scope="module")
def standards(history: History) -> Standards:
    first = from_us(int(history.purchases.ts.min()))
    return standards_of(history, CUTOFF, first - timedelta(days=1), QUICK)


def portrayed(
    history: History,
    standards: Standards,
    parts: int,
    risk: float | list[float] | None = None,
) -> tuple[Insight, pa.Array]:
    """The customers in so many parts; everyone expects to spend 100."""
    portraits = Portraits(CUTOFF, standards, QUICK)
    for part in range(parts):
        portraits.add(take(history, np.arange(len(history.customers)) % parts == part))
    ids = know(history, CUTOFF, None, QUICK).tags.column("customer_id")
    value = pa.table({"expected_spend_365d": np.full(len(ids), 100.0)})
    of_each = np.resize(np.array(risk, np.float64), len(ids))
    churn = None if risk is None else pa.table({"churn_risk": of_each})
    return portraits.insight(ids, value, churn), ids


def test_parts_give_the_same_bytes_as_the_whole(
    history: History, standards: Standards
) -> None:
    one, three = (portrayed(history, standards, n)[0] for n in (1, 3))
    assert json.dumps(one.facts()) == json.dumps(three.facts())
    for name in ARRAYS:
        assert one.arrays()[name].tobytes() == three.arrays()[name].tobytes()


def test_all_at_once_says_the_same(history: History, standards: Standards) -> None:
    found, _ = portrayed(history, standards, 2)
    known = know(history, CUTOFF, None, QUICK)
    assert standards.now == known.thresholds
    for table, renamed in ((known.tags, {}), (known.tiers, {"strategy": "segment"})):
        for name in COLUMNS:
            source = renamed.get(name, name)
            if source not in table.column_names or name.startswith("preferred_hour"):
                continue
            words = [found.word(name, row) for row in range(len(table))]
            told = table.column(source).cast(pa.string()).to_pylist()
            assert words == told, name
    hours = known.tags.column("preferred_hour").fill_null(NONE).to_pylist()
    assert found.column("preferred_hour").tolist() == hours
    assert index_of(found.scores) == pytest.approx(known.months.index, nan_ok=True)
    assert found.column("health_trend").tolist() == known.months.trend.tolist()


def test_a_high_churn_risk_makes_an_active_customer_one_at_risk(
    history: History, standards: Standards
) -> None:
    calm, _ = portrayed(history, standards, 1, risk=0.49)
    risky, _ = portrayed(history, standards, 1, risk=0.5)
    before, after = calm.column("lifecycle"), risky.column("lifecycle")
    stages = calm.words_of("lifecycle")
    active, at_risk = stages.index("active"), stages.index("at risk")
    assert (before == active).any()
    assert (after[before == active] == at_risk).all()
    assert (after[before != active] == before[before != active]).all()


def test_warnings_name_what_drives_them(history: History, standards: Standards) -> None:
    # Equal risks are all half-way up, whatever they are.
    drivers = (Driver(CHURN, 0.5, Platt()), Driver(RECENCY, 0.999, Platt()))
    past = Lookback(drivers, (CUTOFF,), 9, {})
    found, ids = portrayed(history, replace(standards, past=past), 2, risk=0.6)
    judged = found.column("driver") != NONE
    # Who spent nothing in the usual days has nothing to lose.
    assert 0 < judged.sum() < len(ids)
    assert (found.is_warned == judged).all()
    loss = found.figure("expected_loss")
    assert loss[judged] == pytest.approx(50.0)
    assert np.isnan(loss[~judged]).all()
    drivers = (Driver(CHURN, 0.501, Platt()), drivers[1])
    past = Lookback(drivers, (CUTOFF,), 9, {})
    calm, _ = portrayed(history, replace(standards, past=past), 2, risk=0.9)
    assert not calm.is_warned.any()
    # A model that sounds surer warns of the same customers, by the same chances.
    low, high = (
        portrayed(history, replace(standards, past=past), 2, risk=risk)[0]
        for risk in ([0.1, 0.2, 0.3], [0.5, 0.8, 0.9])
    )
    assert 0 < low.is_warned.sum() < judged.sum()
    assert (low.is_warned == high.is_warned).all()
    assert np.array_equal(low.figure("chance"), high.figure("chance"), equal_nan=True)
    # Nothing to look back at: the rule warns, and says no chance.
    plain, _ = portrayed(history, replace(standards, past=Lookback()), 2, risk=0.9)
    index, falling = index_of(plain.scores[:, -1]), plain.column("health_trend") == 0
    rule = falling & (index < QUICK.health.alert_line) & judged
    assert rule.any() and (plain.is_warned == rule).all()
    assert plain.word("driver", int(np.flatnonzero(rule)[0])) == HEALTH
    assert np.isnan(plain.figure("chance")).all()


def test_of_more_words_than_there_are_codes_the_commonest_are_kept() -> None:
    """40,000 categories, of whom the last has two customers; one has none."""
    known = {f"w{n:05}": n for n in range(40_000)}
    codes = np.append(np.arange(40_000, dtype=np.int32), [39_999, NONE])
    words, found = commonest(known, codes)
    assert words == (*(f"w{n:05}" for n in range(MOST_WORDS - 1)), "w39999")
    assert found[:3].tolist() == [0, 1, 2]
    assert found[-3:].tolist() == [MOST_WORDS - 1, MOST_WORDS - 1, NONE]
    assert (found[MOST_WORDS:-3] == NONE).all()


def test_parts_of_other_customers_are_refused(
    history: History, standards: Standards
) -> None:
    portraits = Portraits(CUTOFF, standards, QUICK)
    portraits.add(history)
    ids = pa.chunked_array([pa.array(["nobody"])])
    value = pa.table({"expected_spend_365d": [1.0]})
    with pytest.raises(ValueError, match="of the 1 customers of the predictions"):
        portraits.insight(ids, value, None)


def test_standards_are_kept_as_they_are(standards: Standards) -> None:
    kept = Standards.of(json.loads(json.dumps(standards.facts())))
    assert json.dumps(kept.facts()) == json.dumps(standards.facts())
    assert kept.months == standards.months and kept.months[-1] == CUTOFF
    starts = [one.as_of for one in kept.thresholds if one]
    assert starts == [datetime(2024, 4, 1), *[datetime(2024, 7, 1)] * 3]
    # Three of the four moments have half a year before them and eight weeks after.
    assert kept.past.moments[-1] == CUTOFF - timedelta(days=56)
    assert {driver.name for driver in kept.past.drivers} >= {HEALTH, RECENCY}
    # The first window was over at the last moment, which tells how good warnings are.
    assert kept.past.last is not None and 0 < kept.past.last["auc"]["value"] < 1
