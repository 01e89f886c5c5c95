"""What becomes of a customer who was erased, outside the state's database."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from features.config import Config
from features.contracts import SettingError
from features.erased import NOBODY, Erased
from features.snapshot import from_us
from serving.publish import current_version
from serving.state import database, tombstones
from serving.state.tombstones import Erasure, tombstone
from serving.texts import Texts
from serving.weekly import customers_of

REMAINING = (
    "Answers no longer know the customer. Published files, feature tables, models, "
    "proofs of the gate and weekly reports in the workspace hold the id until the next "
    "retrain, or features, train and publish, which leave the customer out and remove "
    "what holds them; your input tables, backups and files written elsewhere are yours to clean."
)


LONGEST_ID = 256


def unfit(customer_id: str) -> str | None:
    """Why a text can be nobody's id; None: it can be one.

    A tombstone of a text that was meant otherwise would hide rows, and not the
    customer's.
    """
    if not 0 < len(customer_id) <= LONGEST_ID or "\0" in customer_id:
        return f"expected 1 to {LONGEST_ID} characters, got others"
    if customer_id != customer_id.strip():
        return "expected no blanks around it, got some"
    return None


def receipt(erasure: Erasure, *, was_published: bool | None) -> dict[str, Any]:
    """What a person who asked for it is told.

    Args:
        erasure: what was done.
        was_published: whether the version in force held them; None: it cannot be
            read.
    """
    return {
        "erased_at": f"{from_us(erasure.at).isoformat()}Z",
        "tombstone": erasure.tombstone,
        "events_removed": erasure.events,
        "was_published": was_published,
        "remaining": REMAINING,
    }


def erased_of(config: Config) -> Erased:
    """Whom builds leave out.

    Raises:
        SettingError: the state's database cannot be read, so nobody can tell.
    """
    if config.state.url is None and not database.file_of(config.workspace).exists():
        return NOBODY
    engine = database.ready(config.workspace, config.state)
    try:
        found = tombstones.since(engine)
    except database.StateAwayError as error:
        raise SettingError(
            f"state: expected a database that answers who was erased, got {error}; try "
            "again"
        ) from None
    finally:
        database.close(engine)
    return Erased(found.salt, frozenset(found.hashes))


def purge(config: Config) -> int:
    """Removes what holds somebody who was erased.

    Versions that are not in force, proofs of the gate, and weekly reports.

    Services that still answer from one of them keep what they have opened. A proof that
    the gate asks for again is built anew.

    Returns:
        How many versions were removed.
    """
    erased = erased_of(config)
    if not erased.hashes:
        return 0
    root, removed = config.workspace / "published", 0
    current = current_version(config.workspace)
    for folder in sorted(root.iterdir()) if root.is_dir() else ():
        customers = folder / "customers.arrow"
        if folder.name != current and customers.is_file() and _holds(customers, erased):
            shutil.rmtree(folder)
            removed += 1
    for file in (config.workspace / "proofs").glob("*/*.parquet"):
        if _is_of(file, erased):
            file.unlink()
    for file in (config.workspace / "reports").glob("*.json"):
        if _names(_named_in(file), erased):
            # The page first: without the data nobody would know whom it names.
            file.with_suffix(".html").unlink(missing_ok=True)
            file.unlink()
    return removed


def _is_of(proof: Path, erased: Erased) -> bool:
    """Whether a proof holds one of them; a damaged one, built anew anyway, may."""
    try:
        ids = pq.read_table(proof, columns=["customer_id"]).column(0).to_pylist()
    except (pa.ArrowInvalid, OSError, KeyError):
        return True
    return _names(ids, erased)


def _named_in(file: Path) -> set[str]:
    """Customers that a file of the reports names; of another kind of file nobody."""
    try:
        found = json.loads(file.read_bytes())
        return customers_of(found) if "contacts" in found else set()
    except (ValueError, TypeError, KeyError):
        return set()


def _names(ids: Iterable[str], erased: Erased) -> bool:
    return any(tombstone(erased.salt, one.encode()) in erased.hashes for one in ids)


def _holds(customers: Path, erased: Erased) -> bool:
    with pa.memory_map(str(customers)) as source:
        ids = Texts(pa.ipc.open_file(source).read_all()["customer_id"].combine_chunks())
    rows = (ids.raw(row) for row in range(len(ids)))
    return any(tombstone(erased.salt, one) in erased.hashes for one in rows)
