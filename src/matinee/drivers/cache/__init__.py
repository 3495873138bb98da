"""Caches: one policy (`Cache`) above any engine that keeps bytes for a while."""

from matinee.drivers.cache.cache import Cache
from matinee.drivers.cache.engine import CacheEngine, Held, Swap
from matinee.drivers.cache.guard import Figures, Guard
from matinee.drivers.cache.memory import MemoryCache
from matinee.drivers.cache.policy import Policy

__all__ = ["Cache", "CacheEngine", "Figures", "Guard", "Held", "MemoryCache", "Policy", "Swap"]
