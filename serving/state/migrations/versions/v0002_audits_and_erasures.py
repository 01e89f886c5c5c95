"""Who pulled which list, and who was erased."""

from __future__ import annotations

import secrets

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"

_SALT_BYTES = 32


def upgrade() -> None:
    """Makes the tables, and the salt of this installation."""
    op.create_table(
        "audits",
        _sequence(),
        sa.Column("at", sa.BigInteger, nullable=False),
        sa.Column("who", sa.Text, nullable=False),
        sa.Column("goal", sa.Text, nullable=False),
        sa.Column("asked", sa.Text, nullable=False),
        sa.Column("customers", sa.BigInteger, nullable=False),
        sa.Column("version", sa.Text, nullable=False),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_audits_at", "audits", ["at"])
    op.create_table(
        "tombstones",
        _sequence(),
        sa.Column("hash", sa.LargeBinary, nullable=False),
        sa.Column("at", sa.BigInteger, nullable=False),
        sa.UniqueConstraint("hash"),
        sqlite_autoincrement=True,
    )
    salts = op.create_table(
        "salts", sa.Column("salt", sa.LargeBinary, primary_key=True)
    )
    op.bulk_insert(salts, [{"salt": secrets.token_bytes(_SALT_BYTES)}])


def downgrade() -> None:
    """Drops the tables; whoever was erased is erased no more at the next build."""
    for name in ("salts", "tombstones", "audits"):
        op.drop_table(name)


def _sequence() -> sa.Column[int]:
    return sa.Column(
        "sequence",
        sa.BigInteger().with_variant(sa.Integer, "sqlite"),
        primary_key=True,
        autoincrement=True,
    )
