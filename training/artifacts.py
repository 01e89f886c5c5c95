"""A build's models in one folder: text trees, JSON, checksums; no pickle.

The folder's name is its content's hash, so equal models are one bundle and a
bundle is never changed. It appears by rename, complete or not at all.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from features.contracts import ContractError
from training import churn, propensity, ranker, replenishment, spend, uplift
from training.churn import Churn
from training.propensity import Propensity
from training.ranker import Recommender
from training.replenishment import Replenishment
from training.spend import Spend
from training.uplift import Uplift

if TYPE_CHECKING:
    import pandas as pd

FORMAT = 8
_MANIFEST = "manifest.json"


@dataclass(frozen=True)
class Bundle:
    """Everything that was fitted at one cutoff.

    Attributes:
        spend, churn: None where there was nothing to learn from.
        cutoff: only rows known before it were used.
        horizon_days: label window of the recommender and of the tag.
        fingerprint: hash of the rows that were read.
        seed: of all random draws.
    """

    propensity: Propensity
    recommender: Recommender
    replenishment: Replenishment
    spend: Spend | None
    churn: Churn | None
    uplift: Uplift
    cutoff: datetime
    horizon_days: int
    fingerprint: str
    seed: int


def save(bundle: Bundle, models: Path) -> Path:
    """Write the bundle to ``models/VERSION`` and return that folder.

    A folder of that name with other content is damaged, and is replaced.
    """
    models.mkdir(parents=True, exist_ok=True)
    unfinished = models / ".unfinished"
    shutil.rmtree(unfinished, ignore_errors=True)
    (unfinished / "recommender").mkdir(parents=True)
    bundle.recommender.to_files(unfinished / "recommender")
    manifest: dict[str, Any] = {
        "format": FORMAT,
        "cutoff": bundle.cutoff.isoformat(),
        "horizon_days": bundle.horizon_days,
        "fingerprint": bundle.fingerprint,
        "seed": bundle.seed,
        "propensity": propensity.save(bundle.propensity, unfinished),
        "replenishment": replenishment.save(bundle.replenishment, unfinished),
        "spend": bundle.spend and spend.save(bundle.spend, unfinished),
        "churn": bundle.churn and churn.save(bundle.churn, unfinished),
        "uplift": uplift.save(bundle.uplift, unfinished),
    }
    manifest["files"] = {
        str(file.relative_to(unfinished)): _sha256(file)
        for file in sorted(unfinished.rglob("*"))
        if file.is_file()
    }
    text = json.dumps(manifest, indent=1, sort_keys=True)
    (unfinished / _MANIFEST).write_text(text)
    version = hashlib.sha256(text.encode()).hexdigest()[:12]
    folder = models / f"{bundle.cutoff:%Y%m%d}-{version}"
    if folder.exists():
        if _is_whole(folder, text):
            shutil.rmtree(unfinished)
            return folder
        shutil.rmtree(folder)
    unfinished.rename(folder)
    return folder


def load(folder: Path) -> Bundle:
    """The bundle that ``save`` wrote; scores are equal to the bit.

    Raises:
        ContractError: the folder is missing, or a file is damaged.
    """
    manifest = read_manifest(folder)
    damaged = _damaged(folder, manifest)
    if damaged:
        raise ContractError(
            f"model: expected {damaged[0]} as written, got a damaged or missing file in "
            f"{folder}; run repurchase train again"
        )
    return Bundle(
        propensity=propensity.load(folder, manifest["propensity"]),
        recommender=ranker.Recommender.from_files(folder / "recommender"),
        replenishment=replenishment.load(folder, manifest["replenishment"]),
        spend=manifest["spend"] and spend.load(folder, manifest["spend"]),
        churn=manifest["churn"] and churn.load(folder, manifest["churn"]),
        uplift=uplift.load(folder, manifest["uplift"]),
        cutoff=datetime.fromisoformat(manifest["cutoff"]),
        horizon_days=manifest["horizon_days"],
        fingerprint=manifest["fingerprint"],
        seed=manifest["seed"],
    )


def _is_whole(folder: Path, text: str) -> bool:
    """Whether the folder holds this manifest and every file that it names."""
    file = folder / _MANIFEST
    return (
        file.is_file()
        and file.read_bytes() == text.encode()
        and not _damaged(folder, json.loads(text))
    )


def _damaged(folder: Path, manifest: dict[str, Any]) -> list[str]:
    """Names of files that are missing or not as written."""
    return [
        name
        for name, expected in manifest["files"].items()
        if not (folder / name).is_file() or _sha256(folder / name) != expected
    ]


def read_manifest(folder: Path) -> dict[str, Any]:
    """The manifest of a bundle.

    Raises:
        ContractError: there is none, it is damaged, or it is of another format.
    """
    file = folder / _MANIFEST
    if not file.exists():
        raise ContractError(
            f"model: expected a bundle, found none at {folder}; run repurchase train"
        )
    try:
        manifest: dict[str, Any] = json.loads(file.read_text())
    except ValueError:
        raise ContractError(
            f"model: expected a manifest in JSON, got a damaged one in {folder}; "
            "run repurchase train again"
        ) from None
    if manifest.get("format") != FORMAT:
        raise ContractError(
            f"model: expected format {FORMAT}, got {manifest.get('format')} in {folder}; "
            "run repurchase train again"
        )
    return manifest


class _PropensityFrame:
    """Feature rows of ``assemble`` in, probabilities at the stated horizon out."""

    def __init__(self, model: Propensity) -> None:
        self._model = model

    def predict(self, frame: pd.DataFrame, params: object = None) -> Any:
        """P(a purchase within the horizon), shape ``[row]``."""
        del params
        import pyarrow as pa

        table = pa.Table.from_pandas(frame, preserve_index=False)
        return self._model.probability(table, self._model.horizon_days)


def _load_pyfunc(data_path: str) -> _PropensityFrame:  # pyright: ignore[reportUnusedFunction]
    """Entry point by which MLflow opens a logged bundle, without pickle."""
    return _PropensityFrame(load(Path(data_path)).propensity)


def _sha256(file: Path) -> str:
    return hashlib.sha256(file.read_bytes()).hexdigest()
