"""Since when a shop knows of its customers, and of returns.

A history may be loaded long after it happened: before that moment nothing was known.
"""

from __future__ import annotations

from datetime import datetime

import numpy as np

from features.history import Bools, History
from features.snapshot import from_us


def known_since(history: History) -> datetime | None:
    """When the first purchase had happened and was known; None: there is none."""
    return _first(history, history.purchases.bought)


def returns_since(history: History) -> datetime | None:
    """The same of the first line that was returned."""
    return _first(history, ~history.purchases.bought)


def is_known(since: datetime | None, moment: datetime) -> bool:
    """Whether it was known before a moment."""
    return since is not None and since < moment


def _first(history: History, keep: Bools) -> datetime | None:
    lines = history.purchases
    known = np.maximum(lines.ts, lines.known_at)[keep]
    return from_us(int(known.min())) if len(known) else None
