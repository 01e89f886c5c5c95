"""Experiments: plans, manual lists, who was assigned, what was shown and clicked."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"

_CUSTOMERS = ("pick_lines", "overrides", "assignments", "shown")


def upgrade() -> None:
    """Makes the tables."""
    op.create_table(
        "experiments",
        sa.Column("name", sa.Text, primary_key=True),
        *(
            sa.Column(name, sa.Text, nullable=False)
            for name in ("plan", "owner", "status")
        ),
        sa.Column("created_at", sa.BigInteger, nullable=False),
        sa.Column("started_at", sa.BigInteger),
        sa.Column("stopped_at", sa.BigInteger),
    )
    op.create_table(
        "picks",
        _sequence(),
        sa.Column("list", sa.Text, nullable=False),
        sa.Column("version", sa.Integer, nullable=False),
        sa.Column("sha256", sa.Text, nullable=False),
        sa.Column("lines", sa.Integer, nullable=False),
        sa.Column("owner", sa.Text, nullable=False),
        sa.Column("at", sa.BigInteger, nullable=False),
        sa.UniqueConstraint("list", "version", name="uq_picks_version"),
        sqlite_autoincrement=True,
    )
    op.create_table(
        "pick_lines",
        _sequence(),
        sa.Column("picks", sa.BigInteger, nullable=False),
        sa.Column("segment", sa.Text),
        sa.Column("customer_id", sa.Text),
        sa.Column("product_id", sa.Text, nullable=False),
        sa.Column("rank", sa.Integer, nullable=False),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_pick_lines_picks", "pick_lines", ["picks"])
    _make_those_of_customers()
    for table in _CUSTOMERS:
        op.create_index(f"ix_{table}_customer_id", table, ["customer_id"])


def _make_those_of_customers() -> None:
    """Of who is in which arm, and of what they saw."""
    op.create_table(
        "overrides",
        *_of_experiment(),
        sa.Column("arm", sa.Text),
        sa.Column("who", sa.Text, nullable=False),
        sa.Column("at", sa.BigInteger, nullable=False),
        sa.UniqueConstraint("experiment", "customer_id", name="uq_overrides_customer"),
        sqlite_autoincrement=True,
    )
    op.create_table(
        "assignments",
        *_of_experiment(),
        sa.Column("arm", sa.Text),
        sa.Column("why", sa.Text, nullable=False),
        sa.Column("assigned_at", sa.BigInteger, nullable=False),
        sa.Column("segment", sa.Text),
        sa.Column("propensity", sa.Double),
        sa.UniqueConstraint(
            "experiment", "customer_id", name="uq_assignments_customer"
        ),
        sqlite_autoincrement=True,
    )
    op.create_table(
        "shown",
        *_of_experiment(),
        sa.Column("kind", sa.Text, nullable=False),
        sa.Column("event_id", sa.Text, nullable=False),
        sa.Column("arm", sa.Text),
        sa.Column("product_id", sa.Text, nullable=False),
        sa.Column("position", sa.Integer),
        sa.Column("list_version", sa.Text),
        sa.Column("ts", sa.BigInteger, nullable=False),
        sa.Column("received_at", sa.BigInteger, nullable=False),
        sa.UniqueConstraint("experiment", "kind", "event_id", name="uq_shown_event"),
        sqlite_autoincrement=True,
    )


def downgrade() -> None:
    """Drops the tables, and with them what was found so far."""
    for name in ("shown", "assignments", "overrides", "pick_lines", "picks"):
        op.drop_table(name)
    op.drop_table("experiments")


def _of_experiment() -> tuple[sa.Column[int], sa.Column[str], sa.Column[str]]:
    return (
        _sequence(),
        sa.Column("experiment", sa.Text, nullable=False),
        sa.Column("customer_id", sa.Text, nullable=False),
    )


def _sequence() -> sa.Column[int]:
    return sa.Column(
        "sequence",
        sa.BigInteger().with_variant(sa.Integer, "sqlite"),
        primary_key=True,
        autoincrement=True,
    )
