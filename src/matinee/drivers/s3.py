"""S3: the location that an engine URL names, and the requests that obstore does not offer.

The URL is `s3://KEY:SECRET@bucket/prefix?endpoint=http://host:port&region=…&style=virtual&checksum=none`. Missing
parts are taken from the usual `AWS_…` environment variables. botocore signs the requests (Signature Version 4). The
signature covers the SHA-256 of the body, so the store refuses a body that was altered on the way.
"""

from __future__ import annotations

import asyncio
import contextlib
import html
import os
import re
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, Self
from urllib.parse import parse_qsl, quote, unquote, urlencode, urlsplit
from xml.sax.saxutils import escape

import msgspec
from obstore.store import S3Store

from matinee.drivers.engine import EngineUnavailable, StoreFull
from matinee.drivers.http import ConnectFailed, ConnectionBroken, HttpClient, Response
from matinee.kit.problem import Problem

TIMEOUT_S = 30.0
# For parts: a store that keeps objects in a plain file system copies every part when it completes an upload.
PART_TIMEOUT_S = 600.0
_ATTEMPTS = 4
_BACKOFF_S = 0.2
_SERVER_ERROR = 500
_FULL = {"InsufficientStorage", "NoSpaceLeftOnDevice", "QuotaExceeded", "XMinioStorageFull", "ServiceQuotaExceeded"}
_OPTIONS = {"endpoint", "region", "style", "checksum"}


class BadStoreUrl(Problem, status=422):
    """The URL does not name an object store."""


class BucketMissing(Problem, status=500):
    """The object store has no such bucket."""

    bucket: str


class StoreRefused(Problem, status=500):
    """The object store refused a request."""

    bucket: str
    operation: str


class MultipartUploadNotFound(Problem, status=404):
    """There is no such multipart upload: it was completed or aborted."""

    key: str


class S3Location(msgspec.Struct, frozen=True, kw_only=True):
    """The parts of an `s3://` URL. `prefix` has no slash at either end; without a `key_id` the store uses a role."""

    bucket: str
    prefix: str
    endpoint: str
    region: str
    key_id: str
    secret: str
    token: str
    virtual_hosted: bool
    checksum: bool

    @classmethod
    def parse(cls, url: str, environment: Mapping[str, str] = os.environ) -> Self:
        """Parse a URL. Raises BadStoreUrl."""
        parts, options = urlsplit(url), dict(parse_qsl(urlsplit(url).query))
        if parts.scheme != "s3" or not parts.hostname:
            raise _bad_url(url, "use s3://KEY:SECRET@bucket/prefix?endpoint=…")
        if unknown := options.keys() - _OPTIONS:
            raise _bad_url(url, f"{min(unknown)!r} is not one of {', '.join(sorted(_OPTIONS))}")
        if bool(parts.username) != bool(parts.password):
            raise _bad_url(url, "give both the key and the secret (percent-encode reserved characters), or neither")
        region = options.get("region") or environment.get("AWS_REGION") or environment.get("AWS_DEFAULT_REGION")
        return cls(
            bucket=parts.netloc.rpartition("@")[2],
            prefix=unquote(parts.path).strip("/"),
            endpoint=_parse_endpoint(url, options, environment),
            region=region or "us-east-1",
            key_id=unquote(parts.username or "") or environment.get("AWS_ACCESS_KEY_ID", ""),
            secret=unquote(parts.password or "") or environment.get("AWS_SECRET_ACCESS_KEY", ""),
            # The environment's token belongs to the environment's key.
            token="" if parts.username else environment.get("AWS_SESSION_TOKEN", ""),
            virtual_hosted=options.get("style", "path") == "virtual",
            checksum=options.get("checksum", "sha256") == "sha256",
        )

    @property
    def engine(self) -> str:
        """The store for display: `s3 at host:port`."""
        return f"s3 at {(self.endpoint or self.bucket_url).partition('//')[2]}"

    @property
    def bucket_url(self) -> str:
        """The URL of the bucket: `http://host/bucket`, or `https://bucket.host` where it is virtual-hosted."""
        endpoint = self.endpoint or f"https://s3.{self.region}.amazonaws.com"
        scheme, _, host = endpoint.partition("://")
        return f"{scheme}://{self.bucket}.{host}" if self.virtual_hosted else f"{endpoint}/{self.bucket}"

    def full_key(self, key: str) -> str:
        """Return a key with the prefix, as the bucket has it."""
        return "/".join(part for part in (self.prefix, key) if part)

    def relative_to(self, outer: S3Location) -> str | None:
        """Return this location as a key below another one; None if it is elsewhere."""
        above = f"{outer.prefix}/" if outer.prefix else ""
        if (self.bucket, self.endpoint) != (outer.bucket, outer.endpoint) or not f"{self.prefix}/".startswith(above):
            return None
        return self.prefix.removeprefix(outer.prefix).strip("/")


