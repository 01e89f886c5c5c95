"""Commands on the state of the service: API keys, and the log of events."""

from __future__ import annotations

import time
from collections.abc import Generator
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from features.config import Config
from features.contracts import SettingError
from serving.options import ConfigFile, Overrides, load, new_console

if TYPE_CHECKING:
    from sqlalchemy import Engine

keys = typer.Typer(help="API keys: create, list, revoke.", no_args_is_help=True)
events = typer.Typer(help="What /v1/events took up.", no_args_is_help=True)


class _Scope(StrEnum):
    """Scopes, as Typer takes several of them."""

    read = "read"
    write = "write"
    admin = "admin"


@keys.command()
def create(
    scope: Annotated[
        list[_Scope],
        typer.Option(
            help="read: ask; write: send events; admin: everything. Repeatable."
        ),
    ],
    name: Annotated[str, typer.Option(help="Who uses it.")],
    config: ConfigFile = None,
    overrides: Overrides = None,
) -> None:
    """Make a key and print it: this once, only its hash is kept."""
    from serving.state import keys as state_keys

    with _state(load(config, overrides)) as engine:
        key = state_keys.create(engine, name, [one.value for one in scope], _now_us())
    print(key)  # noqa: T201 - alone on its line, for scripts


@keys.command("list")
def list_keys(config: ConfigFile = None, overrides: Overrides = None) -> None:
    """Print every key without its secret, the revoked ones too."""
    from rich.table import Table

    from features.snapshot import from_us
    from serving.state import keys as state_keys

    with _state(load(config, overrides)) as engine:
        found = state_keys.every(engine)
    table = Table("prefix", "name", "scopes", "created (UTC)", "revoked (UTC)")
    for key in found:
        moments = [
            "" if us is None else f"{from_us(us):%Y-%m-%d %H:%M}"
            for us in (key.created_at, key.revoked_at)
        ]
        table.add_row(key.prefix, key.name, " ".join(sorted(key.scopes)), *moments)
    new_console().print(table if found else "no keys", markup=False)


@keys.command()
def revoke(
    prefix: Annotated[str, typer.Argument(help="Of the key, as `list` shows it.")],
    config: ConfigFile = None,
    overrides: Overrides = None,
) -> None:
    """Put a key out of force for good; services notice within seconds."""
    from serving.state import keys as state_keys

    with _state(load(config, overrides)) as engine:
        key = state_keys.revoke(engine, prefix, _now_us())
    new_console().print(f"revoked: {key.prefix} ({key.name})", markup=False)


@events.command()
def export(
    out: Annotated[
        Path, typer.Option(help="Folder of input tables; that of `data`, mostly.")
    ],
    config: ConfigFile = None,
    overrides: Overrides = None,
) -> None:
    """Write all events as input tables, for the next build.

    A table that is not there yet becomes a file, TABLE.parquet. Where TABLE.parquet
    is a folder of files, events.parquet is added to it. Writing again replaces what
    was written before; a file of somebody else's is never touched.
    """
    from serving.state import export as exports

    settings = load(config, overrides)
    with _state(settings) as engine:
        written = exports.export(settings, engine, out)
    console = new_console()
    for file, rows in written.items():
        console.print(f"{file}: {rows:,} rows", soft_wrap=True, markup=False)
    if not written:
        console.print("no events")


@contextmanager
def _state(config: Config) -> Generator[Engine]:
    """The state's database while a command uses it.

    Raises:
        SettingError: it cannot be reached.
    """
    from serving.state import database

    engine = database.ready(config.workspace, config.state)
    try:
        yield engine
    except database.StateAwayError as error:
        raise SettingError(
            f"state: expected a database that answers, got {error}; try again"
        ) from None
    finally:
        database.close(engine)


def _now_us() -> int:
    return time.time_ns() // 1000
