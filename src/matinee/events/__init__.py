"""Every fact, one log."""
