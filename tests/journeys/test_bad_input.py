"""What bad input gets from the whole deployment: a line or a problem document, and nothing written."""

import asyncio
import re
import subprocess
import time
from collections.abc import AsyncIterator, Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import urljoin, urlsplit

import aiohttp
import imageio_ffmpeg
import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key
from tests.deployment import PASSWORD, Deployment, Viewer, create_deployment, make_film
from tests.journeys.refusals import assert_refused, check_problem, problem, raw

from matinee.drivers.jwt import Signer
from matinee.mesh.adapters.files import FileRegistry

pytestmark = [pytest.mark.timeout(400)]

OPERATOR, VIEWER, OTHER = "operator@example.org", "ada@example.org", "bo@example.org"
PLAY: dict[str, Any] = {"capabilities": {}}
SOUND = ("-f", "lavfi", "-i", "sine=frequency=330:duration=3")
PICTURE = ("-f", "lavfi", "-i", "testsrc2=size=160x90:rate=12:duration=3")


@pytest.fixture(scope="module")
def deployment(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployment]:
    """One deployment for all of them, with two films in it."""
    folder = tmp_path_factory.mktemp("bad-input")
    with create_deployment(folder / "data") as deployment:
        deployment.start()
        for name in ("Good", "As Good"):
            film = make_film(folder / f"{name}.mp4", seconds=3, size="160x90", rate="12")
            deployment.ingest(film, name)
        yield deployment


@pytest.fixture(scope="module")
def tokens(deployment: Deployment) -> dict[str, tuple[dict[str, str], str]]:
    """Sign up an operator and two viewers; return their headers and profiles."""

    async def sign_up_all() -> dict[str, tuple[dict[str, str], str]]:
        async with aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar()) as session:
            people = {email: Viewer(session, deployment.url) for email in (OPERATOR, VIEWER, OTHER)}
            for email, viewer in people.items():
                await viewer.sign_up(email)
            assert deployment.matinee("accounts", "grant", OPERATOR, "operator").returncode == 0
            people[OPERATOR].headers = bearer(await signed_in(people[OPERATOR], OPERATOR))
            return {email: (viewer.headers, viewer.profile_id) for email, viewer in people.items()}

    return asyncio.run(sign_up_all())


@pytest.fixture
def person(
    deployment: Deployment, http: aiohttp.ClientSession, tokens: dict[str, tuple[dict[str, str], str]]
) -> Callable[[str], Viewer]:
    """Return a function that makes a signed-in viewer with a profile."""

    def make(email: str) -> Viewer:
        viewer = Viewer(http, deployment.url)
        viewer.headers, viewer.profile_id = tokens[email]
        return viewer

    return make


@pytest.fixture
async def unchanged(person: Callable[[str], Viewer]) -> AsyncIterator[None]:
    """Check that a test changed nothing."""
    before = await read_state(person)
    yield
    assert await read_state(person) == before


async def read_state(person: Callable[[str], Viewer]) -> Any:
    """Return everything visible that bad input could have changed."""
    operator = person(OPERATOR)
    state = [await operator.call("GET", f"/operator/{what}") for what in ("titles", "jobs")]
    for email in (VIEWER, OTHER):
        viewer = person(email)
        state += [await viewer.call("GET", path) for path in ("/profiles", "/history", "/home")]
    return state


# Files


def clip(path: Path, *words: str) -> Path:
    """Make a file with FFmpeg."""
    subprocess.run([imageio_ffmpeg.get_ffmpeg_exe(), "-v", "error", "-y", *words, f"file:{path}"], check=True)
    return path


def truncate(path: Path) -> Path:
    """Make an MP4 without the index at its end."""
    whole = clip(path.with_suffix(".whole.mp4"), *PICTURE, "-c:v", "libx264").read_bytes()
    path.write_bytes(whole[: whole.rindex(b"moov") - 4])
    return path


