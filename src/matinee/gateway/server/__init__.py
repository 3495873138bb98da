"""The gateway over HTTP: `build` makes the ASGI application."""

from matinee.gateway.server.parts import Settings
from matinee.gateway.server.routes import build

__all__ = ["Settings", "build"]
