"""Strict configuration: YAML and ``key=value`` become frozen models.

Every default of the project stands here, once. Unknown keys are errors.
"""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError


class Section(BaseModel):
    """Frozen, and strict about names."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class EngineConfig(Section):
    """Reading of tables."""

    memory_limit: str = "1GB"
    threads: int = Field(default=2, ge=1)


class PropensityConfig(Section):
    """The repurchase model."""


class RecommendConfig(Section):
    """Generators and ranker."""


class ServingConfig(Section):
    """The service."""

    host: str = "127.0.0.1"
    port: int = Field(default=3000, ge=1, le=65535)


class TrackingConfig(Section):
    """MLflow. ``uri`` null: SQLite in the workspace."""

    uri: str | None = None
    experiment: str = "repurchase"


class Config(Section):
    """The whole configuration.

    Attributes:
        data: folder of input tables, or a DuckDB file.
        workspace: everything that the system writes.
        cutoff: moment of the build; rows at or after it are not read.
        horizon_days: label window of recommendations, tag and evaluation.
        evaluation_cutoffs: earlier moments at which quality is measured.
        seed: every random draw starts here.
    """

    data: Path = Path("workspace/data")
    workspace: Path = Path("workspace")
    cutoff: datetime | None = None
    horizon_days: int = Field(default=14, ge=1, le=180)
    evaluation_cutoffs: tuple[datetime, ...] = ()
    seed: int = 0
    engine: EngineConfig = EngineConfig()
    propensity: PropensityConfig = PropensityConfig()
    recommend: RecommendConfig = RecommendConfig()
    serving: ServingConfig = ServingConfig()
    tracking: TrackingConfig = TrackingConfig()


def load(file: Path | None, overrides: tuple[str, ...] = ()) -> Config:
    """The configuration of a YAML file with ``key.sub=value`` laid over it.

    Raises:
        ValueError: the file is no mapping, or a key or value is not allowed;
            one line that names file, key and what was expected.
    """
    values: dict[str, Any] = {}
    if file is not None:
        try:
            loaded: object = yaml.safe_load(file.read_text())
        except (OSError, yaml.YAMLError) as error:
            reason = " ".join(str(error).split())
            raise ValueError(f"config: expected YAML in {file}, {reason}") from None
        if not isinstance(loaded, dict | None):
            raise ValueError(f"config: expected key: value lines in {file}")
        values = loaded or {}
    for override in overrides:
        key, equals, text = override.partition("=")
        if not equals:
            raise ValueError(f"--set: expected key=value, got {override!r}")
        place = values
        *path, last = key.split(".")
        for name in path:
            place = place.setdefault(name, {})
        place[last] = yaml.safe_load(text)
    try:
        return Config.model_validate(values)
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(str(part) for part in first["loc"])
        where = f" in {file}" if file else ""
        raise ValueError(
            f"config: {key}: {first['msg'].lower()}, got {first['input']!r}{where}"
        ) from None
