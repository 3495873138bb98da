"""The adapters of the fleet store."""
