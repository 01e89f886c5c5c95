"""Finished figures as text for a terminal; computes nothing of its own."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console
from rich.table import Table

from features.config import Config
from training import report, track
from training.evaluate import K, Quality
from training.findings import plain
from training.metrics import MODEL, Interval
from training.predictions import Predictions

if TYPE_CHECKING:
    from serving.evaluation import Evaluation


def evaluation(console: Console, found: Evaluation) -> None:
    """Scores beside baselines at every cutoff, and the comparison with picks."""
    qualities(console, found.qualities)
    picks = found.comparison.figures()
    if picks:
        _picks(console, found)
    else:
        console.print(f"\nNo comparison with manual picks: {found.comparison.reason}")
    _heading(console, "In short")
    for sentence in report.headline(found.qualities, picks):
        console.print(f"* {sentence}", highlight=False)


def qualities(console: Console, found: Sequence[Quality]) -> None:
    """One table for propensity and one for each list, per cutoff."""
    for quality in found:
        days = "day" if quality.horizon_days == 1 else "days"
        until = f"{quality.horizon_days} {days} from {quality.cutoff:%Y-%m-%d}"
        _heading(
            console,
            f"Who buys again in the {until}: {quality.customers:,} customers with "
            f"history, {quality.base_rate:.1%} bought",
        )
        table = _table("model", "AUC", "Brier", "calibration error", "our AUC gain")
        for name, values in quality.propensity.items():
            table.add_row(
                plain(name),
                f"{values['auc']:.3f}",
                f"{values['brier']:.3f}",
                f"{values['ece']:.3f}",
                _interval(quality.auc_gain.get(name), "+.3f"),
                style="bold" if name == MODEL else None,
            )
        console.print(table)
        for lane in quality.lists:
            _list(console, quality, lane, until)
        _value(console, quality, until)
        _churn(console, quality)
        _uplift(console, quality)


def _list(console: Console, quality: Quality, lane: str, until: str) -> None:
    methods = quality.lists[lane]
    _heading(
        console,
        f"What they buy in the {until}, list {lane}, {K} slots: "
        f"{methods[MODEL]['customers']:,.0f} customers with something to find",
    )
    table = _table("method", f"recall@{K}", f"nDCG@{K}", f"hit@{K}", "our recall gain")
    for name, values in methods.items():
        table.add_row(
            plain(name),
            f"{values['recall']:.4f}",
            f"{values['ndcg']:.4f}",
            f"{values['hit']:.3f}",
            _interval(quality.recall_gain[lane].get(name), "+.4f"),
            style="bold" if name == MODEL else None,
        )
    console.print(table)


def _value(console: Console, quality: Quality, until: str) -> None:
    value = quality.value
    _heading(
        console,
        f"What they spend in the {until}: {value.spent:,.2f} each on average",
    )
    table = _table(
        "model",
        "mean error",
        "rank correlation",
        "expected / spent, in total",
        "our gain in error",
    )
    for name, values in value.models.items():
        table.add_row(
            plain(name),
            f"{values['mae']:,.2f}",
            f"{values['spearman']:.3f}",
            f"{values['total']:.2f}",
            _interval(value.mae_gain.get(name), "+,.2f"),
            style="bold" if name == MODEL else None,
        )
    console.print(table)


def _churn(console: Console, quality: Quality) -> None:
    churn = quality.churn
    if churn is None:
        return
    _heading(
        console,
        f"Whose visits fall under half in the {churn.window_days} days from "
        f"{quality.cutoff:%Y-%m-%d}: {churn.customers:,} regular customers, "
        f"{churn.declined:.1%} declined",
    )
    table = _table("model", "AUC", "declined, of the riskiest tenth", "our AUC gain")
    for name, values in churn.models.items():
        table.add_row(
            plain(name),
            f"{values['auc']:.3f}",
            f"{values['top']:.1%}",
            _interval(churn.auc_gain.get(name), "+.3f"),
            style="bold" if name == MODEL else None,
        )
    console.print(table)


def _uplift(console: Console, quality: Quality) -> None:
    found = quality.uplift
    _heading(
        console,
        f"Who buys because of a contact, from campaigns before {quality.cutoff:%Y-%m-%d}",
    )
    console.print(found.said, highlight=False)
    if found.top is None:
        return
    table = _table("contacted", "more buyers per 100 contacts")
    for name, effect in {"everyone": found.effect, **found.top}.items():
        table.add_row(
            name if name == "everyone" else f"the {name} with the highest uplift",
            _interval(effect and effect.times(100), "+.1f"),
        )
    console.print(table)


def _picks(console: Console, found: Evaluation) -> None:
    _heading(console, f"Against manual picks: {found.comparison.scope}")
    table = _table(
        "list",
        "purchases per slot",
        "bought 1 or more",
        "ours / this, per slot",
        "ours / this, customers",
    )
    for pick in found.comparison.figures():
        table.add_row(
            pick.name,
            _interval(pick.per_slot, ".3f"),
            _interval(pick.share, ".1%"),
            _interval(pick.per_slot_ratio, ".2f"),
            _interval(pick.share_ratio, ".2f"),
            style="bold" if pick.whose == "ours" else None,
        )
    console.print(table)
    for said in found.comparison.left_out:
        console.print(said, highlight=False)


def customer(console: Console, predictions: Predictions) -> None:
    """One real customer's score and top ten, each line with its reason.

    The customer is the one with the median probability, so that the example is
    neither the best nor an empty one.
    """
    probability = predictions.curve[:, predictions.horizon_days - 1]
    row = int(probability.argsort(kind="stable")[len(probability) // 2])
    facts = predictions.customers.slice(row, 1).to_pylist()[0]
    expected = facts["expected_next_at"]
    when = f"expected around {expected:%Y-%m-%d}" if expected else "not within 180 days"
    _heading(
        console,
        f"Customer {facts['customer_id']} on {predictions.cutoff:%Y-%m-%d}: "
        f"{probability[row]:.0%} to buy within {predictions.horizon_days} days, "
        f"next purchase {when}",
    )
    for reason in facts["reasons"]:
        console.print(f"  {reason}", highlight=False)
    table = _table("rank", "product", "probability", "reason")
    table.columns[1].justify = table.columns[3].justify = "left"
    offers = predictions.offers.to_pandas()
    names = predictions.products.column("name").to_pylist()
    for rank, offer in enumerate(
        offers[offers["customer"] == row].head(K).itertuples(index=False), start=1
    ):
        table.add_row(
            str(rank),
            names[offer.product],
            f"{offer.probability:.1%}",
            f"{offer.reason} (new to this customer)" if offer.is_new else offer.reason,
        )
    console.print(table)


def places(console: Console, config: Config, reports: Path, version: Path) -> None:
    """Where to look next."""
    _heading(console, "Where to look next")
    address = f"http://{config.serving.host}:{config.serving.port}"
    store = f".venv/bin/mlflow ui --backend-store-uri {track.uri(config)}"
    for what, where in (
        ("report", reports / "report.html"),
        ("figures", reports / "metrics.json"),
        ("published", version),
        ("MLflow", store if config.tracking.uri is None else config.tracking.uri),
        ("API", f"make serve, then POST {address}/v1/recommendations"),
    ):
        console.print(f"{what:>10}: {where}", highlight=False, soft_wrap=True)


def _heading(console: Console, text: str) -> None:
    console.print(f"\n{text}", style="bold", highlight=False)


def _interval(value: Interval | None, form: str) -> str:
    if value is None:
        return ""
    return f"{value.value:{form}} ({value.low:{form}} to {value.high:{form}})"


def _table(first: str, *others: str) -> Table:
    table = Table()
    table.add_column(first)
    for name in others:
        table.add_column(name, justify="right")
    return table
