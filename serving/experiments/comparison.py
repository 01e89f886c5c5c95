"""What the comparison with manual picks found: outcomes, figures, words."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from features.history import Floats, Ints
from serving.experiments.picks import WINDOW_DAYS, Campaign, Past
from training.findings import PickFigure, Whose
from training.metrics import Interval, K, bootstrap_intervals

OURS = "our ranking"
BEST_SELLING = "best-selling picked products"
RESTRICTED = "our ranking of the picked products"
RANDOM = "random picked products (for scale only)"
MANUAL = "picked products in their owner's order"

_WHOSE: dict[str, Whose] = {OURS: "ours", RESTRICTED: "kin"}


@dataclass(frozen=True)
class Outcome:
    """What one campaign's customers bought of each list.

    Attributes:
        customer: codes of the shared history, shape ``[customer]``.
        slots: offers per customer, the same for every list: ``K``, or as many
            as there are picked products.
        lists: product codes by list, best first, ``[customer, slot]``, -1:
            empty; ours comes first.
        bought: distinct offered products bought, by list, ``[customer]``.
    """

    campaign: Campaign
    customer: Ints
    slots: int
    lists: dict[str, Ints]
    bought: dict[str, Floats]

    @property
    def owner_sells_best(self) -> bool:
        """Whether the owner's first picks are the best-selling: order costs nothing."""
        owners, best = self.lists[MANUAL], self.lists[BEST_SELLING]
        return np.array_equal(np.sort(owners, axis=1), np.sort(best, axis=1))

    def without(self, name: str) -> Outcome:
        """The same outcome without a list."""
        return replace(
            self,
            lists={n: v for n, v in self.lists.items() if n != name},
            bought={n: v for n, v in self.bought.items() if n != name},
        )


@dataclass(frozen=True)
class Comparison:
    """All campaigns; intervals are drawn over customers.

    Attributes:
        outcomes: one per campaign, oldest first.
        pooled: figures of the lists over all campaigns, ours first.
        single: the same for each campaign.
        reason: why there is nothing to compare, else empty.
        left_out: what is not compared, or compared once for two, in words.
    """

    outcomes: tuple[Outcome, ...]
    pooled: tuple[PickFigure, ...]
    single: tuple[tuple[PickFigure, ...], ...]
    reason: str
    left_out: tuple[str, ...]

    @property
    def scope(self) -> str:
        """What was compared, in words."""
        contacts = sum(len(o.customer) for o in self.outcomes)
        return (
            f"{len(self.outcomes)} campaigns, {contacts:,} customers reached, {K} slots "
            f"each, purchases of {WINDOW_DAYS} days"
        )

    def figures(self) -> list[PickFigure]:
        """One row per list, all campaigns pooled, ours first."""
        return list(self.pooled)

    def campaigns(self) -> list[dict[str, Any]]:
        """One row per campaign: its facts, and purchases per slot by list."""
        return [
            {
                "campaign": outcome.campaign.campaign_id,
                "starts": f"{outcome.campaign.starts_at:%Y-%m-%d}",
                "customers": len(outcome.customer),
                "picked products": len(outcome.campaign.pool),
                **{figure.name: _text(figure.per_slot) for figure in figures},
            }
            for outcome, figures in zip(self.outcomes, self.single, strict=True)
        ]

    def to_json(self) -> dict[str, Any]:
        """Every figure with its interval, pooled and per campaign."""
        return {
            "scope": self.scope if self.outcomes else "",
            "reason": self.reason,
            "left_out": list(self.left_out),
            "pooled": [_json(figure) for figure in self.pooled],
            "campaigns": {
                outcome.campaign.campaign_id: [_json(figure) for figure in figures]
                for outcome, figures in zip(self.outcomes, self.single, strict=True)
            },
        }


def comparison_of(outcomes: list[Outcome], past: Past, seed: int) -> Comparison:
    """Figures of the outcomes, and what there is to say about them."""
    reason, left_out = past.reason, past.left_out
    if past.campaigns and not outcomes:
        reason = "no customer of a past campaign had bought before it"
    if outcomes and all(outcome.owner_sells_best for outcome in outcomes):
        outcomes = [outcome.without(MANUAL) for outcome in outcomes]
        said = "the owner's first picks are the best-selling: one list for both"
        left_out = (*left_out, said)
    return Comparison(
        outcomes=tuple(outcomes),
        pooled=_figures(outcomes, seed),
        single=tuple(_figures([outcome], seed) for outcome in outcomes),
        reason=reason,
        left_out=left_out,
    )


def _figures(outcomes: Sequence[Outcome], seed: int) -> tuple[PickFigure, ...]:
    """Figures of the lists over some campaigns; customers are resampled whole."""
    if not outcomes:
        return ()
    _, row = np.unique(
        np.concatenate([o.customer for o in outcomes]), return_inverse=True
    )
    slots = np.concatenate([np.full(len(o.customer), o.slots) for o in outcomes])
    names = tuple(outcomes[0].bought)
    bought = {n: np.concatenate([o.bought[n] for o in outcomes]) for n in names}

    def per_customer(*columns: np.ndarray) -> Floats:
        summed = [np.bincount(row, column).astype(np.float64) for column in columns]
        return np.column_stack(summed)

    shown, contacts = slots.astype(np.float64), np.ones(len(row))
    mine = per_customer(*bought.values(), *(b > 0 for b in bought.values()))
    n = len(names)
    offered = per_customer(*[shown] * n, *[contacts] * n)
    over = [0] * n + [n] * n + [names.index(RESTRICTED)] * n
    values = bootstrap_intervals(mine, offered, seed=seed)
    under = np.column_stack([mine, mine[:, :n]])
    ratios = bootstrap_intervals(mine[:, over], under, seed=seed)

    def against(i: int) -> tuple[Interval | None, Interval | None, Interval | None]:
        # A ratio over random picks misleads; over nothing bought there is none.
        if names[i] in (OURS, RANDOM) or not mine[:, i].any():
            return None, None, None
        reordered = None if names[i] == RESTRICTED else ratios[2 * n + i]
        return ratios[i], ratios[n + i], reordered

    return tuple(
        PickFigure(
            name, _WHOSE.get(name, "theirs"), values[i], values[n + i], *against(i)
        )
        for i, name in enumerate(names)
    )


def _text(interval: Interval) -> str:
    return f"{interval.value:.3f} ({interval.low:.3f} to {interval.high:.3f})"


def _json(figure: PickFigure) -> dict[str, Any]:
    def values(interval: Interval | None) -> list[float] | None:
        return interval and [interval.value, interval.low, interval.high]

    return {
        "list": figure.name,
        "purchases_per_slot": values(figure.per_slot),
        "share_of_customers": values(figure.share),
        "ours_over_this_per_slot": values(figure.per_slot_ratio),
        "ours_over_this_customers": values(figure.share_ratio),
        "reordered_over_this_per_slot": values(figure.reordered_ratio),
    }
