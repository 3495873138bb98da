"""The cache directory, shared by all workers of an edge.

    objects/ab/<sha256 of key>   complete objects, each after a header with its metadata
    fills/<sha256 of key>        objects being written, each locked (flock) by the process that writes it
    state/                       access counts, arrivals, the evictor's lock, the workers' metrics

The directory is authoritative; what a process has in memory is only a hint. One process fills an object: the one with
the lock. Others read the same file while it grows; the header has the number of bytes written. The kernel releases
the lock of a process that dies, so a fill without a lock is abandoned and is started again. A complete fill is
flushed and renamed, so no reader finds a partial object.
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

import msgspec

from matinee.edge.adapters.files import open_shared, try_lock
from matinee.edge.adapters.frequencies import SharedFrequencies
from matinee.edge.ports import ObjectMeta, OpenFile
from matinee.kit.disk import measure_spare_bytes

HEADER_BYTES = 1024
_MAGIC = b"matinee1"
_HEADER = struct.Struct("<8sQQqHH")
_FILLED_AT = 8
_FILLED = struct.Struct("<Q")
_OPEN_FLAGS = os.O_CLOEXEC | os.O_NOFOLLOW
_OPEN_FILES = 512
_MEMORY_OBJECT_BYTES = 64 << 20
_MEMORY_BYTES = 256 << 20
_ATTEMPTS = 8


class DiskCachedObject(msgspec.Struct):
    """Fulfils `CachedObject`; `slot` is where its accesses are counted."""

    file: OpenFile
    meta: ObjectMeta
    slot: int
    offset: int = HEADER_BYTES


class DiskFillWriter:
    """Fulfils `FillWriter`; `path` is None for a fill in memory."""

    def __init__(self, store: DiskCacheStore, file: OpenFile, key: str, path: Path | None) -> None:
        self.file = file
        self.meta = ObjectMeta(key, 0, "", 0)
        self.offset = HEADER_BYTES
        self._store = store
        self._path = path
        self._filled = 0

    def allocate(self, meta: ObjectMeta) -> None:
        if self._path is not None and meta.size_bytes + HEADER_BYTES > self._store.limit_bytes // 2:
            raise OSError(errno.EFBIG, "larger than half the cache")
        if self._path is not None and not self._store.has_space(self.file.fd, meta.size_bytes):
            raise OSError(errno.ENOSPC, "the rest of the disk is reserved")
        self.meta = meta
        if self._path is not None:
            _reserve(self.file.fd, HEADER_BYTES + meta.size_bytes)
        os.pwrite(self.file.fd, _pack_header(meta), 0)

    def write(self, data: bytes) -> None:
        if self._filled + len(data) > self.meta.size_bytes:
            raise OSError(errno.EFBIG, "more bytes than announced")
        view, at = memoryview(data), HEADER_BYTES + self._filled
        while view:
            written = os.pwrite(self.file.fd, view, at)
            view, at = view[written:], at + written
        self._filled += len(data)
        os.pwrite(self.file.fd, _FILLED.pack(self._filled), _FILLED_AT)

    async def commit(self) -> None:
        if self._path is None:
            return
        # Without this a power failure could leave a file of the right size with wrong bytes.
        await asyncio.to_thread(os.fsync, self.file.fd)
        path, self._path = self._path, None
        self._store.add_object(path, self.meta)

    def discard(self) -> None:
        path, self._path = self._path, None
        if path is not None:
            path.unlink(missing_ok=True)
            fcntl.flock(self.file.fd, fcntl.LOCK_UN)


class DiskFillReader:
    """Fulfils `FillReader`."""

    def __init__(self, file: OpenFile) -> None:
        self.file = file
        self.offset = HEADER_BYTES

    def read_progress(self) -> tuple[ObjectMeta | None, int, bool]:
        # The lock is checked first: if the writer is dead, what is read afterwards is final.
        alive = not try_lock(self.file.fd, fcntl.LOCK_SH)
        if not alive:
            fcntl.flock(self.file.fd, fcntl.LOCK_UN)
        header = os.pread(self.file.fd, HEADER_BYTES, 0)
        meta = _unpack_header(header)
        filled = _FILLED.unpack_from(header, _FILLED_AT)[0] if meta else 0
        return meta, filled, alive


class DiskCacheStore:
    """Fulfils `CacheStore`: one process's view of a cache directory."""

    def __init__(self, root: Path, limit_bytes: int, *, spare_bytes: int = 0) -> None:
        self.limit_bytes = limit_bytes
        self._spare_bytes = spare_bytes
        self._objects = root / "objects"
        self._fills = root / "fills"
        for folder in (self._fills, root / "state", *(self._objects / f"{n:02x}" for n in range(256))):
            folder.mkdir(parents=True, exist_ok=True)
        self._frequencies = SharedFrequencies(root / "state" / "heat")
        self._arrivals = open_shared(root / "state" / "arrivals", os.O_APPEND)
        self._opened: dict[str, DiskCachedObject] = {}
        self._in_memory: WeakKeyDictionary[OpenFile, int] = WeakKeyDictionary()

    def close(self) -> None:
        """Close every file."""
        self._opened.clear()
        os.close(self._arrivals)

    def has_space(self, fd: int, size_bytes: int) -> bool:
        """Whether an object fits on the disk of a file beside the reserve."""
        return measure_spare_bytes(fd, self._spare_bytes) >= size_bytes

    def find(self, key: str) -> DiskCachedObject | None:
        cached = self._opened.get(key) or self._open(key)
        if cached is not None:
            self._frequencies.increment(cached.slot)
        return cached

    def _open(self, key: str) -> DiskCachedObject | None:
        name = _hash_key(key)
        try:
            file = OpenFile(os.open(self._object_path(name), os.O_RDONLY | _OPEN_FLAGS))
        except OSError:  # absent, or unreadable: the origin has it
            return None
        if (meta := _read_complete(file.fd, key)) is None:
            with suppress(OSError):
                self._object_path(name).unlink()
            return None
        cached = self._opened[key] = DiskCachedObject(file, meta, self._frequencies.slot(name))
        if len(self._opened) > _OPEN_FILES:
            del self._opened[next(iter(self._opened))]
        return cached

    def begin_fill(self, key: str) -> DiskFillWriter | None:
        path = self._fills / _hash_key(key).hex()
        for _ in range(_ATTEMPTS):
            file = OpenFile(open_shared(path))
            if not try_lock(file.fd, fcntl.LOCK_EX):
                return None
            if not _is_at(file.fd, path):
                continue  # renamed or deleted between open and lock
            if os.fstat(file.fd).st_size == 0:
                return DiskFillWriter(self, file, key, path)
            path.unlink(missing_ok=True)  # abandoned by a process that died
        return None

    def follow_fill(self, key: str) -> DiskFillReader | None:
        try:
            return DiskFillReader(OpenFile(os.open(self._fills / _hash_key(key).hex(), os.O_RDONLY | _OPEN_FLAGS)))
        except FileNotFoundError:
            return None

    def begin_memory_fill(self, meta: ObjectMeta) -> DiskFillWriter | None:
        used = sum(self._in_memory.values())
        if meta.size_bytes > _MEMORY_OBJECT_BYTES or used + meta.size_bytes > _MEMORY_BYTES:
            return None
        file = OpenFile(_create_memory_file())
        self._in_memory[file] = meta.size_bytes
        writer = DiskFillWriter(self, file, meta.key, None)
        writer.allocate(meta)
        return writer

    def close_evicted(self) -> None:
        gone = [key for key, cached in self._opened.items() if os.fstat(cached.file.fd).st_nlink == 0]
        for key in gone:
            del self._opened[key]

    def add_object(self, path: Path, meta: ObjectMeta) -> None:
        """Move a complete fill to the objects and append it to the arrivals for the evictor."""
        name = _hash_key(meta.key)
        path.rename(self._object_path(name))
        with suppress(OSError):  # on a full disk the evictor finds the object at its next scan
            os.write(self._arrivals, name + _FILLED.pack(HEADER_BYTES + meta.size_bytes))

    def _object_path(self, name: bytes) -> Path:
        letters = name.hex()
        return self._objects / letters[:2] / letters


