"""What a worker remembers of experiments, so that it need not be read or made again."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Generic, TypeVar

from sqlalchemy import Engine

from serving import experiment_work as work
from serving.arm_lists import Scoped, scoped
from serving.state import picks
from serving.state.experiments import Experiment

MOST = 16
"""Experiments that are remembered; a list of picks may take some megabytes."""

Value = TypeVar("Value")


class Memory(Generic[Value]):
    """The last value of each experiment, for as long as its key is the same."""

    def __init__(self) -> None:
        self._kept: dict[str, tuple[object, Value]] = {}
        self._busy = threading.Lock()

    def of(self, name: str, key: object) -> Value | None:
        """The value; None: there is none under that key."""
        kept = self._kept.get(name)
        return kept[1] if kept is not None and kept[0] == key else None

    def keep(self, name: str, key: object, value: Value) -> None:
        """Keeps the value in place of an earlier one of the name."""
        with self._busy:
            self._kept.pop(name, None)
            if len(self._kept) >= MOST:
                del self._kept[next(iter(self._kept))]
            self._kept[name] = (key, value)

    def drop(self, name: str) -> None:
        """Forgets the value of a name."""
        with self._busy:
            self._kept.pop(name, None)


@dataclass(frozen=True)
class Held:
    """A running experiment: how it draws, and its picks by the arm that shows them."""

    running: work.Running
    picks: Mapping[str, Scoped]


class Running:
    """Running experiments, which never change but by an erasure.

    Args:
        engine: where experiments are.
        erased: how many customers are known to be erased; rows of theirs are gone
            before the number grows.
    """

    def __init__(self, engine: Engine, erased: Callable[[], int]) -> None:
        self._engine = engine
        self._erased = erased
        self._memory: Memory[Held] = Memory()

    def of(self, one: Experiment) -> Held:
        """How an experiment draws and what it shows.

        Raises:
            UnfitError: it does not run.
            StateAwayError: the database cannot be reached.
        """
        if one.status != "running":
            self._memory.drop(one.name)
        # The number first: what is erased while this reads makes it read again.
        key = (one.started_at, one.status, self._erased())
        held = self._memory.of(one.name, key)
        if held is None:
            running = work.running(self._engine, one)
            lists = {
                arm: scoped(picks.lines_of(self._engine, own.list, own.version))
                for arm, own in running.plan.picks.items()
            }
            held = Held(running, lists)
            self._memory.keep(one.name, key, held)
        return held
