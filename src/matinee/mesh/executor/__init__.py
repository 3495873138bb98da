"""CPU-bound work in worker processes: it does not delay the event loop, and can be killed at its deadline."""
