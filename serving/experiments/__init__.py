"""Recommendation against manual picks."""
