"""Where the fleet is kept."""
