"""The picture and the page: what they say, for figures drawn by hand."""

from __future__ import annotations

import re
import struct
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path

import pytest

from training import findings, report
from training.churn_quality import BG_NBD, TREND, ChurnQuality
from training.curves import Curve, Curves, Tenth
from training.details import Details
from training.drawing import spread
from training.evaluate import Quality
from training.findings import PickFigure, Whose
from training.groups import Breakdown, Group
from training.importance import Importance, Weight
from training.leaks import Leaks, Strongest
from training.list_groups import LaneOfGroup, ListBreakdown, ListGroup
from training.list_quality import UNION, ListQuality
from training.match_quality import Bin, Match
from training.match_sections import said_of_sure
from training.metrics import MODEL, Interval
from training.replenishment_quality import (
    FREQUENCY,
    MEDIAN,
    ReplenishmentQuality,
)
from training.stability import TOO_EARLY, LeftOut, Moment, Stability
from training.uplift_evidence import Evidence
from training.uplift_spend import SpendEvidence
from training.value_quality import BASELINE, LAST_WINDOW, ValueQuality

NAN = float("nan")
METHODS = ("own history", "ALS", "co-purchase", "category", "popularity")


def _figures(recall: float) -> dict[str, float]:
    return {
        "recall": recall,
        "ndcg": 2 * recall,
        "map": recall / 2,
        "hit": 5 * recall,
        "precision": 2.5 * recall,
        "customers": 1734,
        "coverage": 0.04,
        "novelty": 3.5,
        "diversity": 0.9,
        "popularity": 0.95,
        "personalisation": 0.8,
    }


def _offers() -> ListQuality:
    recalls = {
        "mixed": (0.13, 0.12, 0.07, 0.1, 0.05, 0.04),
        "again": (0.32, 0.29, 0.2, 0.24, 0.2, 0.19),
        "new": (0.02, NAN, 0.016, 0.018, 0.014, 0.013),
    }
    of = {
        lane: {n: r for n, r in zip((MODEL, *METHODS), values, strict=True) if r == r}
        for lane, values in recalls.items()
    }
    ahead, unsure = Interval(0.001, 0.0005, 0.003), Interval(0.001, -0.001, 0.003)
    gains = {
        lane: {name: ahead for name in names if name != MODEL}
        for lane, names in of.items()
    }
    lane = LaneOfGroup(400, 0.13, 0.65, {"ALS": 0.07, "own history": 0.12})
    behind = LaneOfGroup(100, 0.1, 0.5, {"ALS": 0.07, "own history": 0.12})
    groups = tuple(
        ListGroup(name, one.customers, {"mixed": one, "again": one, "new": one})
        for name, one in (("<i>", lane), ("b|c", behind))
    )
    bins = (Bin(0.0, 0.01, 900, 0.004, 0.005), Bin(0.85, 1.0, 50, 0.9, 0.92))
    return ListQuality(
        lists={
            ln: {n: _figures(r) for n, r in names.items()} for ln, names in of.items()
        },
        recall={
            ln: {n: Interval(r, r - 0.005, r + 0.005) for n, r in names.items()}
            for ln, names in of.items()
        },
        recall_gain=gains,
        ndcg_gain=gains | {"new": gains["new"] | {"co-purchase": unsure}},
        hit_gain=gains,
        candidates={
            "mixed": {"own history": 0.3, "ALS": 0.02, UNION: 0.37},
            "again": {"own history": 0.75, UNION: 0.75},
            "new": {"ALS": 0.04, UNION: 0.093},
        },
        list_groups=(ListBreakdown("home_town", groups, 0, 0),),
        match={
            "mixed": Match(950, 0.0512, 0.0532, 0.002, bins, 50, 0.92),
            "again": Match(50, 0.9, 0.92, 0.02, bins[1:], 50, 0.92),
            "new": Match(900, 0.004, 0.005, 0.001, bins[:1], 0, NAN),
        },
    )


