"""Plans, picks, assignments and what was shown, on SQLite and PostgreSQL."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection, Engine, func, select

from features.config import StateConfig
from serving.experiments.inputs import opened
from serving.experiments.place import Place
from serving.state import assignments, database, experiments, picks, shown, tombstones
from serving.state.assignments import Assignment
from serving.state.experiments import Experiment, UnfitError
from serving.state.picks import Line
from serving.state.shown import Shown
from serving.state.tables import ASSIGNMENTS, OF_CUSTOMERS


@pytest.fixture
def engine(tmp_path: Path, state: StateConfig) -> Iterator[Engine]:
    engine = database.ready(tmp_path, state)
    yield engine
    database.close(engine)


def draft(plan: str = "{}", at: int = 1) -> Experiment:
    return Experiment("spring", plan, "mia", "draft", at, None, None)


def make(
    engine: Engine, plan: str = "{}", overrides: dict[str, Any] | None = None
) -> Experiment:
    return experiments.create(
        engine, draft(plan), overrides or {}, "local", lambda old: old == plan
    )


def anything(*_: object) -> None:
    pass


def test_a_draft_may_change_and_what_runs_never_does(engine: Engine) -> None:
    make(engine, "a", {"anna": "model"})
    assert make(engine, "b", {"bert": None}).plan == "b"
    assert experiments.overrides_of(engine, "spring") == {"bert": None}
    started = experiments.move(engine, "spring", "running", 5, anything)
    assert started is not None and (started.status, started.started_at) == (
        "running",
        5,
    )
    with pytest.raises(UnfitError, match="running experiment"):
        make(engine, "c")
    # The same again is no harm, and starts nothing anew.
    assert make(engine, "b", {"bert": None}).started_at == 5
    assert experiments.move(engine, "spring", "running", 6, anything) == started
    stopped = experiments.move(engine, "spring", "stopped", 7, anything)
    assert stopped is not None and stopped.stopped_at == 7
    with pytest.raises(UnfitError, match="not back"):
        experiments.move(engine, "spring", "running", 8, anything)
    assert experiments.move(engine, "other", "running", 8, anything) is None


def test_what_does_not_go_together_does_not_start(engine: Engine) -> None:
    make(engine)

    def no(_: Connection, __: Experiment, others: Any) -> None:
        assert others == []
        raise UnfitError("no")

    with pytest.raises(UnfitError, match="no"):
        experiments.move(engine, "spring", "running", 5, no)
    found = experiments.find(engine, "spring")
    assert found is not None and found.status == "draft"


def test_versions_of_picks_are_kept(engine: Engine) -> None:
    first = [Line(None, None, "p1", 1), Line("family", None, "p2", 1)]
    one = picks.upload(engine, "may", first, "mia", 1)
    assert (one.version, one.lines) == (1, 2)
    # The same in another order is the same.
    assert picks.upload(engine, "may", first[::-1], "tom", 2) == one
    two = picks.upload(engine, "may", [Line(None, None, "p2", 1)], "tom", 3)
    assert (two.version, two.owner, two.sha256 == one.sha256) == (2, "tom", False)
    assert set(picks.lines_of(engine, "may", 1)) == set(first)
    assert picks.digest(picks.lines_of(engine, "may", 1)) == one.sha256
    assert picks.latest(engine, "may") == two
    assert picks.latest(engine, "june") is None


def test_the_first_moment_of_an_assignment_counts(engine: Engine) -> None:
    anna = Assignment("anna", "model", "hash", "family", 0.25)
    assignments.record(engine, "spring", [anna, anna], 10)
    assignments.record(engine, "spring", [anna, anna._replace(customer_id="bert")], 20)
    assignments.record(engine, "autumn", [anna], 30)
    columns = (ASSIGNMENTS.c.experiment, ASSIGNMENTS.c.customer_id)
    query = select(*columns, ASSIGNMENTS.c.assigned_at, ASSIGNMENTS.c.propensity)
    with database.reading(engine) as connection:
        assert set(connection.execute(query)) == {
            ("spring", "anna", 10, 0.25),
            ("spring", "bert", 20, 0.25),
            ("autumn", "anna", 30, 0.25),
        }


def test_an_event_counts_once_and_only_of_who_was_assigned(engine: Engine) -> None:
    found = [Assignment("anna", "model", "hash", None, None)]
    assignments.record(engine, "spring", found, 1)
    one = Shown("e1", "anna", "model", "p1", 1, "v1", 5)
    other_arm = one._replace(event_id="e2", arm="manual")
    stranger = one._replace(event_id="e3", customer_id="carl")
    appended, other = shown.append(
        engine, "spring", "exposure", [one, one, other_arm, stranger], 6
    )
    assert (appended.accepted, appended.duplicates, other) == (2, 1, 1)
    assert list(appended.refused) == [3]
    again, _ = shown.append(
        engine, "spring", "exposure", [one, one._replace(product_id="p2")], 7
    )
    assert (again.accepted, again.duplicates, list(again.refused)) == (0, 1, [1])
    # A click may have the id of its exposure.
    clicked, _ = shown.append(engine, "spring", "click", [one], 8)
    assert clicked.accepted == 1


def test_an_erasure_leaves_no_row_and_keeps_later_ones_out(engine: Engine) -> None:
    make(engine, overrides={"anna": "model", "bert": None})
    both = [Assignment(c, "model", "hash", None, None) for c in ("anna", "bert")]
    assignments.record(engine, "spring", both, 1)
    seen = Shown("e1", "anna", None, "p1", 1, None, 2)
    rows = [seen, seen._replace(event_id="e2", customer_id="bert")]
    shown.append(engine, "spring", "exposure", rows, 3)
    lines = [Line(None, c, "p1", 1) for c in ("anna", "bert")]
    picks.upload(engine, "may", lines, "mia", 1)
    assert tombstones.erase(engine, "anna", 9).events == 1

    assignments.record(engine, "spring", both, 10)
    again, _ = shown.append(engine, "spring", "click", [seen], 11)
    assert "erased" in again.refused[0]
    assert picks.upload(engine, "may", lines, "mia", 12).lines == 1
    make(engine, "new", {"anna": "model"})
    with database.reading(engine) as connection:
        for table in OF_CUSTOMERS:
            query = select(func.count()).where(table.c.customer_id == "anna")
            assert connection.execute(query).scalar_one() == 0, table.name
    assert {line.customer_id for line in picks.lines_of(engine, "may", 1)} == {"bert"}


def test_reports_read_their_own_events_and_designs_all_of_them(engine: Engine) -> None:
    seen = Shown("e1", "anna", "model", "p1", 1, "v1", 5)
    for name in ("spring", "autumn"):
        drawn = [Assignment("anna", "model", "hash", "family", 0.25)]
        assignments.record(engine, name, drawn, 1)
        events = [seen, seen._replace(event_id="e2", arm="manual")]
        shown.append(engine, name, "exposure", events, 6)
        shown.append(engine, name, "click", [seen._replace(arm=None)], 6)

    def counted(experiment: str | None, *views: str) -> list[int]:
        with opened(engine, experiment, Place()) as db:
            rows = [db.execute(f"SELECT count(*) FROM {v}").fetchall() for v in views]
        return [row[0][0] for row in rows]

    own = ("assigned", "exposures", "astray_exposures", "clicks", "bought")
    assert counted("spring", *own) == [1, 1, 1, 1, 0]
    # Of two experiments, and ids that are the same stay apart.
    assert counted(None, "assigned", "clicks", "exposures") == [0, 2, 4]
    with opened(engine, None, Place()) as db:
        ids = db.execute("SELECT count(DISTINCT event_id) FROM exposures").fetchall()
    assert ids == [(4,)]


def test_of_those_drawn_it_is_counted_who_was_erased(engine: Engine) -> None:
    make(engine)
    for customer, why in (("anna", "hash"), ("bert", "hash"), ("staff", "override")):
        one = Assignment(customer, "model", why, None, None)
        assignments.record(engine, "spring", [one], 10)
    # Twice the same, one who was put there, and one who never was.
    for customer in ("anna", "anna", "staff", "nobody"):
        tombstones.erase(engine, customer, 20)
    found = experiments.find(engine, "spring")
    assert found is not None and found.erased == 1
