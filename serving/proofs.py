"""Proofs that the gate asks for: found where they are kept, or built.

Equal settings at the same cutoff on the same data are one build, whoever asks for it:
``workspace/proofs/<model>/<cutoff>-<key>.parquet``.
"""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from features.config import Config
from features.contracts import ContractError
from features.scratch import whole
from features.snapshot import Snapshot
from features.workers import pool
from serving.stages import Announce, tables_of
from training import proof
from training.build import Steps
from training.proof import Proof
from training.recipe import Record, code_version, hash_of, settings_of


def of_both(
    config: Config,
    challenger: str,
    champion: tuple[str, Record] | None,
    moments: Sequence[Snapshot],
    announce: Announce | None,
) -> tuple[list[Proof], list[Proof] | None]:
    """The challenger's and the champion's, by cutoff; what is missing is built.

    Args:
        config: of the challenger.
        challenger: its name.
        champion: name and record of the model in force; None: there is none.
        moments: cutoffs and windows, ascending.
        announce: hears of every step.

    Raises:
        ContractError: the data do not reach past a window.
    """
    with tables_of(config) as tables:
        data = tables.digest()
    wanted = [_wanted(config, challenger, data, moment) for moment in moments]
    ours = [one.file for one in wanted]
    theirs: list[Path] | None = None
    if champion is not None:
        name, record = champion
        settings = record.applied(config)
        kept = [_kept(config, name, moment) for moment in moments]
        rebuilt = [_wanted(settings, name, data, moment) for moment in moments]
        theirs = [old or one.file for old, one in zip(kept, rebuilt, strict=True)]
        wanted += [one for old, one in zip(kept, rebuilt, strict=True) if old is None]
    missing = [one for one in wanted if not _is_there(one.file, one.key)]
    _build(missing, config, announce)
    return list(map(_read, ours)), None if theirs is None else list(map(_read, theirs))


@dataclass(frozen=True)
class _Wanted:
    """A proof that is asked for."""

    file: Path
    key: str
    moment: Snapshot
    config: Config


def _wanted(config: Config, bundle: str, data: str, moment: Snapshot) -> _Wanted:
    made_of = [
        settings_of(config) | {"horizon_days": moment.horizon_days},
        config.evaluation.permutations,
        moment.cutoff.isoformat(),
        data,
        code_version(),
    ]
    key = hash_of(made_of)
    name = f"{moment.cutoff:%Y%m%dT%H%M%S}-{key[:12]}.parquet"
    return _Wanted(config.workspace / "proofs" / bundle / name, key, moment, config)


def _kept(config: Config, bundle: str, moment: Snapshot) -> Path | None:
    """What was proved of a model when it was the challenger; the latest of several.

    One that this code cannot read, such as one of another form, is none.
    """
    folder = config.workspace / "proofs" / bundle
    found = [
        file
        for file in folder.glob(f"{moment.cutoff:%Y%m%dT%H%M%S}-*.parquet")
        if (one := proof.load(file)) and one.horizon_days == moment.horizon_days
    ]
    return max(found, key=lambda file: file.stat().st_mtime, default=None)


def _is_there(file: Path, key: str) -> bool:
    return proof.key_of(file) == key and proof.load(file) is not None


def _read(file: Path) -> Proof:
    found = proof.load(file)
    if found is None:
        raise ContractError(
            f"proofs: expected {file.name} as written, got a damaged or missing file in "
            f"{file.parent}; run it again"
        )
    return found


def _build(
    wanted: Sequence[_Wanted], config: Config, announce: Announce | None
) -> None:
    """Prove what is missing, ``config.processes`` at once, and equal ones once."""
    once = {one.key: one for one in wanted}
    made = {key: file for key, one in once.items() if (file := _elsewhere(one))}
    todo = [one for key, one in once.items() if key not in made]
    if todo:
        days = " and ".join(dict.fromkeys(f"{w.moment.cutoff:%Y-%m-%d}" for w in todo))
        with Steps(announce)(f"build and compare as of {days}"):
            _prove_all(todo, config.processes)
    made |= {one.key: one.file for one in todo}
    for one in wanted:
        if made[one.key] != one.file:
            one.file.parent.mkdir(parents=True, exist_ok=True)
            with whole(one.file) as place:
                shutil.copyfile(made[one.key], place)


def _elsewhere(wanted: _Wanted) -> Path | None:
    """An equal proof of another model; None: there is none."""
    kept = wanted.file.parent.parent.glob(f"*/{wanted.file.name}")
    return next((file for file in sorted(kept) if _is_there(file, wanted.key)), None)


def _prove_all(todo: Sequence[_Wanted], processes: int) -> None:
    if processes == 1 or len(todo) == 1:
        for one in todo:
            _prove(one)
        return
    with pool(processes) as workers:
        list(workers.map(_prove, todo))


def _prove(wanted: _Wanted) -> None:
    with tables_of(wanted.config) as tables:
        found = proof.prove(tables, wanted.moment, wanted.config)
    proof.save(found, wanted.file, wanted.key)
