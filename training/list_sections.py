"""The sections on the lists: what they find, what they are like, for whom."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from training import list_pictures as pictures
from training.evaluate import Quality
from training.findings import plain
from training.list_quality import GAINS, UNION, Gains
from training.metrics import MAP_SLOTS, MODEL, Interval, K
from training.section import Grid, Section, number

LANE_TITLES = {
    "mixed": "mixed: all that they buy counts",
    "again": "again: only products that they had bought before",
    "new": "new: only products that they had never bought",
}

FIGURES = (
    (f"recall@{K}", "recall", ".4f"),
    (f"nDCG@{K}", "ndcg", ".4f"),
    (f"MAP@{MAP_SLOTS}", "map", ".4f"),
    (f"hit@{K}", "hit", ".3f"),
    (f"precision@{K}", "precision", ".3f"),
)

LIKENESS = (
    ("products shown to anybody", "coverage", ".2%"),
    ("novelty, bits", "novelty", ".2f"),
    ("unlike pairs in a list", "diversity", ".1%"),
    ("popularity, 1: best seller", "popularity", ".3f"),
    ("different between customers", "personalisation", ".1%"),
)


def methods(qualities: Sequence[Quality]) -> Section:
    """Every lane and method."""
    mixed, figure = _figures(qualities, "mixed"), "recall"
    answer = "Nobody bought anything, so there is nothing to find."
    if mixed[MODEL][figure] == mixed[MODEL][figure]:
        rival = _best(mixed, figure)
        answer = (
            f"{mixed[MODEL]['hit']:.0%} of the buyers bought at least one of the {K} "
            f"products on our list ({mixed[rival]['hit']:.0%} with the best generator "
            f"alone, {plain(rival)}); of all that a customer buys, our list holds "
            f"{mixed[MODEL][figure]:.1%} on average, that one {mixed[rival][figure]:.1%}. "
            f"{certainty(qualities)}"
        )
    return Section(
        "Do our lists hold more of what people buy?",
        f"Means over customers who buy. Recall@{K}: share of the products a customer "
        f"buys that are among the {K} offers. nDCG@{K}: the same with more weight for "
        f"the first places; the ideal list is cut at {K} too. MAP@{MAP_SLOTS}: "
        f"precision at every bought place among {MAP_SLOTS}, over the most that is "
        f"possible. Hit@{K}: share of customers who buy at least one offer. "
        f"Precision@{K}: share of the {K} slots that are bought, empty ones are not. "
        "Lists of one generator alone are its best available products; best sellers "
        "of the new lane are those that the customer never bought. Lines are 95% "
        "intervals, means of the cutoffs'.",
        answer,
        pictures.recalls(
            {lane: _recalls(qualities, lane) for lane in ("mixed", "new")}
        ),
        tuple(_methods_grid(qualities, lane) for lane in LANE_TITLES),
    )


def certainty(qualities: Sequence[Quality]) -> str:
    """Where ours is not certainly ahead of every generator at every cutoff."""
    said: list[str] = []
    for lane in LANE_TITLES:
        short: dict[str, list[str]] = {}
        for quality in qualities:
            for figure in GAINS:
                for name, gain in _gains(quality, figure)[lane].items():
                    known = short.setdefault(name, [])
                    if not gain.low > 0 and figure not in known:
                        known.append(figure)
        behind = [
            f"{plain(n)} ({', '.join(_named(f) for f in figures)})"
            for n, figures in short.items()
            if figures
        ]
        if behind:
            said.append(f"in the {lane} list not of {' and '.join(behind)}")
    figures = "recall, nDCG and hit, at all cutoffs"
    if not said:
        return (
            f"Our list is certainly ahead of every generator in every lane ({figures})."
        )
    return (
        f"Our list is certainly ahead of every generator ({figures}), but "
        f"{'; '.join(said)}."
    )


def _named(figure: str) -> str:
    return "nDCG" if figure == "ndcg" else figure


def _gains(quality: Quality, figure: str) -> Gains:
    offers = quality.offers
    return {
        "recall": offers.recall_gain,
        "ndcg": offers.ndcg_gain,
        "hit": offers.hit_gain,
    }[figure]


def _methods_grid(qualities: Sequence[Quality], lane: str) -> Grid:
    head = (
        "method",
        *(title for title, _, _ in FIGURES),
        *(f"our {_named(figure)} gain" for figure in GAINS),
    )
    rows: list[tuple[str, ...]] = []
    for name, values in _figures(qualities, lane).items():
        gains = [
            _mean_interval([_gains(q, f)[lane][name] for q in qualities])
            for f in GAINS
            if name != MODEL
        ] or [None] * len(GAINS)
        rows.append(
            (
                plain(name),
                *(number(values[key], form) for _, key, form in FIGURES),
                *(_with_interval(gain) for gain in gains),
            )
        )
    customers = " / ".join(
        f"{q.lists[lane][MODEL]['customers']:,.0f}" for q in qualities
    )
    title = f"{LANE_TITLES[lane]}; {customers} customers; in parentheses: 95% interval"
    return Grid(title, head, tuple(rows))


def reach(qualities: Sequence[Quality]) -> Section:
    """Recall of the candidates."""
    lanes = {lane: _reached(qualities, lane) for lane in LANE_TITLES}
    whole = lanes["mixed"][UNION]
    answer = "Nobody bought anything, so there is nothing to find."
    if whole == whole:
        answer = (
            f"{whole:.0%} of what a customer buys is among the products that the "
            f"generators put forward for them: {lanes['again'][UNION]:.0%} of what is "
            f"bought again, {lanes['new'][UNION]:.1%} of what is bought for the first "
            "time. More than that no ranking of them can offer."
        )
    names = [name for name in lanes["mixed"] if name != UNION]
    rows = [
        (
            plain(name),
            *(
                number(lanes[lane][name], ".1%") if name in lanes[lane] else ""
                for lane in lanes
            ),
        )
        for name in [UNION, *names]
    ]
    return Section(
        "How much of what people buy can be offered at all?",
        "Mean share of a customer's purchased products that is among the candidates of "
        "each generator, and of all together, which the ranker orders. Own history puts "
        "forward products bought before, every other generator products never bought.",
        answer,
        None,
        (Grid("", ("candidates of", *lanes), tuple(rows), ours=frozenset({UNION})),),
    )


def likeness(qualities: Sequence[Quality]) -> Section:
    """Coverage, novelty, diversity, popularity, personalisation."""
    ours = _figures(qualities, "mixed")[MODEL]
    answer = "There are no lists."
    if ours["personalisation"] == ours["personalisation"]:
        answer = (
            f"Two customers' mixed lists differ in {ours['personalisation']:.0%} of "
            f"their products, and {ours['coverage']:.1%} of all available products are "
            f"shown to somebody; {ours['diversity']:.0%} of the pairs in a list are of "
            "different subcategories."
        )
    grids: list[Grid] = []
    for lane, title in LANE_TITLES.items():
        rows = [
            (plain(name), *(number(values[key], form) for _, key, form in LIKENESS))
            for name, values in _figures(qualities, lane).items()
        ]
        head = ("method", *(head for head, _, _ in LIKENESS))
        grids.append(Grid(title.split(":")[0], head, tuple(rows)))
    return Section(
        "Are they more than best sellers for everybody?",
        f"Of the {K} offers to every customer who buys in the window. Shown to anybody: "
        "share of the available products that are in at least one list. Novelty: mean "
        "of -log2 of the share of customers who ever bought the product (one buyer "
        "added): 0 bits if everybody did, one more for every halving. Unlike pairs: "
        "share of the pairs of a list that are of different subcategories. Popularity: "
        "mean share of the available products with fewer buyers; picks at random have "
        "0.5. Different between customers: 1 less the share of products that two "
        "customers' lists have in common. None of them is good by itself: random picks "
        "would have the most of all but popularity.",
        answer,
        None,
        tuple(grids),
    )


def _figures(qualities: Sequence[Quality], lane: str) -> dict[str, dict[str, float]]:
    """Means over the cutoffs, by method; methods that show nothing are left out."""
    first = qualities[0].lists[lane]
    found = {
        name: {
            key: _mean([q.lists[lane][name][key] for q in qualities]) for key in values
        }
        for name, values in first.items()
    }
    return {
        name: values
        for name, values in found.items()
        if values["coverage"] > 0 or name == MODEL
    }


def _recalls(qualities: Sequence[Quality], lane: str) -> dict[str, Interval]:
    return {
        name: _mean_interval([q.offers.recall[lane][name] for q in qualities])
        for name in _figures(qualities, lane)
    }


def _reached(qualities: Sequence[Quality], lane: str) -> dict[str, float]:
    return {
        name: _mean([q.offers.candidates[lane][name] for q in qualities])
        for name in qualities[0].offers.candidates[lane]
    }


def _best(found: Mapping[str, Mapping[str, float]], figure: str) -> str:
    return max((n for n in found if n != MODEL), key=lambda name: found[name][figure])


def _mean(values: Sequence[float]) -> float:
    """Of the cutoffs where it is defined."""
    known = [value for value in values if value == value]
    return float(np.mean(known)) if known else float("nan")


def _mean_interval(found: Sequence[Interval]) -> Interval:
    """Mean of value and ends: wider than the interval of the mean, if anything."""
    return Interval(
        _mean([one.value for one in found]),
        _mean([one.low for one in found]),
        _mean([one.high for one in found]),
    )


def _with_interval(found: Interval | None) -> str:
    if found is None:
        return ""
    value, low, high = (
        number(each, "+.4f") for each in (found.value, found.low, found.high)
    )
    return f"{value} ({low} to {high})"
