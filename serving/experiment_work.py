"""What can be done with experiments, whoever asks: the API or a command.

The parts that compute are imported when first asked for: they take a second.
"""

from __future__ import annotations

import json
import re
import secrets
from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass, replace
from datetime import datetime
from typing import TYPE_CHECKING, Any

from sqlalchemy import Connection, Engine

from features.snapshot import from_us
from serving.arm_lists import stratum_of
from serving.experiment_design_schema import DesignRequest
from serving.experiment_schema import (
    INTERLEAVED,
    NAME_PATTERN,
    ExperimentRequest,
    OffPolicyRequest,
    PicksRequest,
)
from serving.experiments.assign import Assigned, Split, assign
from serving.experiments.place import Place
from serving.experiments.plan import PickedList, Plan, asked_json, plan_of
from serving.published import Published
from serving.state import experiments, picks
from serving.state.assignments import Assignment
from serving.state.experiments import Experiment, UnfitError
from serving.state.picks import Line, Picks

if TYPE_CHECKING:
    from serving.experiments.preferred import Preferred
    from serving.experiments.report import Report

_ASKED_OF = {
    "randomised": "the report of a randomised one",
    "interleaved": "the preference of an interleaved one",
}


class NotFoundError(Exception):
    """There is no experiment of the name."""


class FieldError(Exception):
    """A field that does not fit what the shop has.

    Attributes:
        field: of the request.
    """

    def __init__(self, field: str, said: str) -> None:
        super().__init__(f"{field}: {said}")
        self.field = field


def found(engine: Engine, name: str) -> Experiment:
    """The experiment of the name.

    Raises:
        NotFoundError: there is none.
        StateAwayError: the database cannot be reached.
    """
    _must_be_a_name(name)
    one = experiments.find(engine, name)
    if one is None:
        raise NotFoundError(name)
    return one


def _must_be_a_name(text: str) -> None:
    """Nothing if an experiment can have it for a name; a database may not bear others.

    Raises:
        NotFoundError: none can.
    """
    if re.fullmatch(NAME_PATTERN, text) is None:
        raise NotFoundError(text)


def upload(engine: Engine, asked: PicksRequest, now_us: int) -> Picks:
    """Keeps a manual list as a new version; the same again is the same version.

    Raises:
        FieldError: a product stands twice for the same customers, or no line is left.
        StateAwayError: the database cannot be reached.
    """
    ranks: dict[tuple[str | None, str | None], int] = {}
    lines: list[Line] = []
    seen: set[tuple[str | None, str | None, str]] = set()
    for place, one in enumerate(asked.lines):
        scope = (one.segment, one.customer_id)
        if (*scope, one.product_id) in seen:
            raise FieldError(
                f"lines.{place}.product_id",
                "expected each product once for the same customers, got one twice",
            )
        seen.add((*scope, one.product_id))
        ranks[scope] = ranks.get(scope, 0) + 1
        rank = ranks[scope] if one.rank is None else one.rank
        lines.append(Line(one.segment, one.customer_id, one.product_id, rank))
    try:
        return picks.upload(engine, asked.list_, lines, asked.owner, now_us)
    except ValueError as error:
        raise FieldError("lines", str(error).partition(": ")[2]) from None


def create(
    engine: Engine, asked: ExperimentRequest, who: str, now_us: int, where: Place
) -> Experiment:
    """Keeps a draft, with its picks locked and its design worked out.

    Args:
        engine: an upgraded database.
        asked: the plan.
        who: prefix of the key, or local.
        now_us: microseconds since 1970-01-01 UTC.
        where: the design reads the history of before.

    Raises:
        FieldError: a list of picks is not there, or there is no history to design by.
        UnfitError: an experiment of the name runs or ran with another plan.
        ContractError, SettingError: the input cannot be read.
        StateAwayError: the database cannot be reached.
    """
    locked = _locked(engine, asked)
    salt = asked.salt or secrets.token_hex(8)
    plan = Plan(asked, salt, locked, None)
    old = experiments.find(engine, asked.name)
    if asked.design is not None and not (old and plan.is_same(old.plan)):
        design = _design(engine, asked, from_us(now_us), where)
        plan = Plan(asked, salt, locked, design)
    made = Experiment(
        asked.name, plan.to_json(), asked.owner, "draft", now_us, None, None
    )
    apart = {
        **dict(asked.overrides),
        **dict.fromkeys(asked.excluded_customer_ids),
    }
    return experiments.create(engine, made, apart, who, plan.is_same)


