"""Adapters of the registry."""
