"""The rules of playback: device capabilities, resume points, links, manifests, heartbeats."""
