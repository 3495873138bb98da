"""What encoding does by itself."""
