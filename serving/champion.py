"""Which model is in force, which were before it, and which was sent back.

One pointer decides: ``published/current``. The model in force is the one that its
version names, so a champion and its snapshot cannot come apart. What MLflow's registry
says follows it: ``follow`` brings the alias up to it, at the end of a publish and at the
start of the next run, in case a kill came in between.
"""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path

from features.config import Config
from features.contracts import SettingError
from features.scratch import whole
from serving import moves
from serving.publish import MANIFEST, current_version, switch
from serving.published import Published
from serving.turns import one_at_a_time
from training import artifacts, track

LATEST = "latest"
"""In ``models``: the name of the model that ``repurchase publish`` takes."""

_TOLD = "registered"
"""In the workspace: the model that the registry was last told to call champion."""


def champion_of(workspace: Path) -> str | None:
    """Name of the model in force; None: nothing was published."""
    version = current_version(workspace)
    return None if version is None else model_of(workspace, version)


def model_of(workspace: Path, version: str) -> str | None:
    """Name of the model of a version; None: its manifest is gone or damaged."""
    file = workspace / "published" / version / MANIFEST
    try:
        return str(json.loads(file.read_bytes())["model_version"])
    except (OSError, ValueError, KeyError, TypeError):
        return None


def withdrawn(workspace: Path) -> set[str]:
    """Names of the models that a rollback took out of force, and nobody put back."""
    return moves.rolled_back(
        workspace / "published",
        current_version(workspace),
        partial(model_of, workspace),
    )


def told(workspace: Path, bundle: str) -> None:
    """Remember that the registry calls this model champion."""
    with whole(workspace / _TOLD) as place:
        place.write_text(bundle)


def follow(config: Config) -> bool:
    """Let the registry call champion what is in force; whether it had to be told."""
    workspace = config.workspace
    champion = champion_of(workspace)
    if champion is None or not (workspace / "models" / champion).is_dir():
        return False
    file = workspace / _TOLD
    if file.is_file() and file.read_text() == champion:
        return False
    with track.run(config, f"promote {champion}") as run:
        if run.promote(champion) is None:
            run.register(workspace / "models" / champion)
            run.promote(champion)
    told(workspace, champion)
    return True


@one_at_a_time
def rollback(config: Config, to: str | None = None) -> tuple[str, str]:
    """Put the former champion and its snapshot in force again.

    Args:
        config: names the workspace, and where runs are kept.
        to: a version; None: the last one of another model that was in force before.

    Returns:
        The version in force now, and the one before.

    Raises:
        SettingError: there is no such version, or none before is known.
        ContractError: the version or its model is damaged; nothing was changed.
    """
    workspace = config.workspace
    current = current_version(workspace)
    if current is None:
        raise SettingError(
            f"rollback: expected a published version in {workspace}, got none; run "
            "repurchase retrain first"
        )
    target = _existing(workspace, to) if to else _former(workspace, current)
    published = Published.open_version(workspace, target)
    artifacts.read_manifest(workspace / "models" / published.model_version)
    _put_in_force(config, target, published.model_version)
    return target, current


@one_at_a_time
def use(config: Config, version: str) -> str | None:
    """Put a version in force, also one whose model is gone.

    Args:
        config: names the workspace, and where runs are kept.
        version: a published one.

    Returns:
        The version in force before; None: there was none.

    Raises:
        ContractError: the version is damaged; nothing was changed.
    """
    current = current_version(config.workspace)
    published = Published.open_version(config.workspace, version)
    _put_in_force(config, version, published.model_version)
    return current


def _put_in_force(config: Config, version: str, model: str) -> None:
    """Model, pointer and registry; a step back withdraws what was in force."""
    workspace = config.workspace
    root, models = workspace / "published", workspace / "models"
    # First what the next publish takes, then the pointer, which decides, then the
    # registry: after a kill in between, the same command completes it.
    if (models / model).is_dir():
        with whole(models / LATEST) as place:
            place.write_text(model)
    switch(root, version, back=moves.is_back(root, version, current_version(workspace)))
    follow(config)


def _existing(workspace: Path, version: str) -> str:
    is_name = Path(version).name == version and not version.startswith(".")
    if not (is_name and (workspace / "published" / version).is_dir()):
        raise SettingError(
            f"--to: expected one of `repurchase versions list`, got {version!r:.80}"
        )
    return version


def _former(workspace: Path, current: str) -> str:
    """The last version of another model that was in force before this one."""
    root, model = workspace / "published", model_of(workspace, current)
    seen, version = {current}, moves.former(root, current)
    while version is not None and version not in seen:
        if model_of(workspace, version) not in (model, None):
            return version
        seen.add(version)
        version = moves.former(root, version)
    raise SettingError(
        "rollback: expected a version of another model that was in force before, got "
        "none; choose one of `repurchase versions list` and give --to VERSION"
    )
