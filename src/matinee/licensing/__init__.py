"""Content keys and licences."""
