"""A new domain is one folder and its lines in the import contracts; its registration provides everything else."""

import difflib
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
BIN = Path(sys.executable).parent
MAX_LINES_OUTSIDE = 10

DOMAIN = {
    "__init__.py": '"""Reviews of titles."""\n',
    "api.py": '''
"""The public interface of reviews."""

from typing import Protocol

from matinee.kit.problem import Problem


class ReviewNotFound(Problem, status=404):
    """There is no review of this title."""

    title_id: str


class Reviews(Protocol):
    """Reviews of titles."""

    async def write(self, *, title_id: str, text: str) -> None:
        """Write the review of a title, or replace it."""

    async def read(self, *, title_id: str) -> str:
        """Return the review of a title. Raises ReviewNotFound."""
''',
    "service.py": '''
"""The service of reviews."""

from matinee.reviews.adapters.sql import SqlReviewStore
from matinee.reviews.api import ReviewNotFound


class ReviewService:
    """Implements `Reviews`."""

    def __init__(self, *, store: SqlReviewStore) -> None:
        self._store = store

    async def write(self, *, title_id: str, text: str) -> None:
        await self._store.put(title_id, text)

    async def read(self, *, title_id: str) -> str:
        if (text := await self._store.get(title_id)) is None:
            raise ReviewNotFound(title_id=title_id)
        return text
''',
    "adapters/__init__.py": '"""Adapters of reviews."""\n',
    "adapters/sql.py": '''
"""Reviews in SQL."""

from sqlalchemy import text

from matinee.drivers.sql import Database


class SqlReviewStore:
    """Stores one row for each title."""

    def __init__(self, database: Database) -> None:
        self._database = database

    @classmethod
    async def open(cls, database: Database) -> "SqlReviewStore":
        await database.migrate("matinee.reviews.adapters:migrations", "reviews")
        return cls(database)

    async def put(self, title_id: str, review: str) -> None:
        statement = text("REPLACE INTO reviews_review VALUES (:title_id, :review)")
        await self._database.write(lambda c: c.execute(statement, {"title_id": title_id, "review": review}))

    async def get(self, title_id: str) -> str | None:
        statement = text("SELECT review FROM reviews_review WHERE title_id = :title_id")
        return await self._database.read(lambda c: c.execute(statement, {"title_id": title_id}).scalar())
''',
    "adapters/migrations/versions/0001_reviews.py": """
import sqlalchemy as sa
from alembic import op

revision, down_revision, branch_labels, depends_on = "0001", None, None, None


def upgrade() -> None:
    op.create_table(
        "reviews_review", sa.Column("title_id", sa.String(64), primary_key=True), sa.Column("review", sa.Text)
    )


def downgrade() -> None:
    op.drop_table("reviews_review")
""",
    "domain.py": '''
"""The registration of reviews."""

import asyncio

import msgspec

from matinee.catalogue.api import Catalogue
from matinee.mesh.hosting.domain import Domain, Wiring
from matinee.reviews.api import Reviews


class ReviewsSection(msgspec.Struct, frozen=True, kw_only=True):
    """Reviews. `max_length` is in characters."""

    store: str = "sqlite:///{data}/reviews.db"
    max_length: int = 1000


async def _build(wiring: Wiring[ReviewsSection]) -> Reviews:
    from matinee.reviews.adapters.sql import SqlReviewStore
    from matinee.reviews.service import ReviewService

    wiring.client(Catalogue)
    wiring.add_job(asyncio.sleep, 3600)
    return ReviewService(store=await SqlReviewStore.open(await wiring.database("store")))


DOMAIN = Domain(
    name="reviews", section=ReviewsSection, protocol=Reviews, needs=(Catalogue,), build=_build, store="store"
)
''',
}

CALL = """
import asyncio
from matinee.app.clients import open_clients
from matinee.app.settings import load
from matinee.reviews.api import ReviewNotFound, Reviews

async def main() -> None:
    async with open_clients(load(None)) as clients:
        reviews = clients.get(Reviews)
        try:
            await reviews.read(title_id="tit_1")
        except ReviewNotFound as problem:
            assert problem.title_id == "tit_1"
        await reviews.write(title_id="tit_1", text="Good.")
        print(await reviews.read(title_id="tit_1"))

asyncio.run(main())
"""


