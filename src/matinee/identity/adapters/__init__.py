"""The adapters of identity's stores."""
