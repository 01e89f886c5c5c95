"""``repurchase kpis``: the figures of ``GET /v1/kpis`` as a table."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import typer

from features.contracts import SettingError
from serving.options import ConfigFile, Overrides, load, new_console


def kpis(
    by: Annotated[
        Literal[
            "all",
            "segment",
            "region",
            "tier",
            "member_tier",
            "channel",
            "campaign",
            "cohort",
        ],
        typer.Option(help="Groups of customers, or of orders (channel, campaign)."),
    ] = "all",
    period: Annotated[
        str,
        typer.Option(
            help="2017-10, 2017-Q4 or 2017-W42; month, quarter or week: the latest "
            "complete one."
        ),
    ] = "month",
    config: ConfigFile = None,
    overrides: Overrides = None,
) -> None:
    """Print KPIs of a period by group, from what is published.

    With --by cohort also the retention triangle: of the customers who first ordered in
    a month, the share who order so many months later.
    """
    from serving.insight.cohorts import triangle
    from serving.insight.figures import asked, definitions, lines
    from serving.published import Published

    published = Published.open(load(config, overrides).workspace)
    if published.kpis is None:
        raise SettingError(
            f"kpis: expected some in {published.version}, got none; run repurchase publish"
        )
    question = asked(published.kpis, by, period)
    console, said = new_console(), question.period
    console.print(
        f"KPIs of {said['name']} by {by}, as known on {published.cutoff:%Y-%m-%d}"
        + ("" if said["complete"] else " (the period is not over)"),
        style="bold",
        highlight=False,
    )
    titles = {one["name"]: one["title"] for one in definitions(question)}
    console.print(_table(titles, list(lines(published.kpis, question))))
    if by == "cohort":
        console.print("\nRetention, months after the first order", style="bold")
        console.print(_triangle(triangle(published.kpis.blocks["cohort", "month"])))


def _table(titles: dict[str, str], found: list[dict[str, Any]]) -> Any:
    from rich.markup import escape
    from rich.table import Table

    table = Table()
    for name in ("KPI", "group"):
        table.add_column(name)
    for name in (
        "numerator",
        "denominator",
        "value",
        "target",
        "before",
        "year before",
        "trend a period (95 %)",
    ):
        table.add_column(name, justify="right")
    for one in found:
        trend = one["trend"]
        table.add_row(
            titles[one["name"]],
            escape("(unknown)" if one["group"] is None else one["group"]),
            *(_number(one[name]) for name in ("numerator", "denominator", "value")),
            _number(one["target"]),
            *(_number(one[name]["value"]) for name in ("previous", "year_before")),
            ""
            if trend is None
            else f"{_number(trend['slope'])} "
            f"({_number(trend['low'])} to {_number(trend['high'])})",
        )
    return table


def _triangle(found: Any) -> Any:
    from rich.table import Table

    table, retention = Table(), found.retention
    for name in ("cohort", "customers", *map(str, range(retention.shape[1]))):
        table.add_column(name, justify="right")
    for row, cohort in enumerate(found.cohorts):
        shares = (f"{s:.0%}" if s == s else "" for s in retention[row])
        table.add_row(cohort, f"{found.size[row]:,.0f}", *shares)
    return table


def _number(value: float | None) -> str:
    """Four digits that count; empty: there is none."""
    if value is None:
        return ""
    return f"{value:,.0f}" if abs(value) >= 1000 or value == 0 else f"{value:.4g}"
