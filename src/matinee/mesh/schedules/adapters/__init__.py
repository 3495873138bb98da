"""Adapters of the schedule store."""
