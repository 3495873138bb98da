"""The rules of playback: what a device can play, where to begin, links, manifests, heartbeats. All pure."""
