"""`TextIndex` on tantivy, in a folder that several processes may share.

The folder contains one subfolder for each index, and a file that names the current one. Every process opens the index
that the file names, and reloads it when its files change. A writer holds tantivy's lock only during a write, and one
process at a time builds a new index.
"""

from __future__ import annotations

import asyncio
import fcntl
import os
import shutil
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, Final, TypeAlias, TypeVar

import msgspec
import tantivy

from matinee.kit.ids import TitleId
from matinee.search.adapters.tantivy_documents import SCHEMA, Reader, write
from matinee.search.api import IndexBeingBuilt, IndexNotReady
from matinee.search.model.documents import NameDocument
from matinee.search.model.fields import MAX_INITIALS, VERSION, make_initial_term
from matinee.search.ports import AboutField, NameQuery, StoredIndex

R = TypeVar("R")
_WRITER_BYTES, _BUILDER_BYTES = 16 << 20, 128 << 20
_BLOCK_BYTES: Final = 2048
_LOCK_WAIT_S, _LOCK_RETRY_S = 10.0, 0.02
# Of this version only: during an upgrade instances of two versions may share the folder.
_CURRENT, _LOCK = f"current-{VERSION}.json", f"build-{VERSION}.lock"
_PREFIX = "index-"
_TRIES = 3


class _Current(msgspec.Struct, frozen=True):
    folder: str
    created_at: datetime


# An index, and the time and the number of the file that named it.
_Opened: TypeAlias = tuple["_OpenIndex | None", tuple[int, int]]
_NO_MARK = (0, 0)
_NOTHING_OPENED: Final[_Opened] = (None, _NO_MARK)


