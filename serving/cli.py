"""The command line: parse, load the configuration, call, print."""

from __future__ import annotations

import errno
import os
import sys
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Any, Literal

import typer
from typer.core import TyperCommand

from features.contracts import ContractError, SettingError
from features.database import redacted
from serving import (
    audience_cli,
    campaigns_cli,
    champion_cli,
    drift_cli,
    experiment_cli,
    insight_cli,
    kpis_cli,
    state_cli,
    versions_cli,
    weekly_cli,
)
from serving.options import (
    ConfigFile,
    DataPlace,
    Overrides,
    load,
    new_console,
    progress,
)

# The models' libraries take seconds to import: each command imports its own.

app = typer.Typer(
    name="repurchase",
    help="Who buys again, when, and what to offer them, compared with manual picks.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    add_completion=False,
)

app.add_typer(state_cli.keys, name="keys")
app.add_typer(state_cli.events, name="events")
app.add_typer(state_cli.audits, name="audits")
app.add_typer(versions_cli.versions, name="versions")
app.add_typer(experiment_cli.experiment, name="experiment")
app.add_typer(insight_cli.insight, name="insight")
app.command()(audience_cli.audience)
app.command()(campaigns_cli.campaigns)
app.command()(kpis_cli.kpis)
app.command()(weekly_cli.report)
app.command()(insight_cli.customer)
app.command()(insight_cli.strategy)
app.command()(state_cli.forget)
app.command()(champion_cli.gate)
app.command()(champion_cli.retrain)
app.command()(champion_cli.rollback)
app.command()(drift_cli.drift)

# Read when the numeric libraries load: idle OpenMP threads wait without
# spinning, and ALS runs its own threads over a single-threaded BLAS.
_THREADS = {"OMP_WAIT_POLICY": "PASSIVE", "OPENBLAS_NUM_THREADS": "1"}

_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


def main() -> None:
    """Run the command; bad input ends in one line per problem and status 2."""
    for name, value in _THREADS.items():
        os.environ.setdefault(name, value)
    try:
        app()
    except (ContractError, SettingError) as error:
        lines = error.lines if isinstance(error, ContractError) else [str(error)]
        for line in lines:
            print(f"error: {redacted(' '.join(line.split()))}", file=sys.stderr)  # noqa: T201
        raise SystemExit(2) from None
    except OSError as error:
        print(f"error: {_system(error)}", file=sys.stderr)  # noqa: T201
        raise SystemExit(2) from None


def _system(error: OSError) -> str:
    """What the system refused, as one line."""
    said = error.strerror.lower() if error.strerror else str(error) or repr(error)
    if error.errno in _FULL:
        place = error.filename or "what was written"
        line = f"disk: expected room for {place}, got {said}; free some"
    else:
        place = error.filename or "what the command needs"
        line = (
            f"system: expected to read or write {place}, got {said}; check that it is "
            "there, what it is, and permissions"
        )
    return redacted(" ".join(line.split()))


@app.command()
def demo(config: ConfigFile = None, overrides: Overrides = None) -> None:
    """The whole main job on real data: scores, offers, manual picks, what is next."""
    from serving import evaluation, show, stages

    settings = load(config, overrides)
    console = new_console()
    with progress(console) as announce:
        if stages.has_no_data(settings):
            announce("write the real data set as input tables")
            stages.data(settings)
        found = evaluation.evaluate(settings, announce)
        final = f"{stages.cutoff_of(settings):%Y-%m-%d}"
        named = stages.prefixed(announce, final)
        stages.features(settings, named)
        stages.train(settings, named)
        # The demo shows what it has just built; a schedule calls `retrain`.
        version, predictions = stages.publish(settings, named, ungated=True)
    show.evaluation(console, found)
    show.customer(console, predictions)
    show.places(console, settings, found.folder, version)


@app.command()
def data(config: ConfigFile = None, overrides: Overrides = None) -> None:
    """Write the bundled real data set (Complete Journey) as input tables."""
    from serving import stages

    settings = load(config, overrides)
    for table, rows in stages.data(settings).items():
        new_console().print(f"{settings.data}/{table}.parquet: {rows:,} rows")


