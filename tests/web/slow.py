"""A film in two qualities on edges, and a slow link to them."""

from __future__ import annotations

import asyncio
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import imageio_ffmpeg
from tests.web.rig import create_play_session

from matinee.lab.link import Link

LOW_HEIGHT, HIGH_HEIGHT = 180, 360
SECONDS = 60


def make_ladder(folder: Path) -> None:
    """Write a film in two qualities, which need 0.25 and 1.5 Mbit/s."""
    source = f"nullsrc=size=640x360:rate=5:duration={SECONDS},noise=all_seed=1:alls=40:allf=t,format=yuv420p"
    command = [imageio_ffmpeg.get_ffmpeg_exe(), "-v", "error", "-y", "-f", "lavfi", "-i", source]
    command += ["-map", "0:v", "-map", "0:v", "-c:v", "libx264", "-preset", "ultrafast", "-g", "20"]
    for number, (height, rate) in enumerate(((LOW_HEIGHT, "250k"), (HIGH_HEIGHT, "1500k"))):
        limits = [f"-b:v:{number}", rate, f"-maxrate:v:{number}", rate, f"-bufsize:v:{number}", rate]
        command += [f"-filter:v:{number}", f"scale=-2:{height}", *limits]
    command += ["-f", "dash", "-seg_duration", "4", str(folder / "manifest.mpd")]
    subprocess.run(command, check=True)


@dataclass
class Edge:
    """An edge that serves a folder. While it `fails`, it answers with 503."""

    edge_id: str
    folder: Path
    fails: bool = False
    requests: list[str] = field(default_factory=list)
    port: int = 0

    @property
    def delivery(self) -> dict[str, str]:
        """The edge's entry in a play session."""
        return {"edge_id": self.edge_id, "base_url": f"http://127.0.0.1:{self.port}/t/token/"}

    def count_qualities(self) -> list[str]:
        """Return the quality of each requested segment, `0` or `1`; initialisation segments do not count."""
        return [name.split("-")[1].removeprefix("stream") for name in self.requests if name.startswith("chunk")]


@contextmanager
def serve_edge(edge_id: str, folder: Path) -> Iterator[Edge]:
    """Serve an edge until the end of the block."""
    edge = Edge(edge_id, folder)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            name = self.path.rsplit("/", 1)[-1]
            edge.requests.append(name)
            body = b"" if edge.fails else (folder / name).read_bytes()
            self.send_response(503 if edge.fails else 200)
            self.send_header("Access-Control-Allow-Origin", "*")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: Any) -> None:
            pass

    class Server(ThreadingHTTPServer):
        daemon_threads = True

        def handle_error(self, *_: Any) -> None:
            """Ignore aborted requests."""

    server = Server(("127.0.0.1", 0), Handler)
    edge.port = server.server_port
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield edge
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@contextmanager
def open_link(rate_bps: float) -> Iterator[Link]:
    """Run a link in a thread until the end of the block."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    link = Link(rate_bps=rate_bps, round_trip_s=0.05)
    try:
        asyncio.run_coroutine_threadsafe(link.__aenter__(), loop).result()
        yield link
        asyncio.run_coroutine_threadsafe(link.__aexit__(None, None, None), loop).result()
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


def create_session(edges: list[Edge], start_bandwidth_bps: int = 0) -> dict[str, Any]:
    """Return a play session with these edges, best first."""
    deliveries = [edge.delivery for edge in edges]
    session = {**create_play_session(), "duration_ms": SECONDS * 1000, "deliveries": deliveries}
    return {**session, "start_bandwidth_bps": start_bandwidth_bps}


def create_manifest(ladder: Path, edge: Edge, folder: Path) -> None:
    """Write the manifest of the film with its segments at an edge."""
    manifest = (ladder / "manifest.mpd").read_text()
    base = f"<BaseURL>{edge.delivery['base_url']}</BaseURL>"
    (folder / "manifest.mpd").write_text(manifest.replace("<Period", f"{base}<Period", 1))
