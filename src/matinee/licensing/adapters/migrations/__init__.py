"""The migrations of licensing's schema."""
