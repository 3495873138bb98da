"""An S3 gateway over a directory: versitygw."""

from __future__ import annotations

import urllib.error
import urllib.request
from pathlib import Path

from matinee.lab.engines.engine import EngineLocation, EngineMissing
from matinee.lab.engines.programs import cache_folder, find_program

VERSION = "v1.8.0"
MODULE = f"github.com/versity/versitygw/cmd/versitygw@{VERSION}"
KEY = "matinee"


class S3:
    """versitygw on plain files, with object versions in another folder."""

    name = "s3"
    ports = ("client",)

    def check(self) -> None:
        self._server()

    def prepare(self, location: EngineLocation) -> None:
        for folder in (location.data, location.folder / "versions", location.folder / "iam"):
            folder.mkdir(exist_ok=True)

    def command(self, location: EngineLocation) -> list[str]:
        versions = str(location.folder / "versions")
        return [
            self._server(), "--port", location.client, "--iam-dir", str(location.folder / "iam"), "--quiet",
            "posix", "--versioning-dir", versions, str(location.data),
        ]  # fmt: skip

    def environment(self, location: EngineLocation) -> dict[str, str]:
        return {"ROOT_ACCESS_KEY": KEY, "ROOT_SECRET_KEY": location.secret}

    def is_ready(self, location: EngineLocation) -> bool:
        try:
            urllib.request.urlopen(f"http://{location.client}/", timeout=1).close()
        except urllib.error.HTTPError as refusal:
            return refusal.code == 403
        except OSError:
            return False
        return True

    def version(self) -> str:
        return VERSION.removeprefix("v")

    def address(self, location: EngineLocation) -> str:
        return f"s3://{KEY}:{location.secret}@?endpoint=http://{location.client}"

    def url(self, location: EngineLocation, namespace: str) -> str:
        bucket, slash, prefix = namespace.replace("_", "-").lower().partition("/")
        (location.data / bucket).mkdir(exist_ok=True)  # a bucket of versitygw
        return f"s3://{KEY}:{location.secret}@{bucket}{slash}{prefix}?endpoint=http://{location.client}"

    def _server(self) -> str:
        built = program_folder() / "versitygw"
        if built.exists():
            return str(built)
        if path := find_program("versitygw"):
            return path
        raise EngineMissing(engine=self.name, detail=f"s3 needs versitygw {VERSION}: run matinee lab engines up s3")


def program_folder() -> Path:
    """Return the folder of the built program."""
    return cache_folder() / "versitygw" / VERSION
