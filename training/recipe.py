"""What a model was made of: settings, data, code. Equal records mean equal models.

It lies beside the model, outside what its name vouches for: the same model can be made
of other code or of other bytes of the same rows.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Any

from features import store
from features.blocks import Block
from features.config import Config
from features.scratch import whole

SETTINGS = (
    "horizon_days",
    "max_learners",
    "seed",
    "propensity",
    "recommend",
    "spend",
    "churn",
    "replenishment",
    "uplift",
)
"""Parts of the configuration on which a model depends, beside the cutoff."""

FILE = "record.json"
_LIBRARIES = ("lightgbm", "implicit", "scikit-learn", "scipy", "statsmodels")


@dataclass(frozen=True)
class Record:
    """What a model was made of.

    Attributes:
        settings: values of ``SETTINGS``.
        cutoff: of the build.
        data: hash of the input.
        features: fingerprint of the feature table.
        code: hash of the code.
        blocks: the input by blocks of days, see ``features.blocks``.
    """

    settings: dict[str, Any]
    cutoff: datetime
    data: str
    features: str
    code: str
    blocks: tuple[Block, ...]

    @property
    def key(self) -> str:
        """One hash of all that decides what a model is."""
        made_of = [self.settings, self.cutoff.isoformat(), self.features, self.code]
        return hash_of(made_of)

    def applied(self, config: Config) -> Config:
        """A configuration with the settings of this model."""
        values = {**config.model_dump(), **self.settings}
        return Config.model_validate(values)

    def save(self, folder: Path) -> None:
        """Write it beside a model, whole or not at all."""
        values = asdict(self) | {
            "cutoff": self.cutoff.isoformat(),
            "blocks": [block.to_json() for block in self.blocks],
        }
        with whole(folder / FILE) as place:
            place.write_text(json.dumps(values, indent=1, sort_keys=True))

    @classmethod
    def load(cls, folder: Path) -> Record | None:
        """What lies beside a model; None: nothing that can be read."""
        try:
            values = json.loads((folder / FILE).read_text())
            values["cutoff"] = datetime.fromisoformat(values["cutoff"])
            values["blocks"] = tuple(map(Block.from_json, values["blocks"]))
            return cls(**values)
        except (OSError, ValueError, KeyError, TypeError):
            return None


def record_of(
    config: Config,
    cutoff: datetime,
    data: str,
    features: str,
    blocks: Sequence[Block],
) -> Record:
    """The record of a model that this code makes."""
    return Record(
        settings_of(config), cutoff, data, features, code_version(), tuple(blocks)
    )


def settings_of(config: Config) -> dict[str, Any]:
    """The settings on which a model depends, as JSON takes them."""
    return config.model_dump(mode="json", include=set(SETTINGS))


@cache
def code_version() -> str:
    """Hash of every module of features and training, and of what fits the models."""
    digest = hashlib.sha256(store.code_version().encode())
    digest.update(hash_of_modules(Path(__file__).parent).encode())
    for library in _LIBRARIES:
        digest.update(f"{library} {version(library)}".encode())
    return digest.hexdigest()


def hash_of_modules(package: Path) -> str:
    """Hash of the names and the bytes of a package's modules."""
    digest = hashlib.sha256()
    for file in sorted(package.rglob("*.py")):
        digest.update(str(file.relative_to(package)).encode())
        digest.update(file.read_bytes())
    return digest.hexdigest()


def hash_of(values: Mapping[str, Any] | Sequence[Any]) -> str:
    """Hash of plain values; equal ones have equal hashes."""
    text = json.dumps(values, sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()
