"""The sections on the match, and on the lists of every kind of customer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from training import list_pictures as pictures
from training.evaluate import Quality
from training.findings import plain
from training.list_groups import LaneOfGroup, ListGroup
from training.match_quality import SURE, Bin, Match, together
from training.metrics import K
from training.section import Grid, Section, number

SHOWN = ("mixed", "new")
"""Lanes whose figures by group are in the table."""


def match(qualities: Sequence[Quality]) -> Section:
    """Promised and bought of all pairs."""
    lanes = {
        lane: together(tuple(q.offers.match[lane] for q in qualities))
        for lane in qualities[0].offers.match
    }
    whole = lanes["mixed"]
    answer = "There are no candidate pairs."
    if whole.pairs:
        answer = (
            f"We promised {whole.promised:.2%} on average and {whole.bought:.2%} were "
            f"bought; the calibration error is {lanes['again'].ece:.4f} for products "
            f"bought before and {lanes['new'].ece:.4f} for new ones. {said_of_sure(whole)}"
        )
    return Section(
        "Is a match of 30% bought 30 times in 100?",
        "The match is the probability that the customer buys the product in the window. "
        "Counted are all candidate pairs that are kept, not only those in a list: every "
        "customer with history, with the best candidates of each lane, whether they came "
        "to buy or not. Both scales are logarithmic, since most matches are small; bins "
        "with fewer than 20 pairs or no purchase are in the tables only; thin lines are 95% intervals. Calibration "
        "error: mean gap between promised and bought over ten groups of equal size, mean "
        "of the cutoffs.",
        answer,
        pictures.matches(lanes),
        (_lanes_grid(lanes), *(_bins_grid(n, m) for n, m in lanes.items() if m.pairs)),
    )


def said_of_sure(found: Match) -> str:
    """What became of the pairs graded 85 or more, or that there are none."""
    if not found.sure:
        return "No pair is graded 85 or more."
    pairs = "pair" if found.sure == 1 else "pairs"
    return (
        f"Of the {found.sure:,} {pairs} graded 85 or more, {found.sure_bought:.0%} were "
        "bought."
    )


def _lanes_grid(lanes: Mapping[str, Match]) -> Grid:
    head = (
        "lane",
        "pairs",
        "promised",
        "bought",
        "calibration error",
        f"graded {SURE:.0%} or more",
        "of these, bought",
    )
    rows = tuple(
        (
            lane,
            f"{one.pairs:,}",
            number(one.promised, ".2%"),
            number(one.bought, ".2%"),
            number(one.ece, ".4f"),
            f"{one.sure:,}",
            number(one.sure_bought, ".1%") if one.sure else "there are none",
        )
        for lane, one in lanes.items()
    )
    return Grid("mixed: both lanes together", head, rows)


def _bins_grid(lane: str, found: Match) -> Grid:
    head = ("match", "pairs", "promised", "bought")
    rows = tuple(
        (_range(one), f"{one.pairs:,}", f"{one.promised:.2%}", f"{one.bought:.2%}")
        for one in found.bins
    )
    return Grid(lane, head, rows)


def _range(one: Bin) -> str:
    end = "100%" if one.high == 1 else f"under {one.high:.0%}"
    return f"{one.low:.0%} to {end}"


def list_groups(qualities: Sequence[Quality]) -> Section:
    """Recall and hit of every group."""
    found = _pooled(qualities)
    known = {
        title: group
        for title, group in found.items()
        if group.lanes["mixed"].recall == group.lanes["mixed"].recall
    }
    answer = "No property parts the buyers into groups that are large enough."
    if known:
        better = sum(
            one.lanes["mixed"].recall > max(one.lanes["mixed"].rivals.values())
            for one in known.values()
        )
        worst = min(known, key=lambda title: known[title].lanes["mixed"].hit)
        answer = (
            f"Our mixed list has the highest recall in {better} of {len(known)} groups; "
            f"it serves those with {worst} worst: {known[worst].lanes['mixed'].hit:.0%} "
            "of them bought one of its products."
        )
    return Section(
        "Are the lists as good for every kind of customer?",
        "Buyers of all cutoffs; who buys in two windows counts twice. A group that is too "
        "small at a cutoff is among the others there. Recall falls as a customer buys "
        f"more products, of which {K} slots hold a smaller share. In parentheses: the "
        "generator alone with the highest recall in the group.",
        answer,
        None,
        (_groups_grid(found),) if found else (),
    )


def _pooled(qualities: Sequence[Quality]) -> dict[str, ListGroup]:
    """Groups of all cutoffs by property and name, weighted by their customers."""
    same: dict[str, list[ListGroup]] = {}
    for quality in qualities:
        for part in quality.offers.list_groups:
            for one in part.groups:
                title = f"{part.name.replace('_', ' ')}: {one.name}"
                same.setdefault(title, []).append(one)
    return {
        title: ListGroup(
            title,
            sum(one.customers for one in groups),
            {
                lane: _joined([g.lanes[lane] for g in groups])
                for lane in groups[0].lanes
            },
        )
        for title, groups in same.items()
    }


def _joined(found: Sequence[LaneOfGroup]) -> LaneOfGroup:
    some = [one for one in found if one.customers]
    if not some:
        return found[0]
    weight = [one.customers for one in some]

    def mean(values: Sequence[float]) -> float:
        return float(np.average(values, weights=weight))

    return LaneOfGroup(
        customers=sum(weight),
        recall=mean([one.recall for one in some]),
        hit=mean([one.hit for one in some]),
        rivals={n: mean([one.rivals[n] for one in some]) for n in some[0].rivals},
    )


def _groups_grid(found: Mapping[str, ListGroup]) -> Grid:
    head = (
        "group",
        "buyers",
        *(f"{title}, {lane}" for lane in SHOWN for title in ("hit", "recall")),
    )
    rows = tuple(
        (
            title,
            f"{one.customers:,}",
            *(text for lane in SHOWN for text in _lane_texts(one.lanes[lane])),
        )
        for title, one in found.items()
    )
    return Grid("", head, rows)


def _lane_texts(one: LaneOfGroup) -> tuple[str, str]:
    rival = max(one.rivals, key=lambda name: one.rivals[name])
    beside = f"({number(one.rivals[rival], '.3f')} {plain(rival)})"
    return number(one.hit, ".1%"), f"{number(one.recall, '.3f')} {beside}"
