"""The state of the service: events and API keys, in SQLite or PostgreSQL."""
