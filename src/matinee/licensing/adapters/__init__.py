"""Licensing on its engines."""
