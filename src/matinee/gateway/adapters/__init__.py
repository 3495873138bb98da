"""Upload stores and the proxy."""
