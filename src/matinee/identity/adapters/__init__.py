"""Identity on its engines."""
