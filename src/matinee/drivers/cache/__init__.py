"""Caches: bytes by key, stored for a limited time in an engine that may lose them or be unavailable."""

from matinee.drivers.cache.client import CacheClient, CacheMetrics
from matinee.drivers.cache.engine import CacheEngine
from matinee.drivers.cache.memory import MemoryCache

__all__ = ["CacheClient", "CacheEngine", "CacheMetrics", "MemoryCache"]
