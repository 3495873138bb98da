"""The public API, and the configuration of the proxy in front of it."""
