"""Requests and answers of the API: fields and limits.

Requests are strict: an unknown field, a text where a number belongs or a value
out of range is refused. Ids may be given as integers and are read as text, as
in the input tables. Answers are written straight from arrays; their models
here are the document, and the tests hold the answers to them.
"""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

Id = Annotated[str, Field(min_length=1, max_length=256)]
"""A customer or product id."""

CustomerIds = Annotated[
    list[Id],
    Field(
        min_length=1,
        max_length=1000,
        description="Answered in this order, repeats included.",
        examples=[["2070", "nobody"]],
    ),
]
ProductIds = Annotated[list[Id], Field(max_length=10_000)]


class Request(BaseModel):
    """Strict about names, lenient about ids given as integers."""

    model_config = ConfigDict(extra="forbid", coerce_numbers_to_str=True)


class RecommendationsRequest(Request):
    """Top-n products for each customer."""

    customer_ids: CustomerIds
    n: Annotated[int, Field(strict=True, ge=1, le=100, examples=[10])] = 20
    list_: Annotated[
        Literal["mixed", "again", "new"],
        Field(
            alias="list",
            description="mixed: both; again: bought before; new: never bought.",
        ),
    ] = "mixed"
    categories: Annotated[
        list[str],
        Field(
            default_factory=list[str],
            max_length=1000,
            description="Only these; empty: all.",
        ),
    ]

    exclude_product_ids: Annotated[
        ProductIds, Field(default_factory=list[str], description="Never shown.")
    ]

    in_cart_product_ids: Annotated[
        ProductIds,
        Field(
            default_factory=list[str],
            description="In the cart already, so not shown.",
        ),
    ]

    available_only: Annotated[
        bool, Field(strict=True, description="Only products that can be bought now.")
    ] = True
    max_per_category: Annotated[
        int | None,
        Field(
            strict=True,
            ge=1,
            le=100,
            description="At most so many products of one category; the list is "
            "shorter only where no more pass. Products without a category are not "
            "limited. Null: no limit.",
            examples=[3],
        ),
    ] = None
    diversity: Annotated[
        float,
        Field(
            strict=True,
            ge=0,
            le=1,
            allow_inf_nan=False,
            description="0: the best products, however alike; 1: as unlike as can "
            "be in category, subcategory and brand (maximal marginal relevance).",
            examples=[0.3],
        ),
    ] = 0.0
    weight_by: Annotated[
        Literal["probability", "value", "margin"],
        Field(
            description="What the offers are ordered by: probability; value: times "
            "price; margin: times price and margin rate. A product whose price or "
            "margin rate is unknown counts as 0."
        ),
    ] = "probability"
    min_new_arrivals: Annotated[
        int,
        Field(
            strict=True,
            ge=0,
            le=100,
            description="At least so many products that came into the range lately, "
            "or all that pass. At most `n`.",
            examples=[2],
        ),
    ] = 0
    new_arrival_days: Annotated[
        int,
        Field(
            strict=True,
            ge=1,
            le=3650,
            description="Lately: launched (else first sold) within so many days "
            "before the snapshot's cutoff.",
            examples=[28],
        ),
    ] = 28
    new_share: Annotated[
        float | None,
        Field(
            strict=True,
            ge=0,
            le=1,
            allow_inf_nan=False,
            description="Share of a mixed list for products never bought by the "
            "customer, rounded to whole lines, halves upwards; what one lane cannot "
            "fill the other does. Null: by probability. Only with list mixed.",
            examples=[0.5],
        ),
    ] = None


class PropensityRequest(Request):
    """Probability of a purchase within a horizon, for each customer."""

    customer_ids: CustomerIds
    horizon_days: Annotated[
        int | None,
        Field(
            strict=True,
            ge=1,
            le=180,
            description="Days from the cutoff; null: the published horizon.",
            examples=[14],
        ),
    ] = None


class Answer(BaseModel):
    """Closed: an answer has these fields and no others."""

    model_config = ConfigDict(extra="forbid")


class SnapshotInfo(Answer):
    """The published version that an answer rests on."""

    version: Annotated[str, Field(examples=["20171015T000000-1f0c2a9b7d5e4c31"])]
    cutoff: Annotated[datetime, Field(description="Only earlier data were used. UTC.")]
    age_days: Annotated[float, Field(description="From the cutoff to now.")]


