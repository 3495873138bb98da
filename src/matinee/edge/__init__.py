"""Video's way out: serve, verify, cache, fill, evict, report."""
