"""Adapters of encoding's ports."""
