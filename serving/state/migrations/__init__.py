"""Alembic's folder: how the state's tables came to be as they are."""
