"""Runs migrations on the connection that ``database.upgrade`` gives.

One transaction holds them all, on SQLite too, so that one that is killed leaves
the database as it was.
"""

from __future__ import annotations

from alembic import context

context.configure(
    connection=context.config.attributes["connection"], transactional_ddl=True
)
with context.begin_transaction():
    context.run_migrations()
