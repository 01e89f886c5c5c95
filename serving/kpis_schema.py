"""Request and answer about KPIs."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal

from pydantic import Field

from serving.insight.kpis import By, Kind
from serving.schema import Answer, Request, SnapshotInfo


class KpisQuery(Request):
    """Parameters of ``GET /v1/kpis``."""

    by: Annotated[
        By,
        Field(
            description="Groups: of customers by the profile in force at the cutoff "
            "(segment, region, member_tier), by their tier at it (A, B or C by spend) or "
            "by the month of their first order (cohort); of orders by channel or "
            "campaign."
        ),
    ] = "all"
    period: Annotated[
        str,
        Field(
            max_length=20,
            description="2017-10, 2017-Q4 or 2017-W42 (ISO); or month, quarter or week: "
            "the latest complete one.",
        ),
    ] = "month"


class PeriodOut(Answer):
    """A half-open period of the shop's calendar."""

    name: Annotated[str, Field(examples=["2017-10"])]
    kind: Kind
    starts_at: datetime
    ends_at: Annotated[datetime, Field(description="The first moment after it.")]
    complete: Annotated[
        bool, Field(description="False: the cutoff lies in it, so sums are not final.")
    ]


class ComparedOut(Answer):
    """The same KPI of an earlier period."""

    period: Annotated[str | None, Field(description="Null: not published.")]
    value: float | None
    change: Annotated[float | None, Field(description="The value less this one.")]
    relative: Annotated[
        float | None, Field(description="Change over the size of this one.")
    ]


class TrendOut(Answer):
    """Least squares over the latest complete periods."""

    slope: Annotated[float, Field(description="Units of the KPI a period.")]
    low: Annotated[float, Field(description="95 % interval of the slope.")]
    high: float
    periods: Annotated[int, Field(ge=4, description="Values that it rests on.")]


class KpiOut(Answer):
    """A KPI of a group in the period."""

    name: Annotated[str, Field(examples=["repurchase_rate"])]
    group: Annotated[
        str | None, Field(description="Null: those whose group is not known.")
    ]
    numerator: Annotated[float | None, Field(description="Null: not measured.")]
    denominator: float | None
    value: Annotated[
        float | None,
        Field(description="Null: the ratio is undefined; `definitions` say why."),
    ]
    unit: str
    better: Literal["high", "low"] | None
    target: Annotated[float | None, Field(description="Null: none is set.")]
    previous: ComparedOut
    year_before: ComparedOut
    trend: Annotated[TrendOut | None, Field(description="Null: too few values.")]


class DefinitionOut(Answer):
    """What a KPI is: numerator over denominator, times a number."""

    name: str
    title: str
    numerator: str
    denominator: str
    times: float
    null: Annotated[str, Field(description="What it means that there is no value.")]


class KpisAnswer(Answer):
    """KPIs of a period, by group, as of the cutoff of the version."""

    model_version: str
    snapshot: SnapshotInfo
    by: By
    period: PeriodOut
    kpis: list[KpiOut]
    definitions: list[DefinitionOut]
