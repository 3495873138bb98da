"""The rules of an edge: addresses, ranges, conditional requests, eviction."""
