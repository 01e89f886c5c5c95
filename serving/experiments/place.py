"""Where an experiment's purchases are."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from features.config import EngineConfig
from features.database import Database


@dataclass(frozen=True)
class Place:
    """Where purchases are.

    Attributes:
        data: input tables; None, or nothing there: only the log of events.
        engine: limits of reading.
    """

    data: Path | Database | None = None
    engine: EngineConfig = field(default_factory=EngineConfig)
