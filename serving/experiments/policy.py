"""What a rule would have earned that gives each segment an arm of its own choice.

The customers of a randomised experiment are a log whose propensities are known: each
was given their arm with its share of the draw. So a rule such as "families the manual
list, all others the model's" can be judged without a test of its own.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import duckdb
import numpy as np

from features.contracts import SettingError
from features.history import Floats
from features.sql import identifier, path
from serving.experiments.assign import points
from serving.experiments.inputs import SOURCES
from serving.experiments.off_policy import Logged, OffPolicy, evaluate
from serving.experiments.outcome_sql import CUSTOMERS, Window
from serving.experiments.outcomes import build
from serving.experiments.plan import Plan
from training.metrics import Interval

REWARDS = {
    "clicks": "clicks",
    "conversion": "converted",
    "repurchase_rate": "bought",
    "orders": "orders",
    "revenue": "revenue",
}
"""Column of the customers by what is asked for, each per customer and window."""

_NEEDED = ("customer_id", "reward", "logged", "target")
_MODEL = ("predicted", "expected")


@dataclass(frozen=True)
class Rule:
    """Arm by segment, and of all others."""

    by_segment: Mapping[str, str]
    otherwise: str


def judged(
    db: duckdb.DuckDBPyConnection,
    plan: Plan,
    rule: Rule,
    reward: str,
    as_of: datetime,
) -> OffPolicy:
    """What the rule would have earned per customer.

    The doubly robust estimate takes the mean of arm and segment among the other half
    of the customers for its model.

    Args:
        db: see ``inputs.opened``, of this experiment.
        plan: its own, of the kind randomised.
        rule: names arms of the plan.
        reward: of ``REWARDS``.
        as_of: nothing is read that happened or was known at or after it.
    """
    build(db, SOURCES, Window(as_of, plan.asked.window_days, strata=("segment",)))
    column = identifier(REWARDS[reward])
    rows = db.execute(
        f"""SELECT arm, coalesce(segment, '') AS segment, {column}::DOUBLE AS reward,
            customer_id
        FROM {CUSTOMERS}"""
    ).fetchall()
    if not rows:
        none = "nobody's window is over yet"
        return OffPolicy(0, 0, 0.0, 0.0, 0.0, None, None, None, none)
    arms, segments, rewards, customers = zip(*rows, strict=True)
    shares = plan.split.shares
    given = np.array(arms)
    wanted = np.array([rule.by_segment.get(s, rule.otherwise) for s in segments])
    reward_of = np.array(rewards, dtype=np.float64)
    segment = np.array(segments)
    half = _halves(plan.split.name, [str(one) for one in customers])
    models = [_means(given, segment, reward_of, half != fold) for fold in (0, 1)]
    return evaluate(
        Logged(
            customer=np.arange(len(rows), dtype=np.int32),
            reward=reward_of,
            logged=np.array([shares[arm] for arm in arms], dtype=np.float64),
            target=(given == wanted).astype(np.float64),
            predicted=_read(models, given, segment, half),
            expected=_read(models, wanted, segment, half),
        )
    )


def _halves(name: str, customer_ids: Sequence[str]) -> Any:
    """0 or 1 of each customer, whatever their arm and the order of the rows.

    By the hash of the assignment, so that it is the same with every release.
    """
    at = points(name, "halves of the model", "", customer_ids)
    return (at >> np.uint64(63)).astype(np.int64)


Means = dict[tuple[str, str], float]


def _means(arm: Any, segment: Any, reward: Floats, kept: Any) -> Means:
    """Mean reward by arm and segment, and by arm alone, of some customers."""
    found: Means = {("", ""): float(reward[kept].mean()) if kept.any() else 0.0}
    for one in np.unique(arm):
        mine = kept & (arm == one)
        if mine.any():
            found[str(one), ""] = float(reward[mine].mean())
        for part in np.unique(segment[mine]):
            both = mine & (segment == part)
            found[str(one), f"={part}"] = float(reward[both].mean())
    return found


def _read(models: list[Means], arm: Any, segment: Any, half: Any) -> Floats:
    """What the model of the other half says of each customer."""
    found: list[float] = []
    for one, part, fold in zip(arm, segment, half, strict=True):
        means = models[int(fold)]
        last = means.get((str(one), ""), means["", ""])
        found.append(means.get((str(one), f"={part}"), last))
    return np.array(found, dtype=np.float64)


def of_log(file: Path) -> OffPolicy:
    """Estimates from a file of logged slots, CSV or Parquet.

    Args:
        file: ``customer_id``, ``reward``, ``logged`` and ``target`` of each slot that
            was shown, see ``off_policy.Logged``; perhaps ``predicted`` and
            ``expected``.

    Raises:
        SettingError: it cannot be read, lacks a column or a value of one, or holds
            what cannot be.
    """
    read = "read_parquet" if file.suffix == ".parquet" else "read_csv"
    try:
        with duckdb.connect() as db:
            source = f"{read}({path(file)})"
            have = {str(c[0]) for c in db.execute(f"DESCRIBE FROM {source}").fetchall()}
            if missing := [name for name in _NEEDED if name not in have]:
                raise SettingError(
                    f"log: expected columns {', '.join(_NEEDED)} in {file}, got none "
                    f"called {', '.join(missing)}"
                )
            more = [name for name in _MODEL if name in have]
            _refuse_nulls(db, source, [*_NEEDED, *more])
            values = ", ".join(f"{n}::DOUBLE AS {n}" for n in (*_NEEDED[1:], *more))
            rows = db.execute(
                f"SELECT dense_rank() OVER (ORDER BY customer_id)::INTEGER AS code, "
                f"{values} FROM {source}"
            ).fetchnumpy()
        columns = {n: np.asarray(rows[n], dtype=np.float64) for n in _NEEDED[1:]}
        columns |= {n: np.asarray(rows[n], dtype=np.float64) for n in more}
        return evaluate(Logged(customer=np.asarray(rows["code"]) - 1, **columns))
    except SettingError:
        raise
    except (duckdb.Error, ValueError) as error:
        said = str(error).splitlines()[0]
        raise SettingError(
            f"log: expected logged slots in {file}, got {said}"
        ) from None


def _refuse_nulls(
    db: duckdb.DuckDBPyConnection, source: str, names: Sequence[str]
) -> None:
    """An unknown reward or share is no number, least of all 0.

    Raises:
        SettingError: a column has rows without a value.
    """
    counts = ", ".join(f"count(*) - count({identifier(name)})" for name in names)
    (row,) = db.execute(f"SELECT {counts} FROM {source}").fetchall()
    missing = [(name, n) for name, n in zip(names, row, strict=True) if n]
    if missing:
        name, n = missing[0]
        raise SettingError(
            f"log.{name}: expected a value in every row, got {n:,} rows without one; "
            "leave those out or fill them in"
        )


def told(found: OffPolicy) -> dict[str, Any]:
    """As ``OffPolicyAnswer``, without what was asked."""
    return {
        "rows": found.rows,
        "customers": found.customers,
        "effective": found.effective,
        "mean_weight": found.mean_weight,
        "largest_weight": found.largest_weight,
        "ips": _interval(found.ips),
        "snips": _interval(found.snips),
        "doubly_robust": _interval(found.doubly_robust),
        "refused": found.refused or None,
    }


def sentence(found: OffPolicy) -> str:
    """The estimate that is surest, or why there is none."""
    best = found.doubly_robust or found.snips
    if best is None:
        return f"No estimate: {found.refused}."
    return (
        f"Would have earned {best.value:.4g} each (95% interval {best.low:.4g} to "
        f"{best.high:.4g}), from {found.rows:,} logged rows that tell as much as "
        f"{found.effective:,.0f} of its own."
    )


def _interval(one: Interval | None) -> dict[str, float] | None:
    return (
        None if one is None else {"value": one.value, "low": one.low, "high": one.high}
    )
