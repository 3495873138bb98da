"""nginx as data plane: it checks links, serves what it keeps, and asks the reactor behind it for the rest."""

from matinee.edge.adapters.nginx.front import NginxFront

__all__ = ["NginxFront"]