class _WithTruths(TyperCommand):
    """Lists the truths in the help; their module is imported only then."""

    # Any: newer versions of Typer hold Click's classes as their own.
    def format_epilog(self, ctx: Any, formatter: Any) -> None:
        from features.simulate import catalogue

        super().format_epilog(ctx, formatter)
        rows = [
            (f"{name} = {default}", meaning) for name, default, meaning in catalogue()
        ]
        with formatter.section("Truths and their defaults"):
            formatter.write_dl(rows)


@app.command(cls=_WithTruths)
def simulate(
    customers: Annotated[int, typer.Option(min=1, help="How many to draw.")],
    out: Annotated[Path, typer.Option(help="New or empty folder, made whole.")],
    seed: Annotated[
        int, typer.Option(min=0, help="Equal seed and arguments, equal bytes.")
    ] = 0,
    processes: Annotated[int, typer.Option(min=1, help="They draw side by side.")] = 1,
    truth: Annotated[
        list[str] | None,
        typer.Option(metavar="KEY=VALUE", help="Set one truth; repeatable."),
    ] = None,
) -> None:
    """Write all ten tables of a shop whose truths are known, and the truths."""
    from features import simulate as shop

    truths = shop.truths_of(truth or ())
    with progress(new_console()) as announce:
        rows = shop.simulate(
            out, customers, truths, seed=seed, processes=processes, announce=announce
        )
    for table, count in rows.items():
        new_console().print(f"{out / table}.parquet: {count:,} rows")
    new_console().print(f"truths: {out / shop.TRUTHS}")


@app.command()
def features(
    config: ConfigFile = None,
    overrides: Overrides = None,
    describe: Annotated[
        bool, typer.Option("--describe", help="Print the catalogue instead.")
    ] = False,
    dimension: Annotated[
        str | None, typer.Option(help="With --describe: only this dimension.")
    ] = None,
    form: Annotated[
        Literal["table", "csv", "json"] | None,
        typer.Option("--format", help="With --describe; table if not given."),
    ] = None,
) -> None:
    """Write the history of every customer at every training cutoff."""
    if describe:
        from serving import describe as catalogue

        catalogue.show(new_console(), catalogue.chosen(dimension), form or "table")
        return
    for option, given in (("--dimension", dimension), ("--format", form)):
        if given is not None:
            raise SettingError(
                f"{option}: expected with --describe only, got it without; add "
                "--describe, or leave it out"
            )
    from serving import stages

    with progress(new_console()) as announce:
        file = stages.features(load(config, overrides), announce)
    new_console().print(f"features: {file}")


@app.command()
def train(config: ConfigFile = None, overrides: Overrides = None) -> None:
    """Fit the models at the cutoff and log them to MLflow."""
    from serving import stages

    with progress(new_console()) as announce:
        folder = stages.train(load(config, overrides), announce)
    new_console().print(f"model: {folder}")


@app.command()
def evaluate(config: ConfigFile = None, overrides: Overrides = None) -> None:
    """Backtest past cutoffs beside the baselines, and against manual picks."""
    from serving import evaluation, show

    with progress(new_console()) as announce:
        found = evaluation.evaluate(load(config, overrides), announce)
    show.evaluation(new_console(), found)
    new_console().print(f"report: {found.folder / 'report.html'}")


@app.command()
def tune(
    config: ConfigFile = None,
    overrides: Overrides = None,
    model: Annotated[
        Literal["propensity", "spend", "churn"], typer.Option(help="Whose settings.")
    ] = "propensity",
    minutes: Annotated[
        float | None, typer.Option(help="No trial starts later than this.")
    ] = None,
    trials: Annotated[
        int | None,
        typer.Option(min=1, help="In all, those of earlier runs included."),
    ] = None,
) -> None:
    """Search for better settings of a model on builds before the cutoff.

    Every trial is a build at each of several past cutoffs, scored on what
    happened next (log loss; for spend Tweedie deviance). The present settings
    are the first trial. Trials are kept in workspace/tune.db: a run that is
    repeated, or was killed, goes on where it was. Later cutoffs that no trial
    saw confirm the best one; it is written to workspace/tuned-MODEL.yaml.

    Exit status 0: better settings were found and written; 1: keep the present
    ones; 2: bad input.
    """
    from serving import tuning

    given = {"minutes": minutes, "trials": trials}
    more = [f"tune.{k}={value}" for k, value in given.items() if value is not None]
    settings = load(config, [*(overrides or ()), *more])
    console = new_console()
    with progress(console) as announce:
        found = tuning.tune(settings, model, announce)
    tuning.show(console, found)
    if not found.outcome.is_better:
        raise typer.Exit(1)