class Checkout:
    """A copy of the source tree."""

    def __init__(self, root: Path) -> None:
        self.root, self.data = root, root / "data"
        shutil.copytree(ROOT / "src", root / "src", ignore=shutil.ignore_patterns("__pycache__"))
        shutil.copytree(ROOT / "tools", root / "tools", ignore=shutil.ignore_patterns("__pycache__"))
        shutil.copy(ROOT / "pyproject.toml", root)
        self.environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith("MATINEE__")},
            "PYTHONPATH": str(root / "src"),
            "MATINEE__DEPLOYMENT__DATA": str(self.data),
        }

    def run(self, *command: str | Path) -> str:
        done = subprocess.run(
            [*command], cwd=self.root, env=self.environment, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-4000:]
        return done.stdout

    def matinee(self, *arguments: str) -> str:
        return self.run(sys.executable, "-m", "matinee", *arguments)

    def contents(self) -> dict[str, str]:
        files = [file for file in self.root.rglob("*") if file.suffix in {".py", ".toml"} and file.is_file()]
        return {str(file.relative_to(self.root)): file.read_text() for file in files}


@pytest.fixture
def checkout(tmp_path: Path) -> Checkout:
    return Checkout(tmp_path)


def add_domain(checkout: Checkout) -> None:
    for name, text in DOMAIN.items():
        file = checkout.root / "src" / "matinee" / "reviews" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text.lstrip())
    contracts = checkout.root / "pyproject.toml"
    text = contracts.read_text()
    text = text.replace('  "viewing | steering', '  "reviews | viewing | steering', 1)
    text = text.replace('  "matinee.viewing",\n', '  "matinee.viewing",\n  "matinee.reviews",\n', 1)
    contracts.write_text(text)


def remove_domain(checkout: Checkout) -> None:
    shutil.rmtree(checkout.root / "src" / "matinee" / "reviews")
    shutil.copy(ROOT / "pyproject.toml", checkout.root)


def changed_lines(before: dict[str, str], after: dict[str, str]) -> Iterator[str]:
    """Yield the lines that were added or changed outside the domain's folder."""
    for name in after.keys() | before.keys():
        if not name.startswith("src/matinee/reviews/"):
            diff = difflib.ndiff(before.get(name, "").splitlines(), after.get(name, "").splitlines())
            yield from (line for line in diff if line.startswith("+ "))


@pytest.mark.timeout(300)
def test_new_domain_needs_its_folder_and_its_lines_in_the_contracts(checkout: Checkout) -> None:
    before = checkout.contents()
    add_domain(checkout)
    assert len(list(changed_lines(before, checkout.contents()))) <= MAX_LINES_OUTSIDE

    checkout.run(BIN / "lint-imports", "--no-cache")
    assert json.loads(checkout.matinee("targets", "--json"))["reviews"] == ["catalogue"]
    settings = {
        setting["key"]: setting["value"] for setting in json.loads(checkout.matinee("config", "show", "--json"))
    }
    assert settings["reviews.max_length"] == 1000
    checkout.run(sys.executable, "tools/reference.py")
    reference = checkout.root / "docs" / "reference"
    assert "## [reviews]" in (reference / "settings.md").read_text()
    assert "`review-not-found`" in (reference / "problems.md").read_text()
    groups = "from matinee.app.layout import *; from matinee.app.settings import load; print(list_groups(load(None)))"
    assert "'reviews'" in checkout.run(sys.executable, "-c", groups)

    call_service(checkout)
    (store,) = json.loads(checkout.matinee("stores", "status", "reviews", "--json"))
    assert (store["revision"], store["pending"]) == ("0001", [])

    remove_domain(checkout)
    shutil.rmtree(checkout.root / "docs")
    assert checkout.contents() == before
    assert "reviews" not in json.loads(checkout.matinee("targets", "--json"))


def call_service(checkout: Checkout) -> None:
    """Serve the domain in a process of its own and call it through the mesh."""
    log = checkout.root / "serve.log"
    with log.open("w") as output:
        serving = subprocess.Popen(
            [sys.executable, "-m", "matinee", "serve", "reviews"],
            env=checkout.environment,
            stdout=output,
            stderr=output,
        )
    try:
        end = time.monotonic() + 120
        while "process.up" not in log.read_text():
            assert serving.poll() is None, log.read_text()
            assert time.monotonic() < end, log.read_text()
            time.sleep(0.1)
        assert checkout.run(sys.executable, "-c", CALL).strip() == "Good."
    finally:
        serving.terminate()
        serving.wait(60)


def test_front_door_contract_refuses_imports_of_private_modules(checkout: Checkout) -> None:
    service = checkout.root / "src" / "matinee" / "playback" / "service" / "__init__.py"
    service.write_text(service.read_text() + "from matinee.viewing.model import *\n")
    done = subprocess.run(
        [BIN / "lint-imports", "--no-cache"],
        cwd=checkout.root,
        env=checkout.environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert "matinee.playback.service -> matinee.viewing.model" in done.stdout