class TantivyIndex:
    """The indexes of a folder."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        # One attribute, because several threads search.
        self._opened = _NOTHING_OPENED
        self._damaged = _NO_MARK

    async def put(self, documents: Mapping[str, Sequence[NameDocument]]) -> None:
        await asyncio.to_thread(self._put, documents)

    def _put(self, documents: Mapping[str, Sequence[NameDocument]]) -> None:
        self._open().put(documents)

    async def find(self, query: NameQuery) -> list[NameDocument]:
        # Not in a thread: of its two milliseconds most are Python's, and for each document that a thread reads it waits
        # for the lock that the event loop's thread has.
        await asyncio.sleep(0)  # for the fairness that other calls have by waiting
        return self._read(lambda reader: reader.find(query))

    def _read(self, read: Callable[[Reader], R]) -> R:
        """Read what was committed last. Raises IndexNotReady, from then on, where files of the index are damaged."""
        try:
            return read(self._get_reader())
        except BaseException as error:
            # The library is not prepared for damaged files: pyo3 raises this for a panic, and it is no Exception.
            if type(error).__name__ != "PanicException":
                raise
            _, self._damaged = self._opened
            raise IndexNotReady(detail="The files of the index are damaged.") from error

    async def load_about(self, title_ids: Sequence[TitleId]) -> dict[TitleId, NameDocument]:
        def load() -> dict[TitleId, NameDocument]:
            terms = {"owner": title_ids, "kind": ["about"]}
            found = self._read(lambda reader: reader.select(terms, limit=len(title_ids)))
            return {TitleId(document.owner): document for document in found}

        return await asyncio.to_thread(load) if title_ids else {}

    async def list_about(
        self, field: AboutField, term: str, *, viewer: NameQuery | None = None, limit: int = 1_000
    ) -> list[NameDocument]:
        def read(reader: Reader) -> list[NameDocument]:
            if viewer is not None:
                return reader.list_about(field, term, viewer)
            return reader.select({field: [term]}, limit=limit)

        return await asyncio.to_thread(self._read, read)

    async def list_initials(self, language: str) -> list[str]:
        prefix = make_initial_term(language, "")

        def read(reader: Reader) -> list[str]:
            terms = reader.list_terms("initials", prefix, limit=MAX_INITIALS)
            return [term.removeprefix(prefix) for term in terms]

        return await asyncio.to_thread(self._read, read)

    async def begin(self, *, now: datetime) -> NewTantivyIndex:
        return await asyncio.to_thread(NewTantivyIndex, self._folder, now)

    async def describe(self) -> StoredIndex:
        return await asyncio.to_thread(self._describe)

    def _describe(self) -> StoredIndex:
        try:
            reader, index = self._get_reader(), self._open()
        except IndexNotReady:
            return StoredIndex(engine="tantivy", version=0, documents=0, size_bytes=0)
        size_bytes = sum(file.stat().st_size for file in index.folder.iterdir() if file.is_file())
        return StoredIndex(
            engine="tantivy",
            version=VERSION,
            documents=reader.documents,
            size_bytes=size_bytes,
            created_at=index.created_at,
        )

    def _get_reader(self) -> Reader:
        """Return a reader of the newest commit of any process. Raises IndexNotReady."""
        for _ in range(_TRIES):
            index = self._open()
            try:
                return index.get_reader()
            except (OSError, ValueError) as error:
                # It was replaced in between, or damaged.
                self._opened = _NOTHING_OPENED
                last = error
        raise IndexNotReady(detail=str(last)) from last

    def _open(self) -> _OpenIndex:
        """Return the current index. Raises IndexNotReady where there is none of this version that can be read."""
        file = self._folder / _CURRENT
        try:
            status = file.stat()
            mark = (status.st_mtime_ns, status.st_ino)
            if mark == self._damaged:
                raise IndexNotReady(detail="The files of the index are damaged.")
            opened, known_mark = self._opened
            if opened is None or mark != known_mark:
                current = msgspec.json.decode(file.read_bytes(), type=_Current)
                opened = _OpenIndex(self._folder / current.folder, current.created_at)
                self._opened = opened, mark
        except (OSError, ValueError, msgspec.DecodeError) as error:
            raise IndexNotReady(detail=str(error)) from error
        return opened


class NewTantivyIndex:
    """An index under construction, in a subfolder of its own. A lock lets one process build at a time."""

    def __init__(self, folder: Path, now: datetime) -> None:
        self._parent = folder
        self._created_at = now
        folder.mkdir(parents=True, exist_ok=True)
        self._lock = (folder / _LOCK).open("wb")
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            self._lock.close()
            raise IndexBeingBuilt from error
        self._folder = folder / f"{_PREFIX}{VERSION}-{time.time_ns()}"
        self._folder.mkdir()
        self._index = _create(self._folder)
        self._writer: Any = self._index.writer(_BUILDER_BYTES, 1)
        # `finish` goes on in its thread when it is cancelled, and then `give_up` is called.
        self._deciding = threading.Lock()
        self._is_current = self._is_given_up = False

    async def put(self, documents: Mapping[str, Sequence[NameDocument]]) -> None:
        await asyncio.to_thread(write, self._writer, documents)

    async def finish(self) -> None:
        await asyncio.to_thread(self._finish)

    def _finish(self) -> None:
        self._writer.commit()
        self._writer.wait_merging_threads()
        new = self._parent / f"{_CURRENT}.{self._folder.name}"
        with new.open("wb") as file:
            file.write(msgspec.json.encode(_Current(self._folder.name, self._created_at)))
            file.flush()
            os.fsync(file.fileno())
        with self._deciding:
            if self._is_given_up:
                new.unlink()
                return
            new.replace(self._parent / _CURRENT)
            self._is_current = True
        for folder in self._parent.glob(f"{_PREFIX}*"):
            if folder != self._folder and _parse_version(folder) <= VERSION:
                shutil.rmtree(folder, ignore_errors=True)
        self._lock.close()

    async def give_up(self) -> None:
        with self._deciding:
            self._is_given_up = not self._is_current
        if self._is_given_up:
            self._writer = None
            await asyncio.to_thread(shutil.rmtree, self._folder, ignore_errors=True)
        self._lock.close()


def _create(folder: Path) -> Any:
    """Create an index whose documents are stored by their popularity, in small blocks.

    A search reads popular documents from all over the store; a block is decompressed whole for each. The library has
    no option for the size of blocks, but reads it from the metadata.
    """
    tantivy.Index(SCHEMA, path=str(folder), sort_by_field="popularity", sort_order=tantivy.Order.Desc)
    metadata = folder / "meta.json"
    contents: dict[str, Any] = msgspec.json.decode(metadata.read_bytes())
    contents["index_settings"]["docstore_blocksize"] = _BLOCK_BYTES
    metadata.write_bytes(msgspec.json.encode(contents))
    return tantivy.Index.open(str(folder))


def _read_ahead(folder: Path) -> None:
    """Let the system read the files of an index into memory, so that the first searches wait for the disk no longer."""
    for file in folder.iterdir():
        with file.open("rb") as opened:
            os.posix_fadvise(opened.fileno(), 0, 0, os.POSIX_FADV_WILLNEED)


def _parse_version(folder: Path) -> int:
    version = folder.name.removeprefix(_PREFIX).partition("-")[0]
    return int(version) if version.isdecimal() else 0


class _OpenIndex:
    """An index that is open for searches."""

    def __init__(self, folder: Path, created_at: datetime) -> None:
        self.folder = folder
        self.created_at = created_at
        self._index = tantivy.Index.open(str(folder))
        self._index.config_reader(reload_policy="Manual")
        _read_ahead(folder)
        mark = self._read_mark()
        self._reader = Reader(self._index.searcher()), mark

    def _read_mark(self) -> tuple[int, int]:
        status = (self.folder / "meta.json").stat()
        return status.st_mtime_ns, status.st_ino

    def get_reader(self) -> Reader:
        """Return a reader of the newest commit of any process. Raises OSError, ValueError for a damaged index."""
        reader, known_mark = self._reader
        if (mark := self._read_mark()) != known_mark:
            self._index.reload()
            reader = Reader(self._index.searcher())
            self._reader = reader, mark
        return reader

    def put(self, documents: Mapping[str, Sequence[NameDocument]]) -> None:
        """Replace documents and commit; wait for the writer of another process."""
        writer = self._acquire_writer()
        write(writer, documents)
        writer.commit()
        writer.wait_merging_threads()

    def _acquire_writer(self) -> Any:
        until = time.monotonic() + _LOCK_WAIT_S
        while True:
            try:
                return self._index.writer(_WRITER_BYTES, 1)
            except ValueError:  # another process has the lock
                if time.monotonic() > until:
                    raise
                time.sleep(_LOCK_RETRY_S)
