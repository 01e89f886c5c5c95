"""A build at a cutoff: history becomes models, models become predictions."""

from __future__ import annotations

import resource
import sys
import time
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta

import numpy as np
import pyarrow as pa

from features.assemble import assemble
from features.config import Config
from features.contracts import ContractError
from features.history import Floats, History
from features.snapshot import from_us, to_us
from training import propensity, ranker, uplift
from training.artifacts import Bundle
from training.census import Censuses
from training.churn import fit_churn
from training.holdout import contacts_of
from training.labels import days_to_next_purchase
from training.propensity import Propensity
from training.replenishment import fit_replenishment
from training.spend import fit_spend
from training.split import CALIBRATION_CUTOFFS, past_cutoffs, with_calibration
from training.uplift import Uplift


@dataclass
class Steps:
    """Seconds and peak memory of each step of a run.

    Measures the work only; nothing that is computed depends on it.

    Attributes:
        announce: called with the name of each step as it starts.
        seconds: by step; repeated steps add up.
        peak_mb: highest resident memory of the process by the step's end.
    """

    announce: Callable[[str], None] | None = None
    seconds: dict[str, float] = field(default_factory=dict)
    peak_mb: dict[str, float] = field(default_factory=dict)

    @contextmanager
    def __call__(self, name: str) -> Generator[None]:
        """Measure the block under a name."""
        if self.announce:
            self.announce(name)
        started = time.perf_counter()
        yield
        spent = time.perf_counter() - started
        self.seconds[name] = round(self.seconds.get(name, 0.0) + spent, 2)
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        self.peak_mb[name] = round(peak / (2**20 if sys.platform == "darwin" else 1024))


def training_cutoffs(history: History, config: Config) -> tuple[datetime, ...]:
    """Cutoffs that the propensity model learns from, ascending.

    Raises:
        ContractError: too little history before the build's cutoff.
    """
    lines = history.purchases
    first = from_us(int(lines.ts[lines.bought].min()))
    return cutoffs_since(first, history.until, config)


def cutoffs_since(
    first: datetime, until: datetime, config: Config
) -> tuple[datetime, ...]:
    """The same, of a history that begins with a purchase at ``first``."""
    settings = config.propensity
    cutoffs = past_cutoffs(
        first + timedelta(days=settings.history_days),
        until,
        config.horizon_days,
        settings.step_days,
        settings.max_cutoffs,
    )
    try:
        with_calibration(cutoffs, config.horizon_days, CALIBRATION_CUTOFFS)
    except ValueError as error:
        raise ContractError(str(error)) from None
    return cutoffs


def build_features(history: History, config: Config) -> pa.Table:
    """Rows of ``assemble`` at all training cutoffs and at ``history.until``."""
    return assemble(history, [*training_cutoffs(history, config), history.until])


def at_cutoff(features: pa.Table, cutoff: datetime) -> pa.Table:
    """The rows of one cutoff."""
    us = features.column("cutoff").cast(pa.int64()).to_numpy()
    return features.filter(pa.array(us == to_us(cutoff)))


def fit_propensity(history: History, features: pa.Table, config: Config) -> Propensity:
    """The repurchase model from the feature rows of ``build_features``."""
    cutoffs = cutoffs_in(features, history.until)
    us = features.column("cutoff").cast(pa.int64()).to_numpy()
    past = features.filter(pa.array(us < to_us(history.until)))
    return propensity.fit(
        past,
        next_purchase(history, past, cutoffs),
        with_calibration(cutoffs, config.horizon_days, CALIBRATION_CUTOFFS),
        config.horizon_days,
        history.until,
        config.propensity,
        config.seed,
    )


def cutoffs_in(features: pa.Table, until: datetime) -> list[datetime]:
    """Cutoffs of a feature table before a moment, ascending.

    Not ``training_cutoffs`` of the history: where it is of some customers only, the
    first purchase of all, from which cutoffs are counted, may be none of theirs.
    """
    us = np.unique(features.column("cutoff").cast(pa.int64()).to_numpy())
    return [from_us(int(cutoff)) for cutoff in us[us < to_us(until)]]


def next_purchase(
    history: History, features: pa.Table, cutoffs: Sequence[datetime]
) -> Floats:
    """Days to the next purchase of each feature row; infinite if none is known."""
    days = days_to_next_purchase(history, cutoffs)
    us = features.column("cutoff").cast(pa.int64()).to_numpy()
    row = np.searchsorted([to_us(cutoff) for cutoff in cutoffs], us)
    return days[row, features.column("customer").to_numpy()]


def fit(
    history: History,
    features: pa.Table,
    config: Config,
    steps: Steps | None = None,
    censuses: Censuses | None = None,
) -> Bundle:
    """All models, from what was known before ``history.until`` only.

    Args:
        history: of the customers to learn from.
        features: their rows of ``build_features``.
        config: of all models.
        steps: measures the work.
        censuses: of all customers, where the history is of some only.
    """
    steps = steps or Steps()
    with steps("train propensity"):
        fitted = fit_propensity(history, features, config)
    with steps("train recommender"):
        recommender = ranker.fit(
            history,
            history.until,
            config.horizon_days,
            config.recommend,
            config.seed,
            censuses,
        )
    with steps("train replenishment"):
        due = fit_replenishment(
            history, config.horizon_days, config.replenishment, config.seed
        )
    with steps("train value"):
        spend = fit_spend(
            history, features, config.horizon_days, config.spend, config.seed
        )
    with steps("train churn risk"):
        churn = fit_churn(history, features, config.churn, config.seed)
    with steps("train uplift"):
        effect = _fit_uplift(history, features, config)
    return Bundle(
        propensity=fitted,
        recommender=recommender,
        replenishment=due,
        spend=spend,
        churn=churn,
        uplift=effect,
        cutoff=history.until,
        horizon_days=config.horizon_days,
        fingerprint=history.fingerprint,
        seed=config.seed,
    )


def _fit_uplift(history: History, features: pa.Table, config: Config) -> Uplift:
    contacts = contacts_of(history, config.horizon_days, config.uplift.max_campaigns)
    # As of the campaigns' starts, which are no cutoffs of the build.
    rows = assemble(history, contacts.cutoffs) if len(contacts) else features
    return uplift.fit(contacts, rows, config.horizon_days, config.uplift, config.seed)
