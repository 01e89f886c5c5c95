"""The picture and the page: what they say, for figures drawn by hand."""

from __future__ import annotations

import re
import struct
from dataclasses import replace
from datetime import datetime
from html.parser import HTMLParser
from pathlib import Path

import pytest

from training import findings, report
from training.churn_quality import BG_NBD, TREND, ChurnQuality
from training.evaluate import Quality
from training.findings import PickFigure, Whose
from training.metrics import MODEL, Interval
from training.replenishment_quality import (
    FREQUENCY,
    MEDIAN,
    ReplenishmentQuality,
)
from training.uplift_evidence import Evidence
from training.value_quality import BASELINE, LAST_WINDOW, ValueQuality

NAN = float("nan")
METHODS = ("own history", "ALS", "co-purchase", "category", "popularity")


def _figures(recall: float) -> dict[str, float]:
    return {"recall": recall, "ndcg": 2 * recall, "hit": 5 * recall, "customers": 1734}


def _quality(month: int, auc: float) -> Quality:
    gain = Interval(0.007, 0.002, 0.012)
    mixed = dict(
        zip((MODEL, *METHODS), (0.13, 0.12, 0.07, 0.1, 0.05, 0.04), strict=True)
    )
    new = {MODEL: 0.02, "ALS": 0.016, "popularity": 0.013}
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
        lists={
            "mixed": {name: _figures(value) for name, value in mixed.items()},
            "new": {name: _figures(value) for name, value in new.items()},
        },
        recall_gain={
            lane: {name: Interval(0.001, -0.001, 0.003) for name in METHODS}
            for lane in ("mixed", "new")
        },
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
        ),
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


def _write(
    qualities: list[Quality],
    picks: list[PickFigure],
    folder: Path,
    campaigns: list[dict[str, str]] | None = None,
) -> tuple[str, _Page]:
    text = report.write_html(qualities, picks, campaigns or [], folder).read_text()
    return text, _Page(text)


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
    qualities: list[Quality], tmp_path: Path
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
    text, _ = _write([one_class], [], tmp_path)
    assert "nan" not in text.lower()
    assert "n/a (n/a to n/a)" in text


def test_page_is_well_formed_and_needs_no_other_file(
    qualities: list[Quality], picks: list[PickFigure], tmp_path: Path
) -> None:
    text, page = _write(qualities, picks, tmp_path, CAMPAIGNS)
    assert page.open == []
    assert page.links == []
    assert not re.search(r"url\(|@import|https?:|<script", text)
    assert [file.name for file in tmp_path.iterdir()] == ["report.html"]


def test_page_shows_every_figure_of_every_table(
    qualities: list[Quality], picks: list[PickFigure], tmp_path: Path
) -> None:
    text, page = _write(qualities, picks, tmp_path, CAMPAIGNS)
    for method in ("repurchase (ours)", "BG/NBD", "similar taste (ALS)"):
        assert page.texts.count(method) >= 3  # a bar, and a row for each cutoff
    assert "3.23 (3.13 to 3.33)" in page.texts
    assert "+0.007 (+0.002 to +0.012)" in page.texts
    assert "0.421 (0.410 to 0.430)" in page.texts
    assert text.count("1,234.50 each on average") == 2
    assert page.texts.count("45.20") == 2
    assert page.texts.count("+5.1 (+2.0 to +8.0)") == 2
    assert text.count("Contacting the tenth brought more.") == 2
    # Picks; four tables of both cutoffs, churn and replenishment of one.
    assert text.count('<tr class="ours">') == 1 + 2 * 4 + 2


def test_text_from_the_data_is_escaped(
    qualities: list[Quality], picks: list[PickFigure], tmp_path: Path
) -> None:
    text, page = _write(qualities, picks, tmp_path, CAMPAIGNS)
    assert "&lt;b&gt;" in text
    assert "<b>" in page.texts


def test_without_manual_lists_the_page_says_nothing_about_them(
    qualities: list[Quality], tmp_path: Path
) -> None:
    text, page = _write(qualities, [], tmp_path)
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
