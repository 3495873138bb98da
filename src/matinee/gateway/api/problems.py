"""What goes wrong at the gateway itself; each domain's problems come through as they are."""

from __future__ import annotations

from matinee.kit.ids import UploadId
from matinee.kit.problem import Problem


class Malformed(Problem, status=400):
    """This cannot be read: the body is no valid JSON."""


class NoSuchPage(Problem, status=404):
    """There is nothing at this address."""


class MethodNotAllowed(Problem, status=405):
    """This address does not take that method."""


class NotAcceptable(Problem, status=415):
    """The body is of a kind that is not taken here."""


class TooManyRequests(Problem, status=429):
    """Too many requests from you; wait a little."""

    retry_after_ms: int = 1000


class ForeignOrigin(Problem, status=403):
    """This comes from a page of another site."""


class Broken(Problem, status=500):
    """Something broke on our side; the trace id finds it in the log."""


class UploadNotFound(Problem, status=404):
    """There is no such upload, or it was left unfinished too long."""

    upload_id: UploadId


class UploadUnfinished(Problem, status=409):
    """This upload is not complete yet."""

    upload_id: UploadId


class UploadBusy(Problem, status=423):
    """Another request is writing to this upload just now; try again shortly."""

    upload_id: UploadId


class OffsetMismatch(Problem, status=409):
    """The upload stands at another offset."""

    offset_bytes: int


class ChecksumMismatch(Problem, status=460):
    """The bytes that arrived are not the bytes that were sent; send them again."""


class UnsupportedVersion(Problem, status=412):
    """This version of the tus protocol is not spoken here."""

    versions: str = "1.0.0"


class NoRoom(Problem, status=507):
    """There is not enough room on the disk for this upload."""

    needed_bytes: int
    free_bytes: int
