"""What events since a snapshot change in the chance of an offer, fitted.

A product bought since has its own curve: when it is bought again depends on the
product, not on how well it fits. For all others the log odds of the snapshot stand,
and the events move them: by the change of the ALS score, by looks at the product,
by purchases of and looks at others of its kind. A term that does not prove itself on
customers that its weight was not fitted on has the weight 0.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.special import expit

from features.history import Bools, Floats, Ints, Longs
from training.fresh_rows import AGAIN, COLUMNS, GROUPS, JUST, NEW, STRANGER_JUST, Rows

FEW_BOUGHT = 50
"""With fewer purchases to learn from, a group keeps ``PLAIN``."""

PLENTY = 1000
"""With so many in every group, no earlier window is looked at."""

PROOF = 1.64
"""Standard errors by which a term must lower the log loss: one-sided, 5 %."""

RIDGE = 1.0


@dataclass(frozen=True)
class Terms:
    """Columns of a group: always fitted, and those that must prove themselves.

    Attributes:
        rising: of the optional ones, those that may not lower the chance.
    """

    always: tuple[str, ...]
    optional: tuple[str, ...]
    rising: tuple[str, ...]


_LEVEL = ("bought_something", "only_looked")
_RISING = ("als_shift", "interest", "kin_interest")

TERMS: Mapping[str, Terms] = {
    "just bought": Terms(
        ("bought_something", "rebuy"),
        ("prior", "kin_prior", "base", "days_since", "more_orders", "not_offered"),
        ("base", "prior", "kin_prior"),
    ),
    "stranger just bought": Terms(
        ("bought_something", "rebuy"), ("base", "days_since", "more_orders"), ("base",)
    ),
    "again": Terms(_LEVEL, ("kin_bought", *_RISING), _RISING),
    "new": Terms((*_LEVEL, "not_offered"), (*_RISING, "kin_bought"), _RISING),
    "stranger": Terms(_LEVEL, (*_RISING, "kin_bought"), _RISING),
}


@dataclass(frozen=True)
class FreshModel:
    """Fitted weights.

    Attributes:
        weights: of ``fresh_rows.COLUMNS``, ``[group, column]``.
    """

    weights: Floats

    @property
    def folds_in(self) -> bool:
        """Whether the change of ALS moves anything."""
        return bool(self.weights[:, COLUMNS.index("als_shift")].any())

    def log_odds(self, rows: Rows) -> Floats:
        """Calibrated log odds of a purchase within the horizon, ``[row]``."""
        base = np.where(rows.just, 0.0, rows.base)
        return base + np.einsum("rc,rc->r", rows.x, self.weights[rows.group])

    def to_json(self) -> dict[str, dict[str, float]]:
        """Weights that are not 0, by group and column."""
        return {
            group: {c: float(w) for c, w in zip(COLUMNS, row, strict=True) if w}
            for group, row in zip(GROUPS, self.weights, strict=True)
        }

    @staticmethod
    def from_json(facts: Mapping[str, Mapping[str, float]]) -> FreshModel:
        """The same weights, to the bit."""
        return FreshModel(
            np.array([[facts[g].get(c, 0.0) for c in COLUMNS] for g in GROUPS])
        )


PLAIN = FreshModel.from_json(
    {
        "just bought": {"rebuy": 1.0},
        "stranger just bought": {"rebuy": 1.0},
        "again": {},
        "new": {},
        "stranger": {},
    }
)
"""Without anything to learn from: what was bought since has its product's rate."""


@dataclass(frozen=True)
class FreshExamples:
    """Rows of past customers with what came of them, ``[row]``.

    Attributes:
        customer: codes.
        bought: within the horizon after the events.
    """

    customer: Ints
    rows: Rows
    bought: Bools


def join_examples(parts: Sequence[FreshExamples]) -> FreshExamples:
    """All parts in one; without any part, no rows."""
    none = FreshExamples(np.zeros(0, np.int32), _NO_ROWS, np.zeros(0, np.bool_))
    every = (none, *parts)
    return FreshExamples(
        np.concatenate([part.customer for part in every]),
        Rows(
            np.concatenate([part.rows.product for part in every]),
            np.concatenate([part.rows.group for part in every]),
            np.concatenate([part.rows.base for part in every]),
            np.concatenate([part.rows.x for part in every]),
        ),
        np.concatenate([part.bought for part in every]),
    )


_NO_ROWS = Rows(
    np.zeros(0, np.int32),
    np.zeros(0, np.int8),
    np.zeros(0),
    np.zeros((0, len(COLUMNS))),
)


