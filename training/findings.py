"""What the evaluation says: comparisons to draw, and sentences with a figure."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from training.evaluate import Quality
from training.metrics import MODEL, Interval, K

Whose = Literal["ours", "kin", "theirs"]


# Methods under the names that a reader who builds no models understands.
PLAIN = {
    MODEL: "repurchase (ours)",
    "ALS": "similar taste (ALS)",
    "co-purchase": "bought together",
    "category": "popular in their categories",
    "looked at": "looked at before",
    "segment popularity": "best of their segment",
    "popularity": "best sellers",
}

BARS = 6
"""Methods drawn side by side, ours and the best others; tables have them all."""


_ALONE = {"own history": "own history alone", "popularity": "best sellers"}


@dataclass(frozen=True)
class PickFigure:
    """One list in the comparison with manual picks, all campaigns pooled.

    Attributes:
        name: the list, in words.
        whose: ``ours``; ``kin``: ours under a handicap; else ``theirs``.
        per_slot: purchases per slot shown.
        share: share of customers who bought at least one product shown.
        per_slot_ratio, share_ratio: ours over this list's; None: no rival, or
            nothing was bought of it.
        reordered_ratio: purchases per slot of the picked products in our order over
            this list's; None as above, and for lists of other products.
    """

    name: str
    whose: Whose
    per_slot: Interval
    share: Interval
    per_slot_ratio: Interval | None
    share_ratio: Interval | None
    reordered_ratio: Interval | None


@dataclass(frozen=True)
class Bar:
    """One method's figure; ``interval`` is drawn as a whisker, if there is one."""

    name: str
    value: float
    whose: Whose
    interval: Interval | None = None

    @property
    def text(self) -> str:
        """The figure as it stands beside the bar."""
        return f"{self.value:.3f}"


@dataclass(frozen=True)
class Panel:
    """One comparison: a question, what the figure is, bars with the best first.

    Attributes:
        floor: value at which bars start: what chance alone would reach.
        ceiling: the greatest value drawn, whiskers included.
    """

    question: str
    figure: str
    bars: tuple[Bar, ...]
    floor: float = 0.0

    @property
    def ceiling(self) -> float:
        """The end of the longest bar or whisker."""
        ends = [bar.value for bar in self.bars]
        ends += [bar.interval.high for bar in self.bars if bar.interval]
        return max(ends, default=self.floor)

    def along(self, value: float) -> float:
        """Where a value lies between floor and ceiling, in percent."""
        span = self.ceiling - self.floor
        part = (value - self.floor) / span if span > 0 else 0.0
        return round(100 * min(max(part, 0.0), 1.0), 2)


@dataclass(frozen=True)
class Finding:
    """One result: its figure, and the plain sentence that says what it means."""

    figure: str
    sentence: str


def panels(qualities: Sequence[Quality], picks: Sequence[PickFigure]) -> list[Panel]:
    """The comparisons to draw; one that has no figures is left out.

    Args:
        qualities: one per evaluation cutoff; figures are their means.
        picks: lists shown in past campaigns, ours first; may be empty.
    """
    days = qualities[0].horizon_days
    auc = [{name: v["auc"] for name, v in q.propensity.items()} for q in qualities]
    mixed, new = (
        [{name: v["recall"] for name, v in q.lists[lane].items()} for q in qualities]
        for lane in ("mixed", "new")
    )
    found = [
        Panel(
            f"Who buys again in {days} days?",
            "AUC; 0.5 is chance",
            _bars(auc),
            floor=0.5,
        ),
        Panel(
            "What will they buy?",
            f"share of their products among {K} offers (recall@{K})",
            _bars(mixed),
        ),
        Panel(
            "What will they buy for the first time?",
            f"the same, new products only (recall@{K})",
            _bars(new),
        ),
        Panel(
            "Our offers or the manual picks?",
            "purchases per slot shown; line: 95% interval",
            _pick_bars(picks),
        ),
    ]
    return [panel for panel in found if panel.bars]


