"""The command that compares the model in force with what came after it."""

from __future__ import annotations

from typing import Annotated

import typer

from serving.options import ConfigFile, Overrides, load, new_console, progress


def drift(
    cutoff: Annotated[
        str | None,
        typer.Option(help="Moment to compare as of, such as 2017-11-12."),
    ] = None,
    config: ConfigFile = None,
    overrides: Overrides = None,
) -> None:
    """Compare input, scores and promises of the model in force with what came since.

    As of the configured cutoff if none is given. Writes reports/drift.html and
    drift.json in the workspace; a service shows the latter in its metrics.

    Exit status 0: fine; 1: something is past the limits of the settings `drift.`; a
    schedule can train anew, or call somebody; 2: bad input.
    """
    from features.snapshot import parse_cutoff
    from serving import drift_report, drifting

    settings, console = load(config, overrides), new_console()
    if cutoff:
        settings = settings.model_copy(update={"cutoff": parse_cutoff(cutoff)})
    with progress(console) as announce:
        found = drifting.drift(settings, announce)
    drift_report.show(console, found)
    page, figures = drift_report.write(
        found, settings.drift, settings.workspace / "reports"
    )
    console.print(f"report: {page} and {figures.name}", soft_wrap=True)
    if found.alarms:
        raise typer.Exit(1)
