"""Settings of all tests."""

from hypothesis import settings

# A slow example tells of a busy machine.
settings.register_profile("matinee", deadline=None)
settings.load_profile("matinee")
