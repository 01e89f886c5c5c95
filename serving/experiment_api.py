"""``/v1/experiments`` and ``/v1/picks``: from a plan to a report."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from datetime import datetime
from typing import TYPE_CHECKING

from pydantic_core import to_json
from sqlalchemy import Engine

from features.contracts import ContractError, SettingError
from features.snapshot import to_us
from serving import experiment_work as work
from serving.answering import Answering
from serving.arm_lists import ArmLists, Slot, segment_of
from serving.asgi import ApiError, Call, Reply, Route, Routes
from serving.auth import away
from serving.events import AHEAD
from serving.experiment_design_schema import DesignRequest
from serving.experiment_memory import Running
from serving.experiment_reports import Reports
from serving.experiment_schema import (
    INTERLEAVED,
    AssignmentsRequest,
    ExperimentRequest,
    ExposuresRequest,
    OffPolicyRequest,
    OutcomesRequest,
    PicksRequest,
    PreferenceQuery,
    ReportQuery,
    StatusRequest,
)
from serving.experiments.assign import Assigned
from serving.experiments.place import Place
from serving.published import Published
from serving.query import parameters_of
from serving.state import assignments, deals, shown
from serving.state.database import StateAwayError
from serving.state.experiments import UnfitError
from serving.state.shown import Kind, Shown

if TYPE_CHECKING:
    from serving.experiments.preferred import Preferred
    from serving.experiments.report import Report

logger = logging.getLogger("repurchase.serving")

HTML = b"text/html; charset=utf-8"
_STYLED = (
    b"content-security-policy",
    b"default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'",
)
"""The page brings its style along; it still loads and runs nothing."""

_EARLIEST_US = to_us(datetime(1900, 1, 1))
_TS = "ts: expected a moment from 1900 to a day from now, got another"


class Experiments:
    """The endpoints.

    Args:
        answering: from what.
        engine: where experiments are.
        place: where purchases are.
        max_bytes: of picks, exposures and clicks.
    """

    def __init__(
        self, answering: Answering, engine: Engine, place: Place, max_bytes: int
    ) -> None:
        self._from = answering
        self._engine = engine
        self._place = place
        self._max_bytes = max_bytes
        self._running = Running(engine, lambda: answering.erased.count)
        self._computing = threading.Lock()
        self._reports: Reports[Report] = Reports(
            engine,
            place,
            lambda: answering.erased.count,
            lambda name, as_of: work.make_report(engine, name, place, as_of),
            self._alone,
        )

        self._preferences: Reports[Preferred] = Reports(
            engine,
            place,
            lambda: answering.erased.count,
            lambda name, as_of: work.make_preference(engine, name, place, as_of),
            self._alone,
        )

    @property
    def routes(self) -> Routes:
        """The paths."""
        own = "/v1/experiments/{name}"

        def write(handler: Callable[[Call], Reply]) -> Route:
            limit = self._max_bytes
            return Route(handler, "write", True, limit, with_call=True)

        def read(handler: Callable[[Call], Reply]) -> Route:
            return Route(handler, "read", in_thread=True, with_call=True)

        return {
            "/v1/picks": {"POST": write(self.picks)},
            "/v1/experiment-designs": {"POST": read(self.design)},
            "/v1/experiments": {"POST": write(self.create)},
            own: {"GET": read(self.experiment)},
            f"{own}/status": {"POST": write(self.status)},
            f"{own}/assignments": {"POST": write(self.assignments)},
            f"{own}/exposures": {"POST": write(self.exposures)},
            f"{own}/outcomes": {"POST": write(self.outcomes)},
            f"{own}/report": {"GET": read(self.report)},
            f"{own}/off-policy": {"POST": read(self.off_policy)},
            f"{own}/preference": {"GET": read(self.preference)},
        }

    def picks(self, call: Call) -> Reply:
        """``POST /v1/picks``."""
        asked = PicksRequest.model_validate_json(call.body)
        with _told():
            made = work.upload(self._engine, asked, self._from.now_us())
        return Reply(200, to_json(work.picks_answer(made)))

    def create(self, call: Call) -> Reply:
        """``POST /v1/experiments``: a draft."""
        asked = ExperimentRequest.model_validate_json(call.body)
        with _told(), self._alone(needed=asked.design is not None):
            now_us = self._from.now_us()
            made = work.create(self._engine, asked, call.who, now_us, self._place)
        return Reply(200, to_json(work.answer(made)))

    def design(self, call: Call) -> Reply:
        """``POST /v1/experiment-designs``: what a test could find; nothing is kept."""
        asked = DesignRequest.model_validate_json(call.body)
        now = self._from.now()
        with _told(), self._alone():
            found = work.sketch(self._engine, asked, now, self._place)
        return Reply(200, to_json(found))

    def experiment(self, call: Call) -> Reply:
        """``GET /v1/experiments/{name}``."""
        with _told():
            one = work.found(self._engine, call.parameter)
        return Reply(200, to_json(work.answer(one)))

    def status(self, call: Call) -> Reply:
        """``POST …/status``: starts or stops it."""
        asked = StatusRequest.model_validate_json(call.body)
        with _told():
            now_us = self._from.now_us()
            moved = work.move(self._engine, call.parameter, asked.status, now_us)
        return Reply(200, to_json(work.answer(moved)))

    def assignments(self, call: Call) -> Reply:
        """``POST …/assignments``: arms, and what they show; kept before the reply."""
        asked = AssignmentsRequest.model_validate_json(call.body)
        published = self._from.served()
        with _told():
            one = work.found(self._engine, call.parameter)
            held = self._running.of(one)
            # Who was erased is drawn as anybody unknown is, and not kept.
            drawn = work.draw(held.running, asked.customer_ids)
            plan, now_us = held.running.plan, self._from.now_us()
            lists = ArmLists(self._from, published, plan, held.picks)
            inside = [d for d in drawn if d.why != "outside layer"]
            kept = [work.kept(published, d, plan) for d in inside]
            assignments.record(self._engine, one.name, kept, now_us)
            shows, origins = _shows(lists, published, drawn)
            if origins:
                deals.record(self._engine, one.name, origins, now_us)
        found = [
            {
                "customer_id": d.customer_id,
                "arm": d.arm,
                "why": d.why,
                "list_version": lists.version(d.arm),
                "items": items,
            }
            for d, items in zip(drawn, shows, strict=True)
        ]
        head = self._from.head(published)
        answer = {**head, "experiment": one.name, "assignments": found}
        return Reply(200, to_json(answer))

    def exposures(self, call: Call) -> Reply:
        """``POST …/exposures``: what is accepted is on disk."""
        asked = ExposuresRequest.model_validate_json(call.body)
        lines = [
            Shown(
                one.event_id,
                one.customer_id,
                one.arm,
                one.product_id,
                one.position,
                one.list_version,
                to_us(one.ts),
            )
            for one in asked.exposures
        ]
        return self._logged(call, "exposure", lines)

    def outcomes(self, call: Call) -> Reply:
        """``POST …/outcomes``: clicks; what is accepted is on disk."""
        asked = OutcomesRequest.model_validate_json(call.body)
        lines = [
            Shown(
                one.event_id,
                one.customer_id,
                None,
                one.product_id,
                one.position,
                None,
                to_us(one.ts),
            )
            for one in asked.outcomes
        ]
        return self._logged(call, "click", lines)

    def _logged(self, call: Call, kind: Kind, lines: Sequence[Shown]) -> Reply:
        now = self._from.now()
        latest = to_us(now + AHEAD)
        good = [i for i, e in enumerate(lines) if _EARLIEST_US <= e.ts <= latest]
        with _told():
            one = work.found(self._engine, call.parameter)
            if one.status == "draft":
                raise UnfitError("status: expected a started experiment, got a draft")
            appended, other = shown.append(
                self._engine, one.name, kind, [lines[i] for i in good], to_us(now)
            )
        refused = dict.fromkeys(set(range(len(lines))) - set(good), _TS)
        refused |= {good[i]: said for i, said in appended.refused.items()}
        answer = {
            "accepted": appended.accepted,
            "duplicate": appended.duplicates,
            "rejected": len(refused),
            "other_arm": other,
            "rejections": [
                {"index": i, "event_id": lines[i].event_id, "reason": refused[i]}
                for i in sorted(refused)
            ],
        }
        return Reply(200, to_json(answer))

    def report(self, call: Call) -> Reply:
        """``GET …/report``: JSON, or a page."""
        query = ReportQuery.model_validate(parameters_of(call.query))
        with _told():
            one = work.found(self._engine, call.parameter)
            work.must_be(one, "randomised")
            one, found = self._reports.of(one, query.as_of, self._from.now)
        if query.format == "html":
            from serving.experiments.page import page

            body = page(found, one.status).encode()
            return Reply(200, body, HTML, (_STYLED,))
        from serving.experiments.told import told

        return Reply(200, to_json({"status": one.status, **told(found)}))

    def off_policy(self, call: Call) -> Reply:
        """``POST …/off-policy``: what a rule would have earned; nothing is kept."""
        asked = OffPolicyRequest.model_validate_json(call.body)
        now = self._from.now()
        with _told(), self._alone():
            found = work.off_policy(
                self._engine, call.parameter, asked, self._place, now
            )
        return Reply(200, to_json(found))

    def preference(self, call: Call) -> Reply:
        """``GET …/preference``: which of two interleaved lists is preferred."""
        query = PreferenceQuery.model_validate(parameters_of(call.query))
        with _told():
            one = work.found(self._engine, call.parameter)
            work.must_be(one, "interleaved")
            one, found = self._preferences.of(one, query.as_of, self._from.now)
        from serving.experiments.preferred import told

        return Reply(200, to_json({"status": one.status, **told(found)}))

    @contextmanager
    def _alone(self, *, needed: bool = True) -> Generator[None]:
        """One computation at a time: each may take all the memory it is allowed.

        Raises:
            ApiError: 503, another one is at work.
        """
        if not needed:
            yield
            return
        if not self._computing.acquire(blocking=False):
            raise ApiError(
                503,
                "busy",
                "report: expected one report or design at a time, got more; try again",
                headers=((b"retry-after", b"5"),),
            )
        try:
            yield
        finally:
            self._computing.release()


def _shows(
    lists: ArmLists, published: Published, drawn: Sequence[Assigned]
) -> tuple[list[list[Slot]], dict[tuple[str, str], str]]:
    """What each customer is shown, and which arm gave what of interleaved lists."""
    shows: list[list[Slot]] = []
    origins: dict[tuple[str, str], str] = {}
    for d in drawn:
        row = published.customers.row(d.customer_id)
        known = (d.customer_id, row, segment_of(published, row))
        if d.arm == INTERLEAVED:
            items, arms = lists.dealt(*known)
            for slot, arm in zip(items, arms, strict=True):
                origins[d.customer_id, slot["product_id"]] = arm
        else:
            items = lists.items(d.arm, *known)
        shows.append(items)
    return shows, origins


@contextmanager
def _told() -> Generator[None]:
    """Errors of the work as errors of the API.

    Raises:
        ApiError: 404, 409, 422 or 503.
    """
    try:
        yield
    except work.NotFoundError:
        raise ApiError(
            404, "not_found", "name: expected that of an experiment, got another"
        ) from None
    except work.FieldError as error:
        raise ApiError(422, "invalid", str(error), error.field) from None
    except UnfitError as error:
        field = str(error).partition(":")[0]
        raise ApiError(409, "conflict", str(error), field) from None
    except StateAwayError:
        raise away() from None
    except (ContractError, SettingError) as error:
        # It names files and folders: not for whoever asks.
        logger.error("experiments: %s", error)
        said = "the input tables cannot be read; the service's log says why"
        raise ApiError(503, "no_input", said) from None
