"""``repurchase campaigns``: what past campaigns did, and whether they paid."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from features.contracts import SettingError
from features.snapshot import parse_cutoff
from serving.options import ConfigFile, Overrides, load, new_console, progress


def campaigns(
    out: Annotated[Path | None, typer.Option(help="File, .csv or .json.")] = None,
    cutoff: Annotated[
        str | None, typer.Option(help="As known on that day; else the configured one.")
    ] = None,
    config: ConfigFile = None,
    overrides: Overrides = None,
) -> None:
    """Print what past campaigns did to those who took part, and their ROI.

    Participants stand beside the held out where chance drew them, else beside others
    who are like them; where nobody is like them, that is said and nothing is claimed.
    The naive difference between participants and others is printed to be distrusted.
    """
    from serving.insight.campaigns import measure_tables
    from serving.stages import cutoff_of, open_tables

    settings, console = load(config, overrides), new_console()
    if out is not None and out.suffix not in (".csv", ".json"):
        raise SettingError(f"--out: expected a .csv or .json file, got {out.name}")
    with progress(console) as announce, open_tables(settings, announce) as tables:
        until = parse_cutoff(cutoff) if cutoff else cutoff_of(settings)
        announce("compare participants with others")
        found, kinds = measure_tables(tables, until, settings)
    if not found:
        console.print(
            "No campaign: no contacts are known, or no campaign's window is over.",
            highlight=False,
        )
    lines = [one.figures() for one in found]
    by_kind = [one.figures() for one in kinds]
    days = settings.campaigns.window_days
    if found:
        console.print(
            f"Campaigns as known on {until:%Y-%m-%d}, {days} days from the start of each",
            style="bold",
            highlight=False,
        )
        console.print(_table("campaign", [one for one in lines if _is_like(one)]))
        _say_why_not(console, [one for one in lines if not _is_like(one)])
    if by_kind:
        console.print("\nBy kind, comparable campaigns only", style="bold")
        console.print(_table("kind", by_kind))
    if out is not None:
        _write(out, lines, by_kind)


def _table(title: str, lines: list[dict[str, Any]]) -> Any:
    from rich.table import Table

    table = Table()
    for name in (title, "kind", "from") if title == "campaign" else (title,):
        table.add_column(name)
    for name in ("participants", "others"):
        table.add_column(name, justify="right")
    for name in (
        "repurchased: with / without",
        "effect (95 %)",
        "naive",
        "order value: effect (95 %)",
        "extra margin (95 %)",
        "ROI (95 %)",
    ):
        table.add_column(name, justify="right")
    for one in lines:
        head = [one["name"]]
        if title == "campaign":
            head += [one["kind"], one["starts_at"][:10]]
        others = f"{one['others']:,} {one['others_are']}"
        row = [*head, f"{one['participants']:,}", others]
        again = one["repurchased"]
        table.add_row(
            *row,
            f"{again['with']:.1%} / {again['without']:.1%}",
            _points(again),
            f"{again['naive']:+.1%}",
            _range(one["order_value"], ",.2f"),
            _range(one["extra_margin"], ",.0f"),
            _range(one["roi"], ".0%"),
        )
    return table


def _is_like(one: dict[str, Any]) -> bool:
    return one["not_comparable"] is None


def _say_why_not(console: Any, lines: list[dict[str, Any]]) -> None:
    if lines:
        console.print("\nNot comparable, so nothing is claimed", style="bold")
    for one in lines:
        console.print(
            f"- {one['name']} ({one['kind']}, from {one['starts_at'][:10]}, "
            f"{one['participants']:,} participants): {one['not_comparable']}",
            highlight=False,
            markup=False,
        )


def _points(again: dict[str, float]) -> str:
    return f"{again['effect']:+.1%} ({again['low']:+.1%} to {again['high']:+.1%})"


def _range(found: dict[str, float | None], shape: str) -> str:
    if found["effect"] is None:
        return "unknown"
    value, low, high = (
        format(found[k] or 0.0, f"+{shape}") for k in ("effect", "low", "high")
    )
    return f"{value} ({low} to {high})"


def _write(
    out: Path, lines: list[dict[str, Any]], by_kind: list[dict[str, Any]]
) -> None:
    import json

    from features.scratch import whole

    with whole(out) as partial:
        if out.suffix == ".json":
            told = {"campaigns": lines, "kinds": by_kind}
            partial.write_text(json.dumps(told, indent=2) + "\n")
            return
        import pandas as pd

        rows = [{"level": "campaign", **one} for one in lines]
        rows += [{"level": "kind", **one} for one in by_kind]
        pd.json_normalize(rows, sep="_").to_csv(partial, index=False)