def _quality(month: int, auc: float) -> Quality:
    gain = Interval(0.007, 0.002, 0.012)
    return Quality(
        cutoff=datetime(2017, month, 15),
        horizon_days=14,
        customers=2456,
        base_rate=0.706,
        propensity={
            MODEL: {"auc": auc, "brier": 0.136, "ece": 0.02},
            "recency-frequency logistic": {"auc": 0.855, "brier": 0.14, "ece": 0.024},
            "BG/NBD": {"auc": 0.841, "brier": 0.144, "ece": 0.03},
            "recency": {"auc": 0.775, "brier": 0.163, "ece": 0.04},
        },
        auc_gain={"recency-frequency logistic": gain, "BG/NBD": gain, "recency": gain},
        tag={
            "threshold": 0.7,
            "share": 0.6,
            "accuracy": 0.8,
            "precision": 0.9,
            "recall": 0.75,
        },
        offers=_offers(),
        value=ValueQuality(
            spent=1234.5,
            models={
                MODEL: {"mae": 45.2, "spearman": 0.81, "total": 1.02},
                BASELINE: {"mae": 47.1, "spearman": 0.78, "total": 1.02},
                LAST_WINDOW: {"mae": 51.3, "spearman": NAN, "total": 0.97},
            },
            mae_gain={BASELINE: gain, LAST_WINDOW: gain},
        ),
        churn=ChurnQuality(
            window_days=28,
            customers=1598,
            declined=0.168,
            models={
                MODEL: {"auc": 0.739, "top": 0.427},
                TREND: {"auc": 0.607, "top": 0.353},
                BG_NBD: {"auc": 0.628, "top": 0.332},
            },
            ece=0.02,
            auc_gain={TREND: gain, BG_NBD: gain},
        )
        if month == 10
        else None,
        replenishment=ReplenishmentQuality(
            window_days=7,
            pairs=39840,
            bought=0.243,
            models={
                MODEL: {"auc": 0.71, "precision": 0.557, "top": 0.732},
                MEDIAN: {"auc": 0.647, "precision": 0.44, "top": 0.52},
                FREQUENCY: {"auc": 0.688, "precision": 0.52, "top": 0.71},
            },
            ece=0.01,
            alerts={"count": 9123.0, "precision": 0.51, "recall": 0.24},
            auc_gain={MEDIAN: gain, FREQUENCY: gain},
        )
        if month == 10
        else None,
        uplift=Evidence(
            enough=True,
            said="Contacting the tenth brought more.",
            learner="x",
            campaigns=3,
            sent=900,
            held_out=100,
            effect=Interval(0.012, 0.004, 0.02),
            qini=Interval(0.002, 0.001, 0.003),
            top={"10%": Interval(0.0512, 0.02, 0.08)},
            spend=SpendEvidence(
                enough=False,
                said="Extra spend is a guess.",
                effect=Interval(0.31, -0.1, 0.7),
                qini=Interval(0.1, -0.1, 0.3),
                qini_normalised=0.6,
                top={"10%": Interval(2.345, -1.0, 6.0)},
            ),
        ),
    )


def _tenth(promised: float, bought: float) -> Tenth:
    return Tenth(100, promised, bought, bought - 0.05, bought + 0.05, 1.5, 0.1)


def _curves(height: float) -> Curves:
    line = Curve((0.0, 0.5, 1.0), (0.0, height, 1.0))
    tenths = (_tenth(0.91, 0.9), _tenth(0.62, height - 0.2))
    return Curves(line, line, line, Curve((0.1, 1.0), (2 * height, 1.0)), tenths)


def _moment(month: int, ours: float) -> Moment:
    models = {
        MODEL: {"auc": ours, "brier": 0.13, "ece": 0.02},
        "BG/NBD": {"auc": 0.84, "brier": 0.14, "ece": 0.03},
    }
    return Moment(datetime(2017, month, 15), 2400, 0.7, models)


@pytest.fixture
def details() -> Details:
    auc = {MODEL: 0.8, "BG/NBD": 0.75}
    groups = tuple(Group(n, 300, 0.6, 0.61, auc, 0.03, 0.02) for n in ("<i>", "b|c"))
    last = Group("others", 120, 0.5, 0.52, auc | {MODEL: 0.7}, 0.05, 0.04)
    weight = Weight("orders_count_30d", "purchase", "number of orders", 0.4, 0.75)
    return Details(
        customers=4900,
        base_rate=0.7,
        curves={MODEL: _curves(0.8), "BG/NBD": _curves(0.75), "recency": _curves(0.6)},
        breakdowns=(Breakdown("home_town", (*groups, last), 3, 0),),
        availability={"purchase": 1.0, "campaign": 0.4, "browse": 0.0},
        stability=Stability(
            (_moment(8, 0.85), _moment(9, 0.83), _moment(10, 0.87)),
            (LeftOut(datetime(2017, 2, 1), TOO_EARLY),),
        ),
        importance=Importance(500, 60, (weight,), {"purchase": 0.9, "campaign": 0.1}),
        leaks=Leaks((0.47, 0.54, 0.59, 0.44), Strongest("days_count", 0.85, 0.92)),
    )


