"""Settings in, running processes out."""
