"""Scheduled work: it runs once per deployment, whatever the number of instances."""
