"""An edge's disk, its metrics of figures, and its origins."""
