"""``repurchase experiment design``: what a test could find, before it is planned."""

from __future__ import annotations

from typing import Annotated, Literal

import typer

from serving.experiment_errors import in_one_line
from serving.options import ConfigFile, DataPlace, Overrides, load, new_console
from serving.state_cli import now_us, opened_state


def design(
    primary: Annotated[
        Literal[
            "click_rate",
            "conversion",
            "repurchase_rate",
            "orders",
            "revenue",
            "revenue_uncut",
            "order_value",
            "days_to_purchase",
        ],
        typer.Option(help="The one measure that decides."),
    ] = "click_rate",
    mde: Annotated[
        float | None, typer.Option(help="Smallest relative effect to be found.")
    ] = None,
    days: Annotated[
        int | None, typer.Option(help="From the start to the end of the last window.")
    ] = None,
    customers: Annotated[int | None, typer.Option(help="In all arms together.")] = None,
    arm: Annotated[
        list[str] | None,
        typer.Option(help="Names, control first; control and treatment."),
    ] = None,
    holdout: Annotated[
        float, typer.Option(help="Share of all who get nothing at all.")
    ] = 0.0,
    window_days: Annotated[
        int, typer.Option(help="Outcomes count so long after an assignment.")
    ] = 28,
    slots: Annotated[int, typer.Option(help="Of a list.")] = 10,
    assumed: Annotated[
        float | None,
        typer.Option(help="Control's rate, where the history does not tell it."),
    ] = None,
    look: Annotated[
        list[float] | None,
        typer.Option(help="Shares of the customers at which it is looked at, 1 last."),
    ] = None,
    alpha: Annotated[float, typer.Option(help="Of the whole test.")] = 0.05,
    power: Annotated[float, typer.Option(help="With which it is found.")] = 0.8,
    data: DataPlace = None,
    config: ConfigFile = None,
    overrides: Overrides = None,
) -> None:
    """Say what a test could find; give one of --mde, --days, --customers."""
    from features.snapshot import from_us
    from serving import experiment_work as work
    from serving.experiment_design_schema import DesignAnswer, DesignRequest
    from serving.experiments.place import Place

    settings = load(config, overrides, data)
    given = {
        "primary": primary,
        "mde": mde,
        "days": days,
        "customers": customers,
        "holdout": holdout,
        "window_days": window_days,
        "slots": slots,
        "assumed": assumed,
        "alpha": alpha,
        "power": power,
    }
    given |= {"arms": arm} if arm else {}
    given |= {"looks": look} if look else {}
    with in_one_line("the options"):
        asked = DesignRequest.model_validate(given)
    place = Place(settings.data, settings.engine)
    with opened_state(settings) as engine, in_one_line("the options"):
        found = work.sketch(engine, asked, from_us(now_us()), place)
    told = DesignAnswer.model_validate(found)
    console = new_console()
    console.print(told.sentence, soft_wrap=True, markup=False)
    split = ", ".join(f"{one.name} {one.weight} ({one.share:.1%})" for one in told.arms)
    console.print(f"split: {split}", soft_wrap=True, markup=False)
    for one in told.power_by_uplift:
        console.print(
            f"an effect of {one.uplift:+.1%} is found with {one.power:.0%}",
            markup=False,
        )
