"""Positions, continue watching, history."""