def headline(qualities: Sequence[Quality], picks: Sequence[PickFigure]) -> list[str]:
    """The result in plain sentences, each with its figure."""
    return [finding.sentence for finding in findings(qualities, picks)]


def findings(
    qualities: Sequence[Quality], picks: Sequence[PickFigure]
) -> list[Finding]:
    """The results that a reader should take away; undefined ones are left out."""
    auc = _means([{n: v["auc"] for n, v in q.propensity.items()} for q in qualities])
    hit = _means(
        [{n: v["hit"] for n, v in q.lists["mixed"].items()} for q in qualities]
    )
    best = max((name for name in auc if name != MODEL), key=lambda name: auc[name])
    alone = [
        f"{said} {hit[name]:.0%}"
        for name, said in _ALONE.items()
        if not math.isnan(hit.get(name, math.nan))
    ]
    share, precision, recall = (
        _mean([q.tag[name] for q in qualities])
        for name in ("share", "precision", "recall")
    )
    found = [
        (
            auc[MODEL],
            Finding(
                f"{auc[MODEL]:.1%}",
                "Of two customers, one who buys again and one who does not, the model "
                f"ranks the right one first {auc[MODEL]:.1%} of the time; the best "
                f"baseline ({best}) {auc[best]:.1%}.",
            ),
        ),
        (
            precision,
            Finding(
                f"{precision:.0%}",
                f"Of the customers tagged as likely to buy again ({share:.0%} of all), "
                f"{precision:.0%} did; the tag found {recall:.0%} of all who bought.",
            ),
        ),
        (
            hit[MODEL],
            Finding(
                f"{hit[MODEL]:.0%}",
                f"{hit[MODEL]:.0%} of the buyers bought at least one of the {K} products "
                f"offered to them ({', '.join(alone)}).",
            ),
        ),
    ]
    rivals = [
        (p.name, p.per_slot_ratio)
        for p in picks
        if p.whose == "theirs" and p.per_slot_ratio
    ]
    for rival, ratio in rivals[:1]:
        found.append(
            (
                ratio.value,
                Finding(
                    f"{ratio.value:.1f}x",
                    f"Shown in past campaigns instead of the {rival}, our list would "
                    f"have met {ratio.value:.1f} times as many purchases per slot (95% "
                    f"interval {ratio.low:.1f} to {ratio.high:.1f}). This counts purchases "
                    "that happened; what an offer causes, only a randomised test can tell.",
                ),
            )
        )
    return [finding for value, finding in found if not math.isnan(value)]


def plain(method: str) -> str:
    """A method's name for a reader who builds no models."""
    return PLAIN.get(method, method)


def _bars(values: Sequence[Mapping[str, float]]) -> tuple[Bar, ...]:
    """Mean of ours and of the best others over the cutoffs, best first."""
    found = [
        Bar(plain(name), value, "ours" if name == MODEL else "theirs")
        for name, value in _best_first(_means(values))
        if not math.isnan(value)
    ]
    others = [bar for bar in found if bar.whose == "theirs"]
    left_out = others[BARS - 1 :]
    return tuple(bar for bar in found if bar not in left_out)


def _pick_bars(picks: Sequence[PickFigure]) -> tuple[Bar, ...]:
    """Lists of the comparison with manual picks, best first."""
    best_first = sorted(picks, key=lambda pick: -pick.per_slot.value)
    return tuple(
        Bar(pick.name, pick.per_slot.value, pick.whose, pick.per_slot)
        for pick in best_first
        if not math.isnan(pick.per_slot.value)
    )


def _best_first(values: Mapping[str, float]) -> list[tuple[str, float]]:
    return sorted(values.items(), key=lambda item: -item[1])


def _means(values: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """Of the methods that all cutoffs have."""
    common = [name for name in values[0] if all(name in v for v in values)]
    return {name: _mean([v[name] for v in values]) for name in common}


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)
