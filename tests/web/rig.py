"""The built web client in Chromium, with canned answers instead of a gateway."""

from __future__ import annotations

import json
import mimetypes
import subprocess
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import imageio_ffmpeg
from playwright.sync_api import Browser, Page, Request, Route

DIST = Path(__file__).resolve().parents[2] / "web" / "dist"
# Nothing listens there: every request is answered by the rig. The name makes the page a secure context.
ORIGIN = "http://localhost:9"
API = "/api/v1"
PHONE, PHONE_ON_ITS_SIDE, LAPTOP, DESKTOP = (390, 844), (844, 390), (1366, 768), (1920, 1080)
ADA = {
    "profile_id": "pro_1",
    "name": "Ada",
    "avatar": "ember",
    "language": "en",
    "maturity": 18,
    "kids": False,
    "has_pin": False,
}
KIM = {**ADA, "profile_id": "pro_2", "name": "Kim", "kids": True, "maturity": 6}
NOWHERE = (404, {"type": "/problems/title-not-found", "title": "There is no such title.", "status": 404})
Answer = tuple[int, Any]
Answers = dict[str, Any]


def create_card(title_id: str = "tit_1", name: str = "Salt", **fields: Any) -> dict[str, Any]:
    """Return a card."""
    card = {
        "title_id": title_id,
        "kind": "film",
        "name": name,
        "pictures": {"card": None, "poster": None, "backdrop": None},
        "maturity": 6,
        "duration_ms": 600_000,
        "genres": [{"genre_id": "drama", "name": "Drama"}],
        "year": 2025,
        "tagline": "A tagline.",
        "is_new": False,
        "season_count": 0,
        "progress": None,
    }
    return {**card, **fields}


def create_home(count: int = 10) -> dict[str, Any]:
    """Return a home page with a billboard and two rows."""
    cards = [create_card(f"tit_{number}", f"Film {number}") for number in range(count)]
    rows = [
        {"row_id": "new", "kind": "new", "cards": cards, "genre": None},
        {"row_id": "genre-drama", "kind": "genre", "cards": cards, "genre": {"genre_id": "drama", "name": "Drama"}},
    ]
    return {"rows": rows, "billboard": {"card": cards[0], "synopsis": "A synopsis."}, "missing": []}


def create_title(title_id: str = "tit_1") -> dict[str, Any]:
    """Return a title page."""
    return {
        "card": create_card(title_id),
        "synopsis": "A synopsis.",
        "original_language": "en",
        "countries": [],
        "studios": [],
        "franchise": "",
        "moods": [],
        "credits": [],
        "audio_languages": ["en"],
        "subtitle_languages": [],
        "seasons": [],
        "more_like_this": [],
        "play_episode_id": None,
        "missing": [],
    }


def create_play_session() -> dict[str, Any]:
    """Return a play session of the rig's film."""
    return {
        "session_id": "pls_1",
        "title_id": "tit_1",
        "names": {"en": "Snow"},
        "asset_id": "ast_1",
        "duration_ms": 20_000,
        "resume_ms": 0,
        "dash_path": "/film/manifest.mpd",
        "hls_path": "",
        "beacon_path": f"{API}/beacon",
        "licence_path": f"{API}/licence",
        "licence_token": "",
        "deliveries": [],
        "expires_at": "2999-01-01T00:00:00Z",
        "heartbeat_ms": 30_000,
        "start_bandwidth_bps": 0,
        "episode_id": None,
        "episode_names": {},
        "season_number": None,
        "episode_number": None,
        "next_up": None,
        "audio": [],
        "text": [],
        "thumbnails": None,
    }


def make_film(folder: Path) -> None:
    """Write a film of snow, with a subtitle from its first to its last second."""
    command = [imageio_ffmpeg.get_ffmpeg_exe(), "-v", "error", "-y", "-f", "lavfi"]
    command += ["-i", "color=white:size=320x180:rate=10:duration=20", "-c:v", "libx264", "-preset", "ultrafast"]
    command += ["-pix_fmt", "yuv420p", "-g", "10", "-f", "dash", "-seg_duration", "2", str(folder / "manifest.mpd")]
    subprocess.run(command, check=True)
    (folder / "en.vtt").write_text("WEBVTT\n\n00:00.000 --> 00:20.000\nWhite on white\n")
    manifest = folder / "manifest.mpd"
    subtitles = (
        '<AdaptationSet contentType="text" mimeType="text/vtt" lang="en"><Representation id="sub" bandwidth="1">'
        "<BaseURL>en.vtt</BaseURL></Representation></AdaptationSet></Period>"
    )
    manifest.write_text(manifest.read_text().replace("</Period>", subtitles))


