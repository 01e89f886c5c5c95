"""Whether a locked package has a known vulnerability, as osv.dev knows them.

One request for all pins of a lock file. Exit status 1: something was found that is not
on the list ``tool.audit`` of ``pyproject.toml``. Where the service cannot be reached
this says so in one line and exits with 0, or with 2 after ``--must-reach``.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
import tomllib
import urllib.request
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
LOCKS = ("requirements.lock", "requirements-dev.lock")
URL = "https://api.osv.dev/v1/querybatch"
_SECONDS = 5.0

_PIN = re.compile(r"^([A-Za-z0-9._-]+)(?:\[[^\]]*\])?==([^\s;\\]+)")
_HASH = re.compile(r"^\s+--hash=sha256:[0-9a-f]{64}(?: \\)?$")


@dataclass(frozen=True)
class Pin:
    """A line of a lock file.

    Attributes:
        hashes: that stand below it.
    """

    name: str
    version: str
    hashes: int


@dataclass(frozen=True)
class Accepted:
    """A finding that is lived with, until a day."""

    id: str
    reason: str
    until: date


def pins_of(text: str) -> list[Pin]:
    """The pins of a lock file.

    Raises:
        ValueError: a line is neither pin, hash nor comment.
    """
    found: list[Pin] = []
    for number, line in enumerate(text.splitlines(), 1):
        pin = _PIN.match(line)
        if pin:
            found.append(Pin(pin[1], pin[2], 0))
        elif _HASH.match(line) and found:
            last = found[-1]
            found[-1] = Pin(last.name, last.version, last.hashes + 1)
        elif line.strip() and not line.lstrip().startswith("#"):
            raise ValueError(f"line {number}: expected a pin or a hash, got {line!r}")
    return found


def accepted_of(project: str) -> list[Accepted]:
    """The list of ``pyproject.toml``."""
    listed = tomllib.loads(project).get("tool", {}).get("audit", {}).get("accepted", [])
    return [Accepted(one["id"], one["reason"], one["until"]) for one in listed]


def asked(pins: Sequence[Pin]) -> bytes:
    """The request."""
    queries = [
        {"package": {"name": pin.name, "ecosystem": "PyPI"}, "version": pin.version}
        for pin in pins
    ]
    return json.dumps({"queries": queries}).encode()


def findings(
    pins: Sequence[Pin], answer: Any, accepted: Sequence[Accepted], today: date
) -> list[str]:
    """A line for each finding that nobody accepted, or no longer.

    Raises:
        ValueError: the answer is not one.
    """
    results = answer.get("results") if isinstance(answer, dict) else None
    if not isinstance(results, list) or len(results) != len(pins):
        raise ValueError("expected one result for each pin, got another answer")
    until = {one.id: one.until for one in accepted}
    return [
        f"{pin.name} {pin.version}: {found['id']}"
        for pin, result in zip(pins, results, strict=True)
        for found in (result or {}).get("vulns", [])
        if until.get(found["id"], date.min) < today
    ]


def audit(
    lock: Path, project: Path, url: str, today: date, *, must_reach: bool
) -> tuple[int, list[str]]:
    """Exit status and lines for a lock file."""
    pins = pins_of(lock.read_text())
    request = urllib.request.Request(
        url, asked(pins), {"Content-Type": "application/json"}
    )
    try:
        with urllib.request.urlopen(request, timeout=_SECONDS) as reply:
            answer = json.loads(reply.read())
        found = findings(pins, answer, accepted_of(project.read_text()), today)
    except (OSError, ValueError) as error:
        said = f"{lock.name}: not audited, the service gave no answer ({error})"
        return (2 if must_reach else 0), [said]
    if found:
        return 1, [f"{lock.name}: {line}" for line in found]
    return 0, [f"{lock.name}: {len(pins)} packages, no known vulnerability"]


def main() -> int:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--must-reach", action="store_true")
    parser.add_argument("--url", default=URL)
    given = parser.parse_args()
    today = datetime.now(UTC).date()
    worst = 0
    for name in LOCKS:
        status, lines = audit(
            ROOT / name,
            ROOT / "pyproject.toml",
            given.url,
            today,
            must_reach=given.must_reach,
        )
        worst = max(worst, status)
        print(*(f"audit: {line}" for line in lines), sep="\n")
    return worst


if __name__ == "__main__":
    sys.exit(main())
