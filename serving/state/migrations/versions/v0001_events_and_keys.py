"""The log of events, and API keys."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None


def upgrade() -> None:
    """Makes both tables."""
    op.create_table(
        "events",
        sa.Column(
            "sequence",
            sa.BigInteger().with_variant(sa.Integer, "sqlite"),
            primary_key=True,
            autoincrement=True,
        ),
        sa.Column("event_id", sa.Text, nullable=False),
        sa.Column("received_at", sa.BigInteger, nullable=False),
        sa.Column("table", sa.Text, nullable=False),
        sa.Column("customer_id", sa.Text, nullable=False),
        sa.Column("product_id", sa.Text),
        sa.Column("ts", sa.BigInteger, nullable=False),
        sa.Column("order_id", sa.Text),
        sa.Column("quantity", sa.Double),
        sa.Column("amount", sa.Double),
        sa.Column("list_amount", sa.Double),
        sa.Column("channel", sa.Text),
        sa.Column("campaign_id", sa.Text),
        sa.Column("kind", sa.Text),
        sa.Column("dwell_seconds", sa.Double),
        sa.Column("response_seconds", sa.Double),
        sa.Column("resolved", sa.Boolean),
        sa.Column("score", sa.Double),
        sa.Column("action", sa.Text),
        sa.UniqueConstraint("event_id"),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_events_received_at", "events", ["received_at"])
    op.create_index("ix_events_customer_id", "events", ["customer_id"])
    op.create_table(
        "keys",
        sa.Column("prefix", sa.Text, primary_key=True),
        sa.Column("hash", sa.LargeBinary, nullable=False),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("scopes", sa.Text, nullable=False),
        sa.Column("created_at", sa.BigInteger, nullable=False),
        sa.Column("revoked_at", sa.BigInteger),
        sa.UniqueConstraint("hash"),
    )


def downgrade() -> None:
    """Drops both tables, and with them what is in them."""
    op.drop_table("keys")
    op.drop_table("events")
