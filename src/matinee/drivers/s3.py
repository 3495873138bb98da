"""S3 by its own protocol: what an engine URL names, and the requests that obstore has no call for.

`s3://KEY:SECRET@bucket/prefix?endpoint=http://host:port&region=…&style=virtual&checksum=none`; what is left out comes
from the usual `AWS_…` environment. Requests are signed by Signature Version 4 in the header, which covers the SHA-256
of the body: a store that got other bytes than were sent refuses them
(https://docs.aws.amazon.com/AmazonS3/latest/API/sig-v4-header-based-auth.html).
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import hmac
import html
import os
import re
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Self
from urllib.parse import parse_qsl, quote, unquote, urlsplit
from xml.sax.saxutils import escape

import msgspec

from matinee.drivers.engine import EngineUnavailable, StoreFull
from matinee.drivers.http import ConnectFailed, ConnectionBroken, HttpClient, Response
from matinee.kit.clock import Clock, SystemClock
from matinee.kit.problem import Problem

LIMIT_S = 30.0
# Putting parts together copies all of them where the store is a plain file system.
LONG_S = 600.0
_TRIES = 4
_PAUSE_S = 0.2
_SERVER_ERROR = 500
_FULL = {"InsufficientStorage", "NoSpaceLeftOnDevice", "QuotaExceeded", "XMinioStorageFull", "ServiceQuotaExceeded"}
_OPTIONS = {"endpoint", "region", "style", "checksum"}


class BadStoreUrl(Problem, status=422):
    """This is not the URL of an object store."""


class BucketMissing(Problem, status=500):
    """The object store has no such bucket."""

    bucket: str


class StoreRefused(Problem, status=500):
    """The object store refuses a request of ours."""

    bucket: str
    operation: str


class MultipartGone(Problem, status=404):
    """There is no such multipart upload: it was completed or aborted."""

    key: str


class Address(msgspec.Struct, frozen=True, kw_only=True):
    """What an `s3://` URL names. `prefix` has no slash at either end; `key_id` is empty where a role is to be asked."""

    bucket: str
    prefix: str
    endpoint: str
    region: str
    key_id: str
    secret: str
    token: str
    virtual: bool
    checksum: bool

    @classmethod
    def of(cls, url: str, environment: Mapping[str, str] = os.environ) -> Self:
        """Read a URL. Raises BadStoreUrl."""
        parts, options = urlsplit(url), dict(parse_qsl(urlsplit(url).query))
        if parts.scheme != "s3" or not parts.hostname:
            raise _unusable(url, "say s3://KEY:SECRET@bucket/prefix?endpoint=…")
        if unknown := options.keys() - _OPTIONS:
            raise _unusable(url, f"{min(unknown)!r} is none of {', '.join(sorted(_OPTIONS))}")
        if bool(parts.username) != bool(parts.password):
            raise _unusable(url, "give both the key and the secret (% for what a URL takes for its own), or neither")
        bucket = parts.netloc.rpartition("@")[2]
        region = options.get("region") or environment.get("AWS_REGION") or environment.get("AWS_DEFAULT_REGION")
        own = parts.username is not None
        return cls(
            bucket=bucket,
            prefix=unquote(parts.path).strip("/"),
            endpoint=_endpoint(url, options, environment),
            region=region or "us-east-1",
            key_id=unquote(parts.username or "") or environment.get("AWS_ACCESS_KEY_ID", ""),
            secret=unquote(parts.password or "") or environment.get("AWS_SECRET_ACCESS_KEY", ""),
            token="" if own else environment.get("AWS_SESSION_TOKEN", ""),
            virtual=options.get("style", "path") == "virtual",
            checksum=options.get("checksum", "sha256") == "sha256",
        )

    @property
    def engine(self) -> str:
        """The store as a person knows it: `s3 at host:port`."""
        return f"s3 at {(self.endpoint or self.base).partition('//')[2]}"

    @property
    def base(self) -> str:
        """Where the bucket is asked: `http://host/bucket`, or `https://bucket.host`."""
        endpoint = self.endpoint or f"https://s3.{self.region}.amazonaws.com"
        scheme, _, host = endpoint.partition("://")
        return f"{scheme}://{self.bucket}.{host}" if self.virtual else f"{endpoint}/{self.bucket}"

    def at(self, key: str) -> str:
        """A key as the bucket has it, with the prefix."""
        return "/".join(part for part in (self.prefix, key) if part)

    def key_below(self, outer: Address) -> str | None:
        """This place as a key of another's; None where it is not the same bucket or not below its prefix."""
        above = f"{outer.prefix}/" if outer.prefix else ""
        if (self.bucket, self.endpoint) != (outer.bucket, outer.endpoint) or not f"{self.prefix}/".startswith(above):
            return None
        return self.prefix.removeprefix(outer.prefix).strip("/")


