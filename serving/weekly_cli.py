"""``repurchase report``: the week on one page, and the same as data."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from features.config import Config
from features.contracts import SettingError
from features.snapshot import parse_cutoff
from serving.options import ConfigFile, Overrides, load, new_console, progress

if TYPE_CHECKING:
    from serving.published import Published


def report(
    cutoff: Annotated[
        str | None, typer.Option(help="Of a published version; else the one in force.")
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(help="Page, .html; else workspace/reports/week.html."),
    ] = None,
    contacts: Annotated[
        int, typer.Option(min=1, max=1000, help="Customers to name for each goal.")
    ] = 20,
    config: ConfigFile = None,
    overrides: Overrides = None,
) -> None:
    """Write the weekly report: what changed, why, whom to contact, what it is worth.

    One page with pictures that needs no other file, and the same as JSON beside it.
    It names customers: keep it where customer data are kept. Nobody who refused
    consent is named. The list is on record as any other: see repurchase audits list.
    """
    import json

    from features.scratch import whole
    from serving.erased import Erased
    from serving.insight.campaigns import measure_tables
    from serving.stages import open_tables
    from serving.state import audits, tombstones
    from serving.state_cli import now_us, opened_state
    from serving.weekly.figures import weekly
    from serving.weekly.page import page, sentences

    settings, console = load(config, overrides), new_console()
    file = out or settings.workspace / "reports" / "week.html"
    _check_file(file, settings)
    with progress(console) as announce, opened_state(settings) as engine:
        announce("open the version")
        erased = Erased(lambda last: tombstones.since(engine, last))
        erased.refresh(None)
        published = erased.seen(_version(settings, cutoff))
        announce("compare campaigns")
        with open_tables(settings, announce) as tables:
            measured = measure_tables(tables, published.cutoff, settings)
        announce("write the report")
        found = weekly(published, measured, contacts)
        text = page(found)
        file.parent.mkdir(parents=True, exist_ok=True)
        for one in found["contacts"]:
            count = len(one["lines"])
            asked = {"report": found["week"] and found["week"]["name"]}
            who, version = audits.LOCAL, published.version
            audits.record(engine, now_us(), who, one["goal"], asked, count, version)
        data = file.with_suffix(".json")
        # The data first: a page without them would outlive an erasure.
        with whole(data) as partial:
            partial.write_text(json.dumps(found, indent=2, allow_nan=False) + "\n")
        with whole(file) as partial:
            partial.write_text(text)
    for line in sentences(found):
        console.print(line, markup=False, highlight=False)
    console.print(f"report: {file}, data: {data}", markup=False, highlight=False)


def _check_file(file: Path, settings: Config) -> None:
    """A page where an erasure finds it, or outside of what the system keeps.

    Raises:
        SettingError: it is no page, or lies elsewhere in the workspace.
    """
    if file.suffix != ".html":
        raise SettingError(f"--out: expected an .html file, got {file.name}")
    workspace = settings.workspace.resolve()
    folder = file.resolve().parent
    if folder.is_relative_to(workspace) and folder != workspace / "reports":
        raise SettingError(
            f"--out: expected a file in {settings.workspace / 'reports'} or outside of "
            f"the workspace, got {file}; an erasure looks for reports there"
        )


def _version(settings: Config, cutoff: str | None) -> Published:
    """The version in force, or one of a cutoff: that in force, else the latest.

    Who has refused consent since is left out.

    Raises:
        SettingError: there is none.
    """
    import numpy as np

    from serving.published import Published

    root = settings.workspace
    current = Published.open(root)
    if cutoff is None or current.cutoff == parse_cutoff(cutoff):
        return current
    wanted = f"{parse_cutoff(cutoff):%Y%m%dT%H%M%S}"
    found = sorted(
        (root / "published").glob(f"{wanted}-*"),
        key=lambda folder: folder.stat().st_mtime,
    )
    if not found:
        raise SettingError(
            f"--cutoff: expected that of a published version, got {cutoff}; see "
            f"`repurchase versions list`, or publish with --set cutoff={cutoff}"
        )
    then = Published.open_version(root, found[-1].name)
    refused = np.flatnonzero(~current.consent).tolist()
    rows = (then.customers.row(current.customers[row]) for row in refused)
    hidden = np.array([row for row in rows if row is not None], np.int64)
    return then.without(hidden) if len(hidden) else then
