"""Press play: everything looked up at once, a session, and links that go on working until it ends."""

from matinee.playback.service.playing import PlaybackService

__all__ = ["PlaybackService"]
