"""Every KPI against a drawn table, worked out by hand."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from features.config import KpisConfig, KpiTargets
from features.engine import Tables
from serving.insight.blocks import Kpis
from serving.insight.cohorts import triangle
from serving.insight.figures import asked, definitions, lines
from serving.insight.kpis import KPIS, MEASURES
from serving.insight.measure import COLUMNS, Measures

US = timedelta(microseconds=1)
CUTOFF = datetime(2024, 4, 1)
MARCH = datetime(2024, 3, 1)
Tables_ = Mapping[str, list[dict[str, Any]]]


def line(customer: str, order: str, ts: Any, amount: float, **more: Any) -> dict:
    return {
        "customer_id": customer,
        "product_id": "p",
        "order_id": order,
        "ts": ts if isinstance(ts, datetime) else datetime.fromisoformat(ts),
        "quantity": -1.0 if amount < 0 else 1.0,
        "amount": amount,
        "channel": "web",
        "campaign_id": None,
        "known_at": None,
    } | more


def contact(customer: str, kind: str, day: str, **more: Any) -> dict:
    ts = datetime.fromisoformat(f"2024-{day}")
    return {"customer_id": customer, "ts": ts, "kind": kind} | more


PURCHASES = [
    # anna: Jan 1 order, Feb 2, March 2 of which one is of two lines; 20 came back.
    line("anna", "a1", "2024-01-10", 100.0, channel="shop"),
    line("anna", "a2", "2024-02-01", 30.0),
    line("anna", "a3", "2024-02-11", 50.0, campaign_id="k1"),
    line("anna", "a4", "2024-03-02", 40.0),
    line("anna", "a4", "2024-03-02", 20.0, campaign_id="k1"),
    line("anna", "a5", "2024-03-12", 80.0, channel="shop"),
    line("anna", "a4", "2024-03-20", -20.0),
    # bert: first in February, lost in March.
    line("bert", "b1", "2024-02-20", 60.0),
    # carl: first in the first microsecond of March; again 10 days later.
    line("carl", "c1", MARCH, 200.0),
    line("carl", "c2", "2024-03-11", 10.0, channel="shop"),
    # dora: the last microsecond of February.
    line("dora", "d1", MARCH - US, 10.0),
    # Not known at the cutoff, or not there yet.
    line("bert", "b2", "2024-03-05", 999.0, known_at=CUTOFF),
    line("bert", "b3", CUTOFF, 999.0),
    line("emil", "e1", "2024-03-05", 999.0, known_at=CUTOFF + US),
]
TABLES: Tables_ = {
    "purchases": PURCHASES,
    "customers": [
        {"customer_id": "anna", "valid_from": None, "segment": "single"},
        {
            "customer_id": "anna",
            "valid_from": datetime(2024, 3, 15),
            "segment": "family",
        },
        {"customer_id": "anna", "valid_from": CUTOFF, "segment": "retired"},
        {"customer_id": "bert", "valid_from": None, "segment": "family"},
        {"customer_id": "carl", "valid_from": None, "segment": "single"},
    ],
    "inquiries": [
        contact("anna", "complaint", "03-05", response_seconds=60.0),
        contact("anna", "service", "03-06", response_seconds=None),
        contact("bert", "presale", "03-07", response_seconds=30.5),
        contact("bert", "complaint", "02-10", response_seconds=0.0),
    ],
    "feedback": [
        contact("anna", "nps", "03-05", score=9.0),
        contact("bert", "nps", "03-05", score=8.0),
        contact("bert", "nps", "03-06", score=6.0),
        contact("bert", "nps", "03-07", score=0.0),
        contact("bert", "nps", "03-08", score=None),
        contact("anna", "csat", "03-05", score=4.0),
        contact("anna", "csat", "03-06", score=3.99),
        contact("anna", "ces", "03-05", score=2.0),
        contact("carl", "ces", "03-05", score=5.0),
    ],
}


def kpis_of(folder: Path, tables: Tables_, **more: Any) -> Kpis:
    cutoff = more.pop("cutoff", CUTOFF)
    for name, rows in tables.items():
        pq.write_table(pa.Table.from_pylist(rows), folder / f"{name}.parquet")
    value = more.pop("value", None)
    parts = more.pop("customers_per_part", 8192)
    with Tables(folder, threads=1) as read:
        measures = Measures(cutoff, read.first_purchase(cutoff), KpisConfig(**more))
        for part in read.parts(cutoff, COLUMNS, parts):
            measures.add(part)
    if value is not None:
        measures.add_value(*value)
    return measures.kpis()


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Kpis:
    value = pa.table(
        {
            "customer_id": ["anna", "bert", "carl", "dora"],
            "clv": [4.0, 2.0, None, None],
            "expected_spend_365d": [500.0, 100.0, 300.0, 100.0],
        }
    )
    profiles = pa.table({"segment": ["family", "family", "single", None]})
    return kpis_of(
        tmp_path_factory.mktemp("shop"),
        TABLES,
        value=(value, profiles),
        targets=KpiTargets(nps=30.0),
    )


def figures(kpis: Kpis, period: str, by: str = "all") -> dict[tuple[str, Any], dict]:
    found = lines(kpis, asked(kpis, by, period))
    return {(one["name"], one["group"]): one for one in found}


MARCH_BY_HAND = {
    # anna and carl have two orders each; nobody else has one.
    "repurchase_rate": (2, 2),
    # anna, bert and dora ordered in February; anna came back.
    "retention_rate": (1, 3),
    # a4: 20 days after a3; a5: 10 after a4; c2: 10 after c1; c1 is a first one.
    "purchase_interval": (40, 3),
    # 60 + 80 - 20 of anna, 210 of carl; four orders.
    "average_order_value": (330, 4),
    "clv": (6, 2),
    "expected_spend_365d": (1000, 4),
    "top5_share": (330, 330),
    # carl's 30 days from the first of March are over on the 31st.
    "first_repurchase_conversion": (1, 1),
    "complaint_rate": (1, 4),
    "response_time": (90.5, 2),
    "nps": (-1, 4),
    "csat": (1, 2),
    "ces": (7, 2),
    # bert's 60 and dora's 10 of the 150 of February.
    "lost_value": (70, 150),
}


@pytest.mark.parametrize("name", MARCH_BY_HAND)
def test_each_kpi_is_what_the_hand_says(shop: Kpis, name: str) -> None:
    numerator, denominator = MARCH_BY_HAND[name]
    found = figures(shop, "2024-03")[name, "all"]
    assert (found["numerator"], found["denominator"]) == (numerator, denominator)
    times = 100 if name == "nps" else 1
    assert found["value"] == pytest.approx(times * numerator / denominator)


def test_every_kpi_is_worked_out_by_hand_or_a_cohort() -> None:
    assert {kpi.name for kpi in KPIS} == {*MARCH_BY_HAND, "cohort_retention"}
    assert {kpi.name for kpi in KPIS} == set(KpiTargets.model_fields)
    assert {m for k in KPIS for m in (k.numerator, k.denominator)} == set(MEASURES)


def test_a_period_is_half_open_to_the_microsecond(shop: Kpis) -> None:
    # dora's order lies a microsecond before carl's.
    orders = {
        month: figures(shop, month)["average_order_value", "all"]["denominator"]
        for month in ("2024-01", "2024-02", "2024-03")
    }
    assert orders == {"2024-01": 1, "2024-02": 4, "2024-03": 4}


def test_a_customer_belongs_to_the_segment_in_force_at_the_cutoff(shop: Kpis) -> None:
    found = figures(shop, "2024-02", "segment")
    buyers = {g: f["denominator"] for (n, g), f in found.items() if "repur" in n[:5]}
    # Not retired, which begins at the cutoff; dora has no profile.
    assert buyers == {"family": 2, "single": 0, None: 1}
    assert found["repurchase_rate", "single"]["value"] is None
    assert found["repurchase_rate", "single"]["numerator"] == 0


def test_channel_and_campaign_group_orders(shop: Kpis) -> None:
    channel = figures(shop, "2024-03", "channel")
    assert channel["average_order_value", "shop"]["numerator"] == 90
    # Nobody has two orders of one channel in March.
    assert channel["repurchase_rate", "web"]["value"] == 0
    assert channel["retention_rate", "web"]["value"] == pytest.approx(1 / 3)
    campaign = figures(shop, "2024-03", "campaign")
    # A line of the campaign makes the order one of it; the return has none.
    assert campaign["average_order_value", "k1"]["value"] == 60
    assert campaign["average_order_value", None]["numerator"] == 270
    assert ("nps", "k1") not in campaign


def test_an_undefined_ratio_is_null(shop: Kpis) -> None:
    january = figures(shop, "2024-01")
    assert january["retention_rate", "all"]["denominator"] == 0
    assert january["retention_rate", "all"]["value"] is None
    assert january["purchase_interval", "all"]["value"] is None
    # Contacts were recorded from February on: before, nobody knows.
    assert january["complaint_rate", "all"]["numerator"] is None
    assert figures(shop, "2024-02")["complaint_rate", "all"]["value"] == 1 / 4
    # What customers are worth is known at the cutoff only.
    assert figures(shop, "2024-02")["clv", "all"]["numerator"] is None


def test_target_and_comparison(shop: Kpis) -> None:
    march = figures(shop, "2024-03")
    assert march["nps", "all"]["target"] == 30
    assert march["csat", "all"]["target"] is None
    before = march["average_order_value", "all"]["previous"]
    # 30 + 50 + 60 + 10 over four orders; 330 over four.
    assert before["period"] == "2024-02"
    assert (before["value"], before["change"]) == (37.5, 45.0)
    assert before["relative"] == pytest.approx(1.2)
    assert march["nps", "all"]["year_before"]["period"] is None


def test_quarters_and_weeks_are_periods_of_their_own(shop: Kpis) -> None:
    quarter = figures(shop, "2024-Q1")["repurchase_rate", "all"]
    assert (quarter["numerator"], quarter["denominator"]) == (2, 4)
    # Monday, 11 March: a5 and c2.
    week = figures(shop, "2024-W11")["average_order_value", "all"]
    assert (week["numerator"], week["denominator"]) == (90, 2)


def test_a_kind_alone_is_its_latest_complete_period(shop: Kpis) -> None:
    assert asked(shop, "all", "month").period["name"] == "2024-03"
    # The cutoff is a Monday: the week before it is over.
    assert asked(shop, "all", "week").period["name"] == "2024-W13"


def test_the_triangle_of_cohorts(shop: Kpis) -> None:
    found = triangle(shop.blocks["cohort", "month"])
    assert found.cohorts == ("2024-01", "2024-02", "2024-03")
    assert found.size.tolist() == [1, 2, 1]
    assert found.retention[0].tolist() == [1, 1, 1]
    assert found.retention[1, :2].tolist() == [1, 0]
    assert found.retention[2, 0] == 1
    assert str(found.retention[2, 1]) == "nan"
    march = figures(shop, "2024-03", "cohort")
    assert march["cohort_retention", "2024-02"]["value"] == 0
    assert figures(shop, "2024-01", "cohort")["cohort_retention", "2024-02"][
        "value"
    ] is (None)


def test_every_kpi_that_is_answered_is_defined(shop: Kpis) -> None:
    for by, kind in shop.blocks:
        question = asked(shop, by, kind)
        names = [one["name"] for one in definitions(question)]
        assert {one["name"] for one in lines(shop, question)} == set(names)
        assert len(names) == len(set(names))


def same(left: Kpis, right: Kpis) -> bool:
    return left.facts() == right.facts() and bool(
        ((left.cells() == right.cells()) | (left.cells() != left.cells())).all()
    )


def test_rows_at_or_after_the_cutoff_change_nothing(tmp_path: Path) -> None:
    late = CUTOFF - US
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    before = [r for r in PURCHASES if r["ts"] < CUTOFF and not r["known_at"]]
    more = [
        *PURCHASES,
        line("carl", "c3", late, 5.0, known_at=CUTOFF, channel="new channel"),
        line("zoe", "z1", CUTOFF + US, 5.0),
    ]
    events = {
        "inquiries": [*TABLES["inquiries"], contact("anna", "complaint", "04-01")],
        "feedback": [*TABLES["feedback"], contact("anna", "nps", "04-01", score=1.0)],
    }
    early = kpis_of(tmp_path / "a", TABLES | {"purchases": before})
    assert same(early, kpis_of(tmp_path / "b", TABLES | {"purchases": more} | events))


def test_parts_and_the_order_of_rows_change_nothing(tmp_path: Path, shop: Kpis) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    turned = {name: rows[::-1] for name, rows in TABLES.items()}
    one = kpis_of(tmp_path / "a", TABLES)
    assert same(one, kpis_of(tmp_path / "b", turned, customers_per_part=1))


def test_the_window_of_the_first_repurchase_is_over_at_the_cutoff(
    tmp_path: Path,
) -> None:
    day = timedelta(days=1)
    rows = [
        line("in time", "1", MARCH, 1.0),
        line("in time", "2", MARCH + 10 * day - US, 1.0),
        line("too late", "1", MARCH, 1.0),
        line("too late", "2", MARCH + 10 * day, 1.0),
        line("just over", "1", CUTOFF - 10 * day, 1.0),
        line("open still", "1", CUTOFF - 10 * day + US, 1.0),
    ]
    kpis = kpis_of(tmp_path, {"purchases": rows}, conversion_days=10)
    found = figures(kpis, "2024-03")["first_repurchase_conversion", "all"]
    assert (found["numerator"], found["denominator"]) == (1, 3)


def test_the_five_best_customers_of_seven(tmp_path: Path) -> None:
    amounts = (10.0, 20.0, 30.0, 40.0, 50.0, 60.0, 70.0)
    rows = [line(f"c{a}", "1", MARCH, a) for a in amounts]
    rows += [line("c70.0", "2", MARCH, 10.0), line("c10.0", "9", MARCH, -30.0)]
    kpis = kpis_of(tmp_path, {"purchases": rows}, customers_per_part=1)
    found = figures(kpis, "2024-03")["top5_share", "all"]
    # 80 + 60 + 50 + 40 + 30; who brought back more than bought spent nothing.
    assert (found["numerator"], found["denominator"]) == (260, 280)


def test_a_return_alone_is_no_visit_of_a_buyer(tmp_path: Path) -> None:
    rows = [
        line("a", "1", "2024-02-05", 50.0),
        line("a", "1", "2024-03-05", -50.0),
        line("b", "1", "2024-02-05", 10.0),
        line("b", "2", "2024-02-06", 10.0),
    ]
    march = figures(kpis_of(tmp_path, {"purchases": rows}), "2024-03")
    kept = march["retention_rate", "all"]
    assert (kept["numerator"], kept["denominator"]) == (0, 2)
    assert march["lost_value", "all"]["value"] == 1
    assert march["average_order_value", "all"]["numerator"] == -50
    assert march["average_order_value", "all"]["value"] is None
    assert march["top5_share", "all"]["value"] is None


def test_midnight_is_that_of_the_shop(tmp_path: Path) -> None:
    # 23:30 UTC on the last of February is 00:30 on the first of March in Berlin.
    rows = [
        line("a", "1", "2024-02-29 23:30", 1.0),
        line("a", "2", "2024-02-29 22:59:59.999999", 1.0),
    ]
    kpis = kpis_of(tmp_path, {"purchases": rows}, timezone="Europe/Berlin")
    found = {m: figures(kpis, m) for m in ("2024-02", "2024-03")}
    orders = [f["average_order_value", "all"]["denominator"] for f in found.values()]
    assert orders == [1, 1]
    assert asked(kpis, "all", "2024-03").period["starts_at"] == "2024-02-29T23:00:00Z"
    # At the cutoff it is two o'clock on the first of April there.
    assert not asked(kpis, "all", "2024-04").period["complete"]


def test_what_is_published_is_read_again(shop: Kpis) -> None:
    again = Kpis.of(shop.facts(), shop.cells(), shop.cutoff)
    assert same(shop, again)
    assert figures(again, "2024-03") == figures(shop, "2024-03")


def test_a_grouping_of_too_many_groups_is_left_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("serving.insight.measure.MOST_GROUPS", 1)
    kpis = kpis_of(tmp_path, {"purchases": PURCHASES})
    with pytest.raises(ValueError, match=r"by: .*got 'channel'; it has too many"):
        asked(kpis, "channel", "month")
    assert figures(kpis, "2024-03", "campaign")["average_order_value", "k1"]["value"]
