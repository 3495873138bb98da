"""The cache directory, shared by all workers of an edge. The directory is the truth; what a process knows is a hint.

    objects/ab/<sha256 of key>   whole objects, each behind a header that says what it is
    fills/<sha256 of key>        objects being written, each locked (flock) by the process that writes it
    state/                       heat, arrivals, the keeper's lock, the workers' figures

One process fills an object: the one that holds the lock. The others read along in the same file, where the header
says how far it has come. The kernel drops a dead process's lock, so a half-written file without a lock is rubbish, and
whoever finds it begins again. A finished file is flushed and renamed: no reader ever finds half an object.
"""

from __future__ import annotations

import asyncio
import errno
import fcntl
import hashlib
import os
import stat
import struct
import tempfile
from contextlib import suppress
from pathlib import Path
from weakref import WeakKeyDictionary

from matinee.edge.adapters.frequencies import SharedFrequencies
from matinee.edge.ports import ObjectMeta

HEADER_BYTES = 1024
_MAGIC = b"matinee1"
_HEAD = struct.Struct("<8sQQqHH")
_FILLED_AT = 8
_FILLED = struct.Struct("<Q")
_OPEN = os.O_CLOEXEC | os.O_NOFOLLOW
_HANDLES = 512
_SCRATCH_OBJECT_BYTES = 64 << 20
_SCRATCH_BYTES = 256 << 20
_ATTEMPTS = 8


def name_of(key: str) -> bytes:
    """The name an object has on the disk, whatever its key looks like."""
    return hashlib.sha256(key.encode()).digest()


class OpenFile:
    """A file that closes itself when the last who holds it lets go: a client may be reading what is evicted."""

    __slots__ = ("__weakref__", "fd")

    def __init__(self, fd: int) -> None:
        self.fd = fd

    def __del__(self) -> None:
        os.close(self.fd)


class DiskCachedObject:
    """A whole object."""

    __slots__ = ("file", "heat_slot", "meta", "offset")

    def __init__(self, file: OpenFile, meta: ObjectMeta, heat_slot: int) -> None:
        self.file = file
        self.meta = meta
        self.offset = HEADER_BYTES
        self.heat_slot = heat_slot


class DiskFillWriter:
    """An object that this process writes; `path` is None in memory."""

    def __init__(self, disk: DiskCacheStore, file: OpenFile, key: str, path: Path | None) -> None:
        self.file = file
        self.meta = ObjectMeta(key, 0, "", 0)
        self.offset = HEADER_BYTES
        self._disk = disk
        self._path = path
        self._filled = 0

    def describe(self, meta: ObjectMeta) -> None:
        if self._path is not None and meta.size_bytes + HEADER_BYTES > self._disk.limit_bytes // 2:
            raise OSError(errno.EFBIG, "larger than half the cache")
        self.meta = meta
        if self._path is not None:
            _reserve(self.file.fd, HEADER_BYTES + meta.size_bytes)
        os.pwrite(self.file.fd, _header(meta), 0)

    def write(self, data: bytes) -> None:
        if self._filled + len(data) > self.meta.size_bytes:
            raise OSError(errno.EFBIG, "more bytes than were announced")
        view, at = memoryview(data), HEADER_BYTES + self._filled
        while view:
            written = os.pwrite(self.file.fd, view, at)
            view, at = view[written:], at + written
        self._filled += len(data)
        os.pwrite(self.file.fd, _FILLED.pack(self._filled), _FILLED_AT)

    async def commit(self) -> None:
        if self._path is None:
            return
        # Without this a power cut could leave a file of the right size and the wrong bytes.
        await asyncio.to_thread(os.fsync, self.file.fd)
        path, self._path = self._path, None
        self._disk.adopt(path, self.meta)

    def discard(self) -> None:
        path, self._path = self._path, None
        if path is not None:
            path.unlink(missing_ok=True)
            fcntl.flock(self.file.fd, fcntl.LOCK_UN)


class DiskFillReader:
    """An object that another process writes."""

    def __init__(self, file: OpenFile) -> None:
        self.file = file
        self.offset = HEADER_BYTES

    def progress(self) -> tuple[ObjectMeta | None, int, bool]:
        alive = _is_locked(self.file.fd)  # asked first: what is read afterwards is then all there will be
        head = os.pread(self.file.fd, HEADER_BYTES, 0)
        meta = _meta(head)
        filled = _FILLED.unpack_from(head, _FILLED_AT)[0] if meta else 0
        return meta, filled, alive


