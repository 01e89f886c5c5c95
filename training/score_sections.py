"""The sections on the score itself: tenths, curves, reliability."""

from __future__ import annotations

from collections.abc import Sequence

from training import pictures
from training.curves import Curves
from training.details import Details
from training.findings import plain
from training.metrics import MODEL
from training.section import Grid, Section, number

SHARES = (0.05, 0.1, 0.2, 0.3, 0.5, 0.7, 0.9)
"""Where curves are read for the tables."""


def _rival(curves: dict[str, Curves]) -> str:
    """The baseline with the best head: most buyers in its first three tenths."""
    rivals = [name for name in curves if name != MODEL]
    return max(rivals, key=lambda name: sum(t.bought for t in curves[name].tenths[:3]))


def tenths(details: Details) -> Section:
    """Ten groups by score."""
    curves = details.curves
    rival, ours = _rival(curves), curves[MODEL].tenths
    answer = "There is nobody to group."
    if ours:
        answer = (
            f"Of the tenth with the highest score {ours[0].bought:.0%} bought, of the "
            f"tenth with the lowest {ours[-1].bought:.0%}; {details.base_rate:.0%} of all."
        )
    return Section(
        "Do those with a high score buy more?",
        "Customers in ten groups of equal size, the highest scores on the left. A bar "
        "is the share who bought, the orange mark what we had promised; good scores "
        "make stairs that fall from left to right.",
        answer,
        pictures.tenths(ours, curves[rival].tenths, rival),
        tuple(_tenths_grid(name, one) for name, one in curves.items()),
    )


def _tenths_grid(name: str, one: Curves) -> Grid:
    head = ("tenth", "customers", "promised", "bought", "lift", "of all buyers")
    rows = tuple(
        (
            str(place),
            f"{tenth.customers:,}",
            number(tenth.promised, ".1%"),
            f"{tenth.bought:.1%} ({tenth.low:.1%} to {tenth.high:.1%})",
            number(tenth.lift, ".2f"),
            number(tenth.of_buyers, ".1%"),
        )
        for place, tenth in enumerate(one.tenths, start=1)
    )
    return Grid(f"{plain(name)}; in parentheses: 95% interval", head, rows)


def gain(details: Details) -> Section:
    """Buyers found by customers written to."""
    base, share = details.base_rate, 0.5
    found = _read(details.curves, "gain", (share,))
    answer = "Nobody bought, so there is no such curve."
    if found:
        rival = _best_of(found)
        answer = (
            f"The better-scored half of the customers holds {found[MODEL][0]:.1%} of "
            f"all buyers, {found[rival][0]:.1%} with the best baseline ({plain(rival)}), "
            f"{share:.0%} by chance; more than {min(1.0, share / base):.0%} is not "
            "possible."
        )
    return Section(
        "Who is worth writing to?",
        "Go along the bottom to the share of customers you can write to; the line says "
        "which share of all buyers is among them. The higher the better.",
        answer,
        pictures.curve(details.curves, "gain", base),
        (_points("buyers found among the best-scored", found, details, "gain", ".1%"),),
    )


def lift(details: Details) -> Section:
    """The same, against picking at random."""
    base = details.base_rate
    found = _read(details.curves, "lift", (0.1,))
    answer = "Nobody bought, so there is no such curve."
    if found:
        rival = _best_of(found)
        answer = (
            f"Among the best-scored 10% there are {found[MODEL][0]:.2f} times as many "
            f"buyers as by chance ({plain(rival)}: {found[rival][0]:.2f}); since "
            f"{base:.0%} of all buy anyway, more than {1 / base:.2f} is not possible."
        )
    return Section(
        "How much better than picking at random?",
        "At 2 there are twice as many buyers among those written to as among the same "
        "number picked at random; 1 is chance.",
        answer,
        pictures.curve(details.curves, "lift", base),
        (_points("lift among the best-scored", found, details, "lift", ".2f"),),
    )


