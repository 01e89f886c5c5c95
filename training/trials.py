"""What a search for settings tried, and whether its best is better or was lucky."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

import numpy as np

from features.history import Floats

Settings = Mapping[str, int | float]

_STANDARD_ERRORS = 2.0
"""How far the mean gain over the folds must be from none."""


@dataclass(frozen=True)
class Trial:
    """One of the settings that were tried.

    Attributes:
        number: from 0, the present settings.
        settings: by name.
        losses: by fold, ascending; fewer than there are folds if it was given up.
        is_whole: was scored on every fold.
        started, ended: when.
    """

    number: int
    settings: Settings
    losses: tuple[float, ...]
    is_whole: bool
    started: datetime
    ended: datetime

    @property
    def loss(self) -> float:
        """Mean over the folds; infinite if it was given up."""
        return float(np.mean(self.losses)) if self.is_whole else float("inf")


@dataclass(frozen=True)
class Outcome:
    """What a study found.

    Attributes:
        trials: all of the study, by number.
        cutoffs: of the folds that were searched on; then the later, held back ones.
        present, best: losses at all of these cutoffs. At those held back, as a build
            would be: more boosters, of other seeds.
        n_held_back: how many of the cutoffs, the last ones, were held back.
    """

    trials: tuple[Trial, ...]
    cutoffs: tuple[datetime, ...]
    present: Floats
    best: Floats
    n_held_back: int

    @property
    def best_trial(self) -> Trial:
        """The one with the smallest loss, the earliest of equal ones."""
        return best_of(self.trials)

    @property
    def gain(self) -> Floats:
        """Loss of the present settings less that of the best, by cutoff."""
        return self.present - self.best

    @property
    def searched(self) -> slice:
        """Positions of the folds that were searched on."""
        return slice(0, len(self.cutoffs) - self.n_held_back)

    @property
    def held_back(self) -> slice:
        """Positions of the folds that were held back."""
        return slice(len(self.cutoffs) - self.n_held_back, None)

    @property
    def standard_error(self) -> float:
        """Of the mean gain over the folds that were searched on."""
        gain = self.gain[self.searched]
        return float(gain.std(ddof=1) / np.sqrt(len(gain)))

    @property
    def is_better(self) -> bool:
        """Whether the best is more than the luckiest.

        The mean gain is two standard errors from none on the folds that were
        searched on, and above none on those held back.
        """
        sure = self.gain[self.searched].mean() > _STANDARD_ERRORS * self.standard_error
        return bool(sure and self.gain[self.held_back].mean() > 0)


def best_of(trials: Sequence[Trial]) -> Trial:
    """The trial with the smallest loss, the earliest of equal ones."""
    return min(trials, key=lambda trial: (trial.loss, trial.number))
