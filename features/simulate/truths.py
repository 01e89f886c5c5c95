"""What is true in the simulated shop: every argument, with its default.

The defaults look like a drugstore: about 20 order lines and 60 browses per
customer in two years.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Any

import yaml
from pydantic import Field, ValidationError

from features.config import Cutoff, Section
from features.contracts import SettingError


def _share(default: float, what: str) -> Any:
    return Field(default=default, ge=0, le=1, description=what)


def _positive(default: float, what: str) -> Any:
    return Field(default=default, gt=0, allow_inf_nan=False, description=what)


def _amount(default: float, what: str) -> Any:
    return Field(default=default, ge=0, allow_inf_nan=False, description=what)


def _count(default: int, what: str, most: int = 1_000_000) -> Any:
    return Field(default=default, ge=1, le=most, description=what)


class Truths(Section):
    """The laws of the simulated shop; ``catalogue`` prints them.

    Rates are per customer who has joined and not yet dropped out. Orders are
    *planned* (a replenished item is due) or *unplanned* (a Poisson process).
    """

    start: Cutoff = Field(
        default=datetime(2023, 1, 1), description="first moment of the data"
    )
    end: Cutoff = Field(
        default=datetime(2025, 1, 1), description="the data end before this moment"
    )

    orders_per_month: float = _positive(
        0.45, "unplanned orders per customer and 30 days, mean over customers"
    )
    order_rate_shape: float = _positive(
        0.9, "shape of the gamma of order rates; the smaller, the more unequal"
    )
    lifetime_days: float = _positive(
        700, "mean stay is above this: the dropout rate has mean 1 / lifetime_days"
    )
    lifetime_shape: float = _positive(1.5, "shape of the gamma of dropout rates")
    joined_before: float = _share(0.6, "customers who joined before the start")
    lines_per_order: float = Field(
        default=2.2, ge=1, le=100, description="mean lines of an unplanned order"
    )
    loyalty: float = _share(0.35, "unplanned lines for a favourite product")
    category_focus: float = _share(0.35, "unplanned lines from a preferred category")
    discount_share: float = _share(0.25, "lines bought below list price")
    return_rate: float = _share(0.02, "lines that are returned, 1 to 30 days later")

    products: int = _count(5000, "products", 100_000)
    categories: int = _count(40, "categories", 1000)
    popularity_exponent: float = Field(
        default=0.8, ge=0, le=3, description="Zipf exponent of sales over products"
    )
    replenished_products: float = _share(0.4, "products that are used up and rebought")
    replenished_items: float = _amount(
        0.5, "replenished products that a customer takes up, mean"
    )
    cycle_days: float = Field(
        default=35, ge=2, le=1000, description="median cycle over products"
    )
    cycle_spread: float = Field(
        default=0.2, ge=0, le=1, description="spread of a gap over its cycle"
    )

    durables: float = _share(
        0.2,
        "of the products that are not replenished: they last 1 to 5 years, and who has "
        "one buys none of the subcategory meanwhile",
    )

    browses_per_order: float = _amount(3.3, "browses in the week before an order")
    aimless_browses_per_month: float = _amount(
        1.7, "browses without an order, per 30 days"
    )
    inquiries_per_year: float = _amount(1.2, "contacts that no order explains")
    asking_share: float = _share(0.2, "customers who ask before they buy")
    presale_contacts: float = _amount(
        2.0, "their further presale contacts in the 14 days before an order"
    )
    complaint_share: float = _share(
        0.2, "contacts that complain, at average service quality"
    )
    response_minutes: float = _positive(
        60, "median time to an answer, at average service quality"
    )
    service_dropout: float = Field(
        default=2.0,
        gt=0,
        le=100,
        description="dropout rate of the worst served over that at average quality; "
        "the best served leave as much slower",
    )
    feedback_per_order: float = _share(0.12, "orders that are followed by feedback")

    campaigns: int = _count(24, "campaigns, evenly spaced", 500)
    campaign_weeks: int = _count(2, "weeks that a campaign lasts", 52)
    campaign_reach: float = _share(0.3, "customers that a campaign would contact")
    targeting: float = _amount(
        0.0,
        "how much campaigns prefer who orders often: the odds of a contact go with "
        "this power of 1 + unplanned orders in the 90 days before",
    )
    held_out: float = _share(0.2, "of those, left alone at random")
    redeem_share: float = _share(
        0.4, "orders of the contacted in a campaign that name it"
    )
    uplift: float = Field(
        default=0.2,
        ge=-1,
        le=10,
        description="relative rise of unplanned orders by a contact, mean over customers",
    )
    uplift_spread: float = Field(
        default=0.3, ge=0, le=10, description="standard deviation over customers"
    )
    promoted_products: float = _share(0.02, "products on promotion in a week")
    promotion_effect: float = Field(
        default=2.0,
        ge=1,
        le=20,
        description="unplanned sales of a promoted product over those without",
    )
    picks_per_campaign: int = _count(20, "products in the manual list of a campaign")
    pick_quality: float = _share(
        0.5, "slots that hold a best-selling product, the others a random one"
    )
    changed_profiles: float = _share(0.2, "customers with a second profile period")
    late_share: float = _share(0.01, "events known later than they happened")
    late_days: float = _positive(3.0, "mean delay of a late event")


def truths_of(pairs: Iterable[str]) -> Truths:
    """The defaults with ``key=value`` texts laid over them.

    Raises:
        SettingError: an unknown key, a value out of range, or truths that
            contradict each other.
    """
    values: dict[str, Any] = {}
    for pair in pairs:
        key, equals, text = pair.partition("=")
        if not equals:
            raise SettingError(f"--truth: expected key=value, got {pair!r}")
        if key not in Truths.model_fields:
            raise SettingError(
                f"--truth: expected a name that `repurchase simulate --help` lists, got {key!r}"
            )
        try:
            values[key] = yaml.safe_load(text)
        except yaml.YAMLError:
            raise SettingError(
                f"--truth: expected a value for {key}, got {text!r}"
            ) from None
    try:
        truths = Truths.model_validate(values)
    except ValidationError as error:
        first = error.errors()[0]
        raise SettingError(
            f"--truth: {first['loc'][0]}: {first['msg'].lower()}, got {first['input']!r}"
        ) from None
    check(truths)
    return truths


def check(truths: Truths) -> None:
    """Refuse truths that cannot hold together.

    Raises:
        SettingError: which two, and what to change.
    """
    days = (truths.end - truths.start).total_seconds() / 86_400
    if not 28 <= days <= 20 * 366:
        raise SettingError(
            f"--truth: end: expected 28 days to 20 years after start, got {days:g} days; "
            "move start or end"
        )
    if truths.loyalty + truths.category_focus > 1:
        raise SettingError(
            "--truth: loyalty: expected at most 1 together with category_focus, got "
            f"{truths.loyalty + truths.category_focus:g}; lower one"
        )
    weeks = int(days // 7) - 1
    if truths.campaigns * truths.campaign_weeks > weeks:
        raise SettingError(
            f"--truth: campaigns: expected at most {weeks} weeks of campaigns, got "
            f"{truths.campaigns * truths.campaign_weeks}; lower campaigns or campaign_weeks"
        )
    for name, most in (("categories", 1), ("picks_per_campaign", 1)):
        if getattr(truths, name) * most > truths.products:
            raise SettingError(
                f"--truth: {name}: expected at most as many as products "
                f"({truths.products}), got {getattr(truths, name)}; lower it"
            )


def catalogue() -> tuple[tuple[str, str, str], ...]:
    """Name, default and meaning of every truth."""
    return tuple(
        (
            name,
            f"{field.default:%Y-%m-%d}"
            if isinstance(field.default, datetime)
            else f"{field.default:g}",
            field.description or "",
        )
        for name, field in Truths.model_fields.items()
    )