def _locked(engine: Engine, asked: ExperimentRequest) -> dict[str, PickedList]:
    """The last version of every list that an arm shows."""
    locked: dict[str, PickedList] = {}
    for place, arm in enumerate(asked.arms):
        if arm.picks is None:
            continue
        last = picks.latest(engine, arm.picks)
        if last is None:
            raise FieldError(
                f"arms.{place}.picks",
                f"expected an uploaded list, got {arm.picks!r}; upload it first",
            )
        locked[arm.name] = PickedList(last.list, last.version, last.sha256)
    return locked


def _design(
    engine: Engine, asked: ExperimentRequest, as_of: datetime, where: Place
) -> str:
    from serving.experiments.designed import DesignError, designed
    from serving.experiments.inputs import opened

    try:
        with opened(engine, None, where) as db:
            return designed(db, asked, as_of).to_json()
    except DesignError as error:
        raise FieldError(error.field, error.said) from None


def sketch(
    engine: Engine, asked: DesignRequest, as_of: datetime, where: Place
) -> dict[str, Any]:
    """What such an experiment could find, as ``DesignAnswer``; nothing is kept.

    Raises:
        FieldError: the history does not tell what is asked, or nobody comes in time.
        ContractError, SettingError: the input cannot be read.
        StateAwayError: the database cannot be reached.
    """
    from serving.experiments.designed import DesignError
    from serving.experiments.inputs import opened
    from serving.experiments.sketch import sketched, told

    try:
        with opened(engine, None, where) as db:
            return told(asked, sketched(db, asked, as_of))
    except DesignError as error:
        raise FieldError(error.field, error.said) from None


def move(engine: Engine, name: str, status: str, now_us: int) -> Experiment:
    """Starts or stops an experiment; again does no harm.

    Raises:
        NotFoundError: there is none of the name.
        UnfitError: it cannot go there; another one of its layer runs on the same
            part; or its picks are not those that were locked.
        StateAwayError: the database cannot be reached.
    """
    _must_be_a_name(name)
    wanted = "running" if status == "running" else "stopped"
    moved = experiments.move(engine, name, wanted, now_us, _must_fit)
    if moved is None:
        raise NotFoundError(name)
    return moved


def _must_fit(
    connection: Connection, one: Experiment, others: Sequence[Experiment]
) -> None:
    """Nothing if it can start beside the others that run.

    Raises:
        UnfitError: it cannot.
    """
    plan = plan_of(one.plan)
    _must_be_locked(connection, plan)
    _must_not_overlap(plan, others)


def _must_be_locked(connection: Connection, plan: Plan) -> None:
    """Nothing if the picks are those of the plan, byte by byte."""
    for one in plan.picks.values():
        lines = picks.lines_within(connection, one.list, one.version)
        if picks.digest(lines) != one.sha256:
            raise UnfitError(
                f"picks: expected the lines of {one.label} as they were locked, got "
                "others (an erasure removes its customer's); upload them again and "
                "create the draft anew"
            )


def _must_not_overlap(plan: Plan, others: Sequence[Experiment]) -> None:
    layer = plan.split.layer
    for other in others:
        theirs = plan_of(other.plan).split.layer
        if layer is not None and theirs is not None and layer.overlaps(theirs):
            raise UnfitError(
                f"layer: expected a part of {layer.name} that is free, got one that "
                f"{other.name} has; stop it, or take other parts"
            )


@dataclass(frozen=True)
class Running:
    """A running experiment as it draws.

    Attributes:
        plan: never changes.
        split: of the plan.
        overrides: arm by customer who is not drawn.
        excluded: customers who take no part.
    """

    plan: Plan
    split: Split
    overrides: Mapping[str, str]
    excluded: Set[str]


def running(engine: Engine, one: Experiment) -> Running:
    """How an experiment draws.

    Raises:
        UnfitError: the experiment does not run.
        StateAwayError: the database cannot be reached.
    """
    if one.status != "running":
        raise UnfitError(f"status: expected a running experiment, got a {one.status}")
    apart = experiments.overrides_of(engine, one.name)
    plan = plan_of(one.plan)
    return Running(
        plan,
        plan.split,
        {customer: arm for customer, arm in apart.items() if arm is not None},
        {customer for customer, arm in apart.items() if arm is None},
    )


def draw(how: Running, customer_ids: Sequence[str]) -> list[Assigned]:
    """The arm of every customer, in order; of an interleaved experiment one for all."""
    drawn = assign(how.split, customer_ids, how.overrides, how.excluded)
    if how.plan.asked.kind != "interleaved":
        return drawn
    return [replace(d, arm=INTERLEAVED) if d.why == "hash" else d for d in drawn]