def enough(examples: FreshExamples) -> bool:
    """Whether there are purchases to learn from in every group but strangers'."""
    groups = examples.rows.group[examples.bought]
    return all((groups == group).sum() >= PLENTY for group in (JUST, AGAIN, NEW))


def fit_model(examples: FreshExamples, seed: int) -> FreshModel:
    """Weights of every group with enough purchases; ``PLAIN`` of the others."""
    weights = PLAIN.weights.copy()
    for group, name in enumerate(GROUPS):
        rows = np.flatnonzero(examples.rows.group == group)
        bought = examples.bought[rows]
        if bought.sum() < FEW_BOUGHT or bought.all():
            continue
        base = (
            examples.rows.base[rows] if group > STRANGER_JUST else np.zeros(len(rows))
        )
        halves = _halves(examples.customer[rows], seed)
        weights[group] = _fit_group(
            TERMS[name], examples.rows.x[rows], base, bought, halves
        )
    return FreshModel(weights)


@dataclass(frozen=True)
class _Halves:
    """Customers in two drawn halves: ``second`` and place of each row's customer."""

    second: Bools
    place: Longs


def _halves(customer: Ints, seed: int) -> _Halves:
    codes, place = np.unique(customer, return_inverse=True)
    second = np.zeros(len(codes), dtype=np.bool_)
    random = np.random.default_rng([seed, len(codes)])
    second[random.permutation(len(codes))[: len(codes) // 2]] = True
    return _Halves(second[place], place)


def _fit_group(
    terms: Terms, x: Floats, base: Floats, bought: Bools, halves: _Halves
) -> Floats:
    """Weights of all columns: terms join one by one, each if it proves itself."""
    used = [COLUMNS.index(name) for name in terms.always]
    loss = _held_out_loss(x[:, used], base, bought, halves)
    for name in terms.optional:
        tried = [*used, COLUMNS.index(name)]
        if not x[:, tried[-1]].any():
            continue
        weight = logistic(x[:, tried], base, bought)[-1]
        after = _held_out_loss(x[:, tried], base, bought, halves)
        if _proves(np.bincount(halves.place, loss - after).astype(np.float64)) and (
            weight > 0 or name not in terms.rising
        ):
            used, loss = tried, after
    weights = np.zeros(len(COLUMNS))
    weights[used] = logistic(x[:, used], base, bought)
    for name in terms.rising:
        # A later term may have turned an earlier one.
        weights[COLUMNS.index(name)] = max(weights[COLUMNS.index(name)], 0.0)
    return weights


def _proves(gain: Floats) -> bool:
    """Whether customers' gains are above 0 on average, beyond chance."""
    spread = float(gain.std()) / np.sqrt(len(gain))
    return float(gain.mean()) > PROOF * spread


def _held_out_loss(x: Floats, base: Floats, bought: Bools, halves: _Halves) -> Floats:
    """Log loss of every row under weights of the other half of customers."""
    loss = np.zeros(len(x))
    for half in (halves.second, ~halves.second):
        z = base[half] + x[half] @ logistic(x[~half], base[~half], bought[~half])
        loss[half] = np.logaddexp(0, z) - bought[half] * z
    return loss


def logistic(x: Floats, base: Floats, bought: Bools) -> Floats:
    """Weights by Newton steps beside a fixed part of the log odds, ``[column]``.

    Columns are scaled to a root mean square of 1; a ridge of ``RIDGE`` on the
    scaled weights keeps them finite where a column tells nothing apart.
    """
    scale = np.sqrt((x**2).mean(axis=0)) if len(x) else np.ones(x.shape[1])
    scale[scale == 0] = 1.0
    wide, label = x / scale, bought.astype(np.float64)
    at: Floats = np.zeros(x.shape[1])
    loss = _loss(at, wide, base, label)
    for _ in range(100):
        p = expit(base + wide @ at)
        bend = (wide * (p * (1 - p))[:, None]).T @ wide + RIDGE * np.eye(len(at))
        rise = wide.T @ (label - p) - RIDGE * at
        step: Floats = np.linalg.solve(bend, rise).astype(np.float64)
        # A full Newton step may overshoot where few were bought: halve it.
        while (tried := _loss(at + step, wide, base, label)) > loss and step.any():
            step *= 0.5
        at, gain, loss = at + step, loss - tried, tried
        if gain < 1e-9 * max(loss, 1.0):
            break
    return at / scale


def _loss(at: Floats, x: Floats, base: Floats, label: Floats) -> float:
    z = base + x @ at
    ridge = RIDGE * float(at @ at) / 2
    return float((np.logaddexp(0, z) - label * z).sum()) + ridge
