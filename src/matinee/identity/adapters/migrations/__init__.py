"""The migrations of identity's schema."""
