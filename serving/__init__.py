"""Everything that a person or a caller meets."""