class CompletedPart(msgspec.Struct, frozen=True):
    """A part of a multipart upload that the store has acknowledged."""

    number: int
    etag: str


class MultipartUpload(msgspec.Struct, frozen=True):
    """A multipart upload that was neither completed nor aborted. The key is without the prefix."""

    key: str
    upload_id: str
    initiated_at: datetime


class S3Bucket:
    """A bucket below a prefix. Use as `async with S3Bucket(location) as bucket:`. Needs a key and a secret.

    Requests have a timeout and are repeated. All raise EngineUnavailable, StoreFull, BucketMissing and StoreRefused.
    """

    def __init__(self, location: S3Location) -> None:
        from botocore.auth import S3SigV4Auth  # botocore takes long to import, and few processes sign
        from botocore.credentials import Credentials

        if not location.key_id:
            detail = (
                f"The bucket {location.bucket!r} needs an access key and a secret, in its URL or in AWS_… variables."
            )
            raise StoreRefused(bucket=location.bucket, operation="sign", detail=detail)
        self.location = location
        credentials = Credentials(location.key_id, location.secret, location.token or None)
        self._signer = S3SigV4Auth(credentials, "s3", location.region)
        self._http = HttpClient()

    async def __aenter__(self) -> Self:
        await self._http.__aenter__()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._http.__aexit__()

    async def create(self) -> None:
        """Create the bucket. Idempotent."""
        region, body = self.location.region, b""
        if region != "us-east-1":
            body = (
                '<CreateBucketConfiguration xmlns="http://s3.amazonaws.com/doc/2006-03-01/">'
                f"<LocationConstraint>{escape(region)}</LocationConstraint></CreateBucketConfiguration>"
            ).encode()
        await self._send("PUT", "", body=body, operation="CreateBucket", accept=(409,))

    async def create_upload(self, key: str) -> str:
        """Create a multipart upload and return its id."""
        response = await self._send("POST", key, {"uploads": ""}, operation="CreateMultipartUpload")
        return _find_text(response.body, "UploadId")

    async def upload_part(self, key: str, upload_id: str, number: int, data: bytes) -> CompletedPart:
        """Store a part. Every part but the last has at least 5 MiB."""
        query = {"partNumber": str(number), "uploadId": upload_id}
        response = await self._send("PUT", key, query, body=data, operation="UploadPart", timeout_s=PART_TIMEOUT_S)
        return CompletedPart(number, response.headers.get("ETag", ""))

    async def copy_part(
        self, key: str, upload_id: str, number: int, source: str, start: int, stop: int
    ) -> CompletedPart:
        """Store a byte range of another object of this bucket as a part, copied inside the store."""
        query = {"partNumber": str(number), "uploadId": upload_id}
        headers = {
            "x-amz-copy-source": quote(f"/{self.location.bucket}/{self.location.full_key(source)}"),
            "x-amz-copy-source-range": f"bytes={start}-{stop - 1}",
        }
        response = await self._send(
            "PUT", key, query, headers=headers, operation="UploadPartCopy", timeout_s=PART_TIMEOUT_S
        )
        return CompletedPart(number, _find_text(response.body, "ETag"))

    async def complete_upload(self, key: str, upload_id: str, parts: Sequence[CompletedPart]) -> None:
        """Join the parts into the object. Raises MultipartUploadNotFound, also if an earlier call has done so."""
        listed = "".join(
            f"<Part><PartNumber>{part.number}</PartNumber><ETag>{escape(part.etag)}</ETag></Part>" for part in parts
        )
        body = f"<CompleteMultipartUpload>{listed}</CompleteMultipartUpload>".encode()
        operation = "CompleteMultipartUpload"
        await self._send("POST", key, {"uploadId": upload_id}, body=body, operation=operation, timeout_s=PART_TIMEOUT_S)

    async def abort_upload(self, key: str, upload_id: str) -> None:
        """Abort a multipart upload and free its parts. Idempotent."""
        with contextlib.suppress(MultipartUploadNotFound):
            await self._send("DELETE", key, {"uploadId": upload_id}, operation="AbortMultipartUpload")

    async def list_uploads(self, prefix: str) -> list[MultipartUpload]:
        """List the unfinished multipart uploads below a prefix."""
        found: list[MultipartUpload] = []
        query = {"uploads": "", "prefix": self.location.full_key(prefix)}
        while True:
            body = (await self._send("GET", "", query, operation="ListMultipartUploads")).body
            found += [self._parse_upload(element) for element in _find_elements(body, "Upload")]
            if _find_text(body, "IsTruncated") != "true":
                return found
            query["key-marker"] = _find_text(body, "NextKeyMarker")
            query["upload-id-marker"] = _find_text(body, "NextUploadIdMarker")

    def _parse_upload(self, element: bytes) -> MultipartUpload:
        key = _find_text(element, "Key").removeprefix(f"{self.location.prefix}/" if self.location.prefix else "")
        initiated_at = datetime.fromisoformat(_find_text(element, "Initiated").replace("Z", "+00:00"))
        return MultipartUpload(key, _find_text(element, "UploadId"), initiated_at)

    async def _send(
        self,
        method: str,
        key: str,
        query: Mapping[str, str] | None = None,
        *,
        body: bytes = b"",
        headers: Mapping[str, str] | None = None,
        operation: str,
        accept: Sequence[int] = (),
        timeout_s: float = TIMEOUT_S,
    ) -> Response:
        """Send a request; repeat it while the store is unavailable. Returns a success or a status in `accept`."""
        problem: Problem = EngineUnavailable(engine=self.location.engine)
        for attempt in range(_ATTEMPTS):
            await asyncio.sleep(_BACKOFF_S * attempt**2)
            # In a thread, because hashing a part takes milliseconds.
            url, signed = await asyncio.to_thread(self._sign, method, key, query or {}, headers or {}, body)
            try:
                response = await self._http.request(method, url, body=body, headers=signed, timeout_s=timeout_s)
            except (ConnectFailed, ConnectionBroken, TimeoutError) as error:
                problem = unavailable(self.location, operation, str(error) or "the request timed out")
                continue
            failure = self._read_failure(response, operation, key)
            if failure is None or response.status in accept:
                return response
            if not isinstance(failure, EngineUnavailable):
                raise failure
            problem = failure
        raise problem

    def _read_failure(self, response: Response, operation: str, key: str) -> Problem | None:
        """Return the failure of a response. CompleteMultipartUpload can fail with status 200 and an error body."""
        if response.status < 300 and b"<Error>" not in response.body:
            return None
        status = response.status if response.status >= 300 else _SERVER_ERROR
        code, message = _find_text(response.body, "Code"), _find_text(response.body, "Message")
        return to_problem(self.location, status, code, message, operation=operation, key=key)

    def _sign(
        self, method: str, key: str, query: Mapping[str, str], headers: Mapping[str, str], body: bytes
    ) -> tuple[str, dict[str, str]]:
        """Return the URL and the headers of a signed request."""
        from botocore.awsrequest import AWSRequest

        path = quote(self.location.full_key(key)) if key else ""
        url = f"{self.location.bucket_url}/{path}?{urlencode(query, quote_via=quote)}".rstrip("?")
        request = AWSRequest(method, url, dict(headers), body)
        self._signer.add_auth(request)
        return url, dict(request.headers.items())


