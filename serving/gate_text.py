"""The gate's decision as a short table, for a terminal."""

from __future__ import annotations

from dataclasses import replace

from rich.console import Console
from rich.table import Table

from serving.gating import Judged
from training.gate import CHAMPION, Check, Decision


def show(console: Console, judged: Judged) -> None:
    """The decision as a short table, and what it means."""
    table = Table("", "check", "found", "wanted", box=None, padding=(0, 2, 0, 0))
    for check in _shown(judged.decision):
        style = None if check.passed else "bold red"
        sign = "yes" if check.passed else "NO"
        table.add_row(sign, check.name, check.found, check.wanted, style=style)
    console.print(table)
    for line in summary(judged):
        console.print(line, highlight=False, markup=False, soft_wrap=True)


def _shown(decision: Decision) -> list[Check]:
    """Of the baselines that are beaten in a measure only the first; all are kept."""
    beaten: dict[str, list[Check]] = {}
    shown: list[Check] = []
    for check in decision.checks:
        measure, over, rival = check.name.partition(" over ")
        if over and check.passed and rival != CHAMPION:
            beaten.setdefault(measure, []).append(check)
            if len(beaten[measure]) > 1:
                continue
        shown.append(check)
    more = {found[0]: len(found) - 1 for found in beaten.values()}
    return [
        replace(check, name=f"{check.name}, and {more[check]} more")
        if more.get(check)
        else check
        for check in shown
    ]


def summary(judged: Judged) -> list[str]:
    """The decision in a sentence."""
    name = judged.challenger or "nothing was trained"
    if judged.decision.promote:
        before = judged.champion
        may = f"may replace {before}" if before else "may be the first in force"
        return [f"yes: {name} {may}"]
    stays = (
        f"{judged.champion} stays in force" if judged.champion else "nothing changes"
    )
    return [f"no: {name}; {stays}"]
