"""The cache on disk, the shared metrics and the upstreams of an edge."""