@app.command()
def publish(
    config: ConfigFile = None,
    overrides: Overrides = None,
    *,
    ungated: Annotated[
        bool, typer.Option("--ungated", help="Whatever the gate said, or did not say.")
    ] = False,
) -> None:
    """Score everyone with the latest models and put the result in force.

    Where another model is in force, the gate must have let this one take its place.
    """
    from serving import stages

    with progress(new_console()) as announce:
        version, _ = stages.publish(load(config, overrides), announce, ungated=ungated)
    new_console().print(f"published: {version}")


@app.command()
def serve(
    config: ConfigFile = None,
    overrides: Overrides = None,
    host: Annotated[
        str | None, typer.Option(help="Without API keys loopback only.")
    ] = None,
    port: Annotated[int | None, typer.Option(min=1, max=65535)] = None,
) -> None:
    """Serve what is published; a new version is picked up without a restart."""
    from serving import launch
    from serving.experiments.place import Place

    settings = load(config, overrides)
    launch.run(
        settings.workspace,
        host or settings.serving.host,
        port or settings.serving.port,
        settings.serving,
        settings.state,
        Place(settings.data, settings.engine),
    )


@app.command()
def backtest(
    cutoff: Annotated[
        str, typer.Option(help="Moment of the build, such as 2017-10-15.")
    ],
    out: Annotated[Path, typer.Option(help="Folder for the tables and metrics.json.")],
    data: DataPlace = None,
    horizon: Annotated[
        int | None, typer.Option(min=1, max=180, help="Days of the label window.")
    ] = None,
    top: Annotated[int, typer.Option(min=1, max=100, help="Offers per list.")] = 20,
    seed: Annotated[int | None, typer.Option(help="Of every random draw.")] = None,
    config: ConfigFile = None,
    overrides: Overrides = None,
) -> None:
    """Train with what was known before the cutoff only, and write the tables."""
    from features.snapshot import Snapshot, parse_cutoff
    from serving import show, stages

    changed = {"horizon_days": horizon, "seed": seed}
    settings = load(config, overrides, data).model_copy(
        update={name: value for name, value in changed.items() if value is not None}
    )
    snapshot = Snapshot(parse_cutoff(cutoff), settings.horizon_days)
    console = new_console()
    with progress(console) as announce:
        result = stages.backtest(settings, snapshot, out, top, announce)
    if result.quality:
        show.qualities(console, [result.quality])
    else:
        last = snapshot.label_end - timedelta(days=1)
        console.print(f"no quality: the data end before {last:%Y-%m-%d}")
    console.print(f"written: {out}")


@app.command()
def check(
    data: DataPlace = None,
    cutoff: Annotated[
        str | None, typer.Option(help="Moment for freshness, such as 2017-10-15.")
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="File of the page; figures go beside it.")
    ] = None,
    config: ConfigFile = None,
    overrides: Overrides = None,
) -> None:
    """Check the input against the contract and report its quality.

    Exit status 0: fine; 1: a table has a lower share of correct records than
    quality.minimum_score; 2: the contract is broken.
    """
    from features.snapshot import parse_cutoff
    from serving import checkup, stages

    settings = load(config, overrides, data)
    moment = parse_cutoff(cutoff) if cutoff else settings.cutoff
    console = new_console()
    with (
        progress(console) as announce,
        # No quarantine: a build may be at work there, and the report has the reasons.
        stages.tables_of(settings) as tables,
    ):
        announce("count")
        scores = tables.scores(moment)
    found = checkup.Checkup(
        str(settings.data), moment, settings.quality.minimum_score, scores
    )
    checkup.show(console, found)
    page, figures = checkup.write(
        found, out or settings.workspace / "reports" / "quality.html"
    )
    console.print(f"report: {page} and {figures.name}", soft_wrap=True)
    if found.below:
        raise typer.Exit(1)