class ItemOut(Answer):
    """One line of a list."""

    product_id: Annotated[str, Field(examples=["1082185"])]
    rank: Annotated[int, Field(ge=1, examples=[1])]
    score: Annotated[
        float | None,
        Field(
            description="What the list is ordered by: the ranker's log odds; the "
            "worth with `weight_by`; the marginal relevance with `diversity`. Never "
            "rises down a list, and compares within it only; null: not scored.",
            examples=[-0.41],
        ),
    ]
    probability: Annotated[
        float | None,
        Field(
            description="Bought within the published horizon; null: not estimated.",
            examples=[0.4],
        ),
    ]
    reason: Annotated[
        str,
        Field(
            examples=[
                "buys it about every 12 days, last bought 11 days ago, due on Friday, 3 November"
            ]
        ),
    ]
    source: Annotated[
        str,
        Field(
            description="The strongest generator; `popularity` and `bought` fill "
            "lists that the filters left short.",
            examples=["own history"],
        ),
    ]


class CustomerList(Answer):
    """The list of one customer."""

    customer_id: Annotated[str, Field(examples=["2070"])]
    cold_start: Annotated[
        bool,
        Field(
            description="True: nothing is known of the customer: no purchase before "
            "the cutoff, and nothing to go by since."
        ),
    ]
    items: list[ItemOut]


class RecommendationsAnswer(Answer):
    """One list for each customer asked for, in their order."""

    model_version: Annotated[str, Field(examples=["20180101-5c134e5f38f5"])]
    snapshot: SnapshotInfo
    list_: Annotated[Literal["mixed", "again", "new"], Field(alias="list")]
    recommendations: list[CustomerList]


class CustomerPropensity(Answer):
    """The outlook of one customer; nulls where no purchase is known."""

    customer_id: Annotated[str, Field(examples=["2070"])]
    cold_start: bool
    probability: Annotated[
        float | None,
        Field(
            description="At least one purchase within `horizon_days` of the cutoff, or "
            "of now if the customer has events since.",
            examples=[0.91],
        ),
    ]
    tag: Annotated[
        Literal["likely", "not_likely"] | None,
        Field(description="At the published horizon and threshold."),
    ]
    expected_next_at: Annotated[
        datetime | None,
        Field(description="UTC; null: not expected within 180 days."),
    ]
    reasons: Annotated[
        list[str],
        Field(
            description="Strongest first.",
            examples=[["last bought 4 days ago, usually every 6 days (raises)"]],
        ),
    ]


class PropensityAnswer(Answer):
    """One outlook for each customer asked for, in their order."""

    model_version: Annotated[str, Field(examples=["20180101-5c134e5f38f5"])]
    snapshot: SnapshotInfo
    horizon_days: Annotated[int, Field(examples=[14])]
    tag_horizon_days: Annotated[int, Field(examples=[14])]
    propensities: list[CustomerPropensity]


class Rejection(Answer):
    """An event that was not taken."""

    index: Annotated[
        int, Field(ge=0, description="Its place in `events`.", examples=[2])
    ]
    event_id: Annotated[
        str | None, Field(description="Null: it has none that can be read.")
    ]
    reason: Annotated[str, Field(examples=["quantity: expected a number, got text"])]


class EventsAnswer(Answer):
    """What became of a batch; the three counts add up to it."""

    accepted: Annotated[int, Field(ge=0, description="On disk now.")]
    duplicate: Annotated[int, Field(ge=0, description="There already, as they are.")]
    rejected: Annotated[int, Field(ge=0)]
    rejections: Annotated[
        list[Rejection], Field(description="One for each rejected event, in order.")
    ]


class Problem(Answer):
    """What is wrong with a request."""

    code: Annotated[str, Field(examples=["invalid"])]
    message: Annotated[
        str, Field(examples=["n: input should be less than or equal to 100, got 101"])
    ]
    field: Annotated[
        str | None, Field(description="Null: not about one field.", examples=["n"])
    ]


class ErrorAnswer(Answer):
    """The form of every error."""

    error: Problem
