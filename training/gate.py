"""May a newly trained model replace the one in force? Figures in, a decision out.

The figures are of its settings, built anew at cutoffs before its own: nothing is left to
test the model itself on, see ``proof``. The champion's are of its settings too.

The rule, check by check; one "no" is enough:

- **data**: every table reaches its minimum score, the newest purchases are fresh, no
  block of days lacks lines of a table, no column changed its unit, and what the champion
  read is still there, table by table. A champion whose record is gone is a no: nothing
  can be compared with it.
- **baselines**: in AUC of propensity and in recall at 10 of the mixed list the
  challenger beats every baseline at ``least_cutoffs`` cutoffs or more (a 95 % paired
  interval above 0), and loses to it at none (an interval below 0).
- **champion**: at every cutoff the interval of the challenger's gain stays above minus
  the margin, in both measures: a model that is worse by the margin passes in 1 of 40
  cases, however large the noise, and none passes for want of data. On the *same* data a
  tie keeps the champion: there the challenger must beat it in one measure at
  ``least_cutoffs`` cutoffs. So two equal models never take turns; on newer data a
  refresh need not be better, since the champion's data have aged.
- **calibration**: of propensity and of the match, at every cutoff.
- **leaks**: no feature knows too much by itself, shuffled answers teach nothing, and
  features that were trained on are equal to those that are computed from the history
  as it was on that day.

AUC and recall, not log loss: who is asked and what is shown are rankings; what a
probability is worth is the calibration's check.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

from features.gate_config import GateConfig
from training.leaks import Leaks
from training.metrics import Interval

AUC = "AUC"
RECALL = "recall@10"
CHAMPION = "the champion"


@dataclass(frozen=True)
class Contest:
    """The challenger and one rival in one measure, on the same rows.

    Attributes:
        measure: ``AUC`` or ``RECALL``.
        rival: a baseline; None: the champion.
        gains: the challenger's less the rival's, one for each cutoff; NaN where it is
            not defined.
    """

    measure: str
    rival: str | None
    gains: tuple[Interval, ...]

    @property
    def beaten_at(self) -> int:
        """Cutoffs at which the rival is beaten."""
        return sum(gain.low > 0 for gain in self.gains)


@dataclass(frozen=True)
class Evidence:
    """All that is known of a challenger.

    Attributes:
        cutoffs: at which it was built anew and compared, ascending.
        contests: against the baselines and the champion, if there is one.
        calibration: error by what was promised, one for each cutoff.
        leaks: of all cutoffs together.
        skewed: features that differ; see ``skew``.
        same_data: whether the champion learned from the same data at the same cutoff.
        withdrawn: it was in force and was rolled back.
    """

    cutoffs: tuple[datetime, ...]
    contests: tuple[Contest, ...]
    calibration: Mapping[str, tuple[float, ...]]
    leaks: Leaks
    skewed: tuple[str, ...]
    same_data: bool
    withdrawn: bool = False


@dataclass(frozen=True)
class Check:
    """One line of the decision.

    Attributes:
        name: what was looked at.
        passed: whether it speaks for the challenger.
        found: what was found, in words with figures.
        wanted: what was asked for.
    """

    name: str
    passed: bool
    found: str
    wanted: str


@dataclass(frozen=True)
class Decision:
    """Whether the challenger becomes champion, with every reason."""

    checks: tuple[Check, ...]

    @property
    def promote(self) -> bool:
        """Every check passed."""
        return all(check.passed for check in self.checks)

    @property
    def reasons(self) -> list[str]:
        """What spoke against it, one line each."""
        return [
            f"{check.name}: expected {check.wanted}, got {check.found}"
            for check in self.checks
            if not check.passed
        ]

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return {
            "promote": self.promote,
            "reasons": self.reasons,
            "checks": [asdict(check) for check in self.checks],
        }

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Decision:
        """What ``to_json`` gave."""
        return cls(tuple(Check(**check) for check in values["checks"]))


def data_checks(
    below: Sequence[str], stale: str | None, odd: Sequence[str]
) -> tuple[Check, ...]:
    """What can be said before anything is trained.

    Args:
        below: tables under their minimum score.
        stale: why the newest purchases are too old; None: they are fresh.
        odd: what ``features.blocks`` found.
    """
    return (
        Check(
            "quality of the data",
            not below,
            ", ".join(below) or "no table below it",
            "every table at quality.minimum_score",
        ),
        Check(
            "freshness of the data",
            stale is None,
            stale or "fresh purchases",
            "purchases up to the cutoff; it is not before the champion's",
        ),
        Check(
            "shape of the data",
            not odd,
            "; ".join(odd) or "no gap and no changed unit",
            "as many lines as usual and as the champion read, in the same units",
        ),
    )


def model_checks(evidence: Evidence, bars: GateConfig) -> tuple[Check, ...]:
    """What the challenger's builds at past cutoffs say."""
    return (
        _enough(evidence, bars),
        *(_against(contest, evidence, bars) for contest in evidence.contests),
        *_calibrated(evidence, bars),
        *_leaks(evidence),
        Check(
            "withdrawn before",
            not evidence.withdrawn,
            "yes, it was rolled back" if evidence.withdrawn else "no",
            "no; train another, or give rollback --to",
        ),
    )