def _pick(name: str, whose: Whose, per_slot: float, ratio: float | None) -> PickFigure:
    over = ratio and Interval(ratio, ratio - 0.1, ratio + 0.1)
    return PickFigure(
        name=name,
        whose=whose,
        per_slot=Interval(per_slot, per_slot - 0.01, per_slot + 0.01),
        share=Interval(per_slot + 0.2, per_slot + 0.19, per_slot + 0.21),
        per_slot_ratio=over or None,
        share_ratio=over or None,
        reordered_ratio=over or None,
    )


@pytest.fixture
def qualities() -> list[Quality]:
    return [_quality(10, 0.86), _quality(11, 0.88)]


@pytest.fixture
def picks() -> list[PickFigure]:
    return [
        _pick("our ranking", "ours", 0.42, None),
        _pick("best-selling picked products", "theirs", 0.13, 3.23),
        _pick("our ranking of the picked products", "kin", 0.27, 1.56),
        _pick("random picked products", "theirs", 0.01, None),
    ]


CAMPAIGNS = [
    {"campaign": "18", "starts": "2017-10-30", "our ranking": "0.421 (0.410 to 0.430)"},
    {
        "campaign": "<b>",
        "starts": "2017-11-06",
        "our ranking": "0.300 (0.200 to 0.400)",
    },
]


