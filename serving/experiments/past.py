"""The shop's own history, as a design needs it: a past window, and who came when."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta

import duckdb
import ibis

from features.sql import identifier, quoted
from serving.experiments.analyze import Question, prepare, varies
from serving.experiments.design import Baseline, baseline
from serving.experiments.measures import Measure
from serving.experiments.moments import read_moments
from serving.experiments.outcome_sql import CUSTOMERS, Window, known, moment
from serving.experiments.outcomes import Sources, build, columns_of

_ALL = "past"
_ELIGIBLE = "_eligible"


def past_baselines(
    db: duckdb.DuckDBPyConnection,
    purchases: str,
    window: Window,
    measures: tuple[Measure, ...],
    *,
    exposures: str | None = None,
    clicks: str | None = None,
    adjust: bool = True,
) -> dict[str, Baseline]:
    """Baselines of the last whole window before ``window.as_of``.

    Of all who had bought before it. Makes the temporary tables of ``outcomes.build``.

    Args:
        db: see ``outcomes.build``.
        purchases: name of the table.
        window: its length is that of the experiment; strata are ignored.
        measures: what may be compared.
        exposures: see ``outcomes.Sources``; None: no click rate.
        clicks: the same.
        adjust: the analysis will use the measures' covariates.

    Returns:
        By measure; those that were undefined or never varied are missing.
    """
    start = window.as_of - timedelta(days=window.days)
    db.execute(
        f"""CREATE OR REPLACE TEMP VIEW {_ELIGIBLE} AS
        SELECT customer_id, {quoted(_ALL)} AS arm, {moment(start)} AS assigned_at
        FROM {identifier(purchases)} AS p WHERE ts < {moment(start)}
            AND {known(columns_of(db, purchases), window.as_of, "p")}
        GROUP BY customer_id"""
    )
    whole = replace(window, mature=True, strata=())
    build(db, Sources(_ELIGIBLE, purchases, exposures, clicks), whole)
    db.execute(f"DROP VIEW {_ELIGIBLE}")
    rows = ibis.duckdb.from_connection(db).table(CUSTOMERS)
    if not measures:
        return {}
    question = Question(_ALL, (), measures[0], measures[1:], adjust=adjust)
    prepared, columns, _ = prepare(rows, question)
    moments = read_moments(prepared, columns, ["arm"]).get((_ALL,))
    if moments is None:
        return {}
    varying = varies([moments])
    found: dict[str, Baseline] = {}
    for measure in measures:
        if not set(measure.columns) & set(varying):
            continue
        covariates = tuple(c for c in measure.covariates if adjust and c in varying)
        found[measure.name] = baseline(measure, moments, covariates)
    return found


def arrivals(
    db: duckdb.DuckDBPyConnection, visits: str, start: datetime, days: int
) -> list[int]:
    """Customers who came for the first time since ``start``, by day.

    The arrival curve of an experiment whose customers are drawn when they come.

    Args:
        db: times are UTC.
        visits: any table with ``customer_id`` and ``ts``, such as ``purchases``.
        start: of the first day.
        days: length of the curve; later rows are not read.
    """
    found = db.execute(
        f"""SELECT (epoch_us(first) - epoch_us({moment(start)})) // 86400000000, count(*)
        FROM (
            SELECT min(ts) AS first FROM {identifier(visits)}
            WHERE ts >= {moment(start)}
                AND ts < {moment(start + timedelta(days=days))}
            GROUP BY customer_id
        ) GROUP BY ALL"""
    ).fetchall()
    by_day = {int(day): int(n) for day, n in found}
    return [by_day.get(day, 0) for day in range(days)]
