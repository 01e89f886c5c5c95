"""Finished figures as text for a terminal; computes nothing of its own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console
from rich.table import Table

from features.config import Config
from training import report, track
from training.evaluate import Quality
from training.findings import plain
from training.list_quality import UNION
from training.match_sections import said_of_sure
from training.metrics import MAP_SLOTS, MODEL, Interval, K
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
    sentences = report.headline(found.qualities, picks)
    for sentence in [*sentences, report.certainty(found.qualities)]:
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
        _compared(
            console,
            quality.propensity,
            {
                "auc": ("AUC", ".3f"),
                "brier": ("Brier", ".3f"),
                "ece": ("calibration error", ".3f"),
            },
            ("our AUC gain", "+.3f"),
            quality.auc_gain,
        )
        for lane in quality.lists:
            _list(console, quality, lane, until)
        _value(console, quality, until)
        _churn(console, quality)
        _replenishment(console, quality)
        _uplift(console, quality)


def _list(console: Console, quality: Quality, lane: str, until: str) -> None:
    methods = quality.lists[lane]
    _heading(
        console,
        f"What they buy in the {until}, list {lane}, {K} slots: "
        f"{methods[MODEL]['customers']:,.0f} customers with something to find",
    )
    _compared(
        console,
        methods,
        {
            "recall": (f"recall@{K}", ".4f"),
            "ndcg": (f"nDCG@{K}", ".4f"),
            "map": (f"MAP@{MAP_SLOTS}", ".4f"),
            "hit": (f"hit@{K}", ".3f"),
            "precision": (f"precision@{K}", ".3f"),
        },
        ("our recall gain", "+.4f"),
        quality.recall_gain[lane],
        first="method",
    )
    match, reached = quality.offers.match[lane], quality.offers.candidates[lane][UNION]
    console.print(
        f"Match: {match.pairs:,} pairs, {match.promised:.2%} promised, "
        f"{match.bought:.2%} bought, calibration error {match.ece:.4f}. "
        f"{said_of_sure(match)} Candidates: {reached:.1%} of what is bought is among them.",
        highlight=False,
        soft_wrap=True,
    )


def _compared(
    console: Console,
    models: Mapping[str, Mapping[str, float]],
    figures: Mapping[str, tuple[str, str]],
    gain: tuple[str, str],
    gains: Mapping[str, Interval],
    first: str = "model",
) -> None:
    """Figures of every model, ours in bold, and what ours gains over each.

    Args:
        console: where to.
        models: figures by their keys, by model.
        figures: title and format of each key that is shown, in order.
        gain: title and format of the last column.
        gains: by model; none for ours.
        first: title of the models' column.
    """
    title, form = gain
    table = _table(first, *(name for name, _ in figures.values()), title)
    for name, values in models.items():
        table.add_row(
            plain(name),
            *(f"{values[key]:{shown}}" for key, (_, shown) in figures.items()),
            _interval(gains.get(name), form),
            style="bold" if name == MODEL else None,
        )
    console.print(table)


def _value(console: Console, quality: Quality, until: str) -> None:
    value = quality.value
    _heading(
        console,
        f"What they spend in the {until}: {value.spent:,.2f} each on average",
    )
    _compared(
        console,
        value.models,
        {
            "mae": ("mean error", ",.2f"),
            "spearman": ("rank correlation", ".3f"),
            "total": ("expected / spent, in total", ".2f"),
        },
        ("our gain in error", "+,.2f"),
        value.mae_gain,
    )


def _churn(console: Console, quality: Quality) -> None:
    churn = quality.churn
    if churn is None:
        return
    _heading(
        console,
        f"Whose visits fall under half in the {churn.window_days} days from "
        f"{quality.cutoff:%Y-%m-%d}: {churn.customers:,} regular customers, "
        f"{churn.declined:.1%} declined; our calibration error {churn.ece:.3f}",
    )
    _compared(
        console,
        churn.models,
        {"auc": ("AUC", ".3f"), "top": ("declined, of the riskiest tenth", ".1%")},
        ("our AUC gain", "+.3f"),
        churn.auc_gain,
    )


def _replenishment(console: Console, quality: Quality) -> None:
    due = quality.replenishment
    if due is None:
        return
    _heading(
        console,
        f"What is due in the {due.window_days} days from {quality.cutoff:%Y-%m-%d}",
    )
    console.print(due.said, highlight=False)
    _compared(
        console,
        due.models,
        {
            "auc": ("AUC", ".3f"),
            "precision": ("right, where 30% are found", ".1%"),
            "top": ("right, surest quarter of these", ".1%"),
        },
        ("our AUC gain", "+.3f"),
        due.auc_gain,
    )


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
    if found.spend is None:
        return
    console.print(found.spend.said, highlight=False)
    table = _table("contacted", "more spend per contact")
    for name, effect in {"everyone": found.spend.effect, **found.spend.top}.items():
        table.add_row(
            name if name == "everyone" else f"the {name} with the most extra spend",
            _interval(effect, "+,.2f"),
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
        "picks in our order / this, per slot",
    )
    for pick in found.comparison.figures():
        table.add_row(
            pick.name,
            _interval(pick.per_slot, ".3f"),
            _interval(pick.share, ".1%"),
            _interval(pick.per_slot_ratio, ".2f"),
            _interval(pick.share_ratio, ".2f"),
            _interval(pick.reordered_ratio, ".2f"),
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
