"""Opens the database of the state, and brings its tables up to date.

SQLite in WAL mode by default: readers do not wait for the writer, and a commit is
on disk (``synchronous=FULL``) before it returns. PostgreSQL by its address.
"""

from __future__ import annotations

import contextlib
import sqlite3
import time
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from alembic import command
from alembic.config import Config as Alembic
from alembic.util.exc import CommandError
from sqlalchemy import Connection, Engine, create_engine, event, exc, text
from sqlalchemy.engine.interfaces import DBAPIConnection, DBAPICursor
from sqlalchemy.pool import ConnectionPoolEntry

from features.config import StateConfig
from features.contracts import SettingError
from features.database import Database

_FILE = "state.db"

_PATIENCE_SECONDS = 5
"""For a lock, a server that does not answer, or a free connection."""

_PAUSE_SECONDS = 0.005

_WRITES = "repurchase_writes"

_LOCK = 0x7265_7075_7263
"""PostgreSQL: the advisory lock of whoever writes; any number that is ours."""

_AWAY = (exc.OperationalError, exc.InterfaceError, exc.InternalError, exc.TimeoutError)


class StateAwayError(Exception):
    """The database cannot be reached, is locked, or has no room; try again."""


def file_of(workspace: Path) -> Path:
    """Where SQLite keeps the state."""
    return workspace / _FILE


def open_state(workspace: Path, config: StateConfig) -> Engine:
    """The database, not yet connected to; ``upgrade`` before its first use.

    Args:
        workspace: holds ``state.db``, unless there is an address.
        config: says which database.

    Raises:
        SettingError: the extra postgres is not installed, or there is no workspace
            and none can be made.
    """
    if config.url is not None:
        return _postgres(config.url)
    file = file_of(workspace)
    try:
        workspace.mkdir(parents=True, exist_ok=True)
        # It holds what customers do: for nobody else's eyes.
        file.touch(mode=0o600)
    except OSError as error:
        raise SettingError(
            f"workspace: expected a folder that can be written, got {workspace} "
            f"({error.strerror}); choose another one"
        ) from None
    return _sqlite(file)


def _sqlite(file: Path) -> Engine:
    engine = create_engine(
        f"sqlite:///{file.absolute()}",
        connect_args={"timeout": _PATIENCE_SECONDS, "check_same_thread": False},
        pool_timeout=_PATIENCE_SECONDS,
        hide_parameters=True,
    )

    @event.listens_for(engine, "connect")
    def _(raw: DBAPIConnection, __: ConnectionPoolEntry) -> None:
        # Python's driver would begin transactions by itself, and too late.
        setattr(raw, "isolation_level", None)  # noqa: B010 - the type knows no such name
        cursor = raw.cursor()
        _to_wal(cursor)
        # What is deleted is overwritten, and cut off the log once its pages are in
        # the file: it may be a customer's who was erased.
        for setting in (
            "synchronous=FULL",
            "fullfsync=ON",
            "secure_delete=ON",
            "journal_size_limit=0",
        ):
            cursor.execute(f"PRAGMA {setting}")
        cursor.close()

    @event.listens_for(engine, "begin")
    def _(connection: Connection) -> None:
        # A transaction that first reads and then writes would fail where another
        # wrote in between; one that takes the lock at once waits for it.
        writes = connection.get_execution_options().get(_WRITES)
        connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")

    return engine


def _to_wal(cursor: DBAPICursor) -> None:
    """Asks again where others do the same at once: SQLite lets none of them wait."""
    ends = time.monotonic() + _PATIENCE_SECONDS
    while True:
        try:
            cursor.execute("PRAGMA journal_mode=WAL")
            return
        except sqlite3.OperationalError:
            if time.monotonic() > ends:
                raise
            time.sleep(_PAUSE_SECONDS)


def _postgres(url: str) -> Engine:
    try:
        import psycopg
        from psycopg.conninfo import conninfo_to_dict
    except ImportError:
        raise SettingError(
            "state.url: expected the package's extra postgres for a PostgreSQL "
            "database, got an installation without; pip install 'repurchase[postgres]'"
        ) from None
    database = Database.parse(url)
    # By libpq, so that address, passfile and environment mean the same everywhere.
    options: dict[str, Any] = conninfo_to_dict(database.url)
    if "connect_timeout" not in url:
        options["connect_timeout"] = _PATIENCE_SECONDS
    wait = _PATIENCE_SECONDS * 1000
    ours = f"-c lock_timeout={int(wait)} -c statement_timeout={int(2 * wait)}"
    options["options"] = f"{ours} {options.get('options', '')}"
    options.setdefault("tcp_user_timeout", int(2 * wait))

    def connect() -> psycopg.Connection[Any]:
        connection = psycopg.connect(**options)
        if database.schema:
            connection.execute(
                "SELECT set_config('search_path', quote_ident(%s), false)",
                (database.schema,),
            )
        # What is acknowledged is on disk, whatever the server is used to.
        connection.execute(
            "SELECT set_config('synchronous_commit', 'on', false) "
            "WHERE current_setting('synchronous_commit') = 'off'"
        )
        connection.commit()
        return connection

    return create_engine(
        "postgresql+psycopg://",
        creator=connect,
        # A restarted server costs a new connection and not a failed request.
        pool_pre_ping=True,
        pool_timeout=_PATIENCE_SECONDS,
        # Of a statement that fails, no customer's id is in the log.
        hide_parameters=True,
    )


