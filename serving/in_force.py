"""What is known of the model in force, for who compares another one with it."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa

from features.config import Config
from features.erased import Erased
from serving.champion import champion_of
from serving.publish import current_version
from serving.state.tombstones import tombstone
from serving.texts import Texts
from training.gate import CHAMPION, Check
from training.recipe import FILE, Record


def record_of(config: Config, bundle: str | None) -> Record | None:
    """What a model was made of; None: nothing that can be read."""
    return None if bundle is None else Record.load(config.workspace / "models" / bundle)


def champion_checks(config: Config) -> tuple[Check, ...]:
    """A "no" if a model is in force that nothing can be compared with; else nothing.

    Without it a worse model would be held to the baselines only.
    """
    version, champion = current_version(config.workspace), champion_of(config.workspace)
    if version is None:
        return ()
    if champion is None:
        found = f"version {version}, whose manifest names none"
        return (Check(CHAMPION, False, found, "a model; give rollback --to VERSION"),)
    record = record_of(config, champion)
    if record is not None and _applies(record, config):
        return ()
    found = f"models/{champion}/{FILE} is missing, damaged or of another form"
    wanted = (
        "a record of its settings; bring it back from a backup, or train it again with "
        "its settings, cutoff and data, or publish --ungated without a comparison"
    )
    return (Check(CHAMPION, False, found, wanted),)


def holds_erased(workspace: Path, erased: Erased) -> bool:
    """Whether the version in force holds somebody who was erased."""
    version = current_version(workspace)
    if version is None or not erased.hashes:
        return False
    file = workspace / "published" / version / "customers.arrow"
    with pa.memory_map(str(file)) as source:
        ids = Texts(pa.ipc.open_file(source).read_all()["customer_id"].combine_chunks())
    rows = (ids.raw(row) for row in range(len(ids)))
    return any(tombstone(erased.salt, one) in erased.hashes for one in rows)


def _applies(record: Record, config: Config) -> bool:
    """Whether this code can build its settings."""
    try:
        record.applied(config)
    except ValueError:
        return False
    return True