def _enough(evidence: Evidence, bars: GateConfig) -> Check:
    days = ", ".join(f"{cutoff:%Y-%m-%d}" for cutoff in evidence.cutoffs)
    return Check(
        "past cutoffs",
        len(evidence.cutoffs) >= bars.least_cutoffs,
        days or "none",
        f"{bars.least_cutoffs} or more",
    )


def _against(contest: Contest, evidence: Evidence, bars: GateConfig) -> Check:
    if contest.rival is None:
        return _against_champion(contest, evidence, bars)
    margin = bars.baseline_margin
    known = [gain for gain in contest.gains if gain.value == gain.value]
    better = sum(gain.low > -margin for gain in known)
    lost = sum(gain.high < -margin for gain in known)
    wanted = f"above {_floor(margin)} at {bars.least_cutoffs} cutoffs, lost at none"
    return Check(
        f"{contest.measure} over {contest.rival}",
        better >= bars.least_cutoffs and not lost,
        _said(contest),
        wanted,
    )


def _against_champion(contest: Contest, evidence: Evidence, bars: GateConfig) -> Check:
    margin = bars.auc_margin if contest.measure == AUC else bars.recall_margin
    fine = [gain.low > -margin for gain in contest.gains]
    wanted = f"above {_floor(margin)} at every cutoff"
    passed = sum(fine) == len(fine) >= bars.least_cutoffs
    if evidence.same_data:
        best = max(one.beaten_at for one in evidence.contests if one.rival is None)
        passed = passed and best >= bars.least_cutoffs
        wanted += f"; on the same data, in one measure above 0 at {bars.least_cutoffs}"
    return Check(f"{contest.measure} over {CHAMPION}", passed, _said(contest), wanted)


def _floor(margin: float) -> str:
    """What an interval must lie above."""
    return f"{-margin:g}" if margin else "0"


def _said(contest: Contest) -> str:
    return ", ".join(
        f"{gain.value:+.4f} ({gain.low:+.4f} to {gain.high:+.4f})"
        if gain.value == gain.value
        else "not defined"
        for gain in contest.gains
    )


def _calibrated(evidence: Evidence, bars: GateConfig) -> list[Check]:
    return [
        Check(
            f"calibration of {promised}",
            all(error <= bars.calibration_error for error in errors),
            ", ".join(f"{error:.3f}" for error in errors),
            f"at most {bars.calibration_error:g} at every cutoff",
        )
        for promised, errors in evidence.calibration.items()
    ]


def _leaks(evidence: Evidence) -> tuple[Check, ...]:
    leaks, alone = evidence.leaks, evidence.leaks.strongest
    shuffled = leaks.interval
    return (
        Check(
            "strongest feature",
            not alone.is_alarm,
            f"AUC {alone.auc:.3f} of {alone.feature} alone",
            f"at most {alone.limit:.3f}; was it known before the cutoff?",
        ),
        Check(
            "shuffled answers",
            not leaks.is_alarm,
            f"AUC {shuffled.value:.3f} ({shuffled.low:.3f} to {shuffled.high:.3f})",
            "an interval that holds 0.5",
        ),
        Check(
            "training as in serving",
            not evidence.skewed,
            ", ".join(evidence.skewed) or "equal features",
            "none that changes when later rows are cut away",
        ),
    )
