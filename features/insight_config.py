"""Rules and thresholds of tags, tiers, strategy and health, with their defaults.

What is relative to the shop's customers is a quantile, from 0 to 1; it becomes a
number once a quarter, see ``serving.insight.thresholds``.
"""

from __future__ import annotations

from typing import Literal, Self

from pydantic import Field, model_validator

from features.section import Section

Segment = Literal["stars", "growing", "loyal", "occasional"]
SEGMENTS: tuple[Segment, ...] = ("stars", "growing", "loyal", "occasional")
"""Value and potential high; potential only; value only; neither."""


class TagsConfig(Section):
    """Tags of a customer.

    Attributes:
        low, high: quantiles; below the first is "low", above the second "high", of
            spending power and of price sensitivity.
        weekly_days, monthly_days, quarterly_days: the median gap between days with an
            order is at most this.
        new_days: a customer is new for so long after the first order.
        least_gap_days: a shorter usual gap counts as this in the lifecycle.
        at_risk_gaps, dormant_gaps, lost_gaps: usual gaps since the last order, from
            which a customer is at risk, dormant, lost.
        lost_days: since the last order, from which anyone is lost.
        at_risk_churn: churn risk from which a customer is at risk.
    """

    low: float = Field(default=0.25, ge=0, le=1)
    high: float = Field(default=0.75, ge=0, le=1)
    weekly_days: float = Field(default=10, gt=0)
    monthly_days: float = Field(default=45, gt=0)
    quarterly_days: float = Field(default=135, gt=0)
    new_days: float = Field(default=60, gt=0)
    least_gap_days: float = Field(default=7, gt=0)
    at_risk_gaps: float = Field(default=2, gt=0)
    dormant_gaps: float = Field(default=4, gt=0)
    lost_gaps: float = Field(default=8, gt=0)
    lost_days: float = Field(default=730, gt=0)
    at_risk_churn: float = Field(default=0.5, gt=0, le=1)

    @model_validator(mode="after")
    def _ascend(self) -> Self:
        _must_ascend(self, "low", "high")
        _must_ascend(self, "weekly_days", "monthly_days", "quarterly_days")
        _must_ascend(self, "at_risk_gaps", "dormant_gaps", "lost_gaps")
        return self


class TiersConfig(Section):
    """Tiers of a customer.

    Attributes:
        a_share, b_share: of the spend of all, best customers first, that A makes up,
            and A and B together.
        medium_orders: orders of the last 365 days from which frequency is medium.
        high_orders: it is high for more orders than this.
        value_high, potential_high: quantiles; above them value and potential are high.
    """

    a_share: float = Field(default=0.7, gt=0, lt=1)
    b_share: float = Field(default=0.9, gt=0, le=1)
    medium_orders: int = Field(default=2, ge=1)
    high_orders: int = Field(default=4, ge=1)
    value_high: float = Field(default=0.5, ge=0, le=1)
    potential_high: float = Field(default=0.5, ge=0, le=1)

    @model_validator(mode="after")
    def _ascend(self) -> Self:
        _must_ascend(self, "a_share", "b_share")
        _must_ascend(self, "medium_orders", "high_orders")
        return self


class Plan(Section):
    """What is done for a segment.

    Attributes:
        action: in words.
        channel: through which it is done.
        share: of the budget.
    """

    action: str = Field(min_length=1)
    channel: str = Field(min_length=1)
    share: float = Field(ge=0, le=1)


_PLANS: dict[Segment, Plan] = {
    "stars": Plan(
        action="thank them: early access and service in person",
        channel="account manager",
        share=0.30,
    ),
    "growing": Plan(
        action="widen the basket: products new to them, a set at a better price",
        channel="app and e-mail",
        share=0.25,
    ),
    "loyal": Plan(
        action="keep the habit: a reminder when products are due",
        channel="e-mail",
        share=0.20,
    ),
    "occasional": Plan(
        action="bring them back: one coupon with an end date",
        channel="text message",
        share=0.25,
    ),
}


class StrategyConfig(Section):
    """The strategy matrix; the shares of all segments add up to 1.

    Attributes:
        plans: by segment, each of them once.
    """

    plans: dict[Segment, Plan] = Field(default=_PLANS)

    @model_validator(mode="after")
    def _whole(self) -> Self:
        missing = [name for name in SEGMENTS if name not in self.plans]
        if missing:
            raise ValueError(
                f"expected a plan for each segment, got none for {missing}"
            )
        total = sum(plan.share for plan in self.plans.values())
        if abs(total - 1) > 1e-9:
            raise ValueError(f"expected shares that add up to 1, got {total:g}")
        return self


