"""The routes of the public API; each controller names who may use it."""

from __future__ import annotations

from litestar import Router
from litestar.types import ControllerRouterHandler

from matinee.gateway.model.proxy import API
from matinee.gateway.server.accounts import AccountController, OperatorAccountController
from matinee.gateway.server.auth import AuthController
from matinee.gateway.server.operator import OperatorController
from matinee.gateway.server.playback import PlaybackController, PlaybackLinkController
from matinee.gateway.server.profiles import ProfileController
from matinee.gateway.server.screens import ScreenController
from matinee.gateway.server.uploads import UploadController, get_upload_options


def api_router() -> Router:
    """Return the router of the public API."""
    handlers: list[ControllerRouterHandler] = [
        AuthController,
        PlaybackLinkController,
        ProfileController,
        AccountController,
        ScreenController,
        PlaybackController,
        get_upload_options,
        UploadController,
        OperatorController,
        OperatorAccountController,
    ]
    return Router(API, route_handlers=handlers)
