"""The same encrypted title in the players of other projects: Shaka Player, dash.js, hls.js and FFmpeg."""

import asyncio
import base64
import io
import subprocess
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from urllib.parse import urljoin
from xml.etree import ElementTree

import aiohttp
import imageio_ffmpeg
import pytest
from aiohttp import web
from PIL import Image
from playwright.async_api import Browser, expect
from tests.deployment import Deployment, Viewer, find_free_port
from tests.unit.encoding_rig import FFMPEG

from matinee.lab.viewer import sign_in

pytestmark = [pytest.mark.timeout(600)]

EMAIL = "ada@example.org"
PLAYERS = Path(__file__).parents[2] / "web" / "players"
SECONDS, SHOWN_S = 9, 4.5  # beyond the first segment
LIMIT_S = 240  # only ends what would never end
GREY = "scale=16:9:flags=area,format=gray"
# Of 255. Pictures that were not decrypted differ by 60 and more.
TOLERANCE = 12


async def make_film(path: Path) -> Path:
    """Make a film with sound in two languages and subtitles; its picture changes all the time."""
    subtitles = path.with_suffix(".srt")
    subtitles.write_text("1\n00:00:01,000 --> 00:00:08,000\nHello\n")
    picture = ["-f", "lavfi", "-i", f"gradients=s=320x180:r=25:d={SECONDS}:speed=0.05:seed=5:n=3"]
    sounds = [part for hertz in (330, 440) for part in ("-f", "lavfi", "-i", f"sine=f={hertz}:d={SECONDS}")]
    inputs = [*picture, *sounds, "-i", f"file:{subtitles}", "-map", "0", "-map", "1", "-map", "2", "-map", "3"]
    languages = [f"-metadata:s:{stream}" for stream in ("a:0", "a:1", "s:0")]
    tags = [
        part for pair in zip(languages, ("language=eng", "language=deu", "language=eng"), strict=True) for part in pair
    ]
    encode = ["-c:v", "libx264", "-preset", "ultrafast", "-pix_fmt", "yuv420p", "-c:a", "aac", "-c:s", "srt"]
    await FFMPEG.run([*inputs, *tags, *encode, f"file:{path}"], deadline_s=60)
    return path


@asynccontextmanager
async def serve_players() -> AsyncIterator[str]:
    """Serve the page with the players from an origin of its own."""
    app = web.Application()
    app.router.add_static("/", PLAYERS)
    runner = web.AppRunner(app)
    await runner.setup()
    port = find_free_port()
    await web.TCPSite(runner, "127.0.0.1", port).start()
    yield f"http://127.0.0.1:{port}/index.html"
    await runner.cleanup()


def to_grey(png: bytes) -> bytes:
    return Image.open(io.BytesIO(png)).convert("L").resize((16, 9), Image.Resampling.BOX).tobytes()


def show_with_ffmpeg(*arguments: str) -> bytes:
    """Decode up to a picture, and return a small grey copy of it."""
    read = [imageio_ffmpeg.get_ffmpeg_exe(), "-v", "error", "-xerror", "-nostdin", *arguments]
    write = ["-map", "0:v:0", "-map", "0:a:0?", "-ss", str(SHOWN_S), "-frames:v", "1", "-vf", GREY, "-f", "rawvideo"]
    done = subprocess.run([*read, *write, "-an", "-"], capture_output=True, timeout=LIMIT_S, check=False)
    assert (done.returncode, len(done.stdout)) == (0, 144), done.stderr.decode()[-600:]
    return done.stdout


async def list_keys(viewer: Viewer, manifest: str, licence: str) -> list[str]:
    """Get the keys of a DASH manifest from the licence server, as the guide does it for FFmpeg."""
    mpd = ElementTree.fromstring(manifest)
    found = {kid for one in mpd.iter() if (kid := one.get("{urn:mpeg:cenc:2013}default_KID"))}
    kids = [base64.urlsafe_b64encode(bytes.fromhex(kid.replace("-", ""))).decode().rstrip("=") for kid in found]
    async with viewer.session.post(licence, json={"kids": kids, "type": "temporary"}) as answer:
        keys = (await answer.json(content_type=None))["keys"]
    return ["=".join(base64.urlsafe_b64decode(key[name] + "==").hex() for name in ("kid", "k")) for key in keys]


