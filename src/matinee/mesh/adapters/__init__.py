"""The registry's engines."""
