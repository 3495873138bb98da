"""Caches: `Cache` implements one policy above any engine that stores bytes for a limited time."""

from matinee.drivers.cache.cache import Cache
from matinee.drivers.cache.client import CacheClient, CacheMetrics
from matinee.drivers.cache.engine import CacheEngine, StoredBytes, Swap
from matinee.drivers.cache.memory import MemoryCache
from matinee.drivers.cache.policy import CachePolicy

__all__ = [
    "Cache",
    "CacheClient",
    "CacheEngine",
    "CacheMetrics",
    "CachePolicy",
    "MemoryCache",
    "StoredBytes",
    "Swap",
]