REFUSED: dict[str, tuple[Callable[[Path], Any], str]] = {
    "notes.txt": (lambda path: path.write_text("no film\n" * 300), "file: it is not a film in a known format"),
    "text as.mp4": (lambda path: path.write_text("no film\n" * 300), "file: it is not a film in a known format"),
    "empty.mp4": (lambda path: path.touch(), "file: it is empty. Copy it again"),
    "cut.mp4": (truncate, "file: it is cut short: its index (moov) is missing. Export it again"),
    "sound.mkv": (lambda path: clip(path, *SOUND), "picture: it has none. Use a file with a video stream."),
    "folder.mkv": (lambda path: path.mkdir(), "file: this is not a file. Name one film file."),
    "missing.mkv": (lambda path: None, "file: it cannot be read (No such file or directory). Check its path"),
}


@pytest.mark.usefixtures("unchanged")
@pytest.mark.parametrize("name", REFUSED)
async def test_a_file_that_is_no_film_is_refused_in_one_line(deployment: Deployment, tmp_path: Path, name: str) -> None:
    make, why = REFUSED[name]
    make(tmp_path / name)
    assert_refused(await asyncio.to_thread(deployment.matinee, "ingest", str(tmp_path / name)), f"{name}: {why}")


@pytest.mark.usefixtures("unchanged")
async def test_a_good_film_with_broken_subtitles_leaves_no_title(deployment: Deployment, tmp_path: Path) -> None:
    good = make_film(tmp_path / "a.mp4", seconds=2, size="160x90", rate="12")
    broken = tmp_path / "broken.srt"
    broken.write_text("1\n00:00:01,000 --> soon\nx\n")
    words = ("ingest", str(good), "--subtitles", f"en={broken}")
    assert_refused(await asyncio.to_thread(deployment.matinee, *words), "broken.srt: subtitles, line 2: ")


@pytest.mark.usefixtures("unchanged")
async def test_a_film_that_was_ingested_before_is_refused_in_one_line(deployment: Deployment, tmp_path: Path) -> None:
    same = make_film(tmp_path / "same.mp4", seconds=3, size="160x90", rate="12")
    assert_refused(await asyncio.to_thread(deployment.matinee, "ingest", str(same)), "same.mp4 is already “")


ODD: dict[str, tuple[str, ...]] = {
    "ten bit “odd” 'size' 12.5.mkv": (
        *("-f", "lavfi", "-i", "testsrc2=size=162x98:rate=25/2:duration=4"),
        *("-vf", "crop=161:97,format=yuv420p10le", "-c:v", "ffv1"),
    ),
    'six 🎬 "channels".mkv': (*PICTURE, *SOUND, "-c:v", "libx264", "-ac", "6", "-c:a", "flac"),
    "-dash first.mp4": (*PICTURE, "-c:v", "libx264"),
}


