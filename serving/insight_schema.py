"""What insight says of a customer, as fields of answers."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal

from pydantic import Field

from serving.schema import Answer

Third = Literal["low", "medium", "high"]
Abc = Literal["A", "B", "C"]
Segment = Literal["stars", "growing", "loyal", "occasional"]
Score = Annotated[float | None, Field(ge=0, le=100, description="Null: no data.")]


class TagsOut(Answer):
    """Tags by the rules of `tags` in the configuration; null: no data."""

    spending_power: Third | None
    purchase_frequency: (
        Literal["weekly", "monthly", "quarterly", "rarely", "once"] | None
    )
    price_sensitivity: Third | None
    lifecycle: Literal["new", "active", "dormant", "at risk", "lost"] | None
    preferred_category: str | None
    preferred_channel: str | None
    preferred_hour: Annotated[int | None, Field(ge=0, le=23)]


class TierMonth(Answer):
    """Tiers of a month, by the thresholds of its quarter."""

    at: datetime
    abc: Abc | None
    frequency_tier: Literal["none", "low", "medium", "high"] | None
    strategy: Segment | None


class TiersOut(Answer):
    """Tiers as of the cutoff, by the thresholds of its quarter; null: no data."""

    rfm: Annotated[
        int | None,
        Field(ge=111, le=555, description="Fifths of recency, frequency and spend."),
    ]
    abc: Annotated[Abc | None, Field(description="By spend of the last 365 days.")]
    frequency_tier: Literal["none", "low", "medium", "high"] | None
    value: Literal["low", "high"] | None
    potential: Literal["low", "high"] | None
    need: Literal["rational", "emotional", "social"] | None
    strategy: Annotated[
        Segment | None, Field(description="Segment by value and potential.")
    ]


class RadarOut(Answer):
    """The dimensions of the health index, 0 to 100."""

    consumption_frequency: Score
    interaction_depth: Score
    product_fit: Score
    service_rating: Score
    social_influence: Score


class HealthMonth(Answer):
    """The health index of a month."""

    at: datetime
    index: Score
    radar: RadarOut


class HealthOut(Answer):
    """The health index: the mean of the dimensions that have data."""

    index: Score
    level: Literal["poor", "watch", "fair", "healthy"] | None
    trend: Annotated[
        Literal["falling", "steady", "rising"] | None,
        Field(description="Three months in a row; null: fewer than four are known."),
    ]
    radar: RadarOut
    history: list[HealthMonth]


class WarningOut(Answer):
    """Whether spend is about to fall under half of the usual in eight weeks."""

    is_warned: bool
    driver: Annotated[
        str | None,
        Field(
            description="What saw past customers fall best: churn risk, health index "
            "or recency over usual gap; null: nothing is usual of this one."
        ),
    ]
    chance: Annotated[float | None, Field(ge=0, le=1)]
    expected_loss: Annotated[
        float | None,
        Field(description="Chance times the spend expected in 365 days: at stake."),
    ]


class StrategyOut(Answer):
    """What is planned for the customer's segment."""

    segment: Segment
    action: str
    channel: str
