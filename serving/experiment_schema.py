"""Requests and answers about experiments and manual picks."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, model_validator
from pydantic_core import PydanticCustomError

from serving.schema import Answer, Request, SnapshotInfo

MAX_LINES = 10_000
"""Of a list of picks, and of exposures or clicks in one request."""


def _without_null(text: str) -> str:
    if "\0" in text:
        # PostgreSQL cannot keep it.
        raise PydanticCustomError("text", "expected text without a null character")
    return text


def _utc(moment: datetime) -> datetime:
    if moment.tzinfo is None:
        return moment
    try:
        return moment.astimezone(UTC).replace(tzinfo=None)
    except OverflowError:
        raise PydanticCustomError("moment", "expected a later year") from None


NAME_PATTERN = r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$"

Name = Annotated[
    str,
    Field(
        pattern=NAME_PATTERN,
        description="Letters, digits, dots, dashes, underscores.",
        examples=["spring"],
    ),
]
KeptText = Annotated[
    str, Field(min_length=1, max_length=256), AfterValidator(_without_null)
]
Moment = Annotated[datetime, Field(strict=True), AfterValidator(_utc)]
MeasureName = Literal[
    "click_rate",
    "conversion",
    "repurchase_rate",
    "orders",
    "revenue",
    "revenue_uncut",
    "order_value",
    "days_to_purchase",
]
Positive = Annotated[float, Field(gt=0, le=1e12, allow_inf_nan=False)]


def _ascend(looks: list[float]) -> list[float]:
    if sorted(set(looks)) != looks or looks[-1] != 1:
        raise PydanticCustomError(
            "looks", "expected ascending shares of which the last is 1"
        )
    return looks


Alpha = Annotated[float, Field(ge=0.001, le=0.2)]
Power = Annotated[float, Field(ge=0.5, le=0.99)]
Spending = Literal["obrien-fleming", "pocock"]
Looks = Annotated[
    list[Annotated[float, Field(ge=0.05, le=1)]],
    Field(
        default_factory=lambda: [1.0],
        min_length=1,
        max_length=10,
        description="At which shares of the customers the result is looked at, "
        "ascending, 1 last.",
    ),
    AfterValidator(_ascend),
]
Assumed = Annotated[
    float | None,
    Field(
        gt=0,
        lt=1,
        description="Control's click rate, conversion or repurchase rate, where the "
        "shop's history does not tell.",
    ),
]


class PickIn(Request):
    """A line of a manual list."""

    product_id: KeptText
    rank: Annotated[
        int | None,
        Field(strict=True, ge=1, le=MAX_LINES, description="Null: as it comes."),
    ] = None
    segment: Annotated[
        KeptText | None, Field(description="For customers of this segment only.")
    ] = None
    customer_id: Annotated[
        KeptText | None, Field(description="For this customer only.")
    ] = None

    @model_validator(mode="after")
    def _one_scope(self) -> PickIn:
        if self.segment is not None and self.customer_id is not None:
            raise PydanticCustomError(
                "scope", "expected a segment or a customer_id, got both"
            )
        return self


class PicksRequest(Request):
    """A manual list.

    A customer's own lines come before their segment's, those before everyone's.
    """

    list_: Annotated[Name, Field(alias="list")]
    owner: Annotated[KeptText, Field(description="Who picked.", examples=["mia"])]
    lines: Annotated[list[PickIn], Field(min_length=1, max_length=MAX_LINES)]


class PicksAnswer(Answer):
    """The version that was kept."""

    list_: Annotated[str, Field(alias="list", examples=["may"])]
    version: Annotated[int, Field(ge=1)]
    sha256: Annotated[
        str,
        Field(description="Of its lines; an experiment names it from its draft on."),
    ]
    lines: Annotated[int, Field(ge=1)]
    owner: str
    at: datetime


INTERLEAVED = "interleaved"
"""Arm of all who are drawn by an interleaved experiment."""


class ArmIn(Request):
    """One variant."""

    name: Name
    weight: Annotated[
        int,
        Field(strict=True, ge=1, le=10_000, description="Shares are as the weights."),
    ] = 1
    show: Annotated[
        Literal["picks", "mixed", "again", "new", "nothing"],
        Field(
            description="picks: a manual list; mixed, again, new: the model's list; "
            "nothing: the shop knows what the arm gets (a text, a discount)."
        ),
    ]
    picks: Annotated[
        Name | None, Field(description="Of the arm that shows picks: which list.")
    ] = None
    holdout: Annotated[
        bool, Field(strict=True, description="Gets nothing at all; compared apart.")
    ] = False


class LayerIn(Request):
    """A part of a layer. Experiments in disjoint parts share no customer."""

    name: Name
    start: Annotated[int, Field(strict=True, ge=0, le=9_999)]
    end: Annotated[int, Field(strict=True, ge=1, le=10_000)]

    @model_validator(mode="after")
    def _ascends(self) -> LayerIn:
        if self.start >= self.end:
            raise PydanticCustomError("layer", "expected start below end")
        return self


class DesignIn(Request):
    """What is promised before the start."""

    mde: Annotated[
        float,
        Field(
            gt=0,
            le=10,
            allow_inf_nan=False,
            description="Smallest relative effect to be found.",
            examples=[0.1],
        ),
    ]
    alpha: Alpha = 0.05
    power: Power = 0.8
    looks: Looks
    spending: Spending = "obrien-fleming"
    assumed: Assumed = None


class MoneyIn(Request):
    """What it takes to turn an effect into money a year."""

    margin_rate: Annotated[
        float, Field(gt=0, le=1, description="Of revenue that is margin.")
    ]
    yearly_reach: Annotated[
        Positive, Field(description="Customers reached in a year, each time counted.")
    ]
    yearly_cost: Annotated[
        float,
        Field(ge=0, le=1e12, description="Of the better list; for the return on it."),
    ] = 0.0


class ExperimentRequest(Request):
    """A comparison of arms, control first."""

    name: Name
    owner: KeptText
    arms: Annotated[list[ArmIn], Field(min_length=2, max_length=10)]
    kind: Annotated[
        Literal["randomised", "interleaved"],
        Field(
            description="interleaved: a fast test before the real one; everyone sees "
            "both lists dealt into one."
        ),
    ] = "randomised"
    slots: Annotated[int, Field(strict=True, ge=1, le=100)] = 10
    window_days: Annotated[
        int,
        Field(
            strict=True,
            ge=1,
            le=365,
            description="Outcomes count so long after a customer's assignment.",
        ),
    ] = 28
    primary: Annotated[
        MeasureName, Field(description="The one measure that decides.")
    ] = "click_rate"
    version: Annotated[
        int,
        Field(strict=True, ge=1, le=1_000_000, description="Another one draws anew."),
    ] = 1
    salt: Annotated[
        Annotated[str, Field(pattern=r"^[A-Za-z0-9]{1,64}$")] | None,
        Field(description="Of the hash that draws; null: one is made up."),
    ] = None
    layer: LayerIn | None = None
    strata: Annotated[
        list[KeptText],
        Field(
            default_factory=lambda: ["segment"],
            min_length=1,
            max_length=3,
            description="Profile columns, as published, by whose values together the "
            "effect is shown and weighed; kept of each customer when they are assigned. "
            "Fifths of the propensity come besides.",
        ),
    ]
    design: Annotated[
        DesignIn | None,
        Field(description="Null: there is no verdict before all is over."),
    ] = None
    money: MoneyIn | None = None
    overrides: Annotated[
        dict[KeptText, Name],
        Field(
            default_factory=dict[str, str],
            max_length=MAX_LINES,
            description="Arm by customer, for staff and tests; never compared.",
        ),
    ]
    excluded_customer_ids: Annotated[
        list[KeptText], Field(default_factory=list[str], max_length=MAX_LINES)
    ]

    @model_validator(mode="after")
    def _fits(self) -> ExperimentRequest:
        names = [arm.name for arm in self.arms]
        if len(set(names)) < len(names):
            raise PydanticCustomError("arms", "expected arms of different names")
        if sum(not arm.holdout for arm in self.arms) < 2 or self.arms[0].holdout:
            raise PydanticCustomError(
                "arms", "expected a control first and another arm that is no holdout"
            )
        for arm in self.arms:
            if (arm.picks is None) == (arm.show == "picks"):
                raise PydanticCustomError(
                    "arms", "expected the name of a list where an arm shows picks only"
                )
            if arm.holdout and arm.show != "nothing":
                raise PydanticCustomError("arms", "expected a holdout to show nothing")
        if not set(self.overrides.values()) <= set(names):
            raise PydanticCustomError("overrides", "expected arms of the experiment")
        if INTERLEAVED in names:
            raise PydanticCustomError("arms", "expected no arm called interleaved")
        if self.kind == "interleaved":
            self._must_interleave()
        return self

    def _must_interleave(self) -> None:
        if len(self.arms) != 2 or any(arm.show == "nothing" for arm in self.arms):
            raise PydanticCustomError(
                "arms", "expected two arms that show lists, to interleave them"
            )
        if self.primary not in ("click_rate", "conversion"):
            raise PydanticCustomError(
                "primary", "expected click_rate or conversion, of interleaved lists"
            )
        if self.design is not None or self.money is not None:
            raise PydanticCustomError(
                "design", "expected neither design nor money of interleaved lists"
            )


class StatusRequest(Request):
    """Starts or stops an experiment."""

    status: Literal["running", "stopped"]


class PicksRef(Answer):
    """The picks that an arm shows, locked."""

    arm: str
    list_: Annotated[str, Field(alias="list")]
    version: int
    sha256: str


class ExperimentAnswer(Answer):
    """An experiment as it is kept."""

    name: str
    owner: str
    status: Literal["draft", "running", "stopped"]
    created_at: datetime
    started_at: datetime | None
    stopped_at: datetime | None
    salt: str
    shares: Annotated[dict[str, float], Field(description="Of each arm, in order.")]
    picks: list[PicksRef]
    design: Annotated[
        dict[str, Any] | None,
        Field(description="Customers, days and baseline; days null: they never come."),
    ]
    plan: Annotated[dict[str, Any], Field(description="As it was asked for.")]


class AssignmentsRequest(Request):
    """Customers of a running experiment."""

    customer_ids: Annotated[
        list[KeptText],
        Field(min_length=1, max_length=1000, description="Answered in this order."),
    ]


class SlotOut(Answer):
    """A product to show."""

    product_id: str
    position: Annotated[int, Field(ge=1)]
    reason: Annotated[str | None, Field(description="Null: picked by hand.")]


class AssignmentOut(Answer):
    """What a customer is to be shown."""

    customer_id: str
    arm: Annotated[
        str | None, Field(description="Null: takes no part; show what you always do.")
    ]
    why: Literal["hash", "override", "excluded", "outside layer"]
    list_version: Annotated[
        str | None,
        Field(
            description="LIST@VERSION of picks, or the published version; of interleaved "
            "lists both, joined by +."
        ),
    ]
    items: Annotated[
        list[SlotOut],
        Field(description="At most as many as slots; only what can be bought now."),
    ]


class AssignmentsAnswer(Answer):
    """Arm and list of each customer, in their order."""

    model_version: str
    snapshot: SnapshotInfo
    experiment: str
    assignments: list[AssignmentOut]


class ExposureIn(Request):
    """A product in a slot that a customer really saw."""

    event_id: KeptText
    customer_id: KeptText
    arm: Annotated[
        KeptText,
        Field(description="Whose list it was. Another than assigned is not compared."),
    ]
    product_id: KeptText
    position: Annotated[int | None, Field(strict=True, ge=1, le=1000)] = None
    list_version: KeptText | None = None
    ts: Moment


class ExposuresRequest(Request):
    """What was shown."""

    exposures: Annotated[list[ExposureIn], Field(min_length=1, max_length=MAX_LINES)]


class OutcomeIn(Request):
    """A click on a product that was shown."""

    event_id: KeptText
    kind: Literal["click"] = "click"
    customer_id: KeptText
    product_id: KeptText
    position: Annotated[int | None, Field(strict=True, ge=1, le=1000)] = None
    ts: Moment


class OutcomesRequest(Request):
    """What was clicked; purchases come with the input table or ``/v1/events``."""

    outcomes: Annotated[list[OutcomeIn], Field(min_length=1, max_length=MAX_LINES)]


class ReportQuery(Request):
    """Parameters of a report."""

    format: Annotated[
        Literal["json", "html"], Field(description="html: one page to read.")
    ] = "json"
    as_of: Annotated[
        Annotated[datetime, AfterValidator(_utc)] | None,
        Field(
            description="Nothing is read that happened or was known at or after it; null: "
            "now."
        ),
    ] = None


class PreferenceQuery(Request):
    """Parameters of a preference."""

    as_of: Annotated[
        Annotated[datetime, AfterValidator(_utc)] | None,
        Field(
            description="Nothing is read that happened or was known at or after it; null: "
            "now."
        ),
    ] = None


class VoteOut(Answer):
    """One vote a customer: of whose products they did more."""

    by: Literal["clicks", "purchases"]
    first: Annotated[int, Field(ge=0, description="Customers for the first list.")]
    second: Annotated[int, Field(ge=0, description="Customers for the second.")]
    tied: Annotated[int, Field(ge=0, description="As many of both, and some.")]
    share: Annotated[
        float | None, Field(description="Of the second list; null: nobody decided.")
    ]
    low: Annotated[float | None, Field(description="95 %, exact.")]
    high: float | None
    p_value: Annotated[float | None, Field(description="Exact sign test.")]


class PreferenceAnswer(Answer):
    """Which of two interleaved lists is preferred."""

    experiment: str
    status: Literal["draft", "running", "stopped"]
    as_of: datetime
    first: Annotated[str, Field(description="Arm of the control.")]
    second: str
    customers: Annotated[int, Field(ge=0, description="Whom a list was dealt to.")]
    decided_by: Literal["clicks", "purchases"]
    winner: Annotated[
        str | None, Field(description="Null: not the end, or inconclusive.")
    ]
    is_final: Annotated[
        bool, Field(description="It was stopped, and all windows are over.")
    ]
    sentence: str
    votes: list[VoteOut]


class OffPolicyRequest(Request):
    """A rule that gives each segment an arm."""

    reward: Annotated[
        Literal["clicks", "conversion", "repurchase_rate", "orders", "revenue"],
        Field(description="Per customer and window."),
    ] = "clicks"
    by_segment: Annotated[
        dict[KeptText, Name],
        Field(
            default_factory=dict[str, str],
            max_length=1000,
            description="Arm by segment.",
        ),
    ]
    otherwise: Annotated[Name, Field(description="Arm of all others.")]
    as_of: Annotated[
        Moment | None,
        Field(
            description="Nothing is read that happened or was known at or after it; null: "
            "now."
        ),
    ] = None


class IntervalOut(Answer):
    """A value and its 95 % interval."""

    value: float
    low: float
    high: float


class OffPolicyAnswer(Answer):
    """What the rule would have earned per customer."""

    experiment: str
    as_of: datetime
    reward: str
    sentence: str
    rows: Annotated[int, Field(ge=0, description="Customers whose window is over.")]
    customers: Annotated[int, Field(ge=0)]
    effective: Annotated[
        float, Field(ge=0, description="Rows of equal weight that would tell as much.")
    ]
    mean_weight: Annotated[
        float, Field(description="1, up to chance; 0: there are no rows.")
    ]
    largest_weight: float
    ips: Annotated[IntervalOut | None, Field(description="Inverse propensity.")]
    snips: Annotated[IntervalOut | None, Field(description="Self-normalised.")]
    doubly_robust: Annotated[
        IntervalOut | None, Field(description="With the means of arm and segment.")
    ]
    refused: Annotated[
        str | None, Field(description="Why there is no estimate: too little overlap.")
    ]


class LoggedRejection(Answer):
    """A line that was not taken."""

    index: Annotated[int, Field(ge=0)]
    event_id: str
    reason: str


class LoggedAnswer(Answer):
    """What became of the lines; the first three counts add up to them."""

    accepted: Annotated[int, Field(ge=0, description="On disk now.")]
    duplicate: Annotated[int, Field(ge=0)]
    rejected: Annotated[int, Field(ge=0)]
    other_arm: Annotated[
        int,
        Field(
            ge=0, description="Of the accepted: of an arm that is not the customer's."
        ),
    ]
    rejections: list[LoggedRejection]


class VerdictOut(Answer):
    """What is said of one arm beside control."""

    arm: str
    outcome: Literal["won", "harmful", "inconclusive", "invalid"]
    sentence: str
    more_days: Annotated[
        int | None,
        Field(description="Until an effect of the size seen would be found."),
    ]
    rests_on: Annotated[str, Field(description="What its interval is.")]
    is_final: Annotated[bool, Field(description="More data change nothing any more.")]
    came_late: Annotated[
        dict[str, int] | None,
        Field(
            description="Purchases, exposures and clicks of the look's windows that were "
            "known only after it; null: no look decides."
        ),
    ]
    estimate: dict[str, Any] | None


class ReportAnswer(Answer):
    """An experiment, read back; nulls where something is undefined."""

    experiment: str
    status: Literal["draft", "running", "stopped"]
    owner: str
    as_of: datetime
    created_at: datetime
    started_at: datetime | None
    stopped_at: datetime | None
    primary: MeasureName
    control: str
    window_days: int
    verdicts: Annotated[list[VerdictOut], Field(description="One for each treatment.")]
    money: Annotated[
        list[dict[str, Any]],
        Field(description="Margin a year and return on its cost, with intervals."),
    ]
    customers: Annotated[
        list[dict[str, Any]], Field(description="Assigned and analysed, by arm.")
    ]
    sample_ratio: Annotated[
        dict[str, Any], Field(description="Whether arms are as large as drawn.")
    ]
    apart: Annotated[dict[str, int], Field(description="What is not compared.")]
    late: Annotated[
        dict[str, int],
        Field(
            description="Of the windows, known only at or after as_of; in no figure."
        ),
    ]
    measures: Annotated[
        list[dict[str, Any]], Field(description="The primary first, then the others.")
    ]
    beside_holdout: list[dict[str, Any]]
    over_time: Annotated[
        list[dict[str, Any]], Field(description="Effect by day of the window.")
    ]
    over_time_measure: str
    segments: list[dict[str, Any]]
    picks: list[PicksRef]
    design: dict[str, Any] | None
    plan: dict[str, Any]
    definitions: list[dict[str, str]]