class Part(msgspec.Struct, frozen=True):
    """A part of a multipart upload, as the store acknowledged it."""

    number: int
    etag: str


class Unfinished(msgspec.Struct, frozen=True):
    """A multipart upload that was neither completed nor aborted; the key is without the prefix."""

    key: str
    upload_id: str
    begun_at: datetime


class Bucket:
    """One bucket, below a prefix. Use as `async with Bucket(address) as bucket:`. Needs a key and a secret.

    Every request is bounded and repeated where it may be; all raise EngineUnavailable, StoreFull, BucketMissing, StoreRefused.
    """

    def __init__(self, address: Address, *, clock: Clock | None = None) -> None:
        if not address.key_id:
            detail = f"The bucket {address.bucket!r}: this needs an access key and a secret, in the URL or in AWS_…"
            raise StoreRefused(bucket=address.bucket, operation="sign", detail=detail)
        self.address = address
        self._clock = clock or SystemClock()
        self._http = HttpClient()

    async def __aenter__(self) -> Self:
        await self._http.__aenter__()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._http.__aexit__()

    async def make(self) -> None:
        """Make the bucket. Idempotent."""
        region, body = self.address.region, b""
        if region != "us-east-1":
            body = (
                '<CreateBucketConfiguration xmlns="http://s3.amazonaws.com/doc/2006-03-01/">'
                f"<LocationConstraint>{escape(region)}</LocationConstraint></CreateBucketConfiguration>"
            ).encode()
        await self._send("PUT", "", body=body, operation="CreateBucket", known=(409,))

    async def begin(self, key: str) -> str:
        """Begin a multipart upload; tells its id."""
        answer = await self._send("POST", key, {"uploads": ""}, operation="CreateMultipartUpload")
        return _inside(answer.body, "UploadId")

    async def put_part(self, key: str, upload_id: str, number: int, data: bytes) -> Part:
        """Store a part (5 MiB and more, but for the last), checked by its SHA-256."""
        query = {"partNumber": str(number), "uploadId": upload_id}
        answer = await self._send("PUT", key, query, body=data, operation="UploadPart", limit_s=LONG_S)
        return Part(number, answer.headers.get("ETag", ""))

    async def copy_part(self, key: str, upload_id: str, number: int, source: str, start: int, stop: int) -> Part:
        """Store bytes of another object of this bucket as a part, without their leaving the store."""
        query = {"partNumber": str(number), "uploadId": upload_id}
        headers = {
            "x-amz-copy-source": quote(f"/{self.address.bucket}/{self.address.at(source)}", safe="/-_.~"),
            "x-amz-copy-source-range": f"bytes={start}-{stop - 1}",
        }
        answer = await self._send("PUT", key, query, headers=headers, operation="UploadPartCopy", limit_s=LONG_S)
        return Part(number, _inside(answer.body, "ETag"))

    async def complete(self, key: str, upload_id: str, parts: Sequence[Part]) -> None:
        """Make one object of the parts. Raises MultipartGone, also where an earlier try had come through."""
        listed = "".join(
            f"<Part><PartNumber>{part.number}</PartNumber><ETag>{escape(part.etag)}</ETag></Part>" for part in parts
        )
        body = f"<CompleteMultipartUpload>{listed}</CompleteMultipartUpload>".encode()
        operation = "CompleteMultipartUpload"
        await self._send("POST", key, {"uploadId": upload_id}, body=body, operation=operation, limit_s=LONG_S)

    async def abort(self, key: str, upload_id: str) -> None:
        """Give a multipart upload up. Idempotent."""
        with contextlib.suppress(MultipartGone):
            await self._send("DELETE", key, {"uploadId": upload_id}, operation="AbortMultipartUpload")

    async def unfinished(self, prefix: str) -> list[Unfinished]:
        """Multipart uploads under way or left behind, below a prefix."""
        found: list[Unfinished] = []
        query = {"uploads": "", "prefix": self.address.at(prefix)}
        while True:
            answer = await self._send("GET", "", query, operation="ListMultipartUploads")
            found += [self._unfinished(text) for text in _all(answer.body, "Upload")]
            if _inside(answer.body, "IsTruncated") != "true":
                return found
            query |= {
                "key-marker": _inside(answer.body, "NextKeyMarker"),
                "upload-id-marker": _inside(answer.body, "NextUploadIdMarker"),
            }

    def _unfinished(self, text: bytes) -> Unfinished:
        key = _inside(text, "Key").removeprefix(f"{self.address.prefix}/" if self.address.prefix else "")
        begun_at = datetime.fromisoformat(_inside(text, "Initiated").replace("Z", "+00:00"))
        return Unfinished(key, _inside(text, "UploadId"), begun_at)

    async def _send(
        self,
        method: str,
        key: str,
        query: Mapping[str, str] | None = None,
        *,
        body: bytes = b"",
        headers: Mapping[str, str] | None = None,
        operation: str,
        known: Sequence[int] = (),
        limit_s: float = LIMIT_S,
    ) -> Response:
        """Send a request, again where the store does not answer or stumbles; an answer that is no success is told."""
        digest = (await asyncio.to_thread(hashlib.sha256, body)).hexdigest()
        trouble: Problem = EngineUnavailable(engine=self.address.engine)
        for attempt in range(_TRIES):
            await asyncio.sleep(_PAUSE_S * attempt**2)
            url, signed = self._signed(method, key, query or {}, headers or {}, digest)
            try:
                answer = await self._http.request(method, url, body=body, headers=signed, timeout_s=limit_s)
            except (ConnectFailed, ConnectionBroken, TimeoutError) as error:
                trouble = away(self.address, operation, str(error) or "it took too long")
                continue
            told = self._told(answer, operation, key)
            if told is None or answer.status in known:
                return answer
            if not isinstance(told, EngineUnavailable):
                raise told
            trouble = told
        raise trouble

    def _told(self, answer: Response, operation: str, key: str) -> Problem | None:
        """What is wrong with an answer. A completion may fail under the status 200, as its first bytes go out early."""
        code, message = _inside(answer.body, "Code"), _inside(answer.body, "Message")
        if answer.status < 300 and b"<Error>" not in answer.body:
            return None
        status = answer.status if answer.status >= 300 else _SERVER_ERROR
        return problem(self.address, status, code, message, operation=operation, key=key)

    def _signed(
        self, method: str, key: str, query: Mapping[str, str], headers: Mapping[str, str], digest: str
    ) -> tuple[str, dict[str, str]]:
        """The URL and the headers of a signed request."""
        address, now = self.address, f"{self._clock.now():%Y%m%dT%H%M%SZ}"
        scheme, _, rest = address.base.partition("://")
        host, _, path = rest.partition("/")
        path = "/" + quote("/".join(part for part in (path, address.at(key) if key else "") if part), safe="/-_.~")
        asked = "&".join(f"{quote(name, safe='-_.~')}={quote(query[name], safe='-_.~')}" for name in sorted(query))
        signed = {"host": host, "x-amz-content-sha256": digest, "x-amz-date": now, **headers}
        if address.token:
            signed["x-amz-security-token"] = address.token
        names = ";".join(sorted(signed))
        lines = "".join(f"{name}:{signed[name]}\n" for name in sorted(signed))
        request = f"{method}\n{path}\n{asked}\n{lines}\n{names}\n{digest}"
        scope = f"{now[:8]}/{address.region}/s3/aws4_request"
        text = f"AWS4-HMAC-SHA256\n{now}\n{scope}\n{hashlib.sha256(request.encode()).hexdigest()}"
        signature = _hmac(self._key(now[:8]), text).hex()
        signed["authorization"] = (
            f"AWS4-HMAC-SHA256 Credential={address.key_id}/{scope},SignedHeaders={names},Signature={signature}"
        )
        return f"{scheme}://{host}{path}{f'?{asked}' if asked else ''}", signed

    def _key(self, day: str) -> bytes:
        key = f"AWS4{self.address.secret}".encode()
        for text in (day, self.address.region, "s3", "aws4_request"):
            key = _hmac(key, text)
        return key


