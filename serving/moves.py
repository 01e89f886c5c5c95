"""Which version followed which: what a rollback goes back to.

``published/current`` alone says what is in force. Beside it ``published/moves.jsonl``
has a line for every move of that pointer, written *before* the move: a line whose move
a kill prevented names a version that is not in force, and is never read.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

FILE = "moves.jsonl"


@dataclass(frozen=True)
class Move:
    """One move of the pointer.

    Attributes:
        version: put in force.
        before: in force until then; None: nothing was.
        back: it was a rollback.
        at: when, UTC, ISO.
    """

    version: str
    before: str | None
    back: bool
    at: str


def note(root: Path, version: str, before: str | None, *, back: bool) -> None:
    """Write down a move that is about to be made; one to where it is already is none."""
    if version == before:
        return
    move = Move(version, before, back, datetime.now(UTC).isoformat(timespec="seconds"))
    with (root / FILE).open("ab") as stream:
        # A line that a kill cut short must not swallow this one.
        stream.write(b"\n" + json.dumps(asdict(move)).encode() + b"\n")
        stream.flush()
        os.fsync(stream.fileno())


def made(root: Path) -> list[Move]:
    """All lines, the earliest first; what cannot be read is left out."""
    try:
        lines = (root / FILE).read_text(errors="replace").splitlines()
    except FileNotFoundError:
        return []
    found: list[Move] = []
    for line in lines:
        try:
            found.append(Move(**json.loads(line)))
        except (ValueError, TypeError):
            continue
    return found


def former(root: Path, current: str) -> str | None:
    """The version before the one in force; None: it is not known.

    A rollback is no step forward: after one the next leads further back, not forth
    again.
    """
    steps = [one for one in made(root) if one.version == current and not one.back]
    return steps[-1].before if steps else None


def is_back(root: Path, version: str, current: str | None) -> bool:
    """Whether a move by hand leads back; one to what came later leads forth.

    A version is as late as its first move. One that no move is known of is earlier
    than all.
    """
    order = list(dict.fromkeys(one.version for one in made(root)))
    place = {name: n for n, name in enumerate(order)}
    return place.get(version, -1) < place.get(current or "", -1)


def rolled_back(
    root: Path,
    current: str | None,
    model_of: Callable[[str], str | None] = lambda version: version,
) -> set[str]:
    """Models whose versions a rollback took out of force, and nobody put back.

    A step back to another version of the same model takes none out of force.

    Args:
        root: folder of the versions.
        current: the version in force, whose model is none of them.
        model_of: of a version; None: it cannot be told.
    """
    out: set[str] = set()
    for move in made(root):
        model = model_of(move.version)
        before = model_of(move.before) if move.before else None
        out -= {model}
        if move.back and before is not None and before != model:
            out.add(before)
    return out - {None if current is None else model_of(current)}
