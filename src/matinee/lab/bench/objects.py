"""Objects into S3 and out again, beside obstore alone on the same engine."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import obstore
import uvloop
from obstore.store import S3Store

from matinee.drivers.objects import ObjectStore
from matinee.lab.bench.figure import Figure, make_figure
from matinee.lab.bench.timing import Bench, time_in_turns

AREA = "objects"
GOAL = 1.15
SEGMENT_BYTES, FILE_BYTES = 1 << 20, 64 << 20
IN_FLIGHT = 8


def measure(bench: Bench) -> list[Figure]:
    """Measure; takes about half a minute."""
    with bench.open_engines("s3") as urls:
        return uvloop.run(_measure(urls["s3"], bench.size(60, 4), bench.size(2, 1), bench.size(5, 1)))


async def _measure(url: str, segments: int, files: int, rounds: int) -> list[Figure]:
    ours, bare = ObjectStore(url), _open_bare(url)
    data = os.urandom(SEGMENT_BYTES)
    with tempfile.TemporaryDirectory(prefix="matinee-bench-") as folder:
        file = Path(folder) / "file"
        file.write_bytes(os.urandom(FILE_BYTES))
        up = await time_in_turns(
            lambda n: obstore.put_async(bare, f"bare/{n}", data),
            lambda n: ours.put(f"ours/{n}", data),
            count=segments,
            in_flight=IN_FLIGHT,
            rounds=rounds,
        )
        down = await time_in_turns(
            lambda n: _get(bare, f"bare/{n}"),
            lambda n: ours.get(f"ours/{n}"),
            count=segments,
            in_flight=IN_FLIGHT,
            rounds=rounds,
        )
        large = await time_in_turns(
            lambda n: obstore.put_async(bare, f"bare-file/{n}", file, chunk_size=8 << 20),
            lambda n: ours.put_file(f"ours-file/{n}", file),
            count=files,
            in_flight=1,
            rounds=rounds,
        )
    times_us = {"1 MiB up": up, "1 MiB down": down, "file of 64 MiB up": large}
    return [
        make_figure(AREA, name, us[1] / 1000, "ms", baseline=us[0] / 1000, baseline_name="obstore alone", goal=GOAL)
        for name, us in times_us.items()
    ]


async def _get(store: S3Store, key: str) -> bytes:
    return bytes(await (await obstore.get_async(store, key)).bytes_async())


def _open_bare(url: str) -> S3Store:
    parts = urlsplit(url)
    return S3Store(
        str(parts.hostname),
        prefix=parts.path.strip("/") or None,
        endpoint=parse_qs(parts.query)["endpoint"][0],
        access_key_id=str(parts.username),
        secret_access_key=str(parts.password),
        region="us-east-1",
        virtual_hosted_style_request=False,
        client_options={"allow_http": True},
    )