def _hash_key(key: str) -> bytes:
    return hashlib.sha256(key.encode()).digest()


def _pack_header(meta: ObjectMeta) -> bytes:
    etag, key = meta.etag.encode(), meta.key.encode()
    header = _HEADER.pack(_MAGIC, 0, meta.size_bytes, meta.modified_s, len(etag), len(key)) + etag + key
    if len(header) > HEADER_BYTES:
        raise OSError(errno.ENAMETOOLONG, "the entity tag or the key is too long")
    return header.ljust(HEADER_BYTES, b"\0")


def _unpack_header(header: bytes) -> ObjectMeta | None:
    if len(header) < HEADER_BYTES:
        return None
    magic, _, size, modified_s, etag_bytes, key_bytes = _HEADER.unpack_from(header)
    text = header[_HEADER.size : _HEADER.size + etag_bytes + key_bytes]
    if magic != _MAGIC or len(text) != etag_bytes + key_bytes:
        return None
    try:
        return ObjectMeta(text[etag_bytes:].decode(), size, text[:etag_bytes].decode(), modified_s)
    except UnicodeDecodeError:
        return None


def _read_complete(fd: int, key: str) -> ObjectMeta | None:
    """Read an object's metadata; None if the file is incomplete or belongs to another key."""
    found = os.fstat(fd)
    header = os.pread(fd, HEADER_BYTES, 0)
    meta = _unpack_header(header)
    if meta is None or meta.key != key or not stat.S_ISREG(found.st_mode):
        return None
    filled = _FILLED.unpack_from(header, _FILLED_AT)[0]
    return meta if filled == meta.size_bytes == found.st_size - HEADER_BYTES else None


def _is_at(fd: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(fd), path.lstat())
    except FileNotFoundError:
        return False


def _create_memory_file() -> int:
    if hasattr(os, "memfd_create"):
        return os.memfd_create("matinee-fill", os.MFD_CLOEXEC)
    with tempfile.TemporaryFile() as file:
        return os.dup(file.fileno())


def _reserve(fd: int, size: int) -> None:
    if hasattr(os, "posix_fallocate"):
        os.posix_fallocate(fd, 0, size)
    else:
        os.ftruncate(fd, size)
