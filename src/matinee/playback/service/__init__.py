"""The playback service."""

from matinee.playback.service.playing import PlaybackService

__all__ = ["PlaybackService"]
