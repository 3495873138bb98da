"""Handlers of the screens."""

from __future__ import annotations

from litestar import Controller, delete, get, post
from litestar.params import FromPath, FromQuery, JSONBody

from matinee.gateway.api import GenreScreen, HistoryScreen, HomeScreen, TitleScreen
from matinee.gateway.api.search import BrowseScreen, SearchScreen
from matinee.gateway.server.guards import BEARER, require_profile
from matinee.gateway.server.state import HttpRequest, get_state, get_viewer
from matinee.kit.ids import TitleId
from matinee.search.api import EndedSearch


class ScreenController(Controller):
    """The screens of a profile."""

    tags = ("screens",)
    guards = (require_profile,)
    security = BEARER

    @get("/home")
    async def get_home(self, request: HttpRequest) -> HomeScreen:
        """Return the home page."""
        viewer, profile_id = get_viewer()
        return await get_state(request).screens.home(account_id=viewer.account_id, profile_id=profile_id)

    @get("/genres/{genre_id:str}")
    async def get_genre(
        self, request: HttpRequest, genre_id: FromPath[str], cursor: FromQuery[str | None] = None
    ) -> GenreScreen:
        """Return the titles of a genre, newest first."""
        viewer, profile_id = get_viewer()
        return await get_state(request).screens.genre(
            account_id=viewer.account_id, profile_id=profile_id, genre_id=genre_id, cursor=cursor
        )

    @get("/titles/{title_id:str}")
    async def get_title(self, request: HttpRequest, title_id: FromPath[TitleId]) -> TitleScreen:
        """Return the page of a title."""
        viewer, profile_id = get_viewer()
        return await get_state(request).screens.title(
            account_id=viewer.account_id, profile_id=profile_id, title_id=title_id
        )

    @get("/search")
    async def search_titles(self, request: HttpRequest, q: FromQuery[str] = "") -> SearchScreen:
        """Return what answers a query `q`, whose last word may be unfinished; without one what is new."""
        viewer, profile_id = get_viewer()
        return await get_state(request).screens.search(account_id=viewer.account_id, profile_id=profile_id, query=q)

    @get("/browse")
    async def browse_titles(
        self, request: HttpRequest, initial: FromQuery[str], cursor: FromQuery[str | None] = None
    ) -> BrowseScreen:
        """Return the titles whose names begin with an `initial`, by name; `#` is that of names without a letter."""
        viewer, profile_id = get_viewer()
        return await get_state(request).screens.browse(
            account_id=viewer.account_id, profile_id=profile_id, initial=initial, cursor=cursor
        )

    @post("/search/reports", status_code=204)
    async def report_search(self, request: HttpRequest, data: JSONBody[EndedSearch]) -> None:
        """Report a search that the viewer ended, by opening a result or without: once for a search."""
        viewer, profile_id = get_viewer()
        await get_state(request).screens.record_search(account_id=viewer.account_id, profile_id=profile_id, search=data)

    @get("/history")
    async def get_history(self, request: HttpRequest, cursor: FromQuery[str | None] = None) -> HistoryScreen:
        """Return what was watched, newest first."""
        viewer, profile_id = get_viewer()
        return await get_state(request).screens.history(
            account_id=viewer.account_id, profile_id=profile_id, cursor=cursor
        )

    @delete("/continue-watching/{title_id:str}")
    async def dismiss_title(self, request: HttpRequest, title_id: FromPath[TitleId]) -> None:
        """Remove a title from continue watching and from the history until it is watched again."""
        viewer, profile_id = get_viewer()
        await get_state(request).screens.dismiss(account_id=viewer.account_id, profile_id=profile_id, title_id=title_id)
