"""From master file to published asset."""