@contextmanager
def reading(engine: Engine) -> Generator[Connection]:
    """A connection to read on; all that is read is of one moment on SQLite.

    Raises:
        StateAwayError: the database cannot be reached.
    """
    with _told(), engine.begin() as connection:
        yield connection


@contextmanager
def writing(engine: Engine) -> Generator[Connection]:
    """A transaction that is on disk when it ends without an error.

    One at a time writes, over all processes and replicas. So sequence numbers
    become visible in their order: a reader that has seen one has seen all before,
    which a sequence of PostgreSQL alone does not promise.

    Raises:
        StateAwayError: the database cannot be reached, or others write for too long;
            nothing of the transaction is there, or, if the connection broke during
            the commit, all of it may be.
    """
    with (
        _told(),
        engine.execution_options(**{_WRITES: True}).begin() as connection,
    ):
        if engine.dialect.name == "postgresql":
            # Held until after the commit can be seen.
            connection.execute(text(f"SELECT pg_advisory_xact_lock({_LOCK})"))
        yield connection


def wipe(engine: Engine) -> None:
    """Leaves nothing of what was deleted in the log beside SQLite's file.

    It waits a while for those who still read there. PostgreSQL does it by itself
    (autovacuum).

    Raises:
        StateAwayError: the database cannot be reached, or somebody reads there for too
            long: what was deleted is gone from every answer, and may still be in the log
            until somebody wipes again.
    """
    if engine.dialect.name != "sqlite":
        return
    with _told():
        raw = engine.raw_connection()
        try:
            ends = time.monotonic() + _PATIENCE_SECONDS
            # A checkpoint that others keep from its work says so in its row; it is no
            # error of SQLite's.
            while raw.cursor().execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0]:
                if time.monotonic() > ends:
                    raise StateAwayError(
                        "state: expected to overwrite what was deleted in the log beside "
                        "the database, got a reader that stays there; do it again"
                    )
                time.sleep(_PAUSE_SECONDS)
        finally:
            raw.close()


@contextmanager
def _told() -> Generator[None]:
    try:
        yield
    except _AWAY as error:
        cause = getattr(error, "orig", None) or error
        raise StateAwayError(" ".join(str(cause).split())) from error


def upgrade(engine: Engine) -> None:
    """Makes or changes the tables to what this version needs.

    Several processes may do it at once: the first does it, the others wait.

    Raises:
        SettingError: the database is one of a later version.
        StateAwayError: it cannot be reached.
    """
    # No file: the folder is found wherever the package is installed.
    settings = Alembic()
    settings.set_main_option("script_location", "serving.state:migrations")
    with writing(engine) as connection:
        settings.attributes["connection"] = connection
        try:
            command.upgrade(settings, "head")
        except CommandError as error:
            raise SettingError(
                f"state: expected a database of this version or an earlier one, got "
                f"{error}; install the version that made it"
            ) from None


def ready(workspace: Path, config: StateConfig) -> Engine:
    """The database, up to date.

    Raises:
        SettingError: it cannot be opened, in one line.
    """
    engine = open_state(workspace, config)
    try:
        upgrade(engine)
    except (StateAwayError, exc.DatabaseError) as error:
        engine.dispose()
        place = str(file_of(workspace))
        if config.url is not None:
            place = str(Database.parse(config.url))
        said = " ".join(str(getattr(error, "orig", None) or error).split())
        said = said.partition(" Is the server running")[0].rstrip(". ")
        raise SettingError(
            f"state: expected a database at {place} in which tables can be made, got "
            f"{said}; check server, name, schema, user, password and permissions"
        ) from None
    return engine


def close(engine: Engine) -> None:
    """Gives the connections back; what SQLite keeps beside its file goes into it."""
    with contextlib.suppress(exc.SQLAlchemyError):
        engine.dispose()