def kept(published: Published, drawn: Assigned, plan: Plan) -> Assignment:
    """What is kept of a customer who is asked for, as the version knows them."""
    row = published.customers.row(drawn.customer_id)
    chance = None
    if row is not None:
        chance = float(published.curve[row, published.horizon_days - 1])
    stratum = stratum_of(published, row, plan.asked.strata)
    return Assignment(drawn.customer_id, drawn.arm, drawn.why, stratum, chance)


def make_report(
    engine: Engine, name: str, where: Place, as_of: datetime
) -> tuple[Experiment, Report]:
    """What is known of an experiment.

    Args:
        engine: an upgraded database.
        name: of the experiment.
        where: purchases are.
        as_of: naive UTC; nothing at or after it is read.

    Raises:
        NotFoundError: there is none of the name.
        ContractError, SettingError: the input cannot be read.
        StateAwayError: the database cannot be reached.
    """
    from serving.experiments.inputs import opened
    from serving.experiments.report import Moments, report

    one = found(engine, name)
    plan = must_be(one, "randomised")
    created, started, stopped = (
        None if us is None else from_us(us)
        for us in (one.created_at, one.started_at, one.stopped_at)
    )
    moments = Moments(created or as_of, started, stopped)
    with opened(engine, name, where) as db:
        return one, report(db, plan, moments, as_of, one.erased)


def make_preference(
    engine: Engine, name: str, where: Place, as_of: datetime
) -> tuple[Experiment, Preferred]:
    """Which of two interleaved lists is preferred; see ``make_report``."""
    from serving.experiments.inputs import opened
    from serving.experiments.preferred import preferred

    one = found(engine, name)
    plan = must_be(one, "interleaved")
    stopped = None if one.stopped_at is None else from_us(one.stopped_at)
    with opened(engine, name, where) as db:
        return one, preferred(db, plan, stopped, as_of)


def off_policy(
    engine: Engine, name: str, asked: OffPolicyRequest, where: Place, now: datetime
) -> dict[str, Any]:
    """What a rule would have earned, as ``OffPolicyAnswer``.

    Raises:
        NotFoundError: there is none of the name.
        UnfitError: it is interleaved.
        FieldError: the rule names an arm that it has not.
        ContractError, SettingError: the input cannot be read.
        StateAwayError: the database cannot be reached.
    """
    from serving.experiments.inputs import opened
    from serving.experiments.policy import Rule, judged, sentence, told

    plan = must_be(found(engine, name), "randomised")
    given = {"otherwise": asked.otherwise}
    given |= {f"by_segment.{s}": arm for s, arm in asked.by_segment.items()}
    for field, arm in given.items():
        if arm not in plan.arms:
            raise FieldError(field, f"expected one of {list(plan.arms)}, got {arm!r}")
    as_of = now if asked.as_of is None else min(asked.as_of, now)
    rule = Rule(asked.by_segment, asked.otherwise)
    with opened(engine, name, where) as db:
        estimated = judged(db, plan, rule, asked.reward, as_of)
    return {
        "experiment": name,
        "as_of": f"{as_of.isoformat()}Z",
        "reward": asked.reward,
        "sentence": sentence(estimated),
        **told(estimated),
    }


def must_be(one: Experiment, kind: str) -> Plan:
    """Its plan, if it is of that kind.

    Raises:
        UnfitError: it is of another.
    """
    plan = plan_of(one.plan)
    if plan.asked.kind != kind:
        raise UnfitError(
            f"kind: expected {_ASKED_OF[kind]}, got that of an experiment that is "
            f"{plan.asked.kind}; ask for {_ASKED_OF[plan.asked.kind]}"
        )
    return plan


def answer(one: Experiment) -> dict[str, Any]:
    """An experiment as ``ExperimentAnswer``."""
    plan = plan_of(one.plan)
    return {
        "name": one.name,
        "owner": one.owner,
        "status": one.status,
        "created_at": _moment(one.created_at),
        "started_at": _moment(one.started_at),
        "stopped_at": _moment(one.stopped_at),
        "salt": plan.salt,
        "shares": plan.split.shares,
        "picks": [{"arm": arm, **vars(picks)} for arm, picks in plan.picks.items()],
        "design": None if plan.design is None else json.loads(plan.design),
        "plan": asked_json(plan.asked),
    }


def picks_answer(made: Picks) -> dict[str, Any]:
    """A version of a list as ``PicksAnswer``."""
    return {**vars(made), "at": _moment(made.at)}


def _moment(us: int | None) -> str | None:
    return None if us is None else f"{from_us(us).isoformat()}Z"
