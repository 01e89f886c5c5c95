"""What an experiment measures, each measure as a few declared fields.

All speak of one row per customer (``outcomes.py``), so that the unit of analysis
is what was randomised.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Kind = Literal["mean", "share", "ratio"]
Direction = Literal["up", "down"]


@dataclass(frozen=True)
class Measure:
    """One measure of the customer-level table.

    Attributes:
        kind: ``mean``: mean of the numerator over customers; ``share``: the same
            of a flag (0 or 1); ``ratio``: sum of the numerator over sum of the
            denominator, whose variance comes by the delta method.
        numerator, denominator: columns; the denominator only of a ratio.
        better: which way is good.
        winsorise: the numerator is cut at this quantile of its values above 0,
            taken over all arms together; None: left as it is.
        unit: of the effect, in words.
        covariates: columns of before the assignment that explain it.
    """

    name: str
    label: str
    kind: Kind
    numerator: str
    denominator: str | None = None
    better: Direction = "up"
    winsorise: float | None = None
    unit: str = ""
    covariates: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if (self.denominator is None) == (self.kind == "ratio"):
            raise ValueError(f"{self.name}: a ratio, and only it, has a denominator")
        if self.winsorise is not None and not 0 < self.winsorise < 1:
            raise ValueError(f"{self.name}: expected 0 < winsorise < 1")

    @property
    def column(self) -> str:
        """The numerator as it is analysed: of its own where it is cut."""
        cut = self.winsorise
        return self.numerator if cut is None else f"{self.numerator} cut at {cut:g}"

    @property
    def columns(self) -> tuple[str, ...]:
        """Columns whose moments it needs, covariates not among them."""
        below = () if self.denominator is None else (self.denominator,)
        return (self.column, *below)


_HABIT = ("pre_orders", "pre_bought", "propensity")
_SPEND = ("pre_revenue", "pre_orders", "propensity")

CLICK_RATE = Measure(
    "click_rate", "click rate", "ratio", "clicks", "exposures", unit="clicks per offer"
)
CONVERSION = Measure(
    "conversion",
    "conversion",
    "share",
    "converted",
    unit="share of customers who bought an offer after they saw it",
)
REPURCHASE = Measure(
    "repurchase_rate",
    "repurchase rate",
    "share",
    "bought",
    unit="share of customers with an order in the window",
    covariates=_HABIT,
)
ORDERS = Measure(
    "orders",
    "orders per customer",
    "mean",
    "orders",
    unit="orders per customer",
    covariates=_HABIT,
)
REVENUE = Measure(
    "revenue",
    "revenue per customer",
    "mean",
    "revenue",
    winsorise=0.99,
    unit="shop currency per customer, net of returns",
    covariates=_SPEND,
)
RAW_REVENUE = Measure(
    "revenue_uncut",
    "revenue per customer, largest values kept",
    "mean",
    "revenue",
    unit="shop currency per customer, net of returns",
    covariates=_SPEND,
)
ORDER_VALUE = Measure(
    "order_value",
    "average order value",
    "ratio",
    "revenue",
    "orders",
    unit="shop currency per order",
    covariates=_SPEND,
)
DAYS_TO_PURCHASE = Measure(
    "days_to_purchase",
    "days to the next purchase",
    "mean",
    "days_to_purchase",
    better="down",
    unit="days, of the window at most (restricted mean)",
    covariates=_HABIT,
)

MEASURES: tuple[Measure, ...] = (
    CLICK_RATE,
    CONVERSION,
    REPURCHASE,
    ORDERS,
    REVENUE,
    RAW_REVENUE,
    ORDER_VALUE,
    DAYS_TO_PURCHASE,
)


def measure(name: str) -> Measure:
    """The measure of that name.

    Raises:
        ValueError: there is none.
    """
    for found in MEASURES:
        if found.name == name:
            return found
    raise ValueError(
        f"measure: expected one of {[m.name for m in MEASURES]}, got {name!r}"
    )
