"""``repurchase audience``: the lists of ``POST /v1/audiences`` as files."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Literal

import typer

from features.contracts import SettingError
from serving.options import ConfigFile, Overrides, load, new_console


def audience(
    goal: Annotated[
        Literal["repurchase", "replenish", "win_back", "value", "uplift", "product"],
        typer.Option(help="What the customers are wanted for; see below."),
    ],
    out: Annotated[Path, typer.Option(help="File, .csv or .json.")],
    top: Annotated[int, typer.Option(min=1, help="Customers at most.")] = 100,
    filter_: Annotated[
        list[str] | None,
        typer.Option(
            "--filter",
            metavar="COLUMN=VALUE",
            help="Only these: tag, tier (A, B, C), lifecycle or another tag or tier, "
            "segment, region, channel or another text column of customers. Repeatable: any value of a column, all columns.",
        ),
    ] = None,
    horizon: Annotated[
        int | None,
        typer.Option(min=1, max=180, help="Days, of repurchase; else the published."),
    ] = None,
    within_days: Annotated[
        int | None, typer.Option(min=0, max=365, help="Due so soon, of replenish; 3.")
    ] = None,
    offers: Annotated[
        int, typer.Option(min=0, max=10, help="Products to offer, a customer.")
    ] = 3,
    product: Annotated[
        list[str] | None, typer.Option(help="Product id; repeatable: any of them.")
    ] = None,
    category: Annotated[
        str | None, typer.Option(help="Any available product of it.")
    ] = None,
    picks: Annotated[
        str | None, typer.Option("--list", help="Any product of a list of picks.")
    ] = None,
    config: ConfigFile = None,
    overrides: Overrides = None,
) -> None:
    """Write the best customers for a goal, from what is published.

    repurchase: likeliest to buy within the horizon. replenish: something they buy
    again and again is due. win_back: most spend at risk. value: most spend expected
    within a year. uplift: a contact brings most. product: likeliest to buy one of
    the products. Nobody who refused consent is among them.
    """
    from serving import audience as audiences
    from serving import audience_file as files
    from serving.erased import Erased
    from serving.published import Published
    from serving.state import audits, tombstones
    from serving.state_cli import now_us, opened_state

    files.check_file(out)
    settings = load(config, overrides)
    named = bool(product) or category is not None or picks is not None
    if named and goal != "product":
        raise SettingError(
            f"audience: expected --product, --category and --list with --goal product "
            f"only, got --goal {goal}; leave them out"
        )
    filters, asked = filters_of(filter_ or ()), dict[str, object]()
    with opened_state(settings) as engine:
        erased = Erased(lambda last: tombstones.since(engine, last))
        erased.refresh(None)
        published = erased.seen(Published.open(settings.workspace))
        products = None
        if goal == "product":
            products = files.products_of(
                published, settings, product or (), category, picks
            )
        within = audiences.WITHIN_DAYS if within_days is None else within_days
        ask = audiences.Ask(goal, filters, horizon, within, products)
        ranking = audiences.rank(published, ask, top)
        asked |= {"filters": filters, "horizon_days": horizon, "category": category}
        asked |= {"within_days": within_days, "product_ids": product, "list": picks}
        asked = {k: v for k, v in asked.items() if v not in (None, [], {})}
        count, version = len(ranking.customer), published.version
        audits.record(engine, now_us(), audits.LOCAL, goal, asked, count, version)
    files.write(audiences.lines(published, ranking, 0, offers), out, offers)
    said = f"written: {out}, {len(ranking.customer):,} customers, goal {goal}"
    new_console().print(said, markup=False)
    new_console().print(f"score: {ranking.means}", markup=False)
    if ranking.evidence:
        new_console().print(ranking.evidence.said, markup=False)


def filters_of(words: Sequence[str]) -> dict[str, list[str]]:
    """``COLUMN=VALUE`` words as filters; values of one column come together.

    Raises:
        SettingError: a word has no column or no value.
    """
    found: dict[str, list[str]] = {}
    for word in words:
        column, _, value = word.partition("=")
        if not column or not value:
            raise SettingError(
                f"--filter: expected COLUMN=VALUE, got {word!r:.80}; such as "
                "--filter segment=family"
            )
        found.setdefault(column, []).append(value)
    return found
