"""Experiments as they were planned: a draft may change, one that runs never does."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, cast

from sqlalchemy import Connection, Engine, delete, insert, select, update

from serving.state.database import reading, writing
from serving.state.tables import EXPERIMENTS, OVERRIDES
from serving.state.tombstones import erased_among

Status = Literal["draft", "running", "stopped"]

_ORDER: tuple[Status, ...] = ("draft", "running", "stopped")


class UnfitError(Exception):
    """It cannot be done in the state that the experiment is in; one line why."""


@dataclass(frozen=True)
class Experiment:
    """An experiment.

    Attributes:
        plan: as JSON; see ``experiments.plan``.
        created_at, started_at, stopped_at: microseconds since 1970-01-01 UTC; null:
            not yet.
        erased: of those drawn, how many were erased since.
    """

    name: str
    plan: str
    owner: str
    status: Status
    created_at: int
    started_at: int | None
    stopped_at: int | None
    erased: int = 0


Overrides = Mapping[str, str | None]
"""Arm by customer; None: left out."""


def create(
    engine: Engine,
    made: Experiment,
    overrides: Overrides,
    who: str,
    is_same: Callable[[str], bool],
) -> Experiment:
    """Keeps a draft, in place of an earlier draft of the name.

    Args:
        engine: an upgraded database.
        made: the draft.
        overrides: who is not drawn; those who were erased are passed over.
        who: prefix of the key, or local.
        is_same: whether the plan of an experiment asks for the same; then it stays
            as it is, with its salt.

    Returns:
        What is kept.

    Raises:
        UnfitError: one of the name runs, or ran, with another plan.
        StateAwayError: the database cannot be reached.
    """
    with writing(engine) as connection:
        erased = erased_among(connection, overrides)
        wanted = {one: arm for one, arm in overrides.items() if one not in erased}
        old = _find(connection, made.name)
        if old is not None:
            if is_same(old.plan) and _overrides(connection, made.name) == wanted:
                return old
            if old.status != "draft":
                raise UnfitError(
                    f"name: expected one of its own, got that of a {old.status} "
                    "experiment with another plan, which stays as it is"
                )
            own = EXPERIMENTS.c.name == made.name
            connection.execute(delete(EXPERIMENTS).where(own))
            gone = OVERRIDES.c.experiment == made.name
            connection.execute(delete(OVERRIDES).where(gone))
        connection.execute(insert(EXPERIMENTS), vars(made))
        rows = [
            {
                "experiment": made.name,
                "customer_id": customer,
                "arm": arm,
                "who": who,
                "at": made.created_at,
            }
            for customer, arm in wanted.items()
        ]
        if rows:
            connection.execute(insert(OVERRIDES), rows)
    return made


def move(
    engine: Engine,
    name: str,
    status: Status,
    at: int,
    check: Callable[[Connection, Experiment, Sequence[Experiment]], None],
) -> Experiment | None:
    """Starts or stops an experiment; again does no harm.

    Args:
        engine: an upgraded database.
        name: of the experiment.
        status: running or stopped.
        at: microseconds since 1970-01-01 UTC.
        check: told of it and of all others that run, before it starts, within the
            same transaction; raises ``UnfitError`` where they do not go together.

    Returns:
        As it is now; None: there is none of the name.

    Raises:
        UnfitError: it is not one step before that status.
        StateAwayError: the database cannot be reached.
    """
    with writing(engine) as connection:
        old = _find(connection, name)
        if old is None or old.status == status:
            return old
        if _ORDER.index(status) != _ORDER.index(old.status) + 1:
            raise UnfitError(
                f"status: expected to follow {old.status}, got {status}; an experiment "
                "goes from draft to running to stopped, and not back"
            )
        if status == "running":
            others = [one for one in _every(connection) if one.status == "running"]
            check(connection, old, others)
        column = "started_at" if status == "running" else "stopped_at"
        own = EXPERIMENTS.c.name == name
        changed = {"status": status, column: at}
        connection.execute(update(EXPERIMENTS).where(own).values(**changed))
        return _find(connection, name)


def find(engine: Engine, name: str) -> Experiment | None:
    """The experiment of the name; None: there is none.

    Raises:
        StateAwayError: the database cannot be reached.
    """
    with reading(engine) as connection:
        return _find(connection, name)


def every(engine: Engine) -> list[Experiment]:
    """All experiments, by name.

    Raises:
        StateAwayError: the database cannot be reached.
    """
    with reading(engine) as connection:
        return _every(connection)


def overrides_of(engine: Engine, name: str) -> dict[str, str | None]:
    """Who is not drawn.

    Raises:
        StateAwayError: the database cannot be reached.
    """
    with reading(engine) as connection:
        return _overrides(connection, name)


_COLUMNS = tuple(EXPERIMENTS.c[name] for name in Experiment.__dataclass_fields__)


def _find(connection: Connection, name: str) -> Experiment | None:
    query = select(*_COLUMNS).where(EXPERIMENTS.c.name == name)
    row = connection.execute(query).one_or_none()
    return None if row is None else Experiment(*row)


def _every(connection: Connection) -> list[Experiment]:
    query = select(*_COLUMNS).order_by(EXPERIMENTS.c.name)
    return [Experiment(*row) for row in connection.execute(query)]


def _overrides(connection: Connection, name: str) -> dict[str, str | None]:
    query = select(OVERRIDES.c.customer_id, OVERRIDES.c.arm)
    rows = connection.execute(query.where(OVERRIDES.c.experiment == name)).all()
    return {str(row[0]): cast("str | None", row[1]) for row in rows}
