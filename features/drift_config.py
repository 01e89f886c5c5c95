"""Defaults of the limits that `repurchase drift` holds the input and the scores to."""

from __future__ import annotations

from pydantic import Field

from features.section import Section


class DriftConfig(Section):
    """When the input, the scores or what became of them is no longer as it was.

    A feature is past its limits if chance does not explain its shift **and** the shift
    is large. The first alone would call every feature of a million customers drifted,
    the second alone would call many of a hundred customers so.

    Attributes:
        false_discoveries: of the features whose shift is told, about so many at most are
            chance (Benjamini and Hochberg); also the level at which a shift of the
            scores counts. Customers are mostly the same at both moments, so that chance
            shifts less than the tests assume.
        stability_index: from here on a shift is large. By custom below .1 two
            distributions are alike, above .25 they are not.
        distance: the same for the largest difference between two cumulative shares (of
            texts: the share of customers who would have to change their word). A shift
            of everybody by half a standard deviation is one of .2.
        most_features: so many features may be past their limits without an alarm. None:
            every one that models read and that is new to them is a fault or a reason to
            train again.
        calibration_error: realised, at most; the alarm needs the whole interval above,
            and more than chance makes of true promises. As at the gate.
        auc_loss: realised AUC may lie so far under the evaluation's; the alarm needs the
            whole interval below. Cutoffs differ by some .02 on their own.
    """

    false_discoveries: float = Field(default=0.01, gt=0, lt=1)
    stability_index: float = Field(default=0.25, gt=0)
    distance: float = Field(default=0.2, gt=0, le=1)
    most_features: int = Field(default=0, ge=0)
    calibration_error: float = Field(default=0.05, gt=0, le=1)
    auc_loss: float = Field(default=0.05, gt=0, lt=1)
