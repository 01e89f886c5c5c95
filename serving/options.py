"""What the commands share: options, and how they speak."""

from __future__ import annotations

from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from features import config as configuration
from features.config import Config
from features.database import parse_data

ConfigFile = Annotated[
    Path | None, typer.Option("--config", help="YAML file; see features/config.py.")
]
Overrides = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VALUE", help="Override one key; repeatable."),
]
DataPlace = Annotated[
    str | None,
    typer.Option(help="Folder, DuckDB file or postgresql://user@host:port/database."),
]


def load(
    config: Path | None, overrides: list[str] | None, data: str | None = None
) -> Config:
    """The configuration of a file, of ``--set`` and of ``--data``."""
    settings = configuration.load(config, tuple(overrides or ()))
    if data is None:
        return settings
    return settings.model_copy(update={"data": parse_data(data)})


def new_console() -> Console:
    """Where a command prints."""
    # Redirected output keeps whole lines, whatever the width of a terminal.
    console = Console()
    return console if console.is_terminal else Console(width=160)


@contextmanager
def progress(console: Console) -> Generator[Callable[[str], None]]:
    """Announce steps: a spinner with the time on a terminal, else plain lines."""
    if not console.is_terminal:
        yield lambda name: console.print(f"- {name}", highlight=False, markup=False)
        return
    from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

    columns = (SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn())
    with Progress(*columns, console=console) as bar:

        def finish() -> None:
            for task in bar.task_ids:
                bar.update(task, total=1, completed=1)

        def announce(name: str) -> None:
            finish()
            bar.add_task(name, total=None)

        yield announce
        finish()
