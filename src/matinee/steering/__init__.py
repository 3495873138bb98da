"""Edges: their health, and their ranking for a client."""
