"""Finished figures as text for a terminal; computes nothing of its own."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console
from rich.table import Table

from features.config import Config
from training import report, track
from training.evaluate import MODEL, K, Quality
from training.predictions import Predictions

if TYPE_CHECKING:
    from serving.stages import Evaluation


def evaluation(console: Console, found: Evaluation) -> None:
    """Scores beside baselines at every cutoff, and the comparison with picks."""
    qualities(console, found.qualities)
    picks = found.comparison.figures()
    console.print()
    if not picks:
        console.print(f"No comparison with manual picks: {found.comparison.reason}")
    else:
        _picks(console, found)
    console.print()
    for sentence in report.headline(found.qualities, picks):
        console.print(f"* {sentence}", highlight=False)


def qualities(console: Console, found: Sequence[Quality]) -> None:
    """One table for propensity and one for the lists, per cutoff."""
    for quality in found:
        until = f"{quality.horizon_days} days from {quality.cutoff:%Y-%m-%d}"
        table = _table(
            f"Who buys again in the {until}: {quality.customers:,} customers, "
            f"{quality.base_rate:.1%} bought",
            ("model", "AUC", "Brier", "calibration error", "our AUC gain (95 %)"),
        )
        for name, values in quality.propensity.items():
            gain = quality.auc_gain.get(name)
            table.add_row(
                name,
                f"{values['auc']:.3f}",
                f"{values['brier']:.3f}",
                f"{values['ece']:.3f}",
                f"{gain.value:+.3f} ({gain.low:+.3f} to {gain.high:+.3f})"
                if gain
                else "",
                style="bold" if name == MODEL else None,
            )
        console.print()
        console.print(table)
        _lists(console, quality, until)


def _lists(console: Console, quality: Quality, until: str) -> None:
    for lane, methods in quality.lists.items():
        buyers = methods[MODEL]["customers"]
        table = _table(
            f"What they buy in the {until}, list {lane}, {K} slots: {buyers:,.0f} customers",
            (
                "method",
                f"recall@{K}",
                f"nDCG@{K}",
                f"hit@{K}",
                "our recall gain (95 %)",
            ),
        )
        for name, values in methods.items():
            gain = quality.recall_gain[lane].get(name)
            table.add_row(
                name,
                f"{values['recall']:.4f}",
                f"{values['ndcg']:.4f}",
                f"{values['hit']:.3f}",
                f"{gain.value:+.4f} ({gain.low:+.4f} to {gain.high:+.4f})"
                if gain
                else "",
                style="bold" if name == MODEL else None,
            )
        console.print(table)


def _picks(console: Console, found: Evaluation) -> None:
    table = _table(
        f"Against manual picks: {found.comparison.scope}",
        (
            "list",
            "purchases per slot",
            "bought 1 or more",
            "ours / this, per slot",
            "ours / this, customers",
        ),
    )
    for pick in found.comparison.figures():
        per_slot, share = pick.per_slot_ratio, pick.share_ratio
        table.add_row(
            pick.name,
            f"{pick.per_slot.value:.3f} ({pick.per_slot.low:.3f} to {pick.per_slot.high:.3f})",
            f"{pick.share.value:.1%} ({pick.share.low:.1%} to {pick.share.high:.1%})",
            f"{per_slot.value:.2f} ({per_slot.low:.2f} to {per_slot.high:.2f})"
            if per_slot
            else "",
            f"{share.value:.2f} ({share.low:.2f} to {share.high:.2f})" if share else "",
            style=None if per_slot else "bold",
        )
    console.print(table)


def customer(console: Console, predictions: Predictions) -> None:
    """One real customer's score and top ten, each line with its reason.

    The customer is the one with the median probability, so that the example is
    neither the best nor an empty one.
    """
    probability = predictions.curve[:, predictions.horizon_days - 1]
    row = int(probability.argsort(kind="stable")[len(probability) // 2])
    facts = predictions.customers.slice(row, 1).to_pylist()[0]
    expected = facts["expected_next_at"]
    console.print()
    table = _table(
        f"Customer {facts['customer_id']} on {predictions.cutoff:%Y-%m-%d}: "
        f"{probability[row]:.0%} to buy within {predictions.horizon_days} days, next "
        f"purchase expected {f'around {expected:%Y-%m-%d}' if expected else 'not within 180 days'}",
        ("rank", "product", "probability", "reason"),
    )
    table.columns[3].justify = "left"
    offers = predictions.offers.to_pandas()
    products = predictions.products.column("name").to_pylist()
    mine = offers[offers["customer"] == row].head(K)
    for rank, offer in enumerate(mine.itertuples(index=False), start=1):
        table.add_row(
            str(rank),
            products[offer.product],
            f"{offer.probability:.1%}",
            str(offer.reason) + (" (new)" if offer.is_new else ""),
        )
    for reason in facts["reasons"]:
        console.print(f"  why this score: {reason}", highlight=False)
    console.print(table)


def places(console: Console, config: Config, reports: Path, version: Path) -> None:
    """Where to look next."""
    console.print()
    for what, where in (
        ("report", reports / "report.html"),
        ("figures", reports / "metrics.json"),
        ("published", version),
        ("MLflow", f".venv/bin/mlflow ui --backend-store-uri {track.uri(config)}"),
        (
            "API",
            f"make serve, then POST http://{config.serving.host}:{config.serving.port}"
            "/v1/recommendations",
        ),
    ):
        console.print(f"{what:>10}: {where}", highlight=False, soft_wrap=True)


def _table(title: str, columns: Sequence[str]) -> Table:
    table = Table(title=title, title_justify="left", title_style="bold")
    for place, name in enumerate(columns):
        table.add_column(
            name,
            justify="left"
            if place in (0, 1) and name in ("product", columns[0])
            else "right",
        )
    return table
