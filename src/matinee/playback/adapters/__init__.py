"""Adapters of playback's ports."""
