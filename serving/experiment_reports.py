"""Reports that a worker made and keeps for as long as they say the same.

A report takes up to a minute of two cores; who reloads the page, or reads JSON after
the page, waits for none. A report is made anew where an event, an assignment or the
input tables changed, somebody was erased, or the next customer's window is over.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Generic, TypeVar

from sqlalchemy import Engine, func, select

from features.contracts import PURCHASES
from features.snapshot import from_us, to_us
from serving.experiment_memory import Memory
from serving.experiments.place import Place
from serving.experiments.plan import plan_of
from serving.state.database import reading
from serving.state.experiments import Experiment
from serving.state.tables import ASSIGNMENTS, DEALT, EVENTS, SHOWN

_AT_LEAST = timedelta(minutes=1)
"""Customers come all the time: their windows need not be over one by one."""

_AT_MOST = timedelta(hours=1)

Found = TypeVar("Found")


@dataclass(frozen=True)
class Kept(Generic[Found]):
    """A report.

    Attributes:
        one: the experiment as it was.
        found: what was made.
        until: from then on it may say something else; null: never.
    """

    one: Experiment
    found: Found
    until: datetime | None


class Reports(Generic[Found]):
    """The last report of each experiment.

    Args:
        engine: where experiments are.
        place: where purchases are.
        erased: how many customers are known to be erased.
        make: the report as of a moment.
        alone: held while one is made.
    """

    def __init__(
        self,
        engine: Engine,
        place: Place,
        erased: Callable[[], int],
        make: Callable[[str, datetime], tuple[Experiment, Found]],
        alone: Callable[[], AbstractContextManager[None]],
    ) -> None:
        self._engine = engine
        self._place = place
        self._erased = erased
        self._make = make
        self._alone = alone
        self._memory: Memory[Kept[Found]] = Memory()

    def of(
        self, one: Experiment, as_of: datetime | None, clock: Callable[[], datetime]
    ) -> tuple[Experiment, Found]:
        """The report.

        Args:
            one: as it is now.
            as_of: None, or not yet come: the latest, which says itself of when it is,
                and is at most an hour old.
            clock: naive UTC.

        Raises:
            ApiError: 503, another one is being made.
            ContractError, SettingError: the input cannot be read.
            StateAwayError: the database cannot be reached.
        """
        now = clock()
        asked = as_of if as_of is not None and as_of < now else None
        # Before it is read: what changes while a report is made makes it anew.
        key = (one, asked, self._erased(), self._seen(one.name, asked, now))
        # And later than all that was seen, so that the report has it.
        now = clock()
        kept = self._memory.of(one.name, key)
        if kept is None or (kept.until is not None and now >= kept.until):
            moment = now if asked is None else asked
            with self._alone():
                made, found = self._make(one.name, moment)
            until = None if asked else self._until(made, now)
            kept = Kept(made, found, until)
            self._memory.keep(one.name, key, kept)
        return kept.one, kept.found

    def _seen(self, name: str, asked: datetime | None, now: datetime) -> object:
        """What tells whether there is anything new to read.

        Of a moment that is over, the state's rows are all there: what is received now
        is known too late for it.
        """
        data = self._place.data
        files: object = None
        if isinstance(data, Path):
            found = [data] if data.is_file() else sorted(data.glob("*"))
            stats = [(file.name, file.stat()) for file in found]
            files = tuple((n, s.st_ino, s.st_size, s.st_mtime_ns) for n, s in stats)
        elif data is not None:
            # A server does not say when its tables changed.
            files = int(to_us(now) // (_AT_LEAST // timedelta(microseconds=1)))
        return files, None if asked else _last(self._engine, name)

    def _until(self, one: Experiment, now: datetime) -> datetime:
        window = timedelta(days=plan_of(one.plan).asked.window_days)
        own = ASSIGNMENTS.c.experiment == one.name
        open_ = ASSIGNMENTS.c.assigned_at >= to_us(now - window)
        query = select(func.min(ASSIGNMENTS.c.assigned_at)).where(own, open_)
        with reading(self._engine) as connection:
            first = connection.execute(query).scalar_one()
        over = now + _AT_MOST
        if first is not None:
            # Windows are half-open: a microsecond after its end it is over.
            over = min(over, from_us(first + 1) + window)
        return max(over, now + _AT_LEAST)


def _last(engine: Engine, name: str) -> tuple[int | None, ...]:
    """The last rows of the state that a report of an experiment reads."""
    found: list[int | None] = []
    with reading(engine) as connection:
        for table, own in (
            (EVENTS, EVENTS.c.table == PURCHASES.name),
            (SHOWN, SHOWN.c.experiment == name),
            (ASSIGNMENTS, ASSIGNMENTS.c.experiment == name),
            (DEALT, DEALT.c.experiment == name),
        ):
            newest = table.c.sequence.desc()
            query = select(table.c.sequence).where(own).order_by(newest).limit(1)
            found.append(connection.execute(query).scalar_one_or_none())
    return tuple(found)
