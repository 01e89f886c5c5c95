"""Commands on published versions: which there are, and which is in force."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from features.contracts import SettingError
from serving.options import ConfigFile, Overrides, load, new_console

versions = typer.Typer(
    help="Published versions: list them, put one in force.", no_args_is_help=True
)


@versions.command("list")
def list_versions(config: ConfigFile = None, overrides: Overrides = None) -> None:
    """Print the published versions, the last made first."""
    from rich.table import Table

    from serving.publish import MANIFEST, current_version

    workspace = load(config, overrides).workspace
    current = current_version(workspace)
    files = (workspace / "published").glob(f"[!.]*/{MANIFEST}")
    found = sorted(files, key=lambda file: file.stat().st_mtime, reverse=True)
    table = Table("version", "model", "made (UTC)", "in force")
    for file in found:
        made = datetime.fromtimestamp(file.stat().st_mtime, UTC)
        name, when = file.parent.name, f"{made:%Y-%m-%d %H:%M}"
        table.add_row(name, _model(file), when, "yes" if name == current else "")
    new_console().print(table if found else "no versions", markup=False)


@versions.command()
def use(
    version: Annotated[str, typer.Argument(help="As `list` shows it.")],
    config: ConfigFile = None,
    overrides: Overrides = None,
) -> None:
    """Put a version in force, once every byte of it was checked: also a rollback.

    Services take it up within about a second, without a restart. A model that is left
    behind by a step back is not taken again by `retrain`, as after `rollback`.
    """
    from serving import champion

    settings = load(config, overrides)
    root = settings.workspace / "published"
    is_name = Path(version).name == version and not version.startswith(".")
    if not (version and is_name and (root / version).is_dir()):
        raise SettingError(
            f"version: expected one of `repurchase versions list`, got {version!r:.80}"
        )
    before = champion.use(settings, version)
    new_console().print(f"in force: {version} (before: {before})", soft_wrap=True)


def _model(file: Path) -> str:
    """What a manifest says of its model; of a damaged one nothing."""
    try:
        return str(json.loads(file.read_bytes())["model_version"])
    except (OSError, ValueError, KeyError, TypeError):
        return "damaged"
