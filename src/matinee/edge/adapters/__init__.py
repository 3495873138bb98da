"""An edge's disk, its board of figures, and its origins."""
