"""Delivers video to players: serve, verify, cache, fill, evict and report."""
