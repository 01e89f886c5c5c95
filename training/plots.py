"""Curves of the evaluation as CSV files, for ``dvc plots`` and for spreadsheets."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Sequence
from pathlib import Path

from features.scratch import whole
from training.details import Details
from training.metrics import MODEL

Row = Sequence[str | float]

TIME, ROC, TENTHS = "auc_by_cutoff.csv", "roc.csv", "tenths.csv"


def write(details: Details, folder: Path) -> None:
    """Write the three files, each whole or not at all.

    ``auc_by_cutoff.csv``: the AUC of every model at every cutoff. ``roc.csv``: ours,
    share of others by share of buyers; only its head where all bought or nobody did.
    ``tenths.csv``: what was promised to each tenth of customers, the likeliest first,
    and the share who bought.
    """
    folder.mkdir(parents=True, exist_ok=True)
    moments = details.stability.moments
    names = list(moments[0].models) if moments else [MODEL]
    by_cutoff = (
        (f"{one.cutoff:%Y-%m-%d}", *(one.models[name]["auc"] for name in names))
        for one in moments
    )
    _save(folder / TIME, ("cutoff", *names), by_cutoff)
    curve, tenths = details.curves[MODEL].roc, details.curves[MODEL].tenths
    points = zip(curve.x, curve.y, strict=True) if curve else ()
    _save(folder / ROC, ("others", "buyers"), points)
    grouped = ((n, one.promised, one.bought) for n, one in enumerate(tenths, 1))
    _save(folder / TENTHS, ("tenth", "promised", "bought"), grouped)


def _save(file: Path, head: Sequence[str], rows: Iterable[Row]) -> None:
    with whole(file) as place, place.open("w", newline="") as stream:
        lines = csv.writer(stream, lineterminator="\n")
        lines.writerow(head)
        lines.writerows(
            [f"{v:.6g}" if isinstance(v, float) else v for v in row] for row in rows
        )