@pytest.mark.parametrize("name", ODD)
async def test_an_odd_film_plays(
    deployment: Deployment, person: Callable[[str], Viewer], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    clip(tmp_path / name, *ODD[name])
    monkeypatch.chdir(tmp_path)
    done = await asyncio.to_thread(deployment.matinee, "ingest", "--", name)
    assert done.returncode == 0, done.stdout + done.stderr
    viewer = person(VIEWER)
    cards = [card for row in (await viewer.call("GET", "/home"))["rows"] for card in row["cards"]]
    title_id = next(card["title_id"] for card in cards if card["name"] == Path(name).stem)
    session = await viewer.call("POST", "/playback", {**PLAY, "title_id": title_id})
    segments = await lowest(viewer, session)
    assert len(segments) > 1
    assert [await fetch_status(viewer, url) for url in segments] == [200] * len(segments)


async def lowest(viewer: Viewer, session: dict[str, Any]) -> list[str]:
    """The segments of the lowest rendition: what its playlist names."""
    master = urljoin(viewer.url, session["hls_path"])
    lines = (await text(viewer, master)).splitlines()
    variants = [
        (int(found[1]), lines[at + 1])
        for at, line in enumerate(lines)
        if (found := re.match(r"#EXT-X-STREAM-INF:.*?\bBANDWIDTH=(\d+)", line))
    ]
    playlist = await text(viewer, urljoin(master, min(variants)[1]))
    return [
        *re.findall(r'#EXT-X-MAP:URI="([^"]+)"', playlist),
        *(line for line in playlist.splitlines() if line and not line.startswith("#")),
    ]


async def text(viewer: Viewer, url: str) -> str:
    async with viewer.session.get(url) as answer:
        assert answer.status == 200, await answer.text()
        return await answer.text()


async def fetch_status(viewer: Viewer, url: str) -> int:
    async with viewer.session.get(url) as answer:
        await answer.read()
        return answer.status


# The API


async def signed_in(viewer: Viewer, email: str) -> dict[str, Any]:
    body = {"email": email, "password": PASSWORD, "device": {"name": "test", "kind": "tv"}}
    session: dict[str, Any] = await viewer.call("POST", "/auth/sign-in", body)
    return session


def bearer(session: dict[str, Any]) -> dict[str, str]:
    return {"Authorization": f"Bearer {session['access_token']}"}


@pytest.mark.usefixtures("unchanged")
async def test_passwords_and_access_tokens_that_are_not_good(
    deployment: Deployment, http: aiohttp.ClientSession
) -> None:
    viewer = Viewer(http, deployment.url)
    for email in (VIEWER, "nobody@example.org"):
        wrong = {"email": email, "password": "not the password", "device": {"name": "test"}}
        assert (await problem(viewer, "POST", "/auth/sign-in", 401, wrong))["type"] == "/problems/wrong-credentials"
    session = await signed_in(viewer, VIEWER)
    token = session["access_token"]
    claims, head = jwt.decode(token, options={"verify_signature": False}), jwt.get_unverified_header(token)
    ours = Signer.open(deployment.data / "secrets" / "access-tokens.pem")
    head_part, body_part, signature = token.split(".")
    kid = {"kid": head["kid"]}
    forged = {
        "expired": ours.sign({**claims, "iat": claims["iat"] - 9000, "exp": claims["iat"] - 8000}),
        "another key": jwt.encode(claims, generate_private_key(SECP256R1()), "ES256", headers=head),
        "no algorithm": jwt.encode(claims, "", "none", headers=kid),
        "the public key as a secret": jwt.encode(claims, ours.public_keys()[0]["x"], "HS256", headers=kid),
        "another audience": ours.sign({**claims, "aud": "elsewhere"}),
        "no signature": f"{head_part}.{body_part}.",
        "altered": f"{head_part}.{body_part[:-4]}AAAA.{signature}",
        "no token": "nonsense",
    }
    for what, made in forged.items():
        viewer.headers = {"Authorization": f"Bearer {made}"}
        for path in ("/profiles", "/home", "/operator/titles"):
            assert (await problem(viewer, "GET", path, 401))["type"] == "/problems/unauthenticated", what
    viewer.headers = {}
    await problem(viewer, "GET", "/home", 401)


async def test_a_replayed_refresh_token_ends_its_whole_family(
    deployment: Deployment, http: aiohttp.ClientSession
) -> None:
    viewer = Viewer(http, deployment.url)
    tokens = [(await signed_in(viewer, VIEWER))["refresh_token"]]
    for _ in range(2):
        fresh = await viewer.call("POST", "/auth/refresh", {"refresh_token": tokens[-1]})
        tokens.append(fresh["refresh_token"])
    other = (await signed_in(viewer, VIEWER))["refresh_token"]
    for token in (tokens[0], tokens[2], tokens[1], "nonsense"):
        refusal = await problem(viewer, "POST", "/auth/refresh", 401, {"refresh_token": token})
        assert refusal["type"] == "/problems/token-rejected"
    await viewer.call("POST", "/auth/refresh", {"refresh_token": other})


@pytest.mark.usefixtures("unchanged")
async def test_what_belongs_to_somebody_else(deployment: Deployment, person: Callable[[str], Viewer]) -> None:
    ada, bo = person(VIEWER), person(OTHER)
    title = deployment.titles()[-1]["title_id"]
    session = await bo.call("POST", "/playback", {**PLAY, "title_id": title})
    device = next(one for one in await bo.call("GET", "/devices") if one["current"])
    heartbeat = {"position_ms": 1000, "state": "playing", "at": datetime.now(UTC).isoformat()}
    profile, play = f"/profiles/{bo.profile_id}", f"/playback/{session['session_id']}"
    await problem(ada, "PATCH", profile, 404, {"name": "Eve"})
    await ada.call("DELETE", profile, status=204)  # idempotent: not in this account, before and after
    await problem(ada, "POST", f"{profile}/choose", 404, {})
    await problem(ada, "DELETE", f"/devices/{device['device_id']}", 404)
    for verb, body in (("renew", {}), ("heartbeat", heartbeat), ("end", heartbeat)):
        await problem(ada, "POST", f"{play}/{verb}", 404, body)
    licence = {"X-Licence-Token": session["licence_token"]}
    kids = {"kids": [await key_id(bo, session)]}
    assert (await bo.call("POST", "/licences/clearkey", kids, headers=licence))["keys"]
    await problem(ada, "POST", "/licences/clearkey", 403, kids, headers=licence)
    elsewhere = person(OTHER)  # on another device
    elsewhere.headers = bearer(await signed_in(elsewhere, OTHER))
    await elsewhere.choose(bo.profile_id)
    await problem(elsewhere, "POST", "/licences/clearkey", 403, kids, headers=licence)
    await problem(bo, "POST", "/licences/clearkey", 403, kids, headers={"X-Licence-Token": "1.AAAA.AAAA"})
    await problem(bo, "POST", "/licences/clearkey", 422, kids)
    await problem(bo, "GET", f"{play}/manifest/1ffffffff-AAAAAAAAAAAAAAAAAAAAAA/master.m3u8", 403)
    for method, path in (("GET", "titles"), ("GET", "jobs"), ("GET", "services"), ("GET", "edges"), ("POST", "ingest")):
        await problem(ada, method, f"/operator/{path}", 403)
    await problem(ada, "POST", f"/operator/titles/{title}/withdraw", 403)


async def key_id(viewer: Viewer, session: dict[str, Any]) -> str:
    """The key id of a film's picture, as a ClearKey request names it."""
    manifest = await text(viewer, urljoin(viewer.url, session["dash_path"]))
    found = re.search(r'default_KID="([0-9a-fA-F-]+)"', manifest)
    assert found
    return jwt.utils.base64url_encode(bytes.fromhex(found[1].replace("-", ""))).decode()


@pytest.mark.usefixtures("unchanged")
async def test_requests_that_make_no_sense(deployment: Deployment, person: Callable[[str], Viewer]) -> None:
    ada = person(VIEWER)
    for body in (b"{", b"[[", b"\xff\xfe", b"", b'{"title_id": 7}', b"[" * 100_000):
        await problem(ada, "POST", "/playback", (400, 422), data=body)
    await problem(ada, "POST", "/profiles", 413, data=b'{"name": "' + b"x" * (300 << 10) + b'"}')
    await problem(ada, "GET", "/nothing/here", 404)
    await problem(ada, "GET", "/titles/tit_none", 404)
    await problem(ada, "DELETE", "/home", 405)
    for path in ("/rpc/identity/sign_up", "/rpc", "/metrics", "/readyz", "/healthz"):
        await problem(ada, "GET", deployment.url + path, 404)
        await problem(ada, "POST", deployment.url + path, 404, {})


async def test_internal_paths_and_the_application_have_listeners_of_their_own(deployment: Deployment) -> None:
    async with aiohttp.ClientSession() as http:
        instances = await FileRegistry.open(deployment.data / "run/instances").list_instances(now=datetime.now(UTC))
        (gateway,) = (one for one in instances if "gateway" in one.services)
        secret = (deployment.data / "secrets/envoy-proxy.key").read_bytes().hex()
        key = (deployment.data / "secrets/mesh.key").read_text()
        headers = {"X-Matinee-Proxy": secret, "Authorization": f"Bearer {key}"}
        for path, status in (("/metrics", 200), ("/healthz", 200), ("/readyz", 200), ("/", 404), ("/api/v1/ping", 404)):
            async with http.get(gateway.address + path, headers=headers) as answer:
                assert (answer.status, b"<title>" in await answer.read()) == (status, False), path
        for path in ("/metrics", "/healthz", "/readyz", "/rpc/identity/public_keys"):
            async with http.get(gateway.app_address + path, headers=headers) as page:
                assert b"<title>" in await page.read(), f"{path} is not a page of the web client"
        for address, status in ((gateway.address, 200), (gateway.app_address, 405)):
            async with http.post(f"{address}/rpc/identity/public_keys", json={}, headers=headers) as answer:
                assert answer.status == status


PATHS = (
    "/../../../../etc/passwd",
    "/..%2f..%2f..%2f..%2fetc/passwd",
    "/%2e%2e/%2e%2e/%2e%2e/etc/passwd",
    "/assets/../../secrets/mesh.key",
    "/assets/%2e%2e/%2e%2e/secrets/mesh.key",
    "/art/../secrets/mesh.key",
    "/art/%2e%2e/secrets/mesh.key",
    "/assets/x%00.js",
    "/%00",
    "/..\\..\\secrets\\mesh.key",
    "//etc/passwd",
)


@pytest.mark.usefixtures("unchanged")
async def test_nobody_climbs_out_of_the_web_client_or_the_edge(deployment: Deployment) -> None:
    page = (await raw(deployment.port, "/"))[2]
    for path in PATHS:
        status, kind, body = await raw(deployment.port, path)
        if status != 200:
            check_problem(status, kind, body, (400, 403, 404))
        else:
            assert body == page, "any address may show the web client's own page, and nothing else"
        for below in ("", "/t/x-y", "/t/x-y/assets/a"):
            check_problem(*await raw(deployment.edge_port, below + path), (400, 403, 404))


async def test_links_of_another_title_altered_or_old(deployment: Deployment, person: Callable[[str], Viewer]) -> None:
    """The last test of this deployment: it is opened again with links that are good for six seconds."""
    deployment.stop()
    short = Deployment(deployment.data, settings={"MATINEE__PLAYBACK__LINK_S": "6"})
    short.start()
    try:
        await links(short, person(VIEWER))
    finally:
        short.stop()


async def links(deployment: Deployment, viewer: Viewer) -> None:
    viewer.url = f"{deployment.url}/api/v1"
    first, second = (title["title_id"] for title in deployment.titles()[:2])
    session = await viewer.call("POST", "/playback", {**PLAY, "title_id": first})
    foreign = await viewer.call("POST", "/playback", {**PLAY, "title_id": second})
    path = urljoin(viewer.url, session["hls_path"])
    listed = (await lowest(viewer, session))[1]
    # The links of our own client live shortly, those in a manifest as long as the session.
    token = urlsplit(session["deliveries"][0]["base_url"]).path.split("/")[2]
    segment = listed.replace(urlsplit(listed).path.split("/")[2], token)
    assert await fetch_status(viewer, segment) == 200
    other = (await lowest(viewer, foreign))[1]
    expiry, _, signature = token.partition("-")
    for wrong in (
        other.replace(urlsplit(other).path.split("/")[2], token),
        segment.replace(token, f"{int(expiry, 16) + 3600:x}-{signature}"),
        segment.replace(token, f"{expiry}-{signature[::-1]}"),
        segment.replace(token, "x"),
    ):
        assert (await problem(viewer, "GET", wrong, 403))["type"] == "/problems/link-refused"
    await asyncio.sleep(int(expiry, 16) + 0.5 - time.time())
    await problem(viewer, "GET", segment, 403)
    assert await fetch_status(viewer, listed) == 200
    assert await fetch_status(viewer, path) == 200
    assert await fetch_status(viewer, (await lowest(viewer, session))[1]) == 200
    renewed = await viewer.call("POST", f"/playback/{session['session_id']}/renew", {})
    assert (
        await fetch_status(viewer, renewed["deliveries"][0]["base_url"] + segment.partition(token)[2].split("/", 3)[3])
        == 200
    )
