"""Ingests masters: turns an upload into a title and a job."""

from __future__ import annotations

import asyncio
from pathlib import PurePath

from matinee.catalogue.api import Catalogue, Genre, TitleDraft
from matinee.encoding.api import Encoding, Order, SideFile
from matinee.gateway.api.operator import IngestAnswer, IngestRequest, IngestSide
from matinee.gateway.api.problems import UploadNotFound
from matinee.gateway.ports import UploadStore
from matinee.kit import ids
from matinee.kit.ids import AccountId, TitleId, UploadId


class Intake:
    """Creates a title for an upload and passes the file to encoding."""

    def __init__(self, *, uploads: UploadStore, catalogue: Catalogue, encoding: Encoding) -> None:
        self._uploads = uploads
        self._catalogue = catalogue
        self._encoding = encoding

    async def ingest(self, *, account_id: AccountId, request: IngestRequest) -> IngestAnswer:
        """Queue a job for a complete upload. A repeated request for the same upload uses the same title.

        Raises UploadNotFound, UploadUnfinished, Unusable, NoSpace, AlreadyIngested, TitleNotFound, EpisodeNotFound.
        """
        path = await self._find_path(account_id, request.upload_id)
        audio = await self._find_side_files(account_id, request.audio)
        subtitles = await self._find_side_files(account_id, request.subtitles)
        title_id = request.title_id
        if title_id is None:
            title_id = ids.derive(TitleId, request.upload_id)
            # Inspect first, so that a file that is refused leaves no title.
            await self._encoding.inspect(
                path=path, audio=audio, subtitles=subtitles, title_id=title_id, again=request.again
            )
            await self._create_title(title_id, request, path)
        order = Order(
            title_id=title_id,
            episode_id=request.episode_id,
            path=path,
            audio=audio,
            subtitles=subtitles,
            consume=True,
            again=request.again,
            language=request.language,
        )
        job = await self._encoding.submit(order=order)
        return IngestAnswer(title_id=title_id, job_id=job.job_id)

    async def _create_title(self, title_id: TitleId, request: IngestRequest, path: str) -> None:
        known = {genre.genre_id: genre for genre in await self._catalogue.genres()}
        draft = TitleDraft(
            title_id=title_id,
            kind="film",
            names={request.language: request.name.strip() or PurePath(path).stem},
            original_language=request.language,
            synopses={request.language: request.synopsis} if request.synopsis else {},
            year=request.year,
            maturity=request.maturity,
            genres=[known.get(genre_id) or _unknown_genre(genre_id) for genre_id in request.genre_ids],
        )
        await self._catalogue.put_title(draft=draft)

    async def _find_path(self, account_id: AccountId, upload_id: UploadId) -> str:
        upload = await self._uploads.find(upload_id=upload_id)
        if upload.account_id != account_id:
            raise UploadNotFound(upload_id=upload_id)
        return await self._uploads.path(upload_id=upload_id)

    async def _find_side_files(self, account_id: AccountId, sides: list[IngestSide]) -> list[SideFile]:
        paths = await asyncio.gather(*(self._find_path(account_id, side.upload_id) for side in sides))
        return [
            SideFile(path=path, language=side.language, role=side.role) for path, side in zip(paths, sides, strict=True)
        ]


def _unknown_genre(genre_id: str) -> Genre:
    return Genre(genre_id=genre_id, names={"en": genre_id.replace("-", " ").capitalize()})
