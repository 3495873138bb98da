"""The gateway's engines."""
