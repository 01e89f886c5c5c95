"""Where refreshed offers come from, and their reasons in a marketer's words."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from features.snapshot import DAY_US
from serving.published import Published
from serving.texts import Told
from training.fresh_rows import STRANGER, STRANGER_EXTRA, Rows
from training.since import ASKED, CARTED, FAVOURED, VIEWED, Since

OWN, LOOKED_AT, ALS, POPULAR = "own history", "looked at", "ALS", "popularity"
"""Sources of what fresh events changed; named as the generators are."""

SIMILAR = "customers with similar baskets buy it"

_SHOWN = {
    VIEWED: "looked at",
    CARTED: "put in a cart",
    FAVOURED: "marked as a favourite",
    ASKED: "asked about",
}


@dataclass(frozen=True)
class Words:
    """What the sentences are made from."""

    published: Published
    since: Since
    now_us: int


@dataclass(frozen=True)
class Reasons:
    """Published texts by code from 0, new ones by code from -1 downwards."""

    published: Told
    fresh: Sequence[str]

    def __getitem__(self, code: int, /) -> str:
        return self.published[code] if code >= 0 else self.fresh[-1 - code]


@dataclass(frozen=True)
class SourcesAndReasons:
    """Columns and texts of ``Offers``."""

    source: npt.NDArray[np.int32]
    reason: npt.NDArray[np.int32]
    sources: tuple[str, ...]
    reasons: Reasons


def sources_and_reasons(
    words: Words, rows: Rows, old: npt.NDArray[np.int64]
) -> SourcesAndReasons:
    """Those of every row; untouched offers keep theirs.

    Args:
        words: the version and the events.
        rows: products, best first.
        old: row of the published offers of each, -1: was not offered.
    """
    offers, since = words.published.offers, words.since
    own = (OWN, LOOKED_AT, ALS, POPULAR)
    sources = (*offers.sources, *own)
    source, reason = np.zeros((2, old.size), dtype=np.int32)
    kept = old >= 0
    source[kept], reason[kept] = offers.source[old[kept]], offers.reason[old[kept]]
    at = np.searchsorted(since.product, rows.product)
    at[at == since.product.size] = 0
    shown = (since.product[at] == rows.product) & (since.interest[at] > 0)
    texts: list[str] = []
    just = rows.just
    for row in np.flatnonzero(just | shown | ~kept).tolist():
        product, event = int(rows.product[row]), int(at[row])
        if just[row]:
            name, text = OWN, _bought(words, product, event)
        elif shown[row]:
            name, text = LOOKED_AT, _looked(words, event)
        else:
            name, text = _brought_in(words, product, bool(rows.group[row] == STRANGER))
        source[row] = len(offers.sources) + own.index(name)
        texts.append(text)
        reason[row] = -len(texts)
    return SourcesAndReasons(source, reason, sources, Reasons(offers.reasons, texts))


def _bought(words: Words, product: int, event: int) -> str:
    said = f"bought {day_of(int(words.since.bought_us[event]), words.now_us)}"
    gap = float(words.published.fresh.rebuy.gap_days[product])
    if np.isnan(gap):
        return said
    days = max(round(gap), 1)
    return f"{said}; usually again after {'a day' if days == 1 else f'{days} days'}"


def _looked(words: Words, event: int) -> str:
    since = words.since
    when = day_of(int(since.shown_us[event]), words.now_us)
    return f"{_SHOWN[int(since.shown[event])]} {when}"


def _brought_in(words: Words, product: int, stranger: bool) -> tuple[str, str]:
    """ALS brought it in; a stranger is offered best sellers besides."""
    range_ = words.published.catalogue
    place = int(range_.fill_place[product])
    if stranger and place < min(range_.scored, STRANGER_EXTRA):
        return POPULAR, range_.reasons[place]
    return ALS, SIMILAR


def day_of(ts_us: int, now_us: int) -> str:
    """The calendar day of a moment as seen from another, both in the shop's clock."""
    days = max(now_us // DAY_US - ts_us // DAY_US, 0)
    return ("today", "yesterday")[days] if days < 2 else f"{days} days ago"
