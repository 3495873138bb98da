"""The adapters of the key vault."""
