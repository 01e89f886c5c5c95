"""The configuration of a notebook: that of the real data set, or of a shop of one's own.

Three environment variables change it, so that a notebook can be run on other data, or
on a small shop, without an edit.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from features import complete_journey
from features.config import Config, load
from features.contracts import SettingError
from features.snapshot import parse_cutoff

DATA, CUTOFF, SETTINGS = "REPURCHASE_DATA", "REPURCHASE_CUTOFF", "REPURCHASE_SET"
"""Input tables of one's own; moment of the build; ``key=value`` with blanks between."""

ROOT = Path(__file__).parents[1]
"""What relative paths of the configuration start from, wherever the kernel does."""


def settings(
    *proposed: str, given: Mapping[str, str] | None = None, root: Path = ROOT
) -> Config:
    """What a notebook runs with; its ``cutoff`` is always a moment.

    The bundled real data set is written where it is missing. Its last evaluation
    cutoff is the default, so that what happened afterwards is known.

    Args:
        proposed: ``key=value`` of this notebook; the variables have the last word.
        given: the variables; None: those of the process.
        root: holds ``configs/``, and what relative paths start from.

    Raises:
        SettingError: a setting is wrong, or data of one's own come without a cutoff.
    """
    given = os.environ if given is None else given
    overrides = [*proposed, *given.get(SETTINGS, "").split()]
    if DATA in given:
        # The evaluation cutoffs in the file are dates of the bundled data.
        overrides = [f"data={given[DATA]}", "evaluation_cutoffs=[]", *overrides]
    config = load(root / "configs" / "complete_journey.yaml", tuple(overrides))
    if CUTOFF in given:
        cutoff = parse_cutoff(given[CUTOFF])
    elif config.evaluation_cutoffs:
        cutoff = max(config.evaluation_cutoffs)
    else:
        raise SettingError(
            f"{CUTOFF}: expected the moment of the build, such as 2017-11-12, got "
            f"none; set it beside {DATA}"
        )
    changed: dict[str, object] = {
        "cutoff": cutoff,
        "workspace": root / config.workspace,
    }
    if isinstance(config.data, Path):
        changed["data"] = root / config.data
        if DATA not in given and not (root / config.data).exists():
            complete_journey.write_tables(root / config.data)
    return config.model_copy(update=changed)
