"""Content keys, DRM systems, licences."""
