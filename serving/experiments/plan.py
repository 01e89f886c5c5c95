"""What an experiment compares, as it is kept: asked for, drawn, locked."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from serving.experiment_schema import ArmIn, ExperimentRequest
from serving.experiments.assign import Arm, LayerRange, Split

_APART = {"overrides", "excluded_customer_ids"}
"""Fields with customers; they are kept where an erasure finds them."""


@dataclass(frozen=True)
class PickedList:
    """The version of a list that an arm shows."""

    list: str
    version: int
    sha256: str

    @property
    def label(self) -> str:
        """As exposures name it."""
        return f"{self.list}@{self.version}"


@dataclass(frozen=True)
class Plan:
    """A plan, locked once its experiment runs.

    Attributes:
        asked: as it was asked for, without overrides and exclusions.
        salt: of the draw.
        picks: by arm that shows some.
        design: text of a ``design.Design``; None: none was asked for.
    """

    asked: ExperimentRequest
    salt: str
    picks: Mapping[str, PickedList]
    design: str | None

    @property
    def arms(self) -> Mapping[str, ArmIn]:
        """By name, control first."""
        return {arm.name: arm for arm in self.asked.arms}

    @property
    def control(self) -> str:
        """Name of its arm."""
        return self.asked.arms[0].name

    @property
    def treatments(self) -> tuple[str, ...]:
        """Arms that are compared with control."""
        return tuple(arm.name for arm in self.asked.arms[1:] if not arm.holdout)

    @property
    def holdouts(self) -> tuple[str, ...]:
        """Arms that get nothing at all."""
        return tuple(arm.name for arm in self.asked.arms if arm.holdout)

    @property
    def split(self) -> Split:
        """How customers are drawn."""
        return split_of(self.asked, self.salt)

    def to_json(self) -> str:
        """As text; ``plan_of`` gives the same plan back."""
        kept = {
            "asked": asked_json(self.asked),
            "salt": self.salt,
            "picks": {arm: vars(picks) for arm, picks in self.picks.items()},
            "design": self.design,
        }
        return json.dumps(kept, sort_keys=True)

    def is_same(self, text: str) -> bool:
        """Whether a plan as text asks for the same; its salt may be another."""
        other = plan_of(text)
        return (asked_json(self.asked), self.picks) == (
            asked_json(other.asked),
            other.picks,
        )


def plan_of(text: str) -> Plan:
    """The plan that ``to_json`` wrote."""
    kept: dict[str, Any] = json.loads(text)
    return Plan(
        ExperimentRequest.model_validate(kept["asked"]),
        kept["salt"],
        {arm: PickedList(**picks) for arm, picks in kept["picks"].items()},
        kept["design"],
    )


def asked_json(asked: ExperimentRequest) -> dict[str, Any]:
    """What was asked for, without overrides and exclusions."""
    return asked.model_dump(mode="json", exclude=_APART)


def split_of(asked: ExperimentRequest, salt: str) -> Split:
    """How customers are drawn; all experiments of a layer share its hash."""
    arms = tuple(Arm(arm.name, arm.weight, arm.holdout) for arm in asked.arms)
    layer = asked.layer and LayerRange(
        asked.layer.name, "", asked.layer.start, asked.layer.end
    )
    return Split(asked.name, salt, arms, asked.version, layer)
