"""One file per engine or tool; the only importers of vendor libraries."""