class _Page(HTMLParser):
    """Texts of a page, and every tag that is opened and not closed."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.texts: list[str] = []
        self.links: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag not in ("meta", "img", "br"):
            self.open.append(tag)
        self.links += [v or "" for name, v in attrs if name in ("src", "href")]

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.texts.append(data.strip())


Write = Callable[..., tuple[str, _Page]]


@pytest.fixture
def write(details: Details, tmp_path: Path) -> Write:
    def page(
        qualities: list[Quality],
        picks: list[PickFigure],
        campaigns: list[dict[str, str]] | None = None,
    ) -> tuple[str, _Page]:
        files = report.write(qualities, details, picks, campaigns or [], tmp_path)
        text = files[0].read_text()
        return text, _Page(text)

    return page


def test_bars_are_means_of_the_cutoffs_with_the_best_first(
    qualities: list[Quality],
) -> None:
    who, what, new = findings.panels(qualities, [])
    assert [(bar.name, bar.text) for bar in who.bars] == [
        ("repurchase (ours)", "0.870"),
        ("recency-frequency logistic", "0.855"),
        ("BG/NBD", "0.841"),
        ("recency", "0.775"),
    ]
    assert [bar.text for bar in what.bars] == [
        "0.130",
        "0.120",
        "0.100",
        "0.070",
        "0.050",
        "0.040",
    ]
    assert [bar.name for bar in new.bars][-1] == "best sellers"


def test_ours_is_drawn_beside_the_five_best_also_where_it_is_worse(
    qualities: list[Quality],
) -> None:
    for quality in qualities:
        mixed = quality.lists["mixed"]
        mixed |= {f"other {i}": _figures(0.2 + i / 100) for i in range(7)}
    bars = findings.panels(qualities, [])[1].bars
    assert [bar.name for bar in bars] == [
        *(f"other {i}" for i in (6, 5, 4, 3, 2)),
        findings.plain(MODEL),
    ]


def test_a_method_that_a_cutoff_lacks_has_no_mean(qualities: list[Quality]) -> None:
    qualities[0].lists["mixed"]["new arrivals"] = _figures(0.2)
    bars = findings.panels(qualities, [])[1].bars
    assert "new arrivals" not in [bar.name for bar in bars]


def test_only_our_bars_are_highlighted_also_where_we_lose(
    qualities: list[Quality], picks: list[PickFigure]
) -> None:
    lost = [replace(picks[0], per_slot=Interval(0.05, 0.04, 0.06)), *picks[1:]]
    panel = findings.panels(qualities, lost)[-1]
    assert [(bar.name, bar.whose) for bar in panel.bars] == [
        ("our ranking of the picked products", "kin"),
        ("best-selling picked products", "theirs"),
        ("our ranking", "ours"),
        ("random picked products", "theirs"),
    ]


def test_bars_start_at_chance_and_end_at_the_longest_whisker(
    qualities: list[Quality], picks: list[PickFigure]
) -> None:
    who, *_, manual = findings.panels(qualities, picks)
    assert who.along(0.5) == 0
    assert who.along(0.4) == 0  # worse than chance: no bar, the number still stands
    assert who.along(0.685) == 50  # (0.685 - 0.5) / (0.87 - 0.5)
    assert who.along(0.87) == 100
    assert manual.ceiling == pytest.approx(0.43)


def test_headline_names_the_best_baseline_and_the_first_rival(
    qualities: list[Quality], picks: list[PickFigure]
) -> None:
    who, tag, hit, manual = report.headline(qualities, picks)
    assert "87.0%" in who and "(recency-frequency logistic) 85.5%" in who
    assert "(60% of all), 90% did; the tag found 75%" in tag
    assert "65% of the buyers" in hit and "own history alone 60%" in hit
    assert "instead of the best-selling picked products" in manual
    assert "3.2 times" in manual and "3.1 to 3.3" in manual


def test_an_undefined_figure_is_left_out_of_headline_and_bars(
    qualities: list[Quality], write: Write
) -> None:
    nothing = Interval(NAN, NAN, NAN)
    one_class = replace(
        qualities[0],
        propensity={
            name: v | {"auc": NAN} for name, v in qualities[0].propensity.items()
        },
        auc_gain=dict.fromkeys(qualities[0].auc_gain, nothing),
        tag=qualities[0].tag | {"precision": NAN},
    )
    assert len(report.headline([one_class], [])) == 1
    assert len(findings.panels([one_class], [])) == 2
    text, _ = write([one_class], [])
    assert "nan" not in text.lower()
    assert "n/a (n/a to n/a)" in text


def test_page_is_well_formed_and_needs_no_other_file(
    qualities: list[Quality], picks: list[PickFigure], write: Write, tmp_path: Path
) -> None:
    text, page = write(qualities, picks, CAMPAIGNS)
    assert page.open == []
    assert page.links == []
    # Clips and marks of a picture are in the page itself.
    assert not re.search(r"url\((?!#)|href=\"(?!#)|@import|https?:|<script", text)
    assert {file.name for file in tmp_path.iterdir()} == {"report.html", "report.md"}


def test_page_shows_every_figure_of_every_table(
    qualities: list[Quality], picks: list[PickFigure], write: Write
) -> None:
    text, page = write(qualities, picks, CAMPAIGNS)
    for method in ("repurchase (ours)", "BG/NBD", "similar taste (ALS)"):
        assert page.texts.count(method) >= 3  # a bar, and a row for each cutoff
    assert "3.23 (3.13 to 3.33)" in page.texts
    assert "+0.007 (+0.002 to +0.012)" in page.texts
    assert "0.421 (0.410 to 0.430)" in page.texts
    assert text.count("1,234.50 each on average") == 2
    assert page.texts.count("45.20") == 2
    assert page.texts.count("+5.1 (+2.0 to +8.0)") == 2
    assert text.count("Contacting the tenth brought more.") == 2
    assert text.count("Extra spend is a guess.") == 2
    assert text.count("+2.35") == 2
    # Picks; five tables of both cutoffs, churn and replenishment of one; what lies
    # behind: four curves, promises, and three figures over time; the lists of three
    # lanes, what they are like, and their candidates.
    assert text.count('<tr class="ours">') == 1 + 2 * 5 + 2 + 4 + 1 + 3 + 3 + 3 + 1


def test_sections_ask_show_and_answer_with_the_baselines_drawn_in(
    qualities: list[Quality], write: Write
) -> None:
    text, page = write(qualities, [])
    assert text.count("<svg") == 8 + 2
    for said in (
        "Of the tenth with the highest score 90% bought, of the tenth with the lowest "
        "60%; 70% of all.",
        "The better-scored half of the customers holds 80.0% of all buyers, 75.0% with "
        "the best baseline (BG/NBD), 50% by chance; more than 71% is not possible.",
        "Ours ranks best at 2 of 3 cutoffs; its AUC less that of the best baseline "
        "there is -0.010 to +0.030, its calibration error 0.020 to 0.020. Left out: "
        "2017-02-01: too little history before it.",
        "In 2 of 2 groups the promise lies within the interval of what happened; the "
        "largest gap is 62% promised, 60% bought.",
        "Ours ranks best in 2 of 3 groups; least well told apart are those with "
        "home town: others (AUC 0.700). Data of everybody: purchase. Data of nobody: "
        "browse.",
        "No alarm: trained on shuffled answers the AUC is 0.510 (0.312 to 0.708), "
        "which is chance, and no feature knows too much by itself.",
    ):
        assert said in page.texts
    assert "home town: others (3 small groups)" in page.texts
    # Two curves with names beside the lines, the others in a list of lines.
    for name in ("repurchase (ours)", "BG/NBD", "recency"):
        assert len(re.findall(rf"<text[^>]*>{re.escape(name)}</text>", text)) >= 5


def test_the_lists_have_sections_that_a_manager_can_read(
    qualities: list[Quality], write: Write
) -> None:
    _, page = write(qualities, [])
    for said in (
        "65% of the buyers bought at least one of the 10 products on our list (60% with "
        "the best generator alone, own history); of all that a customer buys, our list "
        "holds 13.0% on average, that one 12.0%. Our list is certainly ahead of every "
        "generator (recall, nDCG and hit, at all cutoffs), but in the new list not of "
        "bought together (nDCG).",
        # Both cutoffs have the same pairs.
        "We promised 5.12% on average and 5.32% were bought; the calibration error is "
        "0.0200 for products bought before and 0.0010 for new ones. Of the 100 pairs "
        "graded 85 or more, 92% were bought.",
        "37% of what a customer buys is among the products that the generators put "
        "forward for them: 75% of what is bought again, 9.3% of what is bought for the "
        "first time. More than that no ranking of them can offer.",
        "Two customers' mixed lists differ in 80% of their products, and 4.0% of all "
        "available products are shown to somebody; 90% of the pairs in a list are of "
        "different subcategories.",
        "Our mixed list has the highest recall in 1 of 2 groups; it serves those with "
        "home town: b|c worst: 50% of them bought one of its products.",
    ):
        assert said in page.texts
    assert "there are none" in page.texts
    assert "85% to 100%" in page.texts


def test_without_buyers_or_sure_pairs_the_sections_of_lists_say_so(
    qualities: list[Quality],
) -> None:
    nothing = Interval(NAN, NAN, NAN)
    offers = qualities[0].offers
    lists = {
        lane: {
            n: dict.fromkeys(values, NAN) | {"customers": 0}
            for n, values in methods.items()
        }
        for lane, methods in offers.lists.items()
    }
    gains = {
        lane: dict.fromkeys(methods, nothing)
        for lane, methods in offers.recall_gain.items()
    }
    empty = replace(
        offers,
        lists=lists,
        recall={lane: dict.fromkeys(of, nothing) for lane, of in offers.recall.items()},
        recall_gain=gains,
        ndcg_gain=gains,
        hit_gain=gains,
        candidates={
            lane: dict.fromkeys(of, NAN) for lane, of in offers.candidates.items()
        },
        list_groups=(),
        match=dict.fromkeys(offers.match, Match(0, NAN, NAN, NAN, (), 0, NAN)),
    )
    found = report.offer_sections([replace(qualities[0], offers=empty)])
    assert [one.picture is None for one in found] == [True] * 5
    assert "nan" not in " ".join(str(one) for one in found).lower()
    assert said_of_sure(empty.match["new"]) == "No pair is graded 85 or more."


def test_an_alarm_is_said_first(details: Details) -> None:
    known = Leaks((0.84, 0.86, 0.85, 0.86), details.leaks.strongest)
    section = report.sections(replace(details, leaks=known))[-1]
    assert section.answer.startswith("There is an alarm")
    assert section.grids[0].rows[0][3].startswith("ALARM")
    alone = Leaks(details.leaks.shuffled, Strongest("next_orders", 0.99, 0.92))
    section = report.sections(replace(details, leaks=alone))[-1]
    assert section.answer.startswith("There is an alarm")
    assert "ALARM: next_orders knows too much" in section.grids[0].rows[1][3]


def test_where_everybody_bought_sections_say_so_and_draw_what_is_left(
    details: Details,
) -> None:
    nothing = Curves(None, None, None, None, (_tenth(0.9, 1.0),))
    nan = {name: {"auc": NAN, "brier": 0.1, "ece": 0.1} for name in (MODEL, "BG/NBD")}
    moment = Moment(datetime(2017, 10, 15), 20, 1.0, nan)
    undefined = replace(
        details,
        curves=dict.fromkeys(details.curves, nothing),
        breakdowns=(),
        stability=Stability((moment,), ()),
        importance=Importance(20, 0, (), {}),
        leaks=Leaks((NAN, NAN), Strongest(None, NAN, NAN)),
    )
    found = report.sections(undefined)
    assert [one.picture is None for one in found] == [
        False, True, True, False, True, True, True, True, True, True,
    ]  # fmt: skip
    said = " ".join(one.answer for one in found)
    assert "nan" not in said.lower()
    assert "All bought or none did, so there is no such curve." in said


def test_markdown_has_the_figures_of_the_page_in_tables(
    qualities: list[Quality],
    picks: list[PickFigure],
    write: Write,
    details: Details,
    tmp_path: Path,
) -> None:
    write(qualities, picks, CAMPAIGNS)
    lines = (tmp_path / "report.md").read_text().splitlines()
    sections = [*report.offer_sections(qualities), *report.sections(details)]
    assert [line for line in lines if line.startswith("# ")] == [
        "# How good are the scores and the offers?",
        "# Behind the offers",
        '# Behind the score "who buys again"',
        "# Cutoff 2017-10-15, the 14 days after it",
        "# Cutoff 2017-11-15, the 14 days after it",
    ]
    for section in sections:
        assert f"## {section.question}" in lines
        assert section.answer in lines
        for grid in section.grids:
            assert f"| {' | '.join(grid.head)} |" in lines
    assert "| repurchase (ours) | 0.850 | 0.830 | 0.870 |" in lines
    assert any(line.startswith("| home town: \\<i\\> | 300 |") for line in lines)
    assert any(line.startswith("| home town: b\\|c | 300 |") for line in lines)
    assert "| \\<b\\> | 2017-11-06 | 0.300 (0.200 to 0.400) |" in lines
    # Every table is one block: a head, a rule of as many columns, and rows.
    for before, line in pairwise(lines):
        if line.startswith("| ---"):
            assert before.count("|") - before.count("\\|") == line.count("|")


def test_sections_are_drawn_the_same_to_the_byte(details: Details) -> None:
    first, second = (report.sections(details) for _ in range(2))
    assert first == second


def test_names_that_would_touch_are_moved_apart_by_as_little_as_needed() -> None:
    assert spread([1.0, 5.0], 2.0) == [1.0, 5.0]
    assert spread([4.0, 5.0], 2.0) == [3.5, 5.5]
    # The third is pushed by the two below it, so all three spread around their mean.
    assert spread([4.0, 5.0, 6.0], 2.0) == [3.0, 5.0, 7.0]


def test_text_from_the_data_is_escaped(
    qualities: list[Quality], picks: list[PickFigure], write: Write
) -> None:
    text, page = write(qualities, picks, CAMPAIGNS)
    assert "&lt;b&gt;" in text
    assert "<b>" in page.texts


def test_without_manual_lists_the_page_says_nothing_about_them(
    qualities: list[Quality], write: Write
) -> None:
    text, page = write(qualities, [])
    assert page.open == []
    assert "manual" not in text.lower()


@pytest.mark.parametrize("with_picks", [True, False])
def test_picture_is_the_same_to_the_byte(
    qualities: list[Quality],
    picks: list[PickFigure],
    tmp_path: Path,
    with_picks: bool,
) -> None:
    files = (tmp_path / "one.png", tmp_path / "two.png")
    for file in files:
        report.draw(qualities, picks if with_picks else [], file)
    first, second = (file.read_bytes() for file in files)
    assert first == second
    assert struct.unpack(">II", first[16:24]) == (1560, 1014)  # of the PNG header
