"""Defaults of the gate that a newly trained model passes before it is published."""

from __future__ import annotations

from pydantic import Field

from features.section import Section


class GateConfig(Section):
    """When a challenger becomes champion; the rules are in ``training.gate``.

    Attributes:
        least_cutoffs: at so many past cutoffs at least it must be better; so many are
            built where no evaluation cutoffs are configured.
        auc_margin, recall_margin: the interval of its gain over the champion may reach
            so far below 0, in AUC and in recall at 10 of the mixed list.
        baseline_margin: the same against every baseline, in either measure; 0: it must
            beat them.
        calibration_error: of propensity and of the match, at most.
        block_days: purchases are counted in blocks of so many days before the cutoff.
        least_lines: share of the purchases usual before that every later block must have; of
            other tables a tenth of it.
        unit_factor: a column whose usual value moves by this factor or more from one
            block to the next has changed its unit.
        least_kept: share of the lines of each table that the champion read which must
            still be there.
    """

    least_cutoffs: int = Field(default=2, ge=2)
    auc_margin: float = Field(default=0.005, ge=0, lt=1)
    recall_margin: float = Field(default=0.005, ge=0, lt=1)
    baseline_margin: float = Field(default=0.0, ge=0, lt=1)
    calibration_error: float = Field(default=0.05, gt=0, le=1)
    block_days: int = Field(default=28, ge=7)
    least_lines: float = Field(default=0.6, ge=0, le=1)
    unit_factor: float = Field(default=5.0, gt=1)
    least_kept: float = Field(default=0.9, ge=0, le=1)
