"""Interleaved lists, and how many customers of an experiment were erased."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    """Makes the table and the column."""
    op.create_table(
        "dealt",
        sa.Column(
            "sequence",
            sa.BigInteger().with_variant(sa.Integer, "sqlite"),
            primary_key=True,
            autoincrement=True,
        ),
        sa.Column("experiment", sa.Text, nullable=False),
        sa.Column("customer_id", sa.Text, nullable=False),
        sa.Column("product_id", sa.Text, nullable=False),
        sa.Column("arm", sa.Text, nullable=False),
        sa.Column("dealt_at", sa.BigInteger, nullable=False),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_dealt_customer_id", "dealt", ["customer_id"])
    erased = sa.Column("erased", sa.Integer, nullable=False, server_default="0")
    op.add_column("experiments", erased)


def downgrade() -> None:
    """Drops them."""
    op.drop_column("experiments", "erased")
    op.drop_table("dealt")
