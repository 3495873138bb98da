"""The problems of the gateway itself; those of the domains are passed through unchanged."""

from __future__ import annotations

from matinee.kit.ids import UploadId
from matinee.kit.problem import Problem


class Malformed(Problem, status=400):
    """The body is not valid JSON."""


class MalformedRequest(Problem, status=400):
    """The request is not valid HTTP."""


class HeadersTooLarge(Problem, status=431):
    """The headers of the request are too large."""


class ClientLeft(Problem, status=499):
    """The client closed the connection before its request had arrived."""


class TooSlow(Problem, status=408):
    """The request arrives too slowly."""


class DuplicateKey(Problem, status=400):
    """An object in the body has a key twice."""

    key: str


class NoSuchPage(Problem, status=404):
    """There is no such page."""


class MethodNotAllowed(Problem, status=405):
    """This address does not allow the method."""


class NotAcceptable(Problem, status=415):
    """The media type of the body is not supported."""


class TooManyRequests(Problem, status=429):
    """Too many requests; wait a moment."""

    retry_after_ms: int = 1000


class ForeignOrigin(Problem, status=403):
    """The request comes from a page of another site."""


class ProxyBypassed(Problem, status=403):
    """Requests are accepted only through the proxy in front of the gateway."""


class MisdirectedRequest(Problem, status=421):
    """This deployment is not known by this host name."""

    host: str


class Broken(Problem, status=500):
    """An internal error; the trace id identifies it in the log."""


class UploadNotFound(Problem, status=404):
    """There is no such upload, or it has expired."""

    upload_id: UploadId


class UploadUnfinished(Problem, status=409):
    """The upload is not complete."""

    upload_id: UploadId


class UploadBusy(Problem, status=423):
    """Another request is writing to this upload; try again shortly."""

    upload_id: UploadId


class OffsetMismatch(Problem, status=409):
    """The upload is at another offset."""

    offset_bytes: int


class ChecksumMismatch(Problem, status=460):
    """The received bytes do not match the checksum; send them again."""


class UnsupportedVersion(Problem, status=412):
    """This version of the tus protocol is not supported."""

    versions: str = "1.0.0"


class InsufficientStorage(Problem, status=507):
    """There is not enough disk space for this upload."""

    needed_bytes: int
    free_bytes: int