def problem(address: Address, status: int, code: str, message: str, *, operation: str, key: str = "") -> Problem:
    """What an answer of the store means; `code` and `message` are its own words, where it gave some."""
    said = ": ".join(part for part in (code, message.rstrip(".")) if part) or f"status {status}"
    bucket = address.bucket
    where = f"The bucket {bucket!r}, {operation}{f' {key!r}' if key else ''}: {said}"
    if code in _FULL or status == 507:
        return StoreFull(detail=f"{where}.")
    if code == "NoSuchUpload":
        return MultipartGone(key=key)
    if code == "NoSuchBucket":
        return BucketMissing(bucket=bucket, detail=f"There is no bucket {bucket!r}: make it, or name another.")
    if status >= _SERVER_ERROR or status == 429 or code in {"SlowDown", "RequestTimeout"}:
        return away(address, operation, said)
    remedy = "Check the key and the secret, and what they may do there."
    return StoreRefused(bucket=bucket, operation=operation, detail=f"{where}. {remedy}")


def away(address: Address, operation: str, why: str) -> EngineUnavailable:
    """The store does not answer."""
    detail = f"{address.engine} does not answer (bucket {address.bucket!r}, {operation}): {why}."
    return EngineUnavailable(engine=address.engine, detail=detail)


def _endpoint(url: str, options: Mapping[str, str], environment: Mapping[str, str]) -> str:
    said = options.get("endpoint") or environment.get("AWS_ENDPOINT_URL_S3") or environment.get("AWS_ENDPOINT_URL", "")
    if said and not re.fullmatch(r"https?://[^/]+/?", said):
        raise _unusable(url, f"the endpoint is http://host:port or https://host, not {said!r}")
    for name, values in (("style", {"path", "virtual"}), ("checksum", {"sha256", "none"})):
        if options.get(name) not in {None, *values}:
            raise _unusable(url, f"{name} is one of {', '.join(sorted(values))}")
    return said.rstrip("/")


def _unusable(url: str, remedy: str) -> BadStoreUrl:
    place = urlsplit(url).netloc.rpartition("@")[2]
    return BadStoreUrl(detail=f"The object store's URL (…{place}…) cannot be used: {remedy}.")


def _hmac(key: bytes, text: str) -> bytes:
    return hmac.digest(key, text.encode(), "sha256")


def _all(body: bytes, name: str) -> list[bytes]:
    return re.findall(rf"<{name}>(.*?)</{name}>".encode(), body, re.DOTALL)


def _inside(body: bytes, name: str) -> str:
    """The text of the first element of a name: S3's answers are flat, and an element is said once where we look."""
    found = _all(body, name)
    return html.unescape(found[0].decode()) if found else ""
