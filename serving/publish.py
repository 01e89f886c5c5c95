"""Predictions become an immutable, checksummed directory; one pointer names it.

``workspace/published/<version>/`` holds Arrow IPC files (uncompressed, so that
readers map them) and ``.npy`` arrays, with ``manifest.json``: size and SHA-256
of each. The version is the cutoff and a hash of that manifest, so the same
content has the same version and the name vouches for every byte below it.

``published/current`` is a small file with the name of the version in force,
not a symbolic link: a reader resolves it once and cannot mix two versions, and
it survives copies, archives and object stores.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import shutil
from collections.abc import Generator, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from features.mapped import Mapped, Steady, save
from serving import moves
from serving.alert_ids import health_ids, replenishment_ids
from serving.handover import check
from serving.insight.blocks import Kpis
from serving.insight.portrait import Insight
from serving.kept_files import arrays_of, facts_of
from serving.kept_files import tables_of as kept_tables_of
from serving.known import PROFILES, coded, due_offsets, tables_of
from training import propensity
from training.predictions import (
    COLD_START,
    CUSTOMERS,
    OFFERS,
    PRODUCTS,
    Predictions,
)

FORMAT = 9
"""Raised when files or manifest change their meaning."""

MANIFEST = "manifest.json"
POINTER = "current"

_BUILD = ".build-"
_MOVE = ".current-"
_BROKEN = ".broken-"


def publish(
    workspace: Path,
    predictions: Predictions,
    model_version: str,
    files: Mapped | None = None,
    kpis: Kpis | None = None,
    insight: Insight | None = None,
) -> Path:
    """Writes ``predictions`` as a version and puts it in force.

    Killed at any moment, the version in force before stays so; what a killed
    call leaves behind is removed by the next one. Publishing the same content
    again is harmless. Calls on one workspace wait for each other.

    Args:
        workspace: the folder of everything that the system writes.
        predictions: see ``training.predictions``.
        model_version: named in every answer that rests on this version.
        files: from which predictions are mapped; let go of while they are written.
        kpis: as of the same cutoff; None: without them.
        insight: tags, tiers, health and warnings of the same customers; None:
            without them.

    Returns:
        The folder of the version, ``workspace/published/<version>``.

    Raises:
        ContractError: tables or arrays do not fit each other; one line each.
    """
    check(predictions, files)
    root = workspace / "published"
    root.mkdir(parents=True, exist_ok=True)
    with _alone(root):
        _clean(root)
        build = root / f"{_BUILD}{os.getpid()}"
        build.mkdir()
        words = _write_files(build, predictions, files)
        if kpis is not None:
            save(kpis.cells(), build / "kpis.npy", files)
        for name, array in (insight.arrays() if insight else {}).items():
            save(array, build / f"{name}.npy", files)
        manifest = _manifest(predictions, model_version, words) | {
            # In the words of the bundle, so that both are read by the same code.
            "propensity": propensity.save(predictions.propensity, build),
            "kept": facts_of(predictions.kept),
            "kpis": None if kpis is None else kpis.facts(),
            "insight": None if insight is None else insight.facts(),
        }
        manifest["files"] = _fingerprints(build)
        version = version_of(manifest)
        _write(build / MANIFEST, _encode({"version": version, **manifest}))
        _sync(build)
        _settle(build, root / version, manifest)
        switch(root, version)
    return root / version


def current_version(workspace: Path) -> str | None:
    """Name of the version in force; None: nothing was ever published."""
    try:
        return (workspace / "published" / POINTER).read_text().strip()
    except FileNotFoundError:
        return None


def switch(root: Path, version: str, *, back: bool = False) -> None:
    """Puts ``version`` in force, in one atomic step.

    Args:
        root: folder of the versions.
        version: one of them.
        back: it is a rollback.
    """
    moves.note(root, version, current_version(root.parent), back=back)
    fresh = root / f"{_MOVE}{os.getpid()}"
    _write(fresh, f"{version}\n".encode())
    fresh.replace(root / POINTER)
    _sync(root)


def version_of(manifest: Mapping[str, Any]) -> str:
    """The name that content earns: cutoff and hash of the manifest."""
    digest = hashlib.sha256(_encode(dict(manifest))).hexdigest()[:16]
    moment = str(manifest["cutoff"]).replace("-", "").replace(":", "")
    return f"{moment}-{digest}"


def fingerprint(file: Path) -> dict[str, int | str]:
    """Size in bytes and SHA-256 of a file, as the manifest states them."""
    with file.open("rb") as stream:
        digest = hashlib.file_digest(stream, "sha256").hexdigest()
    return {"bytes": file.stat().st_size, "sha256": digest}


def _write_files(
    folder: Path, p: Predictions, files: Mapped | None
) -> dict[str, list[str]]:
    """Writes all tables and arrays; the words of the coded profile columns."""
    for name, array in _arrays(p).items():
        save(array, folder / f"{name}.npy", files)
    for name, table in _tables(p):
        _save_table(table, folder / f"{name}.arrow", files)
    profiles, words = coded(p.profiles)
    _save_table(profiles, folder / f"{PROFILES}.arrow", files)
    return words


def _arrays(p: Predictions) -> dict[str, npt.NDArray[Any]]:
    customer = np.asarray(p.offers["customer"].to_numpy())
    starts = np.searchsorted(customer, np.arange(len(p.customers) + 1))
    return {
        "due_offsets": due_offsets(p),
        "due_alert_ids": replenishment_ids(p),
        "health_alert_ids": health_ids(p),
        "curve": p.curve.astype(np.float32, copy=False),
        "offer_offsets": starts.astype(np.int64),
        "bought_offsets": p.bought_offsets.astype(np.int64, copy=False),
        "bought_products": p.bought_products.astype(np.int32, copy=False),
        "last_bought": p.last_bought.astype(np.int64, copy=False),
        "bought_weight": p.bought_weight.astype(np.float32, copy=False),
        "buyer_offsets": p.buyers.offsets.astype(np.int64, copy=False),
        "buyer_customers": p.buyers.customer.astype(np.int32, copy=False),
        "buyer_probability": p.buyers.probability.astype(np.float32, copy=False),
        # Factors in single precision: half of it would have to be widened first,
        # in the memory of each worker.
        "fresh_items": p.fresh.items.astype(np.int32, copy=False),
        "fresh_factors": p.fresh.factors.astype(np.float32, copy=False),
        "fresh_gram": p.fresh.gram.astype(np.float64, copy=False),
        "rebuy_log_odds": p.fresh.rebuy.log_odds.astype(np.float32, copy=False),
        "rebuy_gap_days": p.fresh.rebuy.gap_days.astype(np.float32, copy=False),
        "launched": p.launched.astype(np.int64, copy=False),
        **arrays_of(p.kept),
    }


def _tables(p: Predictions) -> Iterator[tuple[str, pa.Table]]:
    """Tables but the profiles, by name, each made when it is asked for."""
    yield "customers", p.customers.cast(CUSTOMERS)
    yield "products", p.products.cast(PRODUCTS)
    offers = p.offers.cast(OFFERS).drop_columns(["customer"])
    # Arrow packs flags into bits, which NumPy cannot view.
    flag = offers["is_new"].cast(pa.uint8())
    yield (
        "offers",
        offers.set_column(offers.column_names.index("is_new"), "is_new", flag),
    )
    yield "cold_start", p.cold_start.cast(COLD_START)
    yield from tables_of(p)
    yield from kept_tables_of(p.kept).items()


def _save_table(table: pa.Table, file: Path, files: Mapped | None) -> None:
    """One record batch, so that readers find each column in one piece."""
    whole = table.replace_schema_metadata(None).unify_dictionaries().combine_chunks()
    with file.open("wb") as stream:
        # Arrow hands over each column as it is mapped.
        with (
            pa.PythonFile(Steady(stream, files), mode="w") as sink,
            pa.ipc.new_file(sink, whole.schema) as writer,
        ):
            writer.write_table(whole)
        stream.flush()
        os.fsync(stream.fileno())


def _manifest(
    p: Predictions, model_version: str, words: Mapping[str, list[str]]
) -> dict[str, Any]:
    evidence = p.uplift_evidence
    # Where nothing could be measured, one sentence says why for both.
    of_spend = evidence.spend or evidence
    return {
        "format": FORMAT,
        "cutoff": p.cutoff.isoformat(),
        "horizon_days": p.horizon_days,
        "model_version": model_version,
        "tag_threshold": float(p.tag_threshold),
        "any_of": p.any_of.to_json(),
        "fresh": p.fresh.facts(),
        "profiles": words,
        # Whoever reads ``uplift`` must know whether it can be relied on.
        "uplift": {"enough_evidence": evidence.enough, "said": evidence.said},
        "expected_extra_spend": {
            "enough_evidence": of_spend.enough,
            "said": of_spend.said,
        },
    }


def _fingerprints(folder: Path) -> dict[str, dict[str, int | str]]:
    return {file.name: fingerprint(file) for file in sorted(folder.iterdir())}


def _settle(build: Path, target: Path, manifest: Mapping[str, Any]) -> None:
    """Moves a finished build to its name, or drops it if that stands already."""
    if target.exists():
        stands = {f.name: fingerprint(f) for f in target.iterdir() if f.is_file()}
        stands.pop(MANIFEST, None)
        if stands == manifest["files"] and (target / MANIFEST).exists():
            shutil.rmtree(build)
            return
        # Damaged on disk. Readers that map it keep their files.
        target.rename(target.parent / f"{_BROKEN}{target.name}")
    build.replace(target)
    _sync(target.parent)


def _clean(root: Path) -> None:
    for left in root.iterdir():
        if left.name.startswith((_BUILD, _MOVE, _BROKEN)):
            shutil.rmtree(left) if left.is_dir() else left.unlink()


@contextmanager
def _alone(root: Path) -> Generator[None]:
    # Held by the kernel for the process, so a killed build cannot leave it shut.
    with (root / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _encode(manifest: Mapping[str, Any]) -> bytes:
    return json.dumps(manifest, sort_keys=True, indent=1).encode()


def _write(file: Path, content: bytes) -> None:
    with file.open("wb") as stream:
        stream.write(content)
        stream.flush()
        os.fsync(stream.fileno())


def _sync(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
