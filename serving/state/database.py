"""Opens the database of the state, and brings its tables up to date.

SQLite in WAL mode by default: readers do not wait for the writer, and a commit is
on disk (``synchronous=FULL``) before it returns. PostgreSQL by its address.
"""

from __future__ import annotations

import contextlib
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from alembic import command
from alembic.config import Config as Alembic
from alembic.util.exc import CommandError
from sqlalchemy import Connection, Engine, create_engine, event, exc, text
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.pool import ConnectionPoolEntry

from features.config import StateConfig
from features.contracts import SettingError
from features.database import Database

_FILE = "state.db"

_PATIENCE_SECONDS = 5
"""For a lock, a server that does not answer, or a free connection."""

_WRITES = "repurchase_writes"

_LOCK = 0x7265_7075_7263
"""PostgreSQL: the advisory lock of whoever writes; any number that is ours."""

_AWAY = (exc.OperationalError, exc.InterfaceError, exc.InternalError, exc.TimeoutError)


class StateAwayError(Exception):
    """The database cannot be reached, is locked, or has no room; try again."""


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
        return _postgres(Database.parse(config.url))
    try:
        workspace.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise SettingError(
            f"workspace: expected a folder that can be written, got {workspace} "
            f"({error.strerror}); choose another one"
        ) from None
    return _sqlite(workspace / _FILE)


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
        for setting in ("journal_mode=WAL", "synchronous=FULL", "fullfsync=ON"):
            cursor.execute(f"PRAGMA {setting}")
        cursor.close()

    @event.listens_for(engine, "begin")
    def _(connection: Connection) -> None:
        # A transaction that first reads and then writes would fail where another
        # wrote in between; one that takes the lock at once waits for it.
        writes = connection.get_execution_options().get(_WRITES)
        connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")

    return engine


def _postgres(database: Database) -> Engine:
    try:
        import psycopg
    except ImportError:
        raise SettingError(
            "state.url: expected the package's extra postgres for a PostgreSQL "
            "database, got an installation without; pip install 'repurchase[postgres]'"
        ) from None
    wait = _PATIENCE_SECONDS * 1000
    settings = [f"-c lock_timeout={wait}", f"-c statement_timeout={2 * wait}"]
    if database.schema:
        settings.append(f"-c search_path={database.schema}")
    options: dict[str, Any] = {
        "connect_timeout": _PATIENCE_SECONDS,
        "tcp_user_timeout": 2 * wait,
        "options": " ".join(settings),
    }

    def connect() -> psycopg.Connection[Any]:
        # By libpq, so that its address, passfile and environment mean the same.
        connection = psycopg.connect(database.url, **options)
        _, is_off = connection.execute(
            "SELECT current_setting('synchronous_commit'), "
            "current_setting('synchronous_commit') = 'off'"
        ).fetchone() or ("", False)
        if is_off:
            # What is acknowledged is on disk, whatever the server is used to.
            connection.execute("SET synchronous_commit = on")
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
    except StateAwayError as error:
        engine.dispose()
        place = str(workspace / _FILE)
        if config.url is not None:
            place = str(Database.parse(config.url))
        raise SettingError(
            f"state: expected a database at {place}, got {_brief(error)}; check "
            "server, name, user, password and permissions"
        ) from None
    return engine


def _brief(error: StateAwayError) -> str:
    said = str(error).partition(" Is the server running")[0]
    return said.rstrip(". ")


def close(engine: Engine) -> None:
    """Gives the connections back; what SQLite keeps beside its file goes into it."""
    with contextlib.suppress(exc.SQLAlchemyError):
        engine.dispose()
