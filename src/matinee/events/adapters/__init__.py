"""The adapters of the event log, one module for each engine."""
