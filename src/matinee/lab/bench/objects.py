"""Objects up to S3 and down again, beside obstore alone on the same engine."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import obstore
import uvloop
from obstore.store import S3Store

from matinee.drivers.objects import ObjectStore
from matinee.lab.bench.figure import Figure, compared
from matinee.lab.bench.pace import engines, side_by_side

AREA = "objects"
GOAL = 1.15
SEGMENT_BYTES, FILE_BYTES = 1 << 20, 64 << 20
SEGMENTS, FILES, IN_FLIGHT = 60, 2, 8


def figures() -> list[Figure]:
    """Measure; about half a minute."""
    with engines("s3") as running:
        return uvloop.run(_measured(running["s3"].url("bench")))


async def _measured(url: str) -> list[Figure]:
    ours, theirs = ObjectStore(url), _bare(url)
    data = os.urandom(SEGMENT_BYTES)
    with tempfile.TemporaryDirectory(prefix="matinee-bench-") as place:
        file = Path(place) / "file"
        file.write_bytes(os.urandom(FILE_BYTES))
        up = await side_by_side(
            lambda n: obstore.put_async(theirs, f"bare/{n}", data),
            lambda n: ours.put(f"ours/{n}", data),
            count=SEGMENTS,
            in_flight=IN_FLIGHT,
        )
        down = await side_by_side(
            lambda n: _got(theirs, f"bare/{n}"), lambda n: ours.get(f"ours/{n}"), count=SEGMENTS, in_flight=IN_FLIGHT
        )
        large = await side_by_side(
            lambda n: obstore.put_async(theirs, f"bare-file/{n}", file, chunk_size=8 << 20),
            lambda n: ours.put_file(f"ours-file/{n}", file),
            count=FILES,
            in_flight=1,
        )
    named = {"1 MiB up": up, "1 MiB down": down, "a file of 64 MiB up": large}
    return [
        compared(AREA, name, took[1] / 1000, "ms", baseline=took[0] / 1000, baseline_name="obstore alone", goal=GOAL)
        for name, took in named.items()
    ]


async def _got(store: S3Store, key: str) -> bytes:
    return bytes(await (await obstore.get_async(store, key)).bytes_async())


def _bare(url: str) -> S3Store:
    place = urlsplit(url)
    return S3Store(
        str(place.hostname),
        prefix=place.path.strip("/") or None,
        endpoint=parse_qs(place.query)["endpoint"][0],
        access_key_id=str(place.username),
        secret_access_key=str(place.password),
        region="us-east-1",
        virtual_hosted_style_request=False,
        client_options={"allow_http": True},
    )
