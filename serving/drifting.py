"""The drift stage: features, scores and promises of the model in force, as of a day.

Inputs and scores are held to what was counted when the model was trained
(``training.reference``); published probabilities to what happened, once their label
window is over. Nothing here trains or publishes.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np

from features.assemble import assemble
from features.blocks import blocks, changed_units, gaps
from features.config import Config
from features.contracts import SettingError
from features.history import History
from serving.champion import LATEST, champion_of
from serving.publish import FORMAT, MANIFEST
from serving.published import Published
from serving.stages import Announce, cutoff_of, tables_of
from training import artifacts, track
from training.build import Steps
from training.drift import DRIFTED, Shifts, compare
from training.labels import days_to_next_purchase
from training.metrics import MODEL
from training.realised import Realised, realised
from training.reference import MOST, Reference, scored
from training.survey import drawn_customers

REPORT = "drift.json"
"""In the workspace's reports; the service reads it for its metrics."""


@dataclass(frozen=True)
class Matured:
    """A published version whose label window is over.

    Attributes:
        version: its name.
        cutoff: of its probabilities.
        figures: of the customers drawn who are in it.
        expected: AUC, Brier score and calibration error of the evaluation, means over
            its cutoffs; empty: it was not run.
    """

    version: str
    cutoff: datetime
    figures: Realised
    expected: Mapping[str, float]


@dataclass(frozen=True)
class Drift:
    """Everything that was found.

    Attributes:
        model: that it is about.
        trained: its cutoff.
        now: the moment.
        horizon_days: of its promises.
        customers: compared now.
        shifts: of features and score.
        odd: gaps and changed units in the input, see ``features.blocks``.
        matured: None: no published version's label window is over by ``now``.
        matures: when the first one will be; None: nothing is published, or one is.
        alarms: what is past the limits, one line each.
    """

    model: str
    trained: datetime
    now: datetime
    horizon_days: int
    customers: int
    shifts: Shifts
    odd: tuple[str, ...]
    matured: Matured | None
    matures: datetime | None
    alarms: tuple[str, ...]

    @property
    def drifted(self) -> int:
        """Features that are past their limits and new to the model."""
        return len(self.shifts.of(DRIFTED))

    def numbers(self) -> dict[str, float]:
        """Figures under names that MLflow and Prometheus accept."""
        named = {
            "drift/features": float(self.drifted),
            "drift/alarms": float(len(self.alarms)),
            "drift/customers": float(self.customers),
        }
        if self.shifts.score is not None:
            named["drift/score_stability_index"] = self.shifts.score.distance.index
        if self.matured is not None:
            said = self.matured.figures
            named |= {
                "realised/calibration_error": said.ece.value,
                "realised/gap": said.gap.value,
                "realised/slope": said.slope.value,
                "realised/auc": said.auc.value,
                "realised/brier": said.brier.value,
            }
        return {name: value for name, value in named.items() if value == value}

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        score, matured = self.shifts.score, self.matured
        return {
            "model": self.model,
            "trained": self.trained.isoformat(),
            "cutoff": self.now.isoformat(),
            "horizon_days": self.horizon_days,
            "customers": self.customers,
            "passed": not self.alarms,
            "alarms": list(self.alarms),
            "features_drifted": self.drifted,
            "features": [one.to_json() for one in self.shifts.features],
            "score": None if score is None else score.to_json(),
            "input": list(self.odd),
            "matured": matured
            and {
                "version": matured.version,
                "cutoff": matured.cutoff.isoformat(),
                "realised": matured.figures.to_json(),
                "evaluation": dict(matured.expected),
            },
            "matures": self.matures.isoformat() if self.matures else None,
        }


def drift(config: Config, announce: Announce | None = None) -> Drift:
    """Compare as of the cutoff of the configuration; tell MLflow, write nothing.

    Raises:
        SettingError: the cutoff is before the model's.
        ContractError: no model was trained, or it has no reference.
    """
    steps, now = Steps(announce), cutoff_of(config)
    folder = _model(config)
    with steps("read the model"):
        bundle, reference = artifacts.load(folder), Reference.load(folder)
    if now < bundle.cutoff:
        raise SettingError(
            f"cutoff: expected the model's, {bundle.cutoff:%Y-%m-%d}, or later, got "
            f"{now:%Y-%m-%d}; give --cutoff"
        )
    with tables_of(config) as tables, steps("read history"):
        history, _ = drawn_customers(tables, now, MOST, config.seed)
        found = blocks(tables, now, config.gate.block_days)
    odd = (
        *gaps(found, config.gate.least_lines),
        *changed_units(found, config.gate.unit_factor),
    )
    with steps("compare features and scores"):
        rows = scored(assemble(history, [now]), bundle.propensity)
        shifts = compare(reference, rows, now, config.drift)
    with steps("compare promises with what happened"):
        matured, matures = _matured(config, history, now)
    made = Drift(
        model=folder.name,
        trained=bundle.cutoff,
        now=now,
        horizon_days=bundle.horizon_days,
        customers=rows.num_rows,
        shifts=shifts,
        odd=odd,
        matured=matured,
        matures=matures,
        alarms=alarms(shifts, odd, matured, config),
    )
    with steps("log to MLflow"), track.run(config, f"drift {now:%Y-%m-%d}") as run:
        run.params({"model": folder.name, "cutoff": now.isoformat()})
        run.params(config.drift.model_dump())
        run.metrics(made.numbers())
        run.tags({"passed": str(not made.alarms)})
    return made


