"""What past campaigns did: participants beside others who are like them, and ROI.

Participants are the customers a campaign was sent to, whether they answered or not:
who answers is a choice, and those who choose to are not like those who do not. Of a
campaign that logs no sending but attendance, those who attended, and what followed
once it was over. The others are the held out where chance drew them, else all
customers that the campaign did not reach.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import numpy as np
from scipy.stats import norm

from features.assemble import assemble
from features.config import CampaignsConfig, Config
from features.engine import Tables
from features.history import Bools, Events, Floats, History, Longs
from features.snapshot import DAY_US, from_us, to_us
from training.comparable import Compared, Effect, effect_on_treated
from training.encoding import encoding_of
from training.survey import drawn_customers

OUTCOMES = ("repurchased", "orders", "spend", "margin")
"""Within the window, each participant: 0 or 1, orders, money net of returns."""

_UNKNOWN = "(unknown)"
_EARLY = 0.05


@dataclass(frozen=True)
class Participation:
    """Who took part in a campaign, and who might have.

    Attributes:
        campaign: id.
        kind: of ``campaigns``; ``(unknown)`` where it says none.
        cost: money; NaN: unknown.
        cutoff: start, when the first twentieth was sent to: customers are compared by
            what was known of them then.
        window_from: outcomes count from here.
        participant, other: by code of the history, ``[customer]``.
        by_chance: the others were held out at random.
        why_not: why it cannot be compared whoever took part; None: it can.
    """

    campaign: str
    kind: str
    cost: float
    cutoff: int
    window_from: int
    participant: Bools
    other: Bools
    by_chance: bool
    why_not: str | None


@dataclass(frozen=True)
class Measured:
    """A campaign, or several of a kind, and what it did.

    Attributes:
        name: id of the campaign, or the kind.
        kind: of the campaign.
        starts_at: see ``Participation.cutoff``; of a kind, that of the latest.
        participants, others: customers compared; of a kind, summed over campaigns.
        reached: participants in the whole shop, from which customers were drawn.
        by_chance: the others were held out at random.
        why_not: why the two are not comparable; None: they are.
        effect: None where they are not.
        satisfied: answers about satisfaction: of participants, satisfied and all,
            then the same of the others.
        cost: money; NaN: unknown.
        knows_margin: products say their margin, or the settings do.
    """

    name: str
    kind: str
    starts_at: datetime
    participants: int
    others: int
    reached: float
    by_chance: bool
    why_not: str | None
    effect: Effect | None
    satisfied: tuple[int, int, int, int]
    cost: float
    knows_margin: bool

    def figures(self) -> dict[str, Any]:
        """All figures as JSON; an unknown one is null.

        ``repurchased``, ``orders``, ``spend`` and ``margin`` are per participant,
        ``order_value`` per order: with the campaign, what it would have been
        without, the effect with its 95 % interval, and the naive difference.
        ``roi`` is (extra margin - cost) / cost.
        """
        found: dict[str, Any] = {
            "name": self.name,
            "kind": self.kind,
            "starts_at": self.starts_at.isoformat(),
            "participants": self.participants,
            "others": self.others,
            "others_are": "held out at random" if self.by_chance else "like them",
            "not_comparable": self.why_not,
            "satisfied": _satisfaction(self.satisfied),
            "cost": _known(self.cost),
        }
        if self.effect is None or self.why_not is not None:
            return found
        effect = self.effect
        overlap = effect.overlap
        found["overlap"] = {
            "comparable": overlap.comparable,
            "effective_others": overlap.effective_others,
            "imbalance_before": overlap.imbalance_before,
            "imbalance": overlap.imbalance,
        }
        for at, name in enumerate(OUTCOMES):
            found[name] = _line(effect, at)
        found["order_value"] = _order_value(effect)
        if not self.knows_margin:
            found["margin"] = dict.fromkeys(found["margin"])
        margin = found["margin"]
        extra = {k: _times(margin[k], self.reached) for k in ("effect", "low", "high")}
        found["extra_margin"] = extra
        found["roi"] = {
            k: None
            if value is None or not self.cost > 0
            else (value - self.cost) / self.cost
            for k, value in extra.items()
        }
        return found


def measure_tables(
    tables: Tables, until: datetime, config: Config
) -> tuple[tuple[Measured, ...], tuple[Measured, ...]]:
    """What the latest campaigns of some input did; see ``measure_all``.

    Args:
        tables: all input; only rows known before ``until`` are read.
        until: the cutoff.
        config: how many customers are drawn, and the rest.
    """
    rules = config.campaigns
    history, share = drawn_customers(tables, until, rules.max_customers, config.seed)
    return measure_all(history, share, rules, config.seed)


def measure_all(
    history: History, share: float, config: CampaignsConfig, seed: int
) -> tuple[tuple[Measured, ...], tuple[Measured, ...]]:
    """What the latest campaigns did, by start, and the kinds of the comparable ones.

    Args:
        history: of the customers compared; ``history.until`` is the cutoff.
        share: of the shop's customers that it holds.
        config: windows, limits and trees.
        seed: of folds and trees.
    """
    found = tuple(
        measure(history, one, share, config, seed)
        for one in participations(history, to_us(history.until), config)
    )
    return found, of_kinds(found)


def participations(
    history: History, until_us: int, config: CampaignsConfig
) -> Iterator[Participation]:
    """The latest campaigns whose window is over, by start.

    Args:
        history: of all customers compared.
        until_us: nothing later is known, microseconds.
        config: how many campaigns, and the window.
    """
    touches = history.touches
    if touches is None:
        return
    named = touches.columns["campaign_id"]
    rows = np.flatnonzero(touches.before(until_us) & (named >= 0))
    rows = rows[np.argsort(named[rows], kind="stable")]
    if not len(rows):
        return
    bounds = np.flatnonzero(np.diff(named[rows], prepend=-1, append=-1))
    first = np.minimum.reduceat(touches.ts[rows], bounds[:-1])
    said = _said_of(history)
    found: list[Participation] = []
    # The newest first, so that no more are looked at than are asked for.
    for k in np.argsort(-first, kind="stable").tolist():
        own = rows[bounds[k] : bounds[k + 1]]
        one = _participation(history, touches, own, said, config)
        days = max(config.window_days, config.satisfaction_days)
        if one.window_from + days * DAY_US <= until_us:
            found.append(one)
        if len(found) == config.max_campaigns:
            break
    found.sort(key=lambda one: (one.cutoff, one.campaign))
    yield from found


def _participation(
    history: History,
    touches: Events,
    rows: Longs,
    said: Mapping[str, tuple[str, float]],
    config: CampaignsConfig,
) -> Participation:
    n, words = len(history.customers), touches.words["action"]
    action, moment = touches.columns["action"][rows], touches.ts[rows]
    customer = touches.customer[rows]

    def of(word: str) -> Bools:
        return action == (words.index(word) if word in words else -1)

    def who(kept: Bools) -> Bools:
        found = np.zeros(n, np.bool_)
        found[customer[kept]] = True
        return found

    sent, alone, attended = of("sent"), of("held_out"), of("attended")
    begins = sent | alone if sent.any() else attended
    if not begins.any():
        begins = np.ones_like(begins)
    # A test mail weeks ahead does not start a campaign.
    start, last = (
        int(one)
        for one in np.quantile(moment[begins], (_EARLY, 1 - _EARLY), method="lower")
    )
    by_attendance = not sent.any() and attended.any()
    # A holdout that was sent to later was held out; see ``training.holdout``.
    by_chance = bool(alone.any() and sent.any())
    participant = who(attended if by_attendance else sent)
    name = touches.words["campaign_id"][int(touches.columns["campaign_id"][rows[0]])]
    kind, cost = said.get(name, (_UNKNOWN, np.nan))
    days = (last - start) / DAY_US
    why_not = None
    if not participant.any():
        why_not = (
            "who was sent to is not logged, only who answered, and who answers chose to"
        )
    elif not (by_chance or by_attendance) and days > config.max_sending_days:
        why_not = (
            f"it was sent over {days:.0f} days, at most {config.max_sending_days} are "
            "comparable: who is reached later may be reached for what they did meanwhile"
        )
    return Participation(
        campaign=name,
        kind=kind,
        cost=cost,
        cutoff=start,
        window_from=int(moment[attended].max()) + 1 if by_attendance else start,
        participant=participant & ~who(alone) if by_chance else participant,
        other=who(alone) if by_chance else ~who(np.ones(len(rows), np.bool_)),
        by_chance=by_chance,
        why_not=why_not,
    )


def _said_of(history: History) -> dict[str, tuple[str, float]]:
    """Kind and cost of every campaign, by id."""
    campaigns = history.campaigns
    found: dict[str, tuple[str, float]] = {}
    for row in campaigns.to_pylist() if campaigns is not None else ():
        cost = row.get("cost")
        known = np.nan if cost is None else float(cost)
        found[row["campaign_id"]] = (row.get("kind") or _UNKNOWN, known)
    return found


def measure(
    history: History,
    found: Participation,
    share: float,
    config: CampaignsConfig,
    seed: int,
) -> Measured:
    """What one campaign did.

    Args:
        history: of the customers compared, to the end of the window.
        found: the campaign.
        share: of the shop's customers that the history holds.
        config: windows, limits and trees.
        seed: of folds and trees.
    """
    rows = assemble(history, [from_us(found.cutoff)])
    customer = rows.column("customer").to_numpy()
    keep = found.participant[customer] | found.other[customer]
    customer = customer[keep]
    treated = found.participant[customer]
    few = min(int(treated.sum()), int(np.sum(~treated)))
    effect, why_not = None, _unfit(found, few, config)
    if why_not is None:
        rows = rows.filter(keep)
        encoding = encoding_of(rows)
        compared = Compared(
            encoding.matrix(rows),
            tuple(encoding.categorical),
            customer,
            treated,
            outcomes_of(history, found.window_from, config)[customer],
            found.by_chance,
        )
        effect = effect_on_treated(compared, config, seed)
        why_not = _unlike(effect, config)
    return Measured(
        name=found.campaign,
        kind=found.kind,
        starts_at=from_us(found.cutoff),
        participants=int(treated.sum()),
        others=int(np.sum(~treated)),
        reached=float(treated.sum()) / share,
        by_chance=found.by_chance,
        why_not=why_not,
        effect=effect,
        satisfied=_answers(history, found, config),
        cost=found.cost,
        knows_margin=not np.isnan(margin_rates(history, config)[:-1]).all(),
    )


def _unfit(found: Participation, few: int, config: CampaignsConfig) -> str | None:
    if found.why_not is not None:
        return found.why_not
    if few < config.min_customers:
        return f"{few} customers on the smaller side, {config.min_customers} are needed"
    return None


def _unlike(effect: Effect, config: CampaignsConfig) -> str | None:
    overlap = effect.overlap
    if overlap.comparable < config.min_comparable:
        return (
            f"only {overlap.comparable:.0%} of the participants have their like among "
            f"the others, {config.min_comparable:.0%} are needed"
        )
    if overlap.effective_others < config.min_customers:
        return (
            f"the others who are like participants count as {overlap.effective_others:.0f} "
            f"customers, {config.min_customers} are needed"
        )
    if abs(overlap.imbalance) > config.max_imbalance:
        return (
            "even weighed, participants and others differ by "
            f"{abs(overlap.imbalance):.2f} standard deviations of what is expected of "
            f"them, at most {config.max_imbalance:g} is like with like"
        )
    return None


def outcomes_of(history: History, start: int, config: CampaignsConfig) -> Floats:
    """``OUTCOMES`` of every customer, ``[customer, outcome]``."""
    lines, n = history.purchases, len(history.customers)
    end = start + config.window_days * DAY_US
    inside = (lines.ts >= start) & (lines.ts < end)
    who, amount = lines.customer[inside], np.nan_to_num(lines.columns["amount"][inside])
    bought = lines.bought[inside]
    pairs = np.unique(
        np.stack([who[bought], lines.columns["order"][inside][bought]]), axis=1
    )
    orders = np.bincount(pairs[0], minlength=n).astype(np.float64)
    # Where no margin is known, 0 is not told: see ``Measured.knows_margin``.
    rate = np.nan_to_num(margin_rates(history, config))
    rate = rate[lines.columns["product"][inside]]
    spend = np.bincount(who, weights=amount, minlength=n)
    margin = np.bincount(who, weights=amount * rate, minlength=n)
    return np.stack([orders > 0, orders, spend, margin], axis=1).astype(np.float64)


def margin_rates(history: History, config: CampaignsConfig) -> Floats:
    """Share of the price, ``[product]``; NaN everywhere where none is known."""
    rate = np.append(history.products.margin_rate, np.nan)
    usual = config.margin_rate
    if usual is None and not np.isnan(rate).all():
        # Products without one are taken for middling ones of the shop.
        usual = float(np.nanmedian(rate))
    return np.where(np.isnan(rate), np.nan if usual is None else usual, rate)


def _answers(
    history: History, found: Participation, config: CampaignsConfig
) -> tuple[int, int, int, int]:
    """Satisfied and all answers of participants and of others, after the start."""
    feedback = history.feedback
    if feedback is None or "csat" not in feedback.words["kind"]:
        return 0, 0, 0, 0
    start = found.window_from
    end = start + config.satisfaction_days * DAY_US
    score = feedback.columns["score"]
    rows = (feedback.ts >= start) & (feedback.ts < end) & ~np.isnan(score)
    rows &= feedback.columns["kind"] == feedback.words["kind"].index("csat")
    good = rows & (score >= config.satisfied_score)
    return tuple(  # pyright: ignore[reportReturnType]
        int(np.sum(kind & side[feedback.customer]))
        for side in (found.participant, found.other)
        for kind in (good, rows)
    )


def of_kinds(found: Sequence[Measured]) -> tuple[Measured, ...]:
    """Comparable campaigns of each kind together, by name of the kind.

    Each counts by its participants; whoever took part in several is one customer to
    the intervals. ROI counts campaigns of known cost only where all of them have one.
    """
    kinds: dict[str, list[Measured]] = {}
    for one in found:
        if one.effect is not None and one.why_not is None:
            kinds.setdefault(one.kind, []).append(one)
    return tuple(_together(kind, kinds[kind]) for kind in sorted(kinds))


def _together(kind: str, found: list[Measured]) -> Measured:
    effects = [one.effect for one in found if one.effect is not None]
    weight = np.array([one.reached for one in found])
    weight /= weight.sum()

    def mean(values: list[Floats]) -> Floats:
        return np.einsum("c,co->o", weight, np.array(values))

    owner = np.concatenate([one.customer for one in effects])
    moved = np.concatenate(
        [w * one.influence for w, one in zip(weight, effects, strict=True)]
    )
    customer, place = np.unique(owner, return_inverse=True)
    influence = np.zeros((len(customer), *moved.shape[1:]))
    np.add.at(influence, place, moved)
    last = max(effects, key=lambda one: one.treated)
    pooled = Effect(
        treated=sum(one.treated for one in effects),
        others=sum(one.others for one in effects),
        with_it=mean([one.with_it for one in effects]),
        effect=mean([one.effect for one in effects]),
        naive=mean([one.naive for one in effects]),
        customer=customer,
        influence=influence,
        overlap=last.overlap,
    )
    return Measured(
        name=kind,
        kind=kind,
        starts_at=max(one.starts_at for one in found),
        participants=pooled.treated,
        others=pooled.others,
        reached=sum(one.reached for one in found),
        by_chance=all(one.by_chance for one in found),
        why_not=None,
        effect=pooled,
        satisfied=tuple(np.sum([one.satisfied for one in found], axis=0).tolist()),  # pyright: ignore[reportArgumentType]
        cost=sum(one.cost for one in found),
        knows_margin=all(one.knows_margin for one in found),
    )


def _line(effect: Effect, at: int) -> dict[str, float | None]:
    error = float(np.sqrt(np.sum(effect.influence[:, at, 1] ** 2)))
    return _interval(effect.with_it[at], effect.effect[at], error) | {
        "naive": _known(effect.naive[at])
    }


def _order_value(effect: Effect) -> dict[str, float | None]:
    """Spend per order with the campaign, and without; the delta method."""
    orders, spend = OUTCOMES.index("orders"), OUTCOMES.index("spend")
    with_o, with_s = effect.with_it[orders], effect.with_it[spend]
    less_o = with_o - effect.effect[orders]
    less_s = with_s - effect.effect[spend]
    if not (with_o > 0 and less_o > 0):
        return _interval(np.nan, np.nan, np.nan)
    own, moved = effect.influence[:, :, 0], effect.influence[:, :, 1]
    moves = (own[:, spend] - with_s / with_o * own[:, orders]) / with_o
    rest = own - moved
    moves -= (rest[:, spend] - less_s / less_o * rest[:, orders]) / less_o
    error = float(np.sqrt(np.sum(moves**2)))
    return _interval(with_s / with_o, with_s / with_o - less_s / less_o, error)


def _interval(with_it: float, effect: float, error: float) -> dict[str, float | None]:
    reach = float(norm.ppf(0.975)) * error
    return {
        "with": _known(with_it),
        "without": _known(with_it - effect),
        "effect": _known(effect),
        "low": _known(effect - reach),
        "high": _known(effect + reach),
    }


def _satisfaction(counts: tuple[int, int, int, int]) -> dict[str, Any]:
    good, all_, others_good, others_all = counts
    return {
        "participants": good / all_ if all_ else None,
        "answers": all_,
        "others": others_good / others_all if others_all else None,
        "others_answers": others_all,
    }


def _times(value: float | None, factor: float) -> float | None:
    return None if value is None else value * factor


def _known(value: Any) -> float | None:
    return float(value) if np.isfinite(value) else None
