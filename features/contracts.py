"""The ten input tables: column, type, unit, key and rule for nulls.

Ids are text (integers are cast). Times are timestamps, naive = UTC. Every
event table may carry ``known_at``, the moment its row reached the system.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Dtype = Literal["id", "time", "number", "flag", "text"]


class ContractError(Exception):
    """The input breaks the contract; every argument is one printable line.

    Each line reads ``TABLE.COLUMN: expected …, got … in FILE; what to do``.
    """

    @property
    def lines(self) -> tuple[str, ...]:
        """One line per problem, ready to print."""
        return tuple(str(argument) for argument in self.args)


class SettingError(ValueError):
    """A person's argument or setting is wrong; the message is one printable line.

    A plain ``ValueError`` is a fault of the calling code, and keeps its traceback.
    """


@dataclass(frozen=True)
class Column:
    """One column of an input table.

    ``kinds`` lists the allowed texts, if the set is closed. ``low`` and
    ``high`` bound a number (closed). A null in a required column is a bad row.
    """

    name: str
    dtype: Dtype
    required: bool = False
    unit: str = ""
    kinds: tuple[str, ...] = ()
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True)
class Table:
    """One input table.

    Attributes:
        known: SQL over the table's columns: the moment at which the row was
            known. A build at a cutoff reads rows with ``known < cutoff``.
        happened: column that must also lie before the cutoff, or None for
            tables that may speak of the future (``promotions``) or have no
            time of their own.
        key: columns that identify a row; empty where repeats are legal.
        further: further columns are read, as profile features.
    """

    name: str
    grain: str
    columns: tuple[Column, ...]
    happened: str | None = None
    known: str | None = None
    key: tuple[str, ...] = ()
    required: bool = False
    further: bool = False

    def column(self, name: str) -> Column:
        """The column of that name.

        Raises:
            KeyError: the contract has no such column.
        """
        return next(c for c in self.columns if c.name == name)


def _id(name: str, *, required: bool = False) -> Column:
    return Column(name, "id", required)


_CUSTOMER = _id("customer_id", required=True)
_TS = Column("ts", "time", True, "UTC")
_KNOWN = Column("known_at", "time", False, "UTC; null: the same as ts")
_CHANNEL = Column("channel", "text")

PURCHASES = Table(
    "purchases",
    "order line",
    (
        _CUSTOMER,
        _id("product_id", required=True),
        _TS,
        _id("order_id", required=True),
        Column("quantity", "number", True, "pieces; negative: a return"),
        Column("amount", "number", True, "net paid, shop currency"),
        Column("list_amount", "number", False, "before discounts, shop currency"),
        _CHANNEL,
        _id("campaign_id"),
        _KNOWN,
    ),
    happened="ts",
    known="coalesce(known_at, ts)",
    required=True,
)
BROWSES = Table(
    "browses",
    "event",
    (
        _CUSTOMER,
        _TS,
        Column("kind", "text", True, kinds=("view", "search", "cart", "favourite")),
        _id("product_id"),
        Column("dwell_seconds", "number", False, "seconds", low=0.0),
        _CHANNEL,
        _KNOWN,
    ),
    happened="ts",
    known="coalesce(known_at, ts)",
)
INQUIRIES = Table(
    "inquiries",
    "contact",
    (
        _CUSTOMER,
        _TS,
        Column("kind", "text", True, kinds=("presale", "service", "complaint")),
        _id("product_id"),
        _CHANNEL,
        Column("response_seconds", "number", False, "seconds", low=0.0),
        Column("resolved", "flag"),
        _KNOWN,
    ),
    happened="ts",
    known="coalesce(known_at, ts)",
)
FEEDBACK = Table(
    "feedback",
    "event",
    (
        _CUSTOMER,
        _TS,
        Column(
            "kind",
            "text",
            True,
            kinds=(
                "nps",
                "csat",
                "ces",
                "rating",
                "return",
                "referral",
                "suggestion",
                "share",
            ),
        ),
        Column("score", "number", False, "the kind's own scale"),
        _id("product_id"),
        _KNOWN,
    ),
    happened="ts",
    known="coalesce(known_at, ts)",
)
TOUCHES = Table(
    "touches",
    "campaign contact",
    (
        _CUSTOMER,
        _id("campaign_id", required=True),
        _TS,
        Column(
            "action",
            "text",
            True,
            kinds=("sent", "opened", "clicked", "redeemed", "attended", "held_out"),
        ),
        _CHANNEL,
        _KNOWN,
    ),
    happened="ts",
    known="coalesce(known_at, ts)",
)
CUSTOMERS = Table(
    "customers",
    "customer, or customer and period",
    (
        _CUSTOMER,
        Column("valid_from", "time", False, "UTC; null: always in force"),
        Column("joined_at", "time", False, "UTC"),
        Column("segment", "text"),
        Column("region", "text"),
        Column("birthday", "time", False, "date"),
        Column("member_tier", "text"),
        Column("points_balance", "number", False, "points"),
        Column("acquisition_cost", "number", False, "shop currency", low=0.0),
        Column("preferred_channel", "text"),
        Column("consent", "flag", False, "null: true"),
    ),
    # A row cannot be known before the customer joined or the period began.
    known="greatest(valid_from, joined_at)",
    key=("customer_id", "valid_from"),
    further=True,
)
PRODUCTS = Table(
    "products",
    "product",
    (
        _id("product_id", required=True),
        Column("name", "text"),
        Column("category", "text"),
        Column("subcategory", "text"),
        Column("brand", "text"),
        Column("price", "number", False, "shop currency", low=0.0),
        Column("margin_rate", "number", False, "share of price", high=1.0),
        Column("service_life_days", "number", False, "days", low=0.0),
        Column("launched_at", "time", False, "UTC; null: always there"),
        Column("available", "flag", False, "null: true"),
    ),
    known="launched_at",
    key=("product_id",),
)
CAMPAIGNS = Table(
    "campaigns",
    "campaign",
    (
        _id("campaign_id", required=True),
        Column(
            "kind",
            "text",
            kinds=("discount", "bundle", "gift", "event", "kol", "coupon", "other"),
        ),
        Column("starts_at", "time", True, "UTC"),
        Column("ends_at", "time", True, "UTC"),
        Column("cost", "number", False, "shop currency", low=0.0),
    ),
    known="starts_at",
    key=("campaign_id",),
)
PROMOTIONS = Table(
    "promotions",
    "product and period",
    (
        _id("product_id", required=True),
        Column("starts_at", "time", True, "UTC"),
        Column("ends_at", "time", True, "UTC"),
        Column(
            "kind",
            "text",
            True,
            kinds=("display", "mailer", "price", "coupon", "other"),
        ),
        Column("price", "number", False, "shop currency", low=0.0),
        Column("reach", "number", False, "share of stores or customers", low=0, high=1),
        Column("known_at", "time", False, "UTC; null: the same as starts_at"),
    ),
    known="coalesce(known_at, starts_at)",
)
PICKS = Table(
    "picks",
    "line of a manual list",
    (
        _id("list", required=True),
        _id("product_id", required=True),
        Column("rank", "number", True, "1 is best", low=1),
        Column("owner", "text"),
        Column("chosen_at", "time", False, "UTC"),
        _id("campaign_id"),
        Column("customer_id", "id", False, "null: for everyone"),
    ),
    known="chosen_at",
)

SegmentBy = Literal["channel", "segment", "region", "member_tier"]
"""What tells segments apart: the channel of purchases, or a column of customers."""

EVENT_TABLES = (PURCHASES, BROWSES, INQUIRIES, FEEDBACK, TOUCHES)
"""Tables whose rows happen to a customer at a moment."""

TABLES: tuple[Table, ...] = (
    *EVENT_TABLES,
    CUSTOMERS,
    PRODUCTS,
    CAMPAIGNS,
    PROMOTIONS,
    PICKS,
)
