"""The rules of an edge: addresses, ranges, conditions, what to keep."""
