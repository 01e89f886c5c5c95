"""Commands that change which model is in force: gate, retrain, rollback."""

from __future__ import annotations

from typing import Annotated

import typer

from serving.options import ConfigFile, Overrides, load, new_console, progress


def gate(config: ConfigFile = None, overrides: Overrides = None) -> None:
    """Ask whether the latest model may replace the one in force; nothing is published.

    Its settings are built anew at past cutoffs, beside those of the model in force and
    the baselines.

    Exit status 0: it may; 1: it may not; 2: bad input.
    """
    from serving import gate_text, gating

    console = new_console()
    with progress(console) as announce:
        judged = gating.judge(load(config, overrides), announce)
    gate_text.show(console, judged)
    if not judged.decision.promote:
        raise typer.Exit(1)


def retrain(config: ConfigFile = None, overrides: Overrides = None) -> None:
    """Check, train, compare with the model in force, publish if the gate says yes.

    A run that was killed goes on where it was; what did not change is not done again.

    Exit status 0: the new model is in force, or nothing changed; 1: the gate said no,
    and what was in force stays; 2: bad input.
    """
    from serving import gate_text
    from serving.retrain import retrain as run

    settings, console = load(config, overrides), new_console()
    with progress(console) as announce:
        outcome = run(settings, announce)
    if outcome.judged is not None:
        gate_text.show(console, outcome.judged)
    if outcome.refused:
        raise typer.Exit(1)
    said = "published" if outcome.is_new else "unchanged"
    console.print(
        f"{said}: {outcome.version}, model {outcome.bundle}",
        highlight=False,
        soft_wrap=True,
    )


def rollback(
    to: Annotated[
        str | None, typer.Option(help="As `versions list` shows it; the former if not.")
    ] = None,
    config: ConfigFile = None,
    overrides: Overrides = None,
) -> None:
    """Put the former model and its published version in force again, together.

    Services take it up within about a second. `retrain` does not bring back the model
    that was rolled back; `rollback --to` its version does.
    """
    from serving import champion

    settings = load(config, overrides)
    now, before = champion.rollback(settings, to)
    console = new_console()
    console.print(f"in force: {now} (before: {before})", soft_wrap=True)
    model = champion.champion_of(settings.workspace)
    console.print(f"model: {model}", highlight=False, soft_wrap=True)