class HealthConfig(Section):
    """The health index and the early warning.

    Attributes:
        gone_gaps: usual gaps since the last order at which recency counts 0.
        least_gap_days: a shorter usual gap counts as this.
        active_weeks, browse_days, responses, referrals: of the last 12 weeks, 30 days,
            90 days, and ever, that are worth half of the points of their part.
        returned_share: lines returned for one bought, of the last 90 days, at which
            returns count 0.
        slow_seconds: mean time to a response, of the last 90 days, that is worth half
            of its points.
        rating_top, csat_top: best score of the shop's own scales; 1 is the worst.
        healthy, fair, watch: the lowest index of each level; below the last is poor.
        alert_line: the early warning is for an index under it.
        months: of the history, the month of the cutoff included.
        lost_days: of the window in which spend falls, or does not.
        lost_share: of the usual spend; who spends less in the window is lost.
        usual_days: before the cutoff; spend of these is the usual one.
        again_days: a health alert that was dealt with is open again so long after, if
            the customer is warned of then.
        warning_precision: where a score drives the warning, its threshold is the
            lowest with this precision at past cutoffs.
    """

    gone_gaps: float = Field(default=5, gt=1)
    least_gap_days: float = Field(default=7, gt=0)
    active_weeks: float = Field(default=3, gt=0)
    browse_days: float = Field(default=2, gt=0)
    responses: float = Field(default=1, gt=0)
    referrals: float = Field(default=1, gt=0)
    returned_share: float = Field(default=0.5, gt=0)
    slow_seconds: float = Field(default=14_400, gt=0)
    rating_top: float = Field(default=5, gt=1)
    csat_top: float = Field(default=5, gt=1)
    healthy: float = Field(default=80, ge=0, le=100)
    fair: float = Field(default=60, ge=0, le=100)
    watch: float = Field(default=40, ge=0, le=100)
    alert_line: float = Field(default=60, ge=0, le=100)
    months: int = Field(default=4, ge=4)
    lost_days: int = Field(default=56, ge=1)
    lost_share: float = Field(default=0.5, gt=0, le=1)
    usual_days: int = Field(default=168, ge=1)
    again_days: int = Field(default=90, ge=1)
    warning_precision: float = Field(default=0.5, gt=0, lt=1)

    @model_validator(mode="after")
    def _ascend(self) -> Self:
        _must_ascend(self, "watch", "fair", "healthy")
        return self


def _must_ascend(section: Section, *names: str) -> None:
    values = [getattr(section, name) for name in names]
    if values != sorted(values):
        raise ValueError(f"expected {' <= '.join(names)}, got {values}")


class CampaignsConfig(Section):
    """The effect of past campaigns on those who took part.

    Attributes:
        window_days: outcomes count for so many days from the start of a campaign.
        satisfaction_days: so many for answers about satisfaction.
        satisfied_score: a CSAT answer of this score or more is a satisfied one.
        max_campaigns: the latest whose window is over, at most.
        max_customers: drawn by their ids, at most.
        min_customers: fewer on either side say nothing.
        min_comparable: share of participants whose like must be found among the others.
        max_sending_days: a campaign without a holdout that was sent over more days is
            not compared: who is reached later may be for what they did meanwhile.
        max_imbalance: what is expected of both without the campaign may differ by so
            many standard deviations, once the others are weighed.
        clip: whose chance to take part is nearer to 1 than this has no like.
        margin_rate: share of the price, of products that say none; null: unknown.
        folds: customers are cut into so many; each is judged by the others.
        trees, learning_rate, leaves, min_rows, feature_share, threads: of LightGBM.
    """

    window_days: int = Field(default=30, ge=1, le=365)
    satisfaction_days: int = Field(default=60, ge=1, le=365)
    satisfied_score: float = 4.0
    max_campaigns: int = Field(default=12, ge=1)
    max_customers: int = Field(default=20_000, ge=100)
    min_customers: int = Field(default=100, ge=10)
    min_comparable: float = Field(default=0.8, gt=0, le=1)
    max_sending_days: int = Field(default=7, ge=0)
    max_imbalance: float = Field(default=0.1, gt=0)
    clip: float = Field(default=0.05, gt=0, lt=0.5)
    margin_rate: float | None = Field(default=None, gt=0, le=1)
    folds: int = Field(default=2, ge=2, le=20)
    trees: int = Field(default=80, ge=1)
    learning_rate: float = Field(default=0.06, gt=0, le=1)
    leaves: int = Field(default=15, ge=2)
    min_rows: int = Field(default=50, ge=1)
    feature_share: float = Field(default=0.3, gt=0, le=1)
    threads: int = Field(default=2, ge=1)
