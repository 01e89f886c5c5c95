"""Commands on the state of the service: API keys, events, audits, erasures."""

from __future__ import annotations

import time
from collections.abc import Generator
from contextlib import contextmanager, suppress
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from features.config import Config
from features.contracts import ContractError, SettingError
from serving.options import ConfigFile, Overrides, load, new_console

if TYPE_CHECKING:
    from sqlalchemy import Engine

keys = typer.Typer(help="API keys: create, list, revoke.", no_args_is_help=True)
audits = typer.Typer(help="Who pulled which list of customers.", no_args_is_help=True)
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

    with opened_state(load(config, overrides)) as engine:
        key = state_keys.create(engine, name, [one.value for one in scope], now_us())
    print(key)  # noqa: T201 - alone on its line, for scripts


@keys.command("list")
def list_keys(config: ConfigFile = None, overrides: Overrides = None) -> None:
    """Print every key without its secret, the revoked ones too."""
    from rich.table import Table

    from features.snapshot import from_us
    from serving.state import keys as state_keys

    with opened_state(load(config, overrides)) as engine:
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

    with opened_state(load(config, overrides)) as engine:
        key = state_keys.revoke(engine, prefix, now_us())
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
    with opened_state(settings) as engine:
        written = exports.export(settings, engine, out)
    console = new_console()
    for file, rows in written.items():
        console.print(f"{file}: {rows:,} rows", soft_wrap=True, markup=False)
    if not written:
        console.print("no events")


@audits.command("list")
def list_audits(
    most: Annotated[int, typer.Option(min=1, help="Of the newest, so many.")] = 100,
    config: ConfigFile = None,
    overrides: Overrides = None,
) -> None:
    """Print who pulled which list of customers, the newest first."""
    from rich.table import Table

    from features.snapshot import from_us
    from serving.state import audits as state_audits

    with opened_state(load(config, overrides)) as engine:
        found = state_audits.latest(engine, most)
    table = Table("at (UTC)", "who", "goal", "customers", "asked", "version")
    for one in found:
        at, count = f"{from_us(one.at):%Y-%m-%d %H:%M:%S}", f"{one.customers:,}"
        table.add_row(at, one.who, one.goal, count, one.asked, one.version)
    new_console().print(table if found else "no lists", markup=False)


def forget(
    customer_id: Annotated[str, typer.Argument(help="Of the customer to erase.")],
    config: ConfigFile = None,
    overrides: Overrides = None,
) -> None:
    """Erase a customer, and print the receipt as JSON.

    Gone from all answers within seconds; their events are deleted and later ones
    refused; builds leave them out, and the next publish removes earlier versions
    that hold them. Nothing of the id is kept but a salted hash.
    """
    import json

    from serving.erasure import receipt, unfit
    from serving.published import Published, current_version
    from serving.state import tombstones

    settings = load(config, overrides)
    if said := unfit(customer_id):
        raise SettingError(f"customer_id: {said}; check it")
    with opened_state(settings) as engine:
        # First of all: a damaged version must not stand in the way.
        erasure = tombstones.erase(engine, customer_id, now_us())
    known: bool | None = None
    if current_version(settings.workspace) is None:
        known = False
    else:
        with suppress(ContractError):
            current = Published.open(settings.workspace)
            known = current.customers.row(customer_id) is not None
    found = receipt(erasure, was_published=known)
    print(json.dumps(found, indent=1))  # noqa: T201 - for scripts


@contextmanager
def opened_state(config: Config) -> Generator[Engine]:
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


def now_us() -> int:
    """Microseconds since 1970-01-01 UTC."""
    return time.time_ns() // 1000
