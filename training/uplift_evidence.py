"""What a model of uplift is worth, measured on contacts it has not learned from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from math import erfc, sqrt
from typing import Any

import numpy as np

from features.config import UpliftConfig
from features.history import Floats
from training.holdout import Contacts
from training.metrics import Interval
from training.uplift_learners import REFERENCE
from training.uplift_metrics import band, effect_scores, qini_weights, weighted_effects
from training.uplift_spend import TOPS, SpendEvidence, SpendScores, judge_spend

ALIKE = 0.001
"""Arms that differ with a smaller p-value were not drawn at random."""

_BEST_OF_THREE = 2.394 / 1.960
"""Half widths of a normal interval of 1 - .05 / 3 and of .95: one of three learners
may be taken on the rows that measure it, and without any effect one of three passes
more often than one alone."""


@dataclass(frozen=True)
class Evidence:
    """Figures of the contacts measured on, and what they say.

    Attributes:
        enough: the ranking is better than a random order: the Qini coefficient's
            interval, widened because one of three learners may be taken, lies
            above 0; both arms have ``min_purchases`` buyers where it was learned
            and where it was measured, as rarer events give neither a share to 10 %
            nor a bootstrap to trust; and the arms were alike before the contact.
        said: the same as a sentence, with the reason where it is not.
        learner: the chosen one; None: nothing was fitted.
        campaigns, sent, held_out: all campaigns and contacts.
        share_sent: lowest and highest share of a campaign that was sent to. The
            planned share is not in the tables; whether chance drew the arms is
            tested by ``arms_alike`` instead.
        arms_alike: p-value of a difference between the arms in what they were
            expected to buy; None: not measured, as all that follows.
        effect: extra purchasing customers per contact, all contacts.
        qini: area between the Qini curve and a random order.
        qini_normalised: the same over half the effect: 0 random, 1 if a handful
            has the whole effect; None where the effect is not above 0.
        qini_by_learner: of all learners.
        top: effect among the highest 10, 20, 30 % by share.
        deciles: effect by tenth of the ranking, highest first.
        spend: the same in money, of the ranking by extra spend.
    """

    enough: bool
    said: str
    learner: str | None
    campaigns: int
    sent: int
    held_out: int
    share_sent: tuple[float, float] | None = None
    arms_alike: float | None = None
    effect: Interval | None = None
    qini: Interval | None = None
    qini_normalised: float | None = None
    qini_by_learner: Mapping[str, Interval] | None = None
    top: Mapping[str, Interval] | None = None
    deciles: tuple[Interval, ...] | None = None
    spend: SpendEvidence | None = None

    def as_json(self) -> dict[str, Any]:
        """Numbers, texts, lists and mappings only."""
        return asdict(self)

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Evidence:
        """What ``as_json`` gave, also by way of a file."""
        made: dict[str, Any] = {
            name: _restored(value) for name, value in values.items()
        }
        made["spend"] = made["spend"] and SpendEvidence(**made["spend"])
        return cls(**made)


def _restored(value: Any) -> Any:
    if isinstance(value, Mapping):
        if set(value) == {"value", "low", "high"}:
            return Interval(**value)
        return {name: _restored(inner) for name, inner in value.items()}
    return tuple(map(_restored, value)) if isinstance(value, list | tuple) else value


@dataclass(frozen=True)
class Trial:
    """Contacts learned from, and those measured on with what was expected of them.

    Attributes:
        everyone: all contacts, also those neither learned from nor measured on.
        learned: contacts that the models have seen.
        contacts: others, ``[contact]``.
        share_treated: clipped share of each one's campaign.
        without, contacted: expected outcomes, of models of ``learned``.
        spend: expected of the same contacts in money.
    """

    everyone: Contacts
    learned: Contacts
    contacts: Contacts
    share_treated: Floats
    without: Floats
    contacted: Floats
    spend: SpendScores


def too_few(
    contacts: Contacts, config: UpliftConfig, learner: str | None = None
) -> Evidence:
    """Nothing can be measured: no holdout, or one too small.

    Args:
        contacts: all that there are.
        config: how many it takes.
        learner: fitted all the same; None: nothing was fitted.
    """
    held_out, sent = contacts.customers_by_arm()
    found = (
        f"{held_out} customers were held out and {sent} contacted in past campaigns "
        f"with a holdout, and it takes {config.min_customers} of each"
    )
    if not len(contacts):
        said = (
            "No past campaign held customers out at random, so who buys because of a "
            "contact cannot be told. Hold out a tenth of the next campaign's list."
        )
    elif learner is None:
        said = f"Too few to learn from: {found}."
    else:
        said = (
            f"Not enough evidence: {found} both to learn from and to measure on; the "
            "uplift is a guess."
        )
    return Evidence(False, said, learner, **_counts(contacts))


def _counts(contacts: Contacts) -> dict[str, Any]:
    share = contacts.share_treated()
    return {
        "campaigns": len(np.unique(contacts.campaign)),
        "sent": int(contacts.treated.sum()),
        "held_out": int((~contacts.treated).sum()),
        "share_sent": (float(share.min()), float(share.max())) if len(share) else None,
    }


def judge(
    trial: Trial, scores: Mapping[str, Floats], config: UpliftConfig, seed: int
) -> Evidence:
    """Choose a learner and say what it is worth.

    Args:
        trial: contacts to measure on.
        scores: predicted uplift by learner, ``[contact]``.
        config: how much evidence is enough.
        seed: of the bootstrap draws.
    """
    contacts, everyone = trial.contacts, np.ones(len(trial.contacts))
    by_learner = _qini(trial, scores, seed)
    best = _chosen(trial, scores, by_learner, seed)
    bands = [
        everyone,
        *(band(scores[best], 0.0, share) for share in TOPS),
        *(band(scores[best], tenth / 10, (tenth + 1) / 10) for tenth in range(10)),
    ]
    average, *rest = _intervals(trial, bands, bands, seed)
    tops = (f"{share:.0%}" for share in TOPS)
    top = dict(zip(tops, rest, strict=False))
    qini, half = by_learner[best], average.value / 2
    alike = _arms_alike(contacts, trial.without)
    of_data = _doubt_of_data(trial, alike, config)
    reason = of_data or _doubt_of_ranking(qini)
    said = (
        f"Contacting the tenth with the highest uplift brought {_per_100(top['10%'])} "
        f"more buyers per 100 contacts, contacting everyone {_per_100(average)}."
    )
    return Evidence(
        enough=reason is None,
        said=f"Not enough evidence: {reason}." if reason else said,
        learner=best,
        **_counts(trial.everyone),
        arms_alike=alike,
        effect=average,
        qini=qini,
        qini_normalised=qini.value / half if half > 0 else None,
        qini_by_learner=by_learner,
        top=top,
        deciles=tuple(rest[len(TOPS) :]),
        spend=judge_spend(contacts, trial.share_treated, trial.spend, of_data, seed),
    )


def _qini(trial: Trial, scores: Mapping[str, Floats], seed: int) -> dict[str, Interval]:
    areas = [qini_weights(score) for score in scores.values()]
    everyone = [np.ones(len(trial.contacts))] * len(areas)
    return dict(zip(scores, _intervals(trial, areas, everyone, seed), strict=True))


def _chosen(
    trial: Trial,
    scores: Mapping[str, Floats],
    by_learner: Mapping[str, Interval],
    seed: int,
) -> str:
    """The reference, or the best of those with certainly a larger Qini coefficient.

    Effects are mostly noise: the largest of three figures is more often the luckiest
    than the best.
    """
    ours = qini_weights(scores[REFERENCE])
    others = [name for name in scores if name != REFERENCE]
    gains = [qini_weights(scores[name]) - ours for name in others]
    everyone = [np.ones(len(ours))] * len(others)
    found = zip(others, _intervals(trial, gains, everyone, seed), strict=True)
    better = [name for name, gain in found if gain.low > 0]
    return max(better, key=lambda name: by_learner[name].value, default=REFERENCE)


def _intervals(
    trial: Trial, weights: list[Floats], divisors: list[Floats], seed: int
) -> list[Interval]:
    """Effects on purchasing, one per pair of weights and divisors."""
    contacts = trial.contacts
    effect = effect_scores(
        contacts.bought,
        contacts.treated,
        trial.share_treated,
        trial.without,
        trial.contacted,
    )
    return weighted_effects(effect, weights, divisors, contacts.customer, seed)


def _doubt_of_data(trial: Trial, alike: float, config: UpliftConfig) -> str | None:
    """Why no ranking of these contacts is proven; None: nothing speaks against it."""
    fewest = min(*trial.learned.buyers_by_arm(), *trial.contacts.buyers_by_arm())
    if fewest < config.min_purchases:
        return (
            f"an arm has {fewest} buyers, and it takes {config.min_purchases} to tell; "
            "hold out more customers or wait for more campaigns"
        )
    if alike < ALIKE:
        return (
            "customers held out and contacted differed before the contact "
            f"(p = {alike:.1g}), so the holdout was not drawn at random"
        )
    return None


def _doubt_of_ranking(qini: Interval) -> str | None:
    if qini.value - _BEST_OF_THREE * (qini.value - qini.low) <= 0:
        return (
            "the ranking may be no better than a random order (Qini coefficient "
            f"{qini.value:.4f}, {qini.low:.4f} to {qini.high:.4f})"
        )
    return None


def _per_100(effect: Interval) -> str:
    figures = (100 * f for f in (effect.value, effect.low, effect.high))
    return "{:.1f} ({:.1f} to {:.1f})".format(*figures)


def _arms_alike(contacts: Contacts, expected: Floats) -> float:
    """P-value of the arms' difference in what was expected before the contact.

    A randomisation test with the normal approximation, campaign by campaign.
    """
    share = contacts.share_treated()
    rest = expected - contacts.by_campaign(expected)
    variance = float(np.sum(rest**2 * share * (1 - share)))
    difference = float(np.sum(rest * (contacts.treated - share)))
    return erfc(abs(difference) / sqrt(2 * variance)) if variance > 0 else 1.0
