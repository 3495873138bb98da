"""An S3 gateway above a directory: versitygw."""

from __future__ import annotations

import urllib.error
import urllib.request
from pathlib import Path

from matinee.lab.engines.engine import Absent, Place
from matinee.lab.engines.programs import cache, found

VERSION = "v1.8.0"
MODULE = f"github.com/versity/versitygw/cmd/versitygw@{VERSION}"
KEY = "matinee"


class S3:
    """versitygw on plain files, with versions kept beside them."""

    name = "s3"
    ports = ("client",)

    def check(self) -> None:
        self._server()

    def prepare(self, place: Place) -> None:
        for folder in (place.data, place.folder / "versions", place.folder / "iam"):
            folder.mkdir(exist_ok=True)

    def command(self, place: Place) -> list[str]:
        versions = str(place.folder / "versions")
        return [
            self._server(), "--port", place.client, "--iam-dir", str(place.folder / "iam"), "--quiet",
            "posix", "--versioning-dir", versions, str(place.data),
        ]  # fmt: skip

    def environment(self, place: Place) -> dict[str, str]:
        return {"ROOT_ACCESS_KEY": KEY, "ROOT_SECRET_KEY": place.secret}

    def answers(self, place: Place) -> bool:
        try:
            urllib.request.urlopen(f"http://{place.client}/", timeout=1).close()
        except urllib.error.HTTPError as refusal:
            return refusal.code == 403
        except OSError:
            return False
        return True

    def version(self) -> str:
        return VERSION.removeprefix("v")

    def address(self, place: Place) -> str:
        return f"s3://{KEY}:{place.secret}@?endpoint=http://{place.client}"

    def url(self, place: Place, namespace: str) -> str:
        bucket, slash, prefix = namespace.replace("_", "-").lower().partition("/")
        (place.data / bucket).mkdir(exist_ok=True)  # what versitygw takes a bucket to be
        return f"s3://{KEY}:{place.secret}@{bucket}{slash}{prefix}?endpoint=http://{place.client}"

    def _server(self) -> str:
        built = folder() / "versitygw"
        if built.exists():
            return str(built)
        if path := found("versitygw"):
            return path
        raise Absent(engine=self.name, detail=f"s3 needs versitygw {VERSION}: matinee lab engines up s3 builds it")


def folder() -> Path:
    """Where the program is kept once it is built."""
    return cache() / "versitygw" / VERSION
