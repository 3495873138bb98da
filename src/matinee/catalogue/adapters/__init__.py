"""The catalogue's engines."""
