"""Press play."""