def roc(details: Details) -> Section:
    """Buyers told from others."""
    found = _read(details.curves, "roc", (0.2,))
    answer = "All bought or none did, so there is no such curve."
    if found:
        rival = _best_of(found)
        answer = (
            "A line that lets 20% of the non-buyers pass lets "
            f"{found[MODEL][0]:.0%} of the buyers pass ({plain(rival)}: "
            f"{found[rival][0]:.0%})."
        )
    return Section(
        "How well are buyers told from others?",
        "Wherever the line between likely and unlikely is drawn: how many buyers are "
        "above it, for how many non-buyers (ROC curve). The nearer to the upper left "
        "corner the better; the diagonal is chance, and the area under the curve is "
        "the AUC.",
        answer,
        pictures.curve(details.curves, "roc", details.base_rate),
        (
            _points(
                "buyers above the line, by non-buyers above it",
                found,
                details,
                "roc",
                ".1%",
            ),
        ),
    )


def precision_recall(details: Details) -> Section:
    """Purity of a list by its reach."""
    found = _read(details.curves, "precision_recall", (0.5,))
    answer = "Nobody bought, so there is no such curve."
    if found:
        rival = _best_of(found)
        answer = (
            f"A list that holds half of all buyers consists of buyers to "
            f"{found[MODEL][0]:.1%} ({plain(rival)}: {found[rival][0]:.1%}; "
            f"chance: {details.base_rate:.1%})."
        )
    return Section(
        "How pure is a list?",
        "The further right, the more of all buyers are on the list; the height is the "
        "share of buyers on it (precision and recall). The higher the better.",
        answer,
        pictures.curve(details.curves, "precision_recall", details.base_rate),
        (
            _points(
                "buyers on the list, by share of all buyers found",
                found,
                details,
                "precision_recall",
                ".1%",
            ),
        ),
    )


def reliability(details: Details) -> Section:
    """Promised and bought."""
    ours = details.curves[MODEL].tenths
    answer = "There is nobody to group."
    if ours:
        kept = sum(t.low <= t.promised <= t.high for t in ours)
        worst = max(ours, key=lambda t: abs(t.bought - t.promised))
        answer = (
            f"In {kept} of {len(ours)} groups the promise lies within the interval of "
            f"what happened; the largest gap is {worst.promised:.0%} promised, "
            f"{worst.bought:.0%} bought."
        )
    return Section(
        "Is a promise of 70% kept in 70 of 100 cases?",
        "Each point is a tenth of the customers. On the diagonal as many bought as "
        "promised; below it fewer did. The upright strokes are 95% intervals.",
        answer,
        pictures.reliability(details.curves),
        (_reliability_grid(details.curves),),
    )


def _reliability_grid(curves: dict[str, Curves]) -> Grid:
    """Promised and bought of every model's groups, the lowest first."""
    head = ("model", *(str(n) for n in range(len(curves[MODEL].tenths), 0, -1)))
    rows = tuple(
        (
            plain(name),
            *(f"{t.promised:.0%} / {t.bought:.0%}" for t in one.tenths[::-1]),
        )
        for name, one in curves.items()
    )
    return Grid("promised / bought, by tenth, the lowest score first", head, rows)


def _read(
    curves: dict[str, Curves], kind: str, at: Sequence[float]
) -> dict[str, list[float]]:
    """Heights of every model's curve; empty where it is not defined."""
    found = {name: getattr(one, kind) for name, one in curves.items()}
    return {
        name: [one.at(x) for x in at] for name, one in found.items() if one is not None
    }


def _points(
    title: str, found: dict[str, list[float]], details: Details, kind: str, form: str
) -> Grid:
    heights = _read(details.curves, kind, SHARES) if found else {}
    rows = tuple(
        (plain(name), *(number(value, form) for value in values))
        for name, values in heights.items()
    )
    return Grid(title, ("model", *(f"{share:.0%}" for share in SHARES)), rows)


def _best_of(found: dict[str, list[float]]) -> str:
    return max((n for n in found if n != MODEL), key=lambda name: found[name][0])
