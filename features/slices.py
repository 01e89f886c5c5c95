"""Large tables are read in slices of time, each on a connection and a thread.

What DuckDB hands out to one connection is put into Arrow by one core.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait

import duckdb

from features.connection import beside
from features.contracts import Table

SAMPLE = 10_000
"""Times of so many rows tell where to cut; a table of fewer is read in one."""


def edges_of(db: duckdb.DuckDBPyConnection, table: Table, slices: int) -> list[int]:
    """Moments, microseconds, that cut ``known_TABLE`` evenly; none if it is small.

    Which rows are drawn decides where it is cut, and nothing that is read.
    """
    shares = [n / slices for n in range(1, slices)]
    sample = (
        f"SELECT epoch_us(ts) AS us FROM known_{table.name} USING SAMPLE {SAMPLE} ROWS"
    )
    rows, edges = db.execute(
        f"SELECT count(*), quantile_disc(us, {shares}) FROM ({sample})"
    ).fetchall()[0]
    return sorted(set(edges)) if rows == SAMPLE else []


def in_slices(
    db: duckdb.DuckDBPyConnection,
    edges: Sequence[int],
    fill: Callable[[duckdb.DuckDBPyConnection, str], None],
) -> None:
    """Call ``fill`` with a connection and the SQL of each slice.

    Times and not rows, since every source has them, and an export is most often in
    their order: then no slice reads what is another's.

    Args:
        db: its own, where there is no edge; else others to the same tables, so that
            none of what is read may be temporary.
        edges: of ``edges_of``.
        fill: reads the rows of a slice; called on several threads.

    Raises:
        BaseException: of a slice that failed; the others are stopped.
    """
    if not edges:
        fill(db, "true")
        return
    moments = [f"make_timestamp({edge})" for edge in edges]
    above = ["true", *(f"ts >= {moment}" for moment in moments)]
    below = [*(f"ts < {moment}" for moment in moments), "true"]
    connections = [beside(db) for _ in above]
    with ThreadPoolExecutor(len(connections)) as pool:
        filled = [
            pool.submit(fill, connection, f"{low} AND {high}")
            for connection, low, high in zip(connections, above, below, strict=True)
        ]
        try:
            wait(filled, return_when=FIRST_EXCEPTION)
            failed = [one for one in filled if one.done() and one.exception()]
            for one in failed or filled:
                one.result()
        except BaseException:
            for connection in connections:
                connection.interrupt()
            raise
        finally:
            wait(filled)
            for connection in connections:
                connection.close()
