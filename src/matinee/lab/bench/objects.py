"""Objects into S3 and out again, beside obstore alone on the same engine."""

from __future__ import annotations

import os
from urllib.parse import parse_qs, urlsplit

import obstore
from obstore.store import S3Store

from matinee.drivers.objects import ObjectStore
from matinee.lab.bench.harness import Bench, Call, time_in_turns

GOAL = 1.15
SEGMENT_BYTES, FILE_BYTES = 1 << 20, 64 << 20
IN_FLIGHT = 8


async def measure(bench: Bench) -> None:
    """Measure; takes about half a minute."""
    url, segments, files = bench.open_engine("s3"), bench.size(60, 4), bench.size(2, 1)
    ours, bare = ObjectStore(url), _open_bare(url)
    data, file = os.urandom(SEGMENT_BYTES), bench.folder / "file"
    file.write_bytes(os.urandom(FILE_BYTES))

    async def compare(name: str, bare_call: Call, own_call: Call, count: int, in_flight: int) -> None:
        variants = {"obstore alone": bare_call, "ours": own_call}
        baseline, samples = await time_in_turns(variants, count=count, in_flight=in_flight, rounds=bench.size(5, 1))
        bench.report(name, samples, "ms", baseline=baseline, max_ratio=GOAL)

    await compare(
        "1 MiB up",
        lambda n: obstore.put_async(bare, f"bare/{n}", data),
        lambda n: ours.put(f"ours/{n}", data),
        segments,
        IN_FLIGHT,
    )
    await compare("1 MiB down", lambda n: _get(bare, f"bare/{n}"), lambda n: ours.get(f"ours/{n}"), segments, IN_FLIGHT)
    await compare(
        "file of 64 MiB up",
        lambda n: obstore.put_async(bare, f"bare-file/{n}", file, chunk_size=8 << 20),
        lambda n: ours.put_file(f"ours-file/{n}", file),
        files,
        1,
    )


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
