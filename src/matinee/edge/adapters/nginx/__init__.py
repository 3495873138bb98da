"""nginx as data plane: it checks links, serves what it keeps, and asks the reactor behind it for the rest."""

from matinee.edge.adapters.nginx.data_plane import NginxDataPlane

__all__ = ["NginxDataPlane"]
