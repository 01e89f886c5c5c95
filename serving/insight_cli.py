"""``repurchase strategy``, ``customer`` and ``insight movers``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from features.contracts import SettingError
from features.scratch import whole
from serving.options import (
    ConfigFile,
    DataPlace,
    Overrides,
    load,
    new_console,
    progress,
)

insight = typer.Typer(
    name="insight", help="Customers between two dates.", no_args_is_help=True
)

_CENTS = 100


def strategy(
    budget: Annotated[
        float, typer.Option(min=0, help="Shop currency, to be given out.")
    ],
    out: Annotated[
        Path | None, typer.Option(help="File of the same, .csv or .json.")
    ] = None,
    config: ConfigFile = None,
    overrides: Overrides = None,
) -> None:
    """Give a budget out to the segments of the strategy matrix, from what is published.

    Only customers who consented are counted. Actions, channels and shares are those of
    strategy.plans.
    """
    from serving.insight.columns import words
    from serving.insight.strategy import plan_budget

    _check(out)
    settings = load(config, overrides)
    published, found = _published(settings)
    codes = found.column("strategy")[published.consent]
    segments = words(codes, found.words_of("strategy"))
    plan = plan_budget(segments, round(budget * _CENTS), settings.strategy)
    rows = [
        {
            "segment": one.segment,
            "action": one.action,
            "channel": one.channel,
            "customers": one.customers,
            "planned_share": one.planned_share,
            "amount": one.amount / _CENTS,
            "per_customer": None
            if one.per_customer is None
            else one.per_customer / _CENTS,
        }
        for one in plan.measures
    ]
    _show(f"Budget {budget:,.2f}, customers as of {published.cutoff:%Y-%m-%d}", rows)
    if plan.unsegmented:
        new_console().print(f"without a segment: {plan.unsegmented:,} customers")
    if plan.unspent:
        new_console().print(f"not given out: {plan.unspent / _CENTS:,.2f}")
    _write(out, rows)


def customer(
    customer_id: Annotated[str, typer.Argument(help="As in the input tables.")],
    radar: Annotated[
        Path | None, typer.Option(help="File of the radar chart, .svg or .png.")
    ] = None,
    config: ConfigFile = None,
    overrides: Overrides = None,
) -> None:
    """Print all that is published of a customer as JSON, as GET /v1/customers/{id} does.

    The radar chart shows the health index by dimension; in grey as it was in the first
    month that is known.
    """
    from pydantic_core import to_json

    from serving.customer import page
    from serving.insight.radar import radar_png, radar_svg
    from serving.insight_page import radar_of

    if radar is not None and radar.suffix not in (".svg", ".png"):
        raise SettingError(f"--radar: expected a file .svg or .png, got {radar.name}")
    published, found = _published(load(config, overrides))
    row = published.customers.row(customer_id)
    if row is None:
        raise SettingError(
            "customer: expected one with a purchase before the cutoff, got another"
        )
    typer.echo(to_json(page(published, row), indent=2).decode())
    if radar is not None:
        now, then = radar_of(found, row)
        with whole(radar) as partial:
            if radar.suffix == ".png":
                partial.write_bytes(radar_png(now, then))
            else:
                partial.write_text(radar_svg(now, then))


@insight.command()
def movers(
    since: Annotated[str, typer.Option("--from", help="Such as 2017-07-01.")],
    until: Annotated[str, typer.Option("--to", help="A later day.")],
    out: Annotated[
        Path | None, typer.Option(help="File of those who moved, .csv or .json.")
    ] = None,
    tier: Annotated[
        Literal["abc", "frequency_tier", "value", "potential", "strategy"],
        typer.Option(help="Which tier."),
    ] = "abc",
    data: DataPlace = None,
    config: ConfigFile = None,
    overrides: Overrides = None,
) -> None:
    """Print who moved between tiers from one day to another, from the input tables.

    Each day is judged by the thresholds of its quarter. Rows: the tier at the first day;
    columns: at the second; shares of the row. Absent: no customer yet, or no data.
    A file of who they are is on record as any other list: see repurchase audits list.
    """
    from features.snapshot import parse_cutoff
    from serving import stages
    from serving.insight.moves import moves
    from serving.state import audits
    from serving.state_cli import now_us, opened_state

    _check(out)
    settings, console = load(config, overrides, data), new_console()
    days = parse_cutoff(since), parse_cutoff(until)
    if days[0] >= days[1]:
        raise SettingError(f"--to: expected a day after {since}, got {until}")
    with progress(console) as announce, stages.tables_of(settings) as tables:
        announce("tiers at both days")
        matrix, moved = moves(tables, days, tier, settings)
    rows = [
        {
            "before": before,
            **{after: _share(matrix.rate(before, after)) for after in matrix.names},
            "customers": int(matrix.counts[at].sum()),
        }
        for at, before in enumerate(matrix.names)
    ]
    _show(f"{tier} from {since} to {until}", rows)
    console.print(f"moved: {len(moved):,} customers")
    if out is not None:
        asked = {"from": since, "to": until, "tier": tier}
        with opened_state(settings) as engine:
            who, count = audits.LOCAL, len(moved)
            audits.record(engine, now_us(), who, "movers", asked, count, "input tables")
    _write(out, moved.to_pylist())


def _published(settings: Any) -> tuple[Any, Any]:
    """The version in force without who was erased, and its insight."""
    from serving.erased import Erased
    from serving.published import Published
    from serving.state import tombstones
    from serving.state_cli import opened_state

    with opened_state(settings) as engine:
        erased = Erased(lambda last: tombstones.since(engine, last))
        erased.refresh(None)
        published = erased.seen(Published.open(settings.workspace))
    if published.insight is None:
        raise SettingError(
            f"insight: expected some in {published.version}, got none; run repurchase "
            "publish"
        )
    return published, published.insight


def _share(rate: float | None) -> str:
    return "" if rate is None else f"{rate:.1%}"


def _show(title: str, rows: list[dict[str, Any]]) -> None:
    from rich.table import Table

    table = Table(title=title, title_justify="left")
    for name in rows[0]:
        table.add_column(name.replace("_", " "))
    for row in rows:
        table.add_row(*("" if v is None else _cell(v) for v in row.values()))
    new_console().print(table)


def _cell(value: Any) -> str:
    return f"{value:,.2f}" if isinstance(value, float) else str(value)


def _check(out: Path | None) -> None:
    """Before the work is done for nothing.

    Raises:
        SettingError: the file has another ending.
    """
    if out is not None and out.suffix not in (".csv", ".json"):
        raise SettingError(f"--out: expected a file .csv or .json, got {out.name}")


def _write(out: Path | None, rows: list[dict[str, Any]]) -> None:
    if out is None:
        return
    with whole(out) as partial:
        if out.suffix == ".json":
            text = json.dumps(rows, ensure_ascii=False, indent=1)
            partial.write_text(text + "\n")
        else:
            import pandas as pd

            names = list(rows[0]) if rows else ["customer_id", "before", "after"]
            pd.DataFrame(rows, columns=names).to_csv(partial, index=False)
    new_console().print(f"written: {out}, {len(rows):,} lines", markup=False)
