"""What was deleted leaves SQLite's log, or whoever asked for it is told."""

from __future__ import annotations

import sqlite3
import threading
from pathlib import Path

import pytest
from sqlalchemy import text

from features.config import StateConfig
from serving.state import database
from serving.state.database import StateAwayError


def reader(workspace: Path) -> sqlite3.Connection:
    """Reads, and stays there; may be closed by another thread."""
    raw = sqlite3.connect(workspace / "state.db", check_same_thread=False)
    raw.execute("BEGIN")
    raw.execute("SELECT count(*) FROM keys").fetchall()
    return raw


def test_a_reader_in_the_way_is_waited_for_and_then_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(database, "_PATIENCE_SECONDS", 0.4)
    engine = database.ready(tmp_path, StateConfig())
    log = tmp_path / "state.db-wal"
    stays = reader(tmp_path)
    with database.writing(engine) as connection:
        connection.execute(text("DELETE FROM tombstones"))
        connection.execute(text("INSERT INTO tombstones (hash, at) VALUES ('a', 1)"))
    with pytest.raises(StateAwayError, match="a reader that stays there"):
        database.wipe(engine)
    assert log.stat().st_size > 0
    threading.Timer(0.1, stays.close).start()
    database.wipe(engine)
    assert log.stat().st_size == 0
    database.close(engine)