async def test_every_player_plays_the_encrypted_title(
    make_deployment: Callable[..., Deployment], http: aiohttp.ClientSession, chromium: Browser, tmp_path: Path
) -> None:
    film = await make_film(tmp_path / "film.mkv")
    expected = await asyncio.to_thread(show_with_ffmpeg, "-i", str(film))
    deployment = make_deployment()
    deployment.start()
    title_id = deployment.ingest(film, "Film")
    viewer = Viewer(http, deployment.url)
    await viewer.sign_up(EMAIL)
    play = await viewer.call("POST", "/playback", {"title_id": title_id, "capabilities": {}, "heartbeats": False})
    dash, hls, hls_clearkey, licence = (
        urljoin(deployment.url, play[name]) for name in ("dash_path", "hls_path", "hls_clearkey_path", "clearkey_path")
    )
    manifest = await viewer.call("GET", dash)
    keys = await list_keys(viewer, manifest, licence)

    async with serve_players() as page_url:

        async def in_chromium(name: str, url: str) -> bytes:
            page = await chromium.new_page()
            await page.goto(page_url)
            options = {"url": url, "licence": licence}
            async with asyncio.timeout(LIMIT_S):
                is_encrypted = await page.evaluate("arguments => play(...arguments)", [name, options, SHOWN_S])
            assert is_encrypted
            shot = await page.locator("video").screenshot()  # no canvas gets pictures that were encrypted
            await page.close()
            return to_grey(shot)

        async def in_matinee() -> bytes:
            page = await chromium.new_page()
            page.set_default_timeout(LIMIT_S * 1000)
            await sign_in(page, deployment.url, EMAIL)
            await expect(page.get_by_test_id("title-card").first).to_be_visible()
            await page.goto(f"{deployment.url}/watch/{title_id}")
            await page.wait_for_function("until => document.querySelector('video')?.currentTime > until", arg=0.1)
            await page.keyboard.press("c")
            await expect(page.get_by_test_id("subtitles")).to_have_text("Hello")
            await page.wait_for_function("until => document.querySelector('video').currentTime > until", arg=SHOWN_S)
            state = "() => { const v = document.querySelector('video'); v.pause(); return v.mediaKeys !== null; }"
            assert await page.evaluate(state)
            await page.add_style_tag(content="body :not(:has(video)):not(video) { visibility: hidden !important; }")
            shot = await page.locator("video").screenshot()
            await page.close()
            return to_grey(shot)

        async def in_ffmpeg(*arguments: str) -> bytes:
            return await asyncio.to_thread(show_with_ffmpeg, *arguments)

        runs: dict[tuple[str, str], Awaitable[bytes]] = {
            ("Matinee", "DASH"): in_matinee(),
            ("Shaka Player", "DASH"): in_chromium("Shaka Player", dash),
            ("Shaka Player", "HLS"): in_chromium("Shaka Player", hls),
            ("dash.js", "DASH"): in_chromium("dash.js", dash),
            ("hls.js", "HLS"): in_chromium("hls.js", hls_clearkey),
            ("FFmpeg", "DASH"): in_ffmpeg("-cenc_decryption_keys", ":".join(keys), "-i", dash),
            ("FFmpeg", "HLS"): in_ffmpeg("-i", hls),
        }
        outcomes = await asyncio.gather(*runs.values(), return_exceptions=True)
    matrix = {run: judge(outcome, expected) for run, outcome in zip(runs, outcomes, strict=True)}
    assert matrix == dict.fromkeys(runs, "plays")


def judge(outcome: bytes | BaseException, expected: bytes) -> str:
    if isinstance(outcome, BaseException):
        return f"fails: {outcome!r:.600}"
    difference = sum(abs(a - b) for a, b in zip(outcome, expected, strict=True)) / len(expected)
    return "plays" if difference < TOLERANCE else f"shows another picture ({difference:.0f})"
