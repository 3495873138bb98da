"""The gateway over HTTP; `build` makes the ASGI application."""

from matinee.gateway.server.app import build
from matinee.gateway.server.state import AppState, ServerSettings

__all__ = ["AppState", "ServerSettings", "build"]