class DiskCacheStore:
    """One process's view of a cache directory."""

    def __init__(self, root: Path, limit_bytes: int) -> None:
        self.limit_bytes = limit_bytes
        self._objects = root / "objects"
        self._fills = root / "fills"
        for folder in (self._fills, root / "state", *(self._objects / f"{n:02x}" for n in range(256))):
            folder.mkdir(parents=True, exist_ok=True)
        self._heat = SharedFrequencies(root / "state" / "heat")
        self._arrivals = os.open(
            root / "state" / "arrivals", os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600
        )
        self._known: dict[str, DiskCachedObject] = {}
        self._scratch: WeakKeyDictionary[OpenFile, int] = WeakKeyDictionary()

    def close(self) -> None:
        """Let go of every file."""
        self._known.clear()
        os.close(self._arrivals)

    def look(self, key: str) -> DiskCachedObject | None:
        stored = self._known.get(key)
        if stored is None and (stored := self._opened(key)) is None:
            return None
        self._heat.warm(stored.heat_slot)
        return stored

    def _opened(self, key: str) -> DiskCachedObject | None:
        name = name_of(key)
        try:
            file = OpenFile(os.open(self._object_path(name), os.O_RDONLY | _OPEN))
        except OSError:  # not there, or a disk that cannot read it: the origin has it
            return None
        if (meta := _whole(file.fd, key)) is None:
            with suppress(OSError):
                self._object_path(name).unlink()
            return None
        stored = self._known[key] = DiskCachedObject(file, meta, self._heat.slot(name))
        if len(self._known) > _HANDLES:
            del self._known[next(iter(self._known))]
        return stored

    def begin(self, key: str) -> DiskFillWriter | None:
        path = self._fills / name_of(key).hex()
        for _ in range(_ATTEMPTS):
            file = OpenFile(os.open(path, os.O_RDWR | os.O_CREAT | _OPEN, 0o600))
            if not _lock(file.fd):
                return None
            if not _is_at(file.fd, path):
                continue  # it was renamed or dropped between our opening and our locking it
            if os.fstat(file.fd).st_size == 0:
                return DiskFillWriter(self, file, key, path)
            path.unlink(missing_ok=True)  # left behind by a process that is dead
        return None

    def watch(self, key: str) -> DiskFillReader | None:
        try:
            return DiskFillReader(OpenFile(os.open(self._fills / name_of(key).hex(), os.O_RDONLY | _OPEN)))
        except FileNotFoundError:
            return None

    def scratch(self, meta: ObjectMeta) -> DiskFillWriter | None:
        taken = sum(self._scratch.values())
        if meta.size_bytes > _SCRATCH_OBJECT_BYTES or taken + meta.size_bytes > _SCRATCH_BYTES:
            return None
        file = OpenFile(_memory_file())
        self._scratch[file] = meta.size_bytes
        partial = DiskFillWriter(self, file, meta.key, None)
        partial.describe(meta)
        return partial

    def refresh(self) -> None:
        gone = [key for key, stored in self._known.items() if os.fstat(stored.file.fd).st_nlink == 0]
        for key in gone:
            del self._known[key]

    def adopt(self, path: Path, meta: ObjectMeta) -> None:
        """A finished fill becomes an object, and the keeper hears of it."""
        name = name_of(meta.key)
        path.rename(self._object_path(name))
        with suppress(OSError):  # a full disk: the keeper finds the object when it next walks the directory
            os.write(self._arrivals, name + _FILLED.pack(HEADER_BYTES + meta.size_bytes))

    def _object_path(self, name: bytes) -> Path:
        letters = name.hex()
        return self._objects / letters[:2] / letters


def _header(meta: ObjectMeta) -> bytes:
    etag, key = meta.etag.encode(), meta.key.encode()
    head = _HEAD.pack(_MAGIC, 0, meta.size_bytes, meta.modified_s, len(etag), len(key)) + etag + key
    if len(head) > HEADER_BYTES:
        raise OSError(errno.ENAMETOOLONG, "the entity tag or the key is too long")
    return head.ljust(HEADER_BYTES, b"\0")


def _meta(head: bytes) -> ObjectMeta | None:
    if len(head) < HEADER_BYTES:
        return None
    magic, _, size, modified_s, etag_bytes, key_bytes = _HEAD.unpack_from(head)
    text = head[_HEAD.size : _HEAD.size + etag_bytes + key_bytes]
    if magic != _MAGIC or len(text) != etag_bytes + key_bytes:
        return None
    try:
        return ObjectMeta(text[etag_bytes:].decode(), size, text[:etag_bytes].decode(), modified_s)
    except UnicodeDecodeError:
        return None


def _whole(fd: int, key: str) -> ObjectMeta | None:
    """What a stored file says it is; None where it is not whole, or is another's."""
    found = os.fstat(fd)
    head = os.pread(fd, HEADER_BYTES, 0)
    meta = _meta(head)
    if meta is None or meta.key != key or not stat.S_ISREG(found.st_mode):
        return None
    filled = _FILLED.unpack_from(head, _FILLED_AT)[0]
    return meta if filled == meta.size_bytes == found.st_size - HEADER_BYTES else None


def _lock(fd: int) -> bool:
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _is_locked(fd: int) -> bool:
    try:
        fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    fcntl.flock(fd, fcntl.LOCK_UN)
    return False


def _is_at(fd: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(fd), path.lstat())
    except FileNotFoundError:
        return False


def _memory_file() -> int:
    if hasattr(os, "memfd_create"):
        return os.memfd_create("matinee-fill", os.MFD_CLOEXEC)
    with tempfile.TemporaryFile() as file:
        return os.dup(file.fileno())


def _reserve(fd: int, size: int) -> None:
    if hasattr(os, "posix_fallocate"):
        os.posix_fallocate(fd, 0, size)
    else:
        os.ftruncate(fd, size)
