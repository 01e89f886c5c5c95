"""The KPIs, each declared once: numerator over denominator, for a period and a group.

A measure is a sum over a period and a group; ``visits``, ``contacts`` and ``worth``
make them. A KPI divides one by another. An undefined ratio is null, never 0.

Whose tier changed is not among them: it compares two dates, not the rows of a period.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Kind = Literal["month", "quarter", "week"]
KINDS: tuple[Kind, ...] = ("month", "quarter", "week")

By = Literal[
    "all",
    "segment",
    "region",
    "tier",
    "member_tier",
    "channel",
    "campaign",
    "cohort",
]

CUSTOMERS: tuple[By, ...] = (
    "all",
    "segment",
    "region",
    "tier",
    "member_tier",
    "cohort",
)
"""Groupings in which a customer is in one group: by the profile in force at the
cutoff, by their tier at it (A, B or C, see ``tiers.abc``), or by the month of their
first order."""

ORDERS: tuple[By, ...] = ("channel", "campaign")
"""Groupings in which an order is in one group, and a customer in several."""

BYS: tuple[By, ...] = (*CUSTOMERS, *ORDERS)

_PROFILE: tuple[By, ...] = ("all", "segment", "region", "tier", "member_tier")
_BUYERS: tuple[By, ...] = (*CUSTOMERS, "channel")

MEASURES = {
    "orders": "orders of the period; an order counts at its first purchased line",
    "net": "paid for the orders of the period, less the returns of the period",
    "buyers": "customers with an order in the period",
    "repeat_buyers": "customers with two orders or more in the period",
    "earlier_buyers": "customers with an order in the period before",
    "retained": "of the customers with an order in the period before, those with an "
    "order in this one",
    "earlier_spend": "net spend in the period before of the customers with an order in "
    "it; of each at least 0",
    "lost_spend": "that of those among them without an order in this period",
    "gap_days": "days from the customer's order before to each order of the period",
    "gaps": "orders of the period that are not the customer's first",
    "newcomers": "customers whose first order is in the period, and lies so far back "
    "that their time to order again is over by the cutoff",
    "converted": "those among them who ordered again in time",
    "spend": "net spend of the customers in the period; of each at least 0",
    "top5_spend": "that of the five customers who spent most",
    "cohort_customers": "customers of the cohort, from the month of its beginning on",
    "cohort_buyers": "those among them with an order in the period",
    "complaints": "complaints in the period",
    "response_seconds": "seconds to the first response, over the contacts of the period",
    "responses": "contacts of the period whose response time is known",
    "nps_balance": "NPS answers of 9 or 10, less those of 0 to 6",
    "nps_answers": "NPS answers from 0 to 10",
    "satisfied": "CSAT answers of the satisfied score or more",
    "csat_answers": "CSAT answers with a score",
    "effort": "sum of the scores of CES answers",
    "ces_answers": "CES answers with a score",
    "clv": "sum of the lifetime values by the business formula, at the cutoff",
    "clv_customers": "customers with a lifetime value",
    "expected_spend": "sum of the spend expected in the 365 days from the cutoff",
    "valued_customers": "customers with an expected spend",
}
"""What is summed, in words, in the order in which it is published."""

FROM_INQUIRIES = ("complaints", "response_seconds", "responses")
FROM_FEEDBACK = (
    "nps_balance",
    "nps_answers",
    "satisfied",
    "csat_answers",
    "effort",
    "ces_answers",
)
FROM_VALUE = ("clv", "clv_customers", "expected_spend", "valued_customers")


@dataclass(frozen=True)
class Kpi:
    """A numerator, a denominator, and how to read their ratio.

    Attributes:
        name: as in the API, the configuration of targets and the documents.
        title: for people.
        numerator, denominator: names of ``MEASURES``.
        unit: of the value.
        better: high, low, or None: neither.
        null: what it means that there is no value.
        by: groupings in which it makes sense.
        kinds: periods for which it makes sense.
        times: the ratio is multiplied by it.
    """

    name: str
    title: str
    numerator: str
    denominator: str
    unit: str
    better: Literal["high", "low"] | None
    null: str
    by: tuple[By, ...]
    kinds: tuple[Kind, ...] = KINDS
    times: float = 1.0


_NO_BUYERS = "nobody ordered in the period"
_NONE_BEFORE = "nobody ordered in the period before"
_NO_VALUE = "the period is not that of the cutoff, or no customer has one"

KPIS: tuple[Kpi, ...] = (
    Kpi(
        "repurchase_rate",
        "repurchase rate",
        "repeat_buyers",
        "buyers",
        "share",
        "high",
        _NO_BUYERS,
        BYS,
    ),
    Kpi(
        "retention_rate",
        "retention",
        "retained",
        "earlier_buyers",
        "share",
        "high",
        _NONE_BEFORE,
        _BUYERS,
    ),
    Kpi(
        "cohort_retention",
        "retention of the cohort",
        "cohort_buyers",
        "cohort_customers",
        "share",
        "high",
        "the period lies before the cohort",
        ("cohort",),
        ("month",),
    ),
    Kpi(
        "purchase_interval",
        "purchase interval",
        "gap_days",
        "gaps",
        "days",
        "low",
        "no order of the period has one before it",
        _BUYERS,
    ),
    Kpi(
        "average_order_value",
        "average order value",
        "net",
        "orders",
        "shop currency",
        "high",
        "no orders in the period",
        BYS,
    ),
    Kpi(
        "clv",
        "lifetime value, business formula",
        "clv",
        "clv_customers",
        "ratio",
        "high",
        f"{_NO_VALUE}: the cost of winning them is not known",
        _PROFILE,
    ),
    Kpi(
        "expected_spend_365d",
        "expected spend of a year",
        "expected_spend",
        "valued_customers",
        "shop currency",
        "high",
        _NO_VALUE,
        _PROFILE,
    ),
    Kpi(
        "top5_share",
        "concentration: share of the top 5 customers",
        "top5_spend",
        "spend",
        "share",
        "low",
        "nobody spent anything in the period",
        BYS,
    ),
    Kpi(
        "first_repurchase_conversion",
        "first repurchase of new customers",
        "converted",
        "newcomers",
        "share",
        "high",
        "no new customer in the period whose time to order again is over",
        (*_PROFILE, *ORDERS),
    ),
    Kpi(
        "complaint_rate",
        "complaint rate",
        "complaints",
        "orders",
        "complaints per order",
        "low",
        "no orders in the period, or contacts were not recorded yet",
        _PROFILE,
    ),
    Kpi(
        "response_time",
        "response time",
        "response_seconds",
        "responses",
        "seconds",
        "low",
        "no contact of the period has a response time",
        (*_PROFILE, "channel"),
    ),
    Kpi(
        "nps",
        "net promoter score",
        "nps_balance",
        "nps_answers",
        "points, -100 to 100",
        "high",
        "no answers in the period",
        _PROFILE,
        times=100.0,
    ),
    Kpi(
        "csat",
        "satisfied customers (CSAT)",
        "satisfied",
        "csat_answers",
        "share",
        "high",
        "no answers in the period",
        _PROFILE,
    ),
    Kpi(
        "ces",
        "effort (CES)",
        "effort",
        "ces_answers",
        "mean score, on its own scale",
        None,
        "no answers in the period",
        _PROFILE,
    ),
    Kpi(
        "lost_value",
        "lost value",
        "lost_spend",
        "earlier_spend",
        "share of spend",
        "low",
        "nobody spent anything in the period before",
        _BUYERS,
    ),
)
"""Every KPI, in the order in which it is answered."""
