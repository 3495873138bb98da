"""The public API, and Envoy in front of it."""
