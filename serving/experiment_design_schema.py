"""Requests and answers about an experiment that is only thought about."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, model_validator
from pydantic_core import PydanticCustomError

from serving.experiment_schema import Alpha, Assumed, Looks, MeasureName, Name, Power
from serving.experiment_schema import Spending as SpendingName
from serving.schema import Answer, Request

_GOALS = ("mde", "days", "customers")


class DesignRequest(Request):
    """What is asked before an experiment is planned: give one of ``_GOALS``."""

    arms: Annotated[
        list[Name],
        Field(
            default_factory=lambda: ["control", "treatment"],
            min_length=2,
            max_length=10,
            description="Names, control first, without the holdout.",
        ),
    ]
    weights: Annotated[
        list[Annotated[int, Field(strict=True, ge=1, le=10_000)]] | None,
        Field(description="Of the arms; null: those that find the smallest effects."),
    ] = None
    holdout: Annotated[
        float,
        Field(ge=0, le=0.9, description="Share of all who get nothing; 0: none."),
    ] = 0.0
    primary: MeasureName = "click_rate"
    slots: Annotated[int, Field(strict=True, ge=1, le=100)] = 10
    window_days: Annotated[int, Field(strict=True, ge=1, le=365)] = 28
    mde: Annotated[
        float | None,
        Field(
            gt=0,
            le=10,
            allow_inf_nan=False,
            description="Smallest relative effect to be found: how many customers and "
            "days does it take?",
        ),
    ] = None
    days: Annotated[
        int | None,
        Field(
            strict=True,
            ge=2,
            le=3650,
            description="From the start to the last window's end: what is found in them?",
        ),
    ] = None
    customers: Annotated[
        int | None,
        Field(
            strict=True,
            ge=10,
            le=1_000_000_000,
            description="In all arms together: what is found with so many?",
        ),
    ] = None
    alpha: Alpha = 0.05
    power: Power = 0.8
    looks: Looks
    spending: SpendingName = "obrien-fleming"
    assumed: Assumed = None

    @model_validator(mode="after")
    def _fits(self) -> DesignRequest:
        given = [name for name in _GOALS if getattr(self, name) is not None]
        if len(given) != 1:
            raise PydanticCustomError(
                "goal", "expected one of mde, days and customers, got none or more"
            )
        if len(set(self.arms)) < len(self.arms) or "holdout" in self.arms:
            raise PydanticCustomError(
                "arms", "expected arms of different names, and none called holdout"
            )
        if self.weights is not None and len(self.weights) != len(self.arms):
            raise PydanticCustomError("weights", "expected one weight for each arm")
        if self.days is not None and self.days <= self.window_days:
            raise PydanticCustomError(
                "days", "expected more days than window_days: customers come first"
            )
        return self


class SplitOut(Answer):
    """An arm as an experiment asks for it."""

    name: str
    weight: Annotated[int, Field(ge=1)]
    share: Annotated[float, Field(ge=0, le=1)]
    holdout: bool


class BaselineOut(Answer):
    """The measure as it is now."""

    mean: float
    kept_variance: Annotated[
        float, Field(description="What covariates leave of it, 1: all.")
    ]
    customers: Annotated[
        int, Field(ge=0, description="Whom it was measured on; 0: assumed.")
    ]


class PowerOut(Answer):
    """How surely an effect is found."""

    uplift: float
    power: Annotated[float, Field(ge=0, le=1)]


class DesignAnswer(Answer):
    """What such an experiment can find."""

    sentence: str
    primary: MeasureName
    arms: list[SplitOut]
    customers: Annotated[int, Field(ge=0, description="In all arms together.")]
    days: Annotated[
        int | None,
        Field(description="Until the last window is over; null: they never come."),
    ]
    mde: Annotated[
        float | None,
        Field(
            description="Smallest relative increase found with that power; null: none is."
        ),
    ]
    alpha: float
    power: float
    power_by_uplift: list[PowerOut]
    baseline: BaselineOut
