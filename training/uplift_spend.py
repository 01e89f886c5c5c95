"""Extra spend of a contact: what its prediction is worth, on contacts not learned from.

The effect on the spend itself is learned, by the doubly robust learner. The effect
on buying times the spend of a buyer ranks worse, and is too small: whoever buys anyway
cannot buy more surely, but more.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from features.history import Floats
from training.holdout import Contacts
from training.metrics import Interval
from training.uplift_metrics import band, effect_scores, qini_weights, weighted_effects

TOPS = (0.1, 0.2, 0.3)
"""Shares of contacts at which the effect of the highest is measured."""


@dataclass(frozen=True)
class SpendScores:
    """What models that have not seen them expect of contacts, ``[contact]``.

    All in shop currency, net of returns, in the label window:

    Attributes:
        without, contacted: spend if left alone, and if sent to.
        extra: predicted extra spend of a contact, which ranks.
    """

    without: Floats
    contacted: Floats
    extra: Floats


@dataclass(frozen=True)
class SpendEvidence:
    """Figures of the contacts measured on, and what they say.

    All in shop currency per contact, with 95 % intervals over customers.

    Attributes:
        enough: the interval of the Qini coefficient lies above 0, and nothing is in
            doubt that holds for purchases, too: buyers in both arms, arms alike.
        said: the same as a sentence, with the reason where it is not.
        effect: extra net spend, all contacts.
        qini: area between the Qini curve of money and a random order.
        qini_normalised: the same over half the effect: 0 random, 1 if a handful
            has the whole effect; None where the effect is not above 0.
        top: effect among the highest 10, 20, 30 % by share.
    """

    enough: bool
    said: str
    effect: Interval
    qini: Interval
    qini_normalised: float | None
    top: Mapping[str, Interval]

    def as_json(self) -> dict[str, Any]:
        """Numbers, texts and mappings only."""
        return asdict(self)


def judge_spend(
    contacts: Contacts,
    share_treated: Floats,
    scores: SpendScores,
    doubt: str | None,
    seed: int,
) -> SpendEvidence:
    """What a ranking by extra spend is worth.

    Args:
        contacts: to measure on.
        share_treated: clipped share of each one's campaign.
        scores: of the same contacts.
        doubt: why no ranking of these contacts is proven; None: nothing speaks
            against it.
        seed: of the bootstrap draws.
    """
    effect = effect_scores(
        contacts.spend,
        contacts.treated,
        share_treated,
        scores.without,
        scores.contacted,
    )
    everyone = np.ones(len(contacts))
    bands = [everyone, *(band(scores.extra, 0.0, share) for share in TOPS)]
    qini, average, *rest = weighted_effects(
        effect,
        [qini_weights(scores.extra), *bands],
        [everyone, *bands],
        contacts.customer,
        seed,
    )
    top = dict(zip((f"{share:.0%}" for share in TOPS), rest, strict=True))
    if doubt is None and qini.low <= 0:
        doubt = (
            "the ranking by extra spend may be no better than a random order (Qini "
            f"coefficient {_money(qini)})"
        )
    said = (
        "Contacting the tenth with the highest expected extra spend brought "
        f"{_money(top['10%'])} more spend per contact, contacting everyone "
        f"{_money(average)}."
    )
    return SpendEvidence(
        enough=doubt is None,
        said=f"Not enough evidence: {doubt}." if doubt else said,
        effect=average,
        qini=qini,
        qini_normalised=2 * qini.value / average.value if average.value > 0 else None,
        top=top,
    )


def _money(effect: Interval) -> str:
    return f"{effect.value:,.2f} ({effect.low:,.2f} to {effect.high:,.2f})"
