"""Playback's engines."""