def to_problem(location: S3Location, status: int, code: str, message: str, *, operation: str, key: str = "") -> Problem:
    """Return the problem for an error response of the store; `code` and `message` may be empty."""
    reason = ": ".join(part for part in (code, message.rstrip(".")) if part) or f"status {status}"
    bucket = location.bucket
    failure = f"Bucket {bucket!r}, {operation}{f' {key!r}' if key else ''}: {reason}"
    if code in _FULL or status == 507:
        return StoreFull(detail=f"{failure}.")
    if code == "NoSuchUpload":
        return MultipartUploadNotFound(key=key)
    if code == "NoSuchBucket":
        return BucketMissing(bucket=bucket, detail=f"There is no bucket {bucket!r}: create it, or name another one.")
    if status >= _SERVER_ERROR or status == 429 or code in {"SlowDown", "RequestTimeout"}:
        return unavailable(location, operation, reason)
    remedy = "Check the access key, its secret and its permissions on the bucket."
    return StoreRefused(bucket=bucket, operation=operation, detail=f"{failure}. {remedy}")


def unavailable(location: S3Location, operation: str, reason: str) -> EngineUnavailable:
    """Return the problem for a store that does not answer."""
    detail = f"{location.engine} does not answer (bucket {location.bucket!r}, {operation}): {reason}."
    return EngineUnavailable(engine=location.engine, detail=detail)


