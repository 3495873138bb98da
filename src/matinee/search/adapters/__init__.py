"""The adapters of search: one module per engine."""
