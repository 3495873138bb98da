"""Uploads in S3. Each is a multipart upload, so that any gateway can receive the next bytes.

A record beside the file lists the parts, the current writer and its lease. It is only replaced with a conditional put
(If-Match), so one writer at a time changes it. A part counts once the record lists it. Bytes that do not fill a part
are stored in a further object, the remainder. The record is saved after each part and before anything is acknowledged.
A kill at any time leaves at most bytes that no record lists; they are not part of the completed file, and `expire`
deletes them.

A writer whose lease has expired is replaced. If it is still running, its next save fails and it stops; it cannot
overwrite anything, because the next writer uses other part numbers.
"""

from matinee.gateway.adapters.s3.store import S3UploadStore
from matinee.gateway.adapters.s3.writer import LEASE_MS

__all__ = ["LEASE_MS", "S3UploadStore"]
