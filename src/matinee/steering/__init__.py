"""Edges and their health; which edge for which client."""
