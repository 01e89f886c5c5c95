"""What the latest report of `repurchase drift` says, for the service's metrics."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

from prometheus_client.core import GaugeMetricFamily, Metric

REPORT = Path("reports") / "drift.json"
"""In the workspace."""

_OF = {
    "drift_alarm": "1: the latest report of `repurchase drift` is past a limit, or it "
    "cannot be read; 0: it is not; NaN: there is none.",
    "drift_features": "Features that are spread as the model has never seen, by the "
    "latest report.",
    "drift_score_psi": "Population stability index of the scores of all customers, "
    "since the model was trained, by the latest report.",
    "calibration_error": "Of published probabilities whose label window is over, by "
    "the latest report; NaN: not matured.",
    "drift_age_seconds": "From the moment that the latest report is of to now.",
}


class Latest:
    """The report of a workspace, read again when its file has changed."""

    def __init__(self, workspace: Path) -> None:
        self._file = workspace / REPORT
        self._stamp: tuple[int, int, int] | None = None
        self._said: dict[str, float] = {}
        self._cutoff: datetime | None = None

    def values(self, now: datetime) -> dict[str, float]:
        """Values by name; empty: there is no report.

        Args:
            now: naive UTC.
        """
        try:
            found = self._file.stat()
        except OSError:
            self._stamp, self._said, self._cutoff = None, {}, None
            return {}
        stamp = (found.st_mtime_ns, found.st_size, found.st_ino)
        if stamp != self._stamp:
            self._said, self._cutoff = _read(self._file)
            self._stamp = stamp
        if self._cutoff is None:
            return self._said
        return self._said | {"drift_age_seconds": (now - self._cutoff).total_seconds()}


def _read(file: Path) -> tuple[dict[str, float], datetime | None]:
    try:
        report: dict[str, Any] = json.loads(file.read_bytes())
        score, matured = report["score"], report["matured"]
        said = {
            "drift_alarm": 0.0 if report["passed"] else 1.0,
            "drift_features": float(report["features_drifted"]),
            "drift_score_psi": float(score["stability_index"]) if score else math.nan,
            "calibration_error": float(matured["realised"]["ece"]["value"])
            if matured
            else math.nan,
        }
        return said, datetime.fromisoformat(report["cutoff"])
    except (OSError, ValueError, KeyError, TypeError):
        return {"drift_alarm": 1.0}, None


def families(values: Mapping[str, float]) -> Iterable[Metric]:
    """A gauge each; NaN where nothing is known."""
    for name, said in _OF.items():
        found = GaugeMetricFamily(f"repurchase_{name}", said)
        found.add_metric([], values.get(name, math.nan))
        yield found
