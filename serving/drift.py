"""Whether answers drift from the published distribution of their scores.

Each published probability (at the build's horizon) lies in one of ten bins of about
a tenth of all customers. Answers are counted by bin, beside what the same number of
customers, drawn at random, would have had. Both counts add up over workers and
versions, and the population stability index compares them.
"""

from __future__ import annotations

import math
import threading
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from training.psi import stability_index

BINS = 10
ENOUGH = 500
"""Answers; the index of fewer is mostly chance: about 9 over their number."""

_SAMPLE = 20_000


@dataclass(frozen=True)
class Bins:
    """How the probabilities of a version are spread.

    Attributes:
        edges: ascending; a probability at an edge belongs above it.
        shares: of its customers in each bin, in sum 1; 0 between equal edges.
    """

    edges: tuple[float, ...]
    shares: tuple[float, ...]


def bins_of(probability: npt.NDArray[np.floating]) -> Bins:
    """Tenths of a column; of many rows an even sample.

    Args:
        probability: ``[customer]``, at least one.
    """
    some = probability[:: max(len(probability) // _SAMPLE, 1)].astype(np.float64)
    edges = np.quantile(some, np.arange(1, BINS) / BINS, method="lower")
    counts = np.bincount(np.searchsorted(edges, some, side="right"), minlength=BINS)
    return Bins(tuple(edges.tolist()), tuple((counts / len(some)).tolist()))


class Answers:
    """Counts of one process; safe to call from many threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._version: str | None = None
        self._bins = Bins((), ())
        self._answered = [0] * BINS
        self._expected = [0.0] * BINS

    def add(
        self,
        version: str,
        column: npt.NDArray[np.floating],
        probabilities: Sequence[float],
    ) -> None:
        """Counts the customers of one answer, each as often as they were asked for.

        Args:
            version: that answers.
            column: its published probabilities, ``[customer]``.
            probabilities: of the answer, at the same horizon.
        """
        if not probabilities or not len(column):
            return
        with self._lock:
            if version != self._version:
                # Once for a version: a millisecond.
                self._bins, self._version = bins_of(column), version
            edges, answered = self._bins.edges, self._answered
            for probability in probabilities:
                answered[bisect_right(edges, probability)] += 1
            count, expected = len(probabilities), self._expected
            for at, share in enumerate(self._bins.shares):
                expected[at] += count * share

    def take(self) -> tuple[list[int], list[float]]:
        """What was counted since this was last called: answers, and expected ones."""
        with self._lock:
            found = self._answered, self._expected
            self._answered, self._expected = [0] * BINS, [0.0] * BINS
        return found


def psi(answered: Sequence[float], expected: Sequence[float]) -> float:
    """The population stability index of two counts by bin.

    Returns:
        NaN: fewer than ``ENOUGH`` answers.
    """
    if sum(answered) < ENOUGH:
        return math.nan
    return stability_index(answered, expected)
