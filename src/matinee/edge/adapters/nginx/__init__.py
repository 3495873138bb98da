"""nginx as data plane: it checks links and serves its cache; the built-in server behind it answers the rest."""

from matinee.edge.adapters.nginx.data_plane import NginxDataPlane

__all__ = ["NginxDataPlane"]
