"""How good is it: ranking metrics, per customer, with intervals over customers.

Functions return one value per customer, so that means, paired differences and
bootstrap intervals can be taken of the same values.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from sklearn.metrics import roc_auc_score

from features.history import Array, Bools, Floats, History, Longs
from features.history import Ints as Lists
from features.snapshot import Snapshot

MODEL = "repurchase"
"""Our name in every table of figures, beside the baselines'."""

K = 10
"""Slots of every list that is measured."""

MAP_SLOTS = 12
"""Slots of the mean average precision."""

_AUC_DRAWS = 300
_AUC_CELLS = 4_000_000
"""Of weights held at once."""


@dataclass(frozen=True)
class Truth:
    """What customers bought in the label window.

    Attributes:
        keys: ``customer * n_products + product``, ascending, each once.
        n_products: number of product codes.
        count: distinct products bought, by customer code, ``[customer]``.
    """

    keys: Longs
    n_products: int
    count: Longs

    @property
    def buyers(self) -> Lists:
        """Codes of customers with at least one product, ascending."""
        return np.flatnonzero(self.count).astype(np.int32)


def truth_of(customer: Lists, product: Lists, shape: tuple[int, int]) -> Truth:
    """The truth of some purchases; repeats count once.

    Args:
        customer: codes, shape ``[purchase]``.
        product: codes, shape ``[purchase]``.
        shape: number of customers and of products.
    """
    keys = np.unique(customer.astype(np.int64) * shape[1] + product)
    count = np.bincount(keys // shape[1], minlength=shape[0])
    return Truth(keys, shape[1], count.astype(np.int64))


def bought_in(history: History, window: Snapshot, known_before_us: int) -> Truth:
    """Products bought in a label window, as known before a later moment."""
    events = history.purchases
    inside = (
        (events.ts >= window.cutoff_us)
        & (events.ts < window.label_end_us)
        & (events.known_at < known_before_us)
        & events.bought
    )
    return truth_of(
        events.customer[inside],
        events.columns["product"][inside],
        (len(history.customers), len(history.products)),
    )


def codes_in(ids: Array, wanted: Sequence[str]) -> Lists:
    """Position of each wanted id, ``[wanted]``, -1: not among them.

    Args:
        ids: distinct ids, shape ``[code]``.
        wanted: ids of any kind, repeats allowed.
    """
    code_of = {identity: code for code, identity in enumerate(ids)}
    return np.array([code_of.get(identity, -1) for identity in wanted], np.int32)


def hits(lists: Lists, customers: Lists, truth: Truth) -> Bools:
    """Which offers were bought, ``[customer, slot]``.

    Args:
        lists: product codes, best first, -1: empty slot, ``[customer, slot]``.
        customers: code of each row.
        truth: what was bought.
    """
    if not len(truth.keys):
        return np.zeros(lists.shape, dtype=np.bool_)
    keys = customers.astype(np.int64)[:, None] * truth.n_products + lists
    at = np.searchsorted(truth.keys, keys)
    at[at == len(truth.keys)] = 0
    return (truth.keys[at] == keys) & (lists >= 0)


def recall_at(hit: Bools, bought: Longs) -> Floats:
    """Share of the bought products that are in the list, ``[customer]``.

    Args:
        hit: ``[customer, slot]``, cut at k by the caller.
        bought: distinct products bought; NaN results where 0.
    """
    return _ratio(hit.sum(axis=1), bought)


def ndcg_at(hit: Bools, bought: Longs) -> Floats:
    """Discounted gain over the ideal, which is cut at k too, ``[customer]``."""
    discount = 1.0 / np.log2(np.arange(2, hit.shape[1] + 2))
    ideal = np.concatenate(([0.0], np.cumsum(discount)))
    gain = np.where(hit, discount, 0.0).sum(axis=1)
    return _ratio(gain, ideal[np.minimum(bought, hit.shape[1])])


def hit_at(hit: Bools) -> Floats:
    """1 where at least one offer was bought, ``[customer]``."""
    return np.asarray(hit.any(axis=1), dtype=np.float64)


def precision_at(hit: Bools) -> Floats:
    """Share of the slots that were bought; an empty slot was not, ``[customer]``."""
    return np.asarray(hit.mean(axis=1), dtype=np.float64)


def average_precision_at(hit: Bools, bought: Longs) -> Floats:
    """Precision at every slot that was bought, summed over the best possible.

    The mean over customers is MAP@k.

    Args:
        hit: ``[customer, slot]``, cut at k by the caller.
        bought: distinct products bought; NaN results where 0.

    Returns:
        ``[customer]``: the sum over ``min(bought, k)``.
    """
    slots = np.arange(1, hit.shape[1] + 1)
    found = np.where(hit, np.cumsum(hit, axis=1) / slots, 0.0).sum(axis=1)
    return _ratio(found, np.minimum(bought, hit.shape[1]))


def _ratio(above: Array, below: Array) -> Floats:
    return np.where(below > 0, above / np.where(below > 0, below, 1), np.nan)


@dataclass(frozen=True)
class Interval:
    """A figure with its 95 % bootstrap interval."""

    value: float
    low: float
    high: float

    def times(self, factor: float) -> Interval:
        """The same in another unit."""
        return Interval(self.value * factor, self.low * factor, self.high * factor)


def bootstrap_interval(
    above: Floats, below: Floats | None = None, *, seed: int, draws: int = 1000
) -> Interval:
    """Interval of a ratio of sums, customers drawn with replacement.

    Args:
        above: one value per customer, ``[customer]``.
        below: the same customers' divisor, so that the draw is paired;
            None: 1 each, the mean of ``above``.
        seed: of the draws.
        draws: number of resamples.

    Returns:
        2.5 and 97.5 % quantiles; NaN where there is no customer or the
        divisor sums to 0.
    """
    divisor = np.ones(len(above)) if below is None else below
    return bootstrap_intervals(
        above[:, None], divisor[:, None], seed=seed, draws=draws
    )[0]


def bootstrap_intervals(
    above: Floats, below: Floats, *, seed: int, draws: int = 1000
) -> list[Interval]:
    """``bootstrap_interval`` of every column, all of them on the same draws.

    Args:
        above: one value per customer, ``[customer, figure]``.
        below: the divisors, of the same shape.
        seed: of the draws.
        draws: number of resamples.
    """
    n = len(above)
    if not n:
        return [Interval(np.nan, np.nan, np.nan)] * above.shape[1]
    rng = np.random.default_rng(seed)
    weights = rng.multinomial(n, np.full(n, 1.0 / n), size=draws).astype(np.float64)
    tops, bottoms = weights @ above, weights @ below
    intervals: list[Interval] = []
    for column in range(above.shape[1]):
        known = bottoms[:, column] > 0
        if below[:, column].sum() <= 0:
            intervals.append(Interval(np.nan, np.nan, np.nan))
            continue
        ratios = tops[known, column] / bottoms[known, column]
        low, high = np.quantile(ratios, (0.025, 0.975))
        value = above[:, column].sum() / below[:, column].sum()
        intervals.append(Interval(float(value), float(low), float(high)))
    return intervals


def auc(label: Floats, score: Floats) -> float:
    """Area under the ROC curve; NaN with one class only."""
    both = 0 < label.sum() < len(label)
    return float(roc_auc_score(label, score)) if both else float("nan")


def auc_gain(
    label: Floats,
    ours: Floats,
    theirs: Floats,
    seed: int,
    customer: Array | None = None,
) -> Interval:
    """AUC difference with its paired bootstrap interval over customers.

    Args:
        label: 0 or 1, shape ``[row]``.
        ours: score, same shape.
        theirs: the same.
        seed: of the draws.
        customer: code of each row; all rows of a customer are drawn together. None:
            a row is a customer.
    """
    if not 0 < label.sum() < len(label):
        return Interval(float("nan"), float("nan"), float("nan"))
    random = np.random.default_rng(seed)
    who = np.arange(len(label)) if customer is None else customer
    n = int(who.max()) + 1
    present = np.bincount(who, minlength=n) > 0
    chance = present / present.sum()
    # The first draw is the sample itself: every customer once.
    draws = np.ones((1 + _AUC_DRAWS, n))
    draws[1:] = random.multinomial(present.sum(), chance, _AUC_DRAWS)
    step = max(_AUC_CELLS // len(label), 1)
    parts = [draws[at : at + step, who] for at in range(0, len(draws), step)]
    gain = np.concatenate(
        [weighted_auc(label, ours, w) - weighted_auc(label, theirs, w) for w in parts]
    )
    low, high = np.nanquantile(gain[1:], [0.025, 0.975])
    return Interval(float(gain[0]), float(low), float(high))


def weighted_auc(label: Floats, score: Floats, weight: Floats) -> Floats:
    """AUC under many weightings of the same rows at once; ties count half.

    Args:
        label: 0 or 1, shape ``[row]``.
        score: shape ``[row]``.
        weight: shape ``[draw, row]``.

    Returns:
        Shape ``[draw]``; NaN where a draw holds one class only.
    """
    order = np.argsort(score, kind="stable")
    first = np.flatnonzero(np.r_[True, np.diff(score[order]) > 0])
    positive = np.add.reduceat(weight[:, order] * label[order], first, axis=1)
    negative = np.add.reduceat(weight[:, order] * (1 - label[order]), first, axis=1)
    below = np.cumsum(negative, axis=1) - negative
    pairs = positive.sum(axis=1) * negative.sum(axis=1)
    wins = np.sum(positive * (below + negative / 2), axis=1)
    return np.divide(wins, pairs, out=np.full(len(weight), np.nan), where=pairs > 0)
