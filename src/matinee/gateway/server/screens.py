"""Screens: each in one call."""

from __future__ import annotations

from typing import Any

from litestar import Request, delete, get

from matinee.gateway.api import GenreScreen, HistoryScreen, HomeScreen, TitleScreen
from matinee.gateway.server.state import get_state, viewer
from matinee.kit.ids import TitleId


@get("/home")
async def home(request: Request[Any, Any, Any]) -> HomeScreen:
    """The home page."""
    asking, profile_id = viewer()
    return await get_state(request).screens.home(account_id=asking.account_id, profile_id=profile_id)


@get("/genres/{genre_id:str}")
async def genre(request: Request[Any, Any, Any], genre_id: str, cursor: str | None = None) -> GenreScreen:
    """Everything in a genre, newest first."""
    asking, profile_id = viewer()
    return await get_state(request).screens.genre(
        account_id=asking.account_id, profile_id=profile_id, genre_id=genre_id, cursor=cursor
    )


@get("/titles/{title_id:str}")
async def title(request: Request[Any, Any, Any], title_id: TitleId) -> TitleScreen:
    """A title's page."""
    asking, profile_id = viewer()
    return await get_state(request).screens.title(
        account_id=asking.account_id, profile_id=profile_id, title_id=title_id
    )


@get("/history")
async def history(request: Request[Any, Any, Any], cursor: str | None = None) -> HistoryScreen:
    """What was watched, newest first."""
    asking, profile_id = viewer()
    return await get_state(request).screens.history(account_id=asking.account_id, profile_id=profile_id, cursor=cursor)


@delete("/continue-watching/{title_id:str}")
async def dismiss(request: Request[Any, Any, Any], title_id: TitleId) -> None:
    """Take a title out of continue watching until it is watched again."""
    asking, profile_id = viewer()
    await get_state(request).screens.dismiss(account_id=asking.account_id, profile_id=profile_id, title_id=title_id)