@dataclass
class Client:
    """A page of the web client, and the requests of the API that it made."""

    page: Page
    answers: Answers
    film: Path | None
    requests: list[str] = field(default_factory=list)
    signed_in: bool = True
    profile_id: str | None = "pro_1"
    offline: bool = False

    def open(self, path: str = "/") -> Page:
        """Open a page of the client."""
        self.page.goto(ORIGIN + path)
        return self.page

    def respond(self, route: Route, request: Request) -> None:
        """Answer a request."""
        path = urlsplit(request.url).path
        if path.startswith(API):
            self.requests.append(f"{request.method} {path.removeprefix(API)}")
            if self.offline:
                route.abort("internetdisconnected")
                return
            status, body = self._call(request, path.removeprefix(API))
            content_type = "application/json" if status < 400 else "application/problem+json"
            route.fulfill(status=status, content_type=content_type, body="" if body is None else json.dumps(body))
        elif path.startswith("/film/") and self.film:
            _send_file(route, self.film / path.removeprefix("/film/"))
        else:
            file = DIST / path.lstrip("/")
            _send_file(route, file if file.is_file() else DIST / "index.html")

    def _call(self, request: Request, path: str) -> Answer:
        known = self.answers.get(f"{request.method} {path}", self.answers.get(path))
        if known is not None:
            answer = known(request) if callable(known) else known
            return answer if isinstance(answer, tuple) else (200, answer)
        if path in {"/auth/refresh", "/auth/sign-in", "/auth/sign-up"} or path.endswith("/choose"):
            return self._sign_in(path)
        if path == "/auth/sign-out" or (request.method, path) == ("DELETE", "/account"):
            self.signed_in = False
            return 204, None
        return (204, None) if request.method != "GET" else NOWHERE

    def _sign_in(self, path: str) -> Answer:
        if path == "/auth/refresh" and not self.signed_in:
            return 401, {"type": "/problems/unauthenticated", "title": "", "status": 401}
        if path.endswith("/choose"):
            self.profile_id = path.split("/")[2]
        self.signed_in = True
        session = {"access_token": "t", "expires_in_s": 600, "account_id": "acc_1", "device_id": "dev_1"}
        rights = {"is_adult": self.profile_id != KIM["profile_id"], "roles": ["operator"]}
        return 200, {**session, **rights, "profile_id": self.profile_id, "refresh_token": None}


def _send_file(route: Route, file: Path) -> None:
    route.fulfill(body=file.read_bytes(), content_type=mimetypes.guess_type(file.name)[0] or "video/mp4")


Opener = Callable[..., Client]


def open_client(
    browser: Browser,
    answers: Answers | None = None,
    *,
    size: tuple[int, int] = LAPTOP,
    touch: bool = False,
    signed_in: bool = True,
    profile_id: str | None = "pro_1",
    film: Path | None = None,
    language: str = "en",
    proxy: str | None = None,
) -> Client:
    """Open a browser context for a client. `proxy` is for the requests that a test lets pass, also to loopback."""
    context = browser.new_context(
        viewport={"width": size[0], "height": size[1]},
        has_touch=touch,
        is_mobile=touch,
        locale=language,
        reduced_motion="no-preference",
        proxy={"server": proxy, "bypass": "<-loopback>"} if proxy else None,
    )
    if signed_in:
        context.add_init_script("localStorage.setItem('matinee.signed-in', '1')")
    defaults = {
        "/profiles": [{**profile, "language": language} for profile in (ADA, KIM)],
        "/home": create_home(),
        "/auth/options": {"sign_up": True},
    }
    page = context.new_page()
    client = Client(page, {**defaults, **(answers or {})}, film, signed_in=signed_in, profile_id=profile_id)
    context.route("**/*", client.respond)
    page.set_default_timeout(10_000)
    return client


def assert_nothing_is_cut_off(page: Page) -> None:
    """Assert that the tables of a page, and the page itself, show all of their content."""
    overflow = """() => {
      const isOut = ({ left, right, width }, frame) => width && (right > frame.right + 1 || left < frame.left - 1);
      const out = [...document.querySelectorAll('.table-frame :is(th, td)')].filter((cell) =>
        isOut(cell.getBoundingClientRect(), cell.closest('.table-frame').getBoundingClientRect()));
      return out.length + (document.documentElement.scrollWidth > innerWidth ? 1 : 0);
    }"""
    assert page.evaluate(overflow) == 0
    cut = (
        "() => [...document.querySelectorAll('tbody td')].filter((one) => one.scrollWidth > one.clientWidth + 1).length"
    )
    assert page.evaluate(cut) == 0
