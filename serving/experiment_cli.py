"""``repurchase experiment``: the same as the API, for who sits at the machine."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from features.config import Config
from features.contracts import SettingError
from serving.experiment_design_cli import design
from serving.experiment_errors import in_one_line
from serving.experiment_policy_cli import off_policy
from serving.options import ConfigFile, DataPlace, Overrides, load, new_console
from serving.state_cli import now_us, opened_state

if TYPE_CHECKING:
    from serving.published import Published
    from serving.state.experiments import Experiment

experiment = typer.Typer(
    help="Compare lists in a randomised test: picks, create, start, assign, report.",
    no_args_is_help=True,
)

experiment.command()(design)
experiment.command("off-policy")(off_policy)

Name = Annotated[str, typer.Argument(help="Of the experiment.")]

_AT_ONCE = 1000
_COLUMNS = ("product_id", "rank", "segment", "customer_id")


@experiment.command()
def picks(
    file: Annotated[
        Path,
        typer.Argument(
            help="CSV with product_id, and perhaps rank, segment, customer_id."
        ),
    ],
    list_: Annotated[str, typer.Option("--list", help="Name of the list.")],
    owner: Annotated[str, typer.Option(help="Who picked.")],
    config: ConfigFile = None,
    overrides: Overrides = None,
) -> None:
    """Upload a manual list; each upload is a version of its own."""
    from serving import experiment_work as work
    from serving.experiment_schema import PicksRequest

    lines = list(_lines(file))
    with in_one_line("--list, --owner or a line of the file"):
        asked = PicksRequest.model_validate(
            {"list": list_, "owner": owner, "lines": lines}
        )
    with opened_state(load(config, overrides)) as engine, in_one_line(str(file)):
        made = work.upload(engine, asked, now_us())
    said = f"{made.list}@{made.version}: {made.lines:,} lines, locked as {made.sha256}"
    new_console().print(said, soft_wrap=True, markup=False)


@experiment.command()
def create(
    file: Annotated[
        Path, typer.Argument(help="YAML or JSON, as the body of POST /v1/experiments.")
    ],
    data: DataPlace = None,
    config: ConfigFile = None,
    overrides: Overrides = None,
) -> None:
    """Plan an experiment; a draft of the name is replaced, what runs never is."""
    from serving import experiment_work as work
    from serving.experiment_schema import ExperimentRequest
    from serving.experiments.place import Place
    from serving.state.audits import LOCAL

    settings = load(config, overrides, data)
    with in_one_line(str(file)):
        asked = ExperimentRequest.model_validate(_read(file))
    place = Place(settings.data, settings.engine)
    with opened_state(settings) as engine, in_one_line(str(file)):
        made = work.create(engine, asked, LOCAL, now_us(), place)
    _show(made)


@experiment.command()
def start(name: Name, config: ConfigFile = None, overrides: Overrides = None) -> None:
    """Start an experiment: from now on its plan never changes."""
    _move(name, "running", load(config, overrides))


@experiment.command()
def stop(name: Name, config: ConfigFile = None, overrides: Overrides = None) -> None:
    """Stop an experiment: nobody is assigned any more, windows go on."""
    _move(name, "stopped", load(config, overrides))


@experiment.command()
def assign(
    name: Name,
    out: Annotated[Path, typer.Option(help="CSV: customer_id, arm, why.")],
    customers: Annotated[
        Path | None,
        typer.Option(
            help="CSV with customer_id; without it all published customers who consent."
        ),
    ] = None,
    config: ConfigFile = None,
    overrides: Overrides = None,
) -> None:
    """Draw customers; the moment of the first draw of each is kept."""
    import csv

    from features.scratch import whole
    from serving import experiment_work as work
    from serving.erasure import erased_of
    from serving.published import Published
    from serving.state import assignments
    from serving.state.tombstones import encoded, tombstone

    settings = load(config, overrides)
    published = Published.open(settings.workspace)
    erased = erased_of(settings)
    ids = _ids(published, customers)
    known = [
        one
        for one in ids
        if not erased.hashes
        or tombstone(erased.salt, encoded(one)) not in erased.hashes
    ]
    counts: dict[str, int] = {}
    with (
        opened_state(settings) as engine,
        in_one_line(name),
        whole(out) as place,
        place.open("w", encoding="utf-8", newline="") as opened,
    ):
        rows = csv.writer(opened)
        rows.writerow(("customer_id", "arm", "why"))
        one = work.found(engine, name)
        # Interleaved lists are dealt where they are given: by the API.
        work.must_be(one, "randomised")
        how = work.running(engine, one)
        for first in range(0, len(known), _AT_ONCE):
            drawn = work.draw(how, known[first : first + _AT_ONCE])
            inside = [d for d in drawn if d.why != "outside layer"]
            kept = [work.kept(published, d, how.plan) for d in inside]
            assignments.record(engine, name, kept, now_us())
            for d in drawn:
                rows.writerow((d.customer_id, d.arm or "", d.why))
                counts[d.arm or "none"] = counts.get(d.arm or "none", 0) + 1
    said = ", ".join(f"{arm} {count:,}" for arm, count in sorted(counts.items()))
    new_console().print(f"{out}: {said or 'nobody'}", soft_wrap=True, markup=False)


@experiment.command()
def report(
    name: Name,
    out: Annotated[
        Path | None,
        typer.Option(help="File of the page; the figures go beside it as JSON."),
    ] = None,
    as_of: Annotated[
        str | None, typer.Option(help="Nothing at or after it is read; now.")
    ] = None,
    data: DataPlace = None,
    config: ConfigFile = None,
    overrides: Overrides = None,
) -> None:
    """Print the verdict, and write the page and its figures.

    Of interleaved lists there is no page: which of them is preferred, and the figures.
    """
    from features.scratch import whole
    from features.snapshot import from_us, parse_cutoff
    from serving import experiment_work as work
    from serving.experiments import preferred
    from serving.experiments.page import page
    from serving.experiments.place import Place
    from serving.experiments.plan import plan_of
    from serving.experiments.told import told
    from training.report import write_json

    settings = load(config, overrides, data)
    # As the API has it: what is yet to come is not read, nor said to have been.
    now = from_us(now_us())
    moment = now if as_of is None else min(parse_cutoff(as_of), now)
    file = _page_file(out or settings.workspace / "reports" / f"experiment-{name}.html")
    figures = file.with_suffix(".json")
    file.parent.mkdir(parents=True, exist_ok=True)
    place = Place(settings.data, settings.engine)
    with opened_state(settings) as engine, in_one_line(name):
        if plan_of(work.found(engine, name).plan).asked.kind == "interleaved":
            one, liked = work.make_preference(engine, name, place, moment)
            write_json({"status": one.status, **preferred.told(liked)}, figures)
            said = f"{preferred.sentence(liked)}\nfigures: {figures}"
            new_console().print(said, soft_wrap=True, markup=False)
            return
        one, found = work.make_report(engine, name, place, moment)
    with whole(file) as unfinished:
        unfinished.write_text(page(found, one.status), encoding="utf-8")
    write_json({"status": one.status, **told(found)}, figures)
    console = new_console()
    for decision in found.decisions:
        console.print(decision.verdict.sentence, soft_wrap=True, markup=False)
    console.print(f"report: {file} and {figures.name}", soft_wrap=True, markup=False)


def _move(name: str, status: str, settings: Config) -> None:
    from serving import experiment_work as work

    with opened_state(settings) as engine, in_one_line(name):
        moved = work.move(engine, name, status, now_us())
    new_console().print(f"{name}: {moved.status}", markup=False)


def _show(made: Experiment) -> None:
    """What a plan promises."""
    from serving.experiments.design import design_from_json
    from serving.experiments.plan import plan_of

    plan = plan_of(made.plan)
    shares = ", ".join(f"{arm} {share:.1%}" for arm, share in plan.split.shares.items())
    console = new_console()
    console.print(f"{made.name}: {made.status}, {shares}", markup=False)
    for arm, one in plan.picks.items():
        console.print(f"{arm}: {one.label}, locked as {one.sha256}", soft_wrap=True)
    if plan.design is not None:
        design = design_from_json(plan.design)
        days = (
            "nobody came lately" if design.days is None else f"about {design.days} days"
        )
        console.print(
            f"design: {design.customers:,} customers, {days}; an effect of "
            f"{design.mde:.0%} on {design.primary} is found with a power of "
            f"{design.power:.0%}",
            markup=False,
        )


def _read(file: Path) -> Any:
    """A plan as YAML, of which JSON is a part.

    Raises:
        SettingError: it cannot be read.
    """
    import yaml

    try:
        return yaml.safe_load(file.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        said = " ".join(str(error).split())
        raise SettingError(
            f"plan: expected YAML or JSON in {file}, got {said}"
        ) from None


def _rows(file: Path, needed: str) -> Iterator[tuple[int, dict[str, str | None]]]:
    """Rows of a CSV file by the names of its header, each with its line.

    None: the row ends before that column.

    Raises:
        SettingError: it cannot be read, or lacks a column.
    """
    import csv

    try:
        with file.open(encoding="utf-8-sig", newline="") as opened:
            reader = csv.DictReader(opened)
            if needed not in (reader.fieldnames or ()):
                raise SettingError(
                    f"{needed}: expected a column of that name in {file}, got "
                    f"{', '.join(reader.fieldnames or ()) or 'none'}; add a header"
                )
            for row in reader:
                yield reader.line_num, row
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        said = " ".join(str(error).split())
        raise SettingError(f"file: expected CSV in {file}, got {said}") from None


def _lines(file: Path) -> Iterator[dict[str, Any]]:
    for _, row in _rows(file, "product_id"):
        line: dict[str, Any] = {n: row[n] for n in _COLUMNS if row.get(n)}
        rank = line.get("rank", "")
        yield line | ({"rank": int(rank)} if rank.isdecimal() else {})


def _ids(published: Published, file: Path | None) -> Sequence[str]:
    """Whom to draw, each once.

    Raises:
        SettingError: the file cannot be read, or holds what can be nobody's id.
    """
    from serving.erasure import unfit

    if file is None:
        rows = published.consent.nonzero()[0].tolist()
        return [published.customers[row] for row in rows]
    found: dict[str, None] = {}
    for line, row in _rows(file, "customer_id"):
        one = row["customer_id"] or ""
        if said := unfit(one):
            raise SettingError(f"customer_id: {said} in line {line} of {file}; mend it")
        found[one] = None
    return list(found)


def _page_file(file: Path) -> Path:
    """Where the page goes.

    Raises:
        SettingError: the figures, which go beside it, would overwrite it.
    """
    if file.suffix.lower() == ".json":
        raise SettingError(
            f"--out: expected the file of a page, such as {file.stem}.html, got "
            f"{file.name}; the figures go beside it as JSON"
        )
    return file