def _parse_endpoint(url: str, options: Mapping[str, str], environment: Mapping[str, str]) -> str:
    endpoint = (
        options.get("endpoint") or environment.get("AWS_ENDPOINT_URL_S3") or environment.get("AWS_ENDPOINT_URL", "")
    )
    if endpoint and not re.fullmatch(r"https?://[^/]+/?", endpoint):
        raise _bad_url(url, f"the endpoint must be http://host:port or https://host, not {endpoint!r}")
    for name, values in (("style", {"path", "virtual"}), ("checksum", {"sha256", "none"})):
        if options.get(name) not in {None, *values}:
            raise _bad_url(url, f"{name} must be one of {', '.join(sorted(values))}")
    return endpoint.rstrip("/")


def _bad_url(url: str, remedy: str) -> BadStoreUrl:
    host = urlsplit(url).netloc.rpartition("@")[2]
    return BadStoreUrl(detail=f"The object store's URL (…{host}…) is invalid: {remedy}.")


def _find_elements(body: bytes, name: str) -> list[bytes]:
    return re.findall(rf"<{name}>(.*?)</{name}>".encode(), body, re.DOTALL)


def _find_text(body: bytes, name: str) -> str:
    """Return the text of the first element with a name. The elements that we read occur once and have no children."""
    found = _find_elements(body, name)
    return html.unescape(found[0].decode()) if found else ""


def build_store(location: S3Location, idle_timeout_s: float, attempts: int) -> S3Store:
    """Build obstore's client of a bucket. The limits are those of `drivers.objects.ObjectStore`."""
    options: dict[str, Any] = {}
    if location.key_id:
        # By a provider: obstore would add the environment's session token to keys that are passed as options.
        credentials = {"access_key_id": location.key_id, "secret_access_key": location.secret, "expires_at": None}
        credentials |= {"token": location.token} if location.token else {}
        options["credential_provider"] = lambda: credentials
    if location.checksum:
        options["checksum_algorithm"] = "sha256"
    if location.endpoint:
        options["endpoint"] = location.bucket_url if location.virtual_hosted else location.endpoint
    return S3Store(
        location.bucket,
        prefix=location.prefix or None,
        region=location.region,
        virtual_hosted_style_request=location.virtual_hosted,
        client_options={
            "allow_http": location.endpoint.startswith("http://"),
            "connect_timeout": timedelta(seconds=min(5.0, idle_timeout_s)),
            "read_timeout": timedelta(seconds=idle_timeout_s),
            # Limits a complete response, which may be long and read slowly; `read_timeout` detects a silent store.
            "timeout": timedelta(hours=6),
        },
        retry_config={
            "max_retries": attempts - 1,
            "retry_timeout": timedelta(seconds=idle_timeout_s * 2),
            "backoff": {"init_backoff": timedelta(milliseconds=100), "max_backoff": timedelta(seconds=2), "base": 2},
        },
        **options,
    )
