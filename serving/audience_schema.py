"""Requests and answers about audiences, alerts and single customers."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal

from pydantic import Field

from serving.audience import Goal
from serving.insight_schema import (
    HealthOut,
    StrategyOut,
    TagsOut,
    TierMonth,
    TiersOut,
    WarningOut,
)
from serving.schema import Answer, Id, ProductIds, Request, SnapshotInfo

MAX_PAGE = 10_000
"""Lines of a JSON answer; CSV has as many as are asked for."""

MAX_LINES = 10_000_000

Cursor = Annotated[
    str | None,
    Field(
        max_length=500,
        description="`next_cursor` of the page before, with all else as it was. A "
        "page never mixes two versions: 409 where the list has changed.",
    ),
]
WithinDays = Annotated[
    int,
    Field(
        strict=True,
        ge=0,
        le=365,
        description="Due less than so many days after the cutoff; groups with an alert "
        "always are.",
        examples=[7],
    ),
]
Text = Annotated[str, Field(max_length=256)]


class AudienceRequest(Request):
    """The best customers for a goal."""

    goal: Annotated[
        Goal,
        Field(
            description="repurchase: likeliest to buy within the horizon; replenish: "
            "something they buy again and again is due; win_back: most spend at risk; "
            "value: most spend expected within a year; uplift: a contact brings most; "
            "product: likeliest to buy one of the products."
        ),
    ]
    n: Annotated[
        int,
        Field(
            strict=True,
            ge=1,
            le=MAX_LINES,
            description=f"Lines of this answer; of JSON at most {MAX_PAGE}.",
            examples=[100],
        ),
    ] = 100
    filters: Annotated[
        dict[Text, Text | Annotated[list[Text], Field(min_length=1, max_length=1000)]],
        Field(
            default_factory=dict[str, str | list[str]],
            max_length=50,
            description="By column: `tag` (likely, not_likely), `tier` (A, B, C), "
            "`lifecycle`, `spending_power`, `purchase_frequency`, `price_sensitivity`, "
            "`preferred_category`, `frequency_tier`, `value`, `potential`, `need`, "
            "`strategy`, `health_level`, `health_trend`, `warning` (yes, no), "
            "`segment`, `region`, `channel`, `member_tier` or another text column of "
            "`customers`; one value, or several of which any will do. All columns must "
            "fit. A column of yours named like one of ours is `customers.NAME`.",
            examples=[{"tag": "likely", "segment": ["family", "single"]}],
        ),
    ]
    horizon_days: Annotated[
        int | None,
        Field(
            strict=True,
            ge=1,
            le=180,
            description="Of `repurchase`; null: the published horizon.",
        ),
    ] = None
    within_days: WithinDays | None = None
    product_ids: Annotated[
        ProductIds,
        Field(default_factory=list[str], description="Of `product`: any of them."),
    ]
    category: Annotated[
        Text | None,
        Field(description="Of `product`: any available product of it."),
    ] = None
    offers: Annotated[
        int,
        Field(
            strict=True,
            ge=0,
            le=10,
            description="Products to offer to each, from their list; of `replenish` "
            "from the group that is due; `product` has its one.",
        ),
    ] = 3
    format: Literal["json", "csv"] = "json"
    cursor: Cursor = None


class OfferOut(Answer):
    """A product to offer."""

    product_id: Annotated[str, Field(examples=["1082185"])]
    probability: Annotated[
        float | None,
        Field(description="Bought within the horizon; null: not estimated."),
    ]
    reason: str


class AudienceLine(Answer):
    """A customer of an audience."""

    customer_id: Annotated[str, Field(examples=["2070"])]
    rank: Annotated[int, Field(ge=1, description="In the whole list.")]
    score: Annotated[float, Field(description="See `score_means`.")]
    product_group: Annotated[str | None, Field(description="Of `replenish`.")]
    due_at: Annotated[datetime | None, Field(description="Of `replenish`; UTC.")]
    alert: Annotated[bool | None, Field(description="Of `replenish`.")]
    churn_risk: Annotated[float | None, Field(description="Of `win_back`.")]
    products: list[OfferOut]


class EvidenceOut(Answer):
    """Whether an order can be relied on."""

    enough: bool
    said: str


class AudienceAnswer(Answer):
    """A page of an audience; ties go to the lower customer id."""

    model_version: str
    snapshot: SnapshotInfo
    goal: Goal
    score_means: Annotated[str, Field(description="What the score is, and its unit.")]
    evidence: Annotated[
        EvidenceOut | None, Field(description="Of `uplift`, else null.")
    ]
    total: Annotated[
        int, Field(ge=0, description="Customers in the whole list, of all pages.")
    ]
    next_cursor: Annotated[str | None, Field(description="Null: this is the end.")]
    customers: list[AudienceLine]


class AlertsQuery(Request):
    """Parameters of ``GET /v1/alerts``."""

    kind: Annotated[
        Literal["all", "replenishment", "health"],
        Field(
            description="replenishment: a product group is due; health: spend is about "
            "to fall."
        ),
    ] = "all"
    within_days: Annotated[
        int,
        Field(
            ge=0,
            le=365,
            description="Of replenishment: due less than so many days after the cutoff.",
        ),
    ] = 3
    state: Annotated[
        Literal["open", "sent", "done", "dismissed", "all"],
        Field(description="What became of it; nothing yet: open."),
    ] = "open"
    n: Annotated[int, Field(ge=1, le=MAX_PAGE)] = 1000
    cursor: Cursor = None


class DueOut(Answer):
    """A product group that a customer needs again."""

    product_group: Annotated[str, Field(examples=["CHEESES"])]
    due_at: Annotated[
        datetime | None, Field(description="UTC; null: too uncertain for a date.")
    ]
    due_p10: datetime | None
    due_p90: datetime | None
    probability: Annotated[float, Field(description="Bought within the horizon.")]
    probability_soon: Annotated[
        float, Field(description="Bought in the alert's window.")
    ]
    alert: Annotated[bool, Field(description="Worth a message today.")]


class AlertOut(Answer):
    """A reason to write to a customer; nulls are of the other kind, or not known."""

    id: Annotated[
        str,
        Field(
            description="The same in every version; of replenishment until the group "
            "is bought again.",
            examples=["r-1f0c2a9b7d5e4c31"],
        ),
    ]
    kind: Literal["replenishment", "health"]
    state: Literal["open", "sent", "done", "dismissed"]
    customer_id: Annotated[str, Field(examples=["2070"])]
    confidence: Annotated[
        float | None,
        Field(description="Chance that the group is bought soon, or that spend falls."),
    ]
    reason: str
    channel: Annotated[
        str | None, Field(description="That the customer prefers; null: not known.")
    ]
    product_id: Annotated[
        str | None, Field(description="To offer: of the group, else of their list.")
    ]
    product_group: str | None
    due_at: Annotated[
        datetime | None, Field(description="UTC; null: too uncertain for a date.")
    ]
    due_p10: datetime | None
    due_p90: datetime | None
    probability: Annotated[
        float | None, Field(description="Bought within the horizon.")
    ]
    probability_soon: Annotated[
        float | None, Field(description="Bought in the alert's window.")
    ]
    alert: Annotated[bool | None, Field(description="Worth a message today.")]
    driver: Annotated[str | None, Field(description="What the warning goes by.")]
    health: Annotated[float | None, Field(description="The index, 0 to 100.")]
    expected_loss: Annotated[
        float | None, Field(description="Spend of a year that is at stake.")
    ]


class AlertRequest(Request):
    """What became of an alert: open, then sent, then done or dismissed."""

    state: Literal["sent", "done", "dismissed"]


class AlertAnswer(Answer):
    """What is on record of an alert."""

    id: str
    state: Literal["sent", "done", "dismissed"]
    at: Annotated[datetime, Field(description="When it came to this state; UTC.")]


class AlertsAnswer(Answer):
    """A page of alerts: those worth a message today, the surest, then by customer."""

    model_version: str
    snapshot: SnapshotInfo
    kind: Literal["all", "replenishment", "health"]
    state: Literal["open", "sent", "done", "dismissed", "all"]
    total: int
    next_cursor: str | None
    alerts: list[AlertOut]


class CurvePoint(Answer):
    """P(at least one purchase within so many days of the cutoff)."""

    days: int
    probability: float


class ListItem(OfferOut):
    """A line of a list."""

    rank: int


class Lists(Answer):
    """The tops of the three lists."""

    mixed: list[ListItem]
    again: list[ListItem]
    new: list[ListItem]


class CustomerAnswer(Answer):
    """What is published of one customer; null: unknown."""

    model_version: str
    snapshot: SnapshotInfo
    customer_id: Id
    consent: Annotated[
        bool,
        Field(description="False: in no audience and no alert, not to be contacted."),
    ]
    profile: Annotated[
        dict[str, str | None],
        Field(description="Texts of `customers` in force at the cutoff."),
    ]
    propensity: list[CurvePoint]
    tag: Literal["likely", "not_likely"]
    expected_next_at: datetime | None
    expected_next_p10: datetime | None
    expected_next_p90: datetime | None
    reasons: list[str]
    due: list[DueOut]
    value: Annotated[
        dict[str, float | None],
        Field(description="`expected_spend_365d`, `clv` and its terms; shop currency."),
    ]
    churn: Annotated[
        dict[str, float | None] | None,
        Field(description="`churn_risk`, `expected_loss`; null: no model."),
    ]
    uplift: dict[str, float | None]
    uplift_evidence: EvidenceOut
    lists: Lists
    tags: Annotated[
        TagsOut | None,
        Field(
            description="Null, as all that follows: the version was published without."
        ),
    ]
    tiers: TiersOut | None
    tier_history: list[TierMonth] | None
    health: HealthOut | None
    warning: WarningOut | None
    strategy: StrategyOut | None
    satisfaction: Annotated[
        dict[str, float | None] | None,
        Field(description="Last NPS and CSAT, ratings, complaints; null: no data."),
    ]
    dimensions: Annotated[
        dict[str, dict[str, float | None]] | None,
        Field(
            description="Figures of the six dimensions by the names of "
            "`repurchase features --describe`; null: no data."
        ),
    ]


class ErasureAnswer(Answer):
    """The receipt of an erasure."""

    erased_at: Annotated[datetime, Field(description="The first time; UTC.")]
    tombstone: Annotated[
        str,
        Field(
            description="Salted SHA-256 of the id: all that is kept, so that the "
            "customer stays out of later builds.",
            examples=[
                "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"
            ],
        ),
    ]
    events_removed: Annotated[int, Field(ge=0)]
    was_published: Annotated[
        bool, Field(description="Whether the version in force knew the customer.")
    ]
    remaining: Annotated[
        str, Field(description="What still holds the id, and how that ends.")
    ]