def alarms(
    shifts: Shifts, odd: tuple[str, ...], matured: Matured | None, config: Config
) -> tuple[str, ...]:
    """What is past the limits, one line each."""
    limits, said = config.drift, list(odd)
    new = shifts.of(DRIFTED)
    if len(new) > limits.most_features:
        names = ", ".join(one.name for one in new[:5])
        more = f" and {len(new) - 5} more" if len(new) > 5 else ""
        said.append(
            f"features: expected at most {limits.most_features} that are spread as the "
            f"model has never seen, got {len(new)}: {names}{more}"
        )
    score = shifts.score
    if score is not None and score.verdict == DRIFTED:
        said.append(
            f"scores: expected a stability index below {limits.stability_index:g} and a "
            f"distance below {limits.distance:g}, got {score.distance.index:.2f} and "
            f"{score.distance.gap:.2f}"
        )
    if matured is None:
        return tuple(said)
    figures, auc = matured.figures, matured.expected.get("auc")
    by_chance = figures.ece.value <= figures.ece_by_chance
    if figures.ece.low > limits.calibration_error and not by_chance:
        said.append(
            f"calibration: expected an error of {limits.calibration_error:g} or less, "
            f"got {figures.ece.value:.3f} ({figures.ece.low:.3f} to "
            f"{figures.ece.high:.3f}) of {matured.version}"
        )
    if auc is not None and figures.auc.high < auc - limits.auc_loss:
        said.append(
            f"AUC: expected {auc:.3f} as evaluated, less {limits.auc_loss:g}, or more, "
            f"got {figures.auc.value:.3f} ({figures.auc.low:.3f} to "
            f"{figures.auc.high:.3f}) of {matured.version}"
        )
    return tuple(said)


def _model(config: Config) -> Path:
    """The model in force; the latest one where nothing is published."""
    models = config.workspace / "models"
    name = champion_of(config.workspace)
    if name is None and (models / LATEST).is_file():
        name = (models / LATEST).read_text()
    return models / (name or "(none)")


def _matured(
    config: Config, history: History, now: datetime
) -> tuple[Matured | None, datetime | None]:
    """The latest version whose window is over; else when the first one's will be."""
    ends = sorted(_ends(config.workspace / "published"))
    over = [one for one in ends if one[0] <= now]
    if not over:
        return None, (ends[0][0] if ends else None)
    published = Published.open_version(config.workspace, over[-1][1])
    ids: list[str] = history.customers.tolist()
    found = [published.customers.row(one) for one in ids]
    row = np.array([-1 if one is None else one for one in found], dtype=np.int64)
    there = np.flatnonzero(row >= 0)
    if not len(there):
        return None, None
    days = days_to_next_purchase(history, [published.cutoff])[0, there]
    promised = published.curve[row[there], published.horizon_days - 1]
    figures = realised(
        (days < published.horizon_days).astype(np.float64),
        promised.astype(np.float64),
        config.seed,
    )
    expected = _evaluated(config.workspace)
    return Matured(published.version, published.cutoff, figures, expected), None


def _ends(root: Path) -> list[tuple[datetime, str]]:
    """End of the label window and name of every version that can be read."""
    found: list[tuple[datetime, str]] = []
    for file in root.glob(f"[!.]*/{MANIFEST}"):
        try:
            manifest = json.loads(file.read_bytes())
            if manifest["format"] != FORMAT:
                continue
            cutoff = datetime.fromisoformat(manifest["cutoff"])
            horizon = timedelta(days=int(manifest["horizon_days"]))
        except (OSError, ValueError, KeyError, TypeError):
            continue
        found.append((cutoff + horizon, file.parent.name))
    return found


def _evaluated(workspace: Path) -> dict[str, float]:
    """Means over the evaluation's cutoffs; empty where there is no evaluation."""
    try:
        values = json.loads((workspace / "reports" / "metrics.json").read_bytes())
        ours = [one["propensity"][MODEL] for one in values["cutoffs"].values()]
        names = ("auc", "brier", "ece")
        return {name: float(np.mean([one[name] for one in ours])) for name in names}
    except (OSError, ValueError, KeyError, TypeError):
        return {}
