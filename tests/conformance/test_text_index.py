"""The suite of `TextIndex`."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from datetime import timedelta
from pathlib import Path

import pytest
from msgspec.structs import replace
from tests.engines import shared_engine

from matinee.catalogue.api import RightsWindow
from matinee.drivers.opensearch import OpenSearch
from matinee.kit import ids
from matinee.kit.clock import ManualClock
from matinee.kit.ids import PersonId, TitleId
from matinee.search.adapters.opensearch import OpenSearchIndex
from matinee.search.adapters.tantivy import TantivyIndex
from matinee.search.api import IndexBeingBuilt, IndexNotReady
from matinee.search.model.documents import Audience, Group, Kind, NameDocument, build_group_documents
from matinee.search.model.folding import fold
from matinee.search.model.forms import read_query
from matinee.search.model.initials import Place, place_name
from matinee.search.ports import NameQuery, TextIndex

NOW = ManualClock().now()
EVERYONE = Audience()
Reopen = Callable[[], TextIndex]


@pytest.fixture(params=["tantivy", "opensearch"])
async def reopen(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Reopen]:
    """Opens the same indexes again, as another process does."""
    if request.param == "tantivy":
        yield lambda: TantivyIndex(tmp_path / "search")
        return
    async with OpenSearch(shared_engine("opensearch").url("search")) as opensearch:
        yield lambda: OpenSearchIndex(opensearch, ManualClock())


@pytest.fixture
async def index(reopen: Reopen) -> TextIndex:
    index = reopen()
    await (await index.begin(now=NOW)).finish()
    return index


def title_id(name: str) -> TitleId:
    return ids.derive(TitleId, name)


def document(name: str, popularity: float = 0.0, kind: Kind = "title", **more: object) -> NameDocument:
    return NameDocument(title_id(name), kind, name, fold(name), "en", popularity, **more)  # type: ignore[arg-type]


async def put(index: TextIndex, *documents: NameDocument) -> None:
    await index.put({each.owner: [other for other in documents if other.owner == each.owner] for each in documents})


def make_query(text: str, *, territory: str = "DE", maturity: int = 18, limit: int = 50) -> NameQuery:
    return NameQuery(forms=read_query(text), territory=territory, maturity=maturity, now=NOW, limit=limit)


async def find(index: TextIndex, text: str, **more: object) -> list[str]:
    found = await index.find(make_query(text, **more))  # type: ignore[arg-type]
    return [each.name for each in found if each.kind != "about"]


async def test_without_an_index_searches_are_refused_and_its_version_is_0(reopen: Reopen) -> None:
    index = reopen()
    with pytest.raises(IndexNotReady):
        await index.find(make_query("dark"))
    with pytest.raises(IndexNotReady):
        await put(index, document("Dark"))
    assert (await index.describe()).version == 0


async def test_what_was_put_is_found_at_once_and_after_a_reopen(index: TextIndex, reopen: Reopen) -> None:
    dark = document("Dark", 0.5, audience=Audience(12, ("DE", "FR")))
    await put(index, dark)
    for each in (index, reopen()):
        assert await each.find(make_query("dark")) == [dark]
        status = await each.describe()
        assert (status.documents, status.version > 0, status.created_at) == (1, True, NOW)


@pytest.mark.parametrize(
    "typed",
    [
        "s",
        "str",
        "stranger",
        "strangerthings",
        "thi",
        "things",
        "stanger thigns",
        "strnger",
        "mtranger",
        "things stranger",
    ],
)
async def test_names_are_found_by_their_beginnings_and_in_spite_of_errors(index: TextIndex, typed: str) -> None:
    await put(index, document("Stranger Things"), document("Gravity"), document("Das Boot"))
    assert (await find(index, typed))[0] == "Stranger Things"


async def test_the_most_popular_names_with_a_beginning_are_found(index: TextIndex) -> None:
    await put(index, *(document(f"Star {number}", number / 1000) for number in range(300)))
    found = await find(index, "st", limit=10)
    assert found[:10] == [f"Star {number}" for number in range(299, 289, -1)]


async def test_names_are_found_by_those_who_may(index: TextIndex) -> None:
    await put(
        index,
        document("Dark everywhere", audience=Audience(0)),
        document("Dark for adults", audience=Audience(18)),
        document("Dark in France", audience=Audience(0, ("FR",))),
    )
    assert set(await find(index, "dark")) == {"Dark everywhere", "Dark for adults"}
    assert await find(index, "dark", maturity=17) == ["Dark everywhere"]
    assert set(await find(index, "dark", maturity=17, territory="FR")) == {"Dark everywhere", "Dark in France"}


async def test_what_may_not_be_found_now_hides_nothing(index: TextIndex) -> None:
    closed = Audience(0, ("*",), (RightsWindow(closes_at=NOW - timedelta(days=1)),))
    hidden = [document(f"Star {number}", 0.9, audience=closed) for number in range(60)]
    await put(index, *hidden, document("Star Trek", 0.1), document("Stargate", 0.2))
    assert set(await find(index, "star", limit=10)) == {"Star Trek", "Stargate"}


async def test_many_names_of_one_title_hide_no_other_title(index: TextIndex) -> None:
    series = [NameDocument("tit_1", "episode", f"Star {n}", f"star {n}", "en", 0.9) for n in range(60)]
    await index.put({"tit_1": series})
    await put(index, *(document(f"Star Trek {n}", 0.1) for n in range(9)))
    found = await find(index, "star", limit=10)
    assert {f"Star Trek {n}" for n in range(9)} < set(found)
    assert 1 <= sum(name not in {f"Star Trek {n}" for n in range(9)} for name in found) <= 3


async def test_a_series_of_names_is_replaced_by_a_shorter_one(index: TextIndex) -> None:
    names = [NameDocument("tit_1", "title", f"Dark {n}", f"dark {n}", "en") for n in range(30)]
    await index.put({"tit_1": names})
    assert (await index.describe()).documents == 30
    await index.put({"tit_1": names[20:22]})
    assert set(await find(index, "dark")) == {"Dark 20", "Dark 21"}
    assert (await index.describe()).documents == 2
    new = await index.begin(now=NOW)
    await new.put({"tit_1": names})
    await new.put({"tit_1": names[5:6]})
    await new.finish()
    assert await find(index, "dark") == ["Dark 5"]
    assert (await index.describe()).documents == 1


async def test_documents_of_an_owner_are_replaced_and_removed(index: TextIndex) -> None:
    await put(index, document("Dark"), document("Gravity"))
    renamed = NameDocument(title_id("Dark"), "title", "Light", "light", "en")
    await index.put({title_id("Dark"): [renamed]})
    assert await find(index, "dark") == []
    assert await find(index, "light") == ["Light"]
    await index.put({title_id("Dark"): [], title_id("unknown"): []})
    assert await find(index, "light") == []
    assert (await index.describe()).documents == 1


async def test_titles_are_found_by_every_word_of_what_is_known(index: TextIndex) -> None:
    await put(
        index,
        document("nolan thriller 2010", 0.1, "about"),
        document("nolan comedy", 0.9, "about"),
        document("thriller nolan 2020", 0.5, "about"),
    )

    async def find_about(text: str) -> list[str]:
        return [each.name for each in await index.find(make_query(text)) if each.kind == "about"]

    assert await find_about("nolan") == ["nolan comedy", "thriller nolan 2020", "nolan thriller 2010"]
    assert await find_about("nolan thri") == ["thriller nolan 2020", "nolan thriller 2010"]
    assert await find_about("thriller 2010") == ["nolan thriller 2010"]
    assert await find_about("thriller western") == []
    assert await find(index, "nolan") == []


async def test_studios_and_franchises_are_found_in_spite_of_errors_beside_many_names(index: TextIndex) -> None:
    groups = build_group_documents(Group("Studio Ghibli", "ja"))
    names = [document(f"Ghibla {number}", 0.9) for number in range(90)]
    await put(index, *groups, *names, document("Studio Ghibli presents", 0.5, "about"))
    for typed in ("gibli", "ghilbi", "studio gibli"):
        found = await index.find(make_query(typed))
        assert [each.name for each in found if each.kind == "group"][:1] == ["Studio Ghibli"], typed
    assert "group" not in {each.kind for each in await index.find(make_query("ghibl"))}
    await index.put({groups[0].owner: []})
    assert "group" not in {each.kind for each in await index.find(make_query("gibli"))}


async def test_an_adjective_finds_titles_where_many_names_begin_with_it(index: TextIndex) -> None:
    await put(
        index, *(document(f"Korean {number}", 0.5) for number in range(60)), document("parasite korean", 0.1, "about")
    )
    assert "about" in {each.kind for each in await index.find(make_query("korean"))}
    assert "about" not in {each.kind for each in await index.find(make_query("kor"))}


async def test_short_names_are_found_by_transposed_letters_beside_many_others(index: TextIndex) -> None:
    others = [document(f"Live {number}", 0.9) for number in range(90)] + [document(f"Lobe {n}", 0.9) for n in range(90)]
    await put(index, *others, document("Love Story", 0.1))
    assert "Love Story" in await find(index, "lvoe")


async def test_a_wide_query_finds_what_differs_by_two_edits_beside_many_others(index: TextIndex) -> None:
    # Names with trigrams of the query, of which the one that was meant has two.
    others = [document(f"Red {number} edc dcu cui uit ito ton", 0.1) for number in range(200)]
    await put(index, document("Reduction"), *others)
    assert "Reduction" not in await find(index, "redcuiton", limit=10)
    wide = await index.find(replace(make_query("redcuiton", limit=10), wide=True))
    assert "Reduction" in [each.name for each in wide]
    assert await index.find(replace(make_query("redcuit", limit=10), wide=True)) == []


async def test_titles_of_a_person(index: TextIndex) -> None:
    ana, bo = ids.derive(PersonId, "ana"), ids.derive(PersonId, "bo")
    await put(index, document("a", kind="about", people=(ana, bo)), document("b", kind="about", people=(ana,)))
    assert {each.name for each in await index.list_about("people", ana)} == {"a", "b"}
    assert [each.name for each in await index.list_about("people", bo)] == ["a"]
    assert len(await index.list_about("people", ana, limit=1)) == 1
    assert {key: each.people for key, each in (await index.load_about([title_id("b"), title_id("c")])).items()} == {
        title_id("b"): (ana,)
    }


async def test_a_new_index_answers_when_it_is_finished_in_every_process(index: TextIndex, reopen: Reopen) -> None:
    other = reopen()
    await put(index, document("Old"))
    assert await find(other, "old") == ["Old"]
    new = await index.begin(now=NOW)
    await new.put({title_id("New"): [document("New")]})
    assert await find(other, "old") == ["Old"]
    assert await find(other, "new") == []
    await new.finish()
    for each in (index, other):
        assert await find(each, "old") == []
        assert await find(each, "new") == ["New"]


async def test_an_index_that_is_given_up_changes_nothing(index: TextIndex) -> None:
    await put(index, document("Old"))
    new = await index.begin(now=NOW)
    await new.put({title_id("New"): [document("New")]})
    await new.give_up()
    assert await find(index, "old") == ["Old"]
    assert await find(index, "new") == []


async def test_an_index_that_answers_is_not_given_up(index: TextIndex, reopen: Reopen) -> None:
    new = await index.begin(now=NOW)
    await new.put({title_id("New"): [document("New")]})
    await new.finish()
    await new.give_up()
    assert await find(reopen(), "new") == ["New"]
    await (await index.begin(now=NOW)).finish()


async def test_a_build_that_is_cancelled_while_it_finishes_leaves_an_index(index: TextIndex, reopen: Reopen) -> None:
    await put(index, document("Dark"))
    for number in range(10):
        new = await index.begin(now=NOW)
        await new.put({title_id("Dark"): [document("Dark")]})
        finishing = asyncio.create_task(new.finish())
        await asyncio.sleep(number / 100)
        finishing.cancel()
        await asyncio.gather(finishing, return_exceptions=True)
        await new.give_up()
        assert await find(reopen(), "dark") == ["Dark"]


async def test_searches_meanwhile_always_find(index: TextIndex, reopen: Reopen) -> None:
    await put(index, document("Dark"))
    is_done = asyncio.Event()

    async def search(searched: TextIndex) -> int:
        count = 0
        while not is_done.is_set():
            assert "Dark" in await find(searched, "dark")
            count += 1
        return count

    searching = [asyncio.create_task(search(each)) for each in (index, index, index, reopen(), reopen())]
    for number in range(5):
        await put(index, document(f"Gravity {number}"))
        new = await index.begin(now=NOW)
        await new.put({title_id("Dark"): [document("Dark")]})
        await new.finish()
    is_done.set()
    assert all(await asyncio.gather(*searching))


async def test_one_new_index_is_built_at_a_time(index: TextIndex, reopen: Reopen) -> None:
    new = await index.begin(now=NOW)
    for other in (index, reopen()):
        with pytest.raises(IndexBeingBuilt):
            await other.begin(now=NOW)
    await new.finish()
    another = await reopen().begin(now=NOW)
    await another.give_up()
    await (await index.begin(now=NOW)).finish()
    assert (await reopen().describe()).version > 0


async def test_the_titles_of_a_genre_for_a_viewer(index: TextIndex) -> None:
    adult = document("adult", kind="about", genres=("gore",), audience=Audience(18))
    await put(index, adult, document("child", kind="about", genres=("fairy-tale",)))
    assert await index.list_about("genres", "gore", viewer=make_query("x")) == [adult]
    assert await index.list_about("genres", "gore", viewer=make_query("x", maturity=12)) == []


async def test_the_titles_of_an_initial(index: TextIndex) -> None:
    def about(name: str, audience: Audience = EVERYONE, **others: Place) -> NameDocument:
        places = (("en", place_name(name, "en")), *others.items())
        return document(name, kind="about", audience=audience, places=places)

    matrix = about("The Matrix", de=Place("T", "the matrix"))
    heat, manhunt = about("Heat"), about("Manhunt", Audience(18))
    await put(index, matrix, heat, manhunt, document("Metropolis"))
    assert set(await index.list_initials("en")) == {"H", "M"}
    assert set(await index.list_initials("de")) == {"H", "M", "T"}
    assert {each.name for each in await index.list_about("initials", "en:M")} == {"The Matrix", "Manhunt"}
    assert await index.list_about("initials", "de:T") == [matrix]
    assert await index.list_about("initials", "en:T") == []
    child = make_query("", maturity=12)
    assert await index.list_about("initials", "en:M", viewer=child) == [matrix]
    assert await index.list_about("initials", "de:M", viewer=child) == []


async def test_several_processes_put_at_once(index: TextIndex, reopen: Reopen) -> None:
    others = [index, reopen(), reopen()]
    await asyncio.gather(
        *(put(each, document(f"Dark {place} {number}")) for place, each in enumerate(others) for number in range(4))
    )
    assert (await reopen().describe()).documents == 12


@pytest.mark.parametrize("typed", ["\0", "‮abc", "a" * 10_000, "́" * 500, "*", '"', "AND OR NOT", "a:b", "😀", "\ud800"])
async def test_no_query_is_an_error(index: TextIndex, typed: str) -> None:
    await put(index, document("Stranger Things"), document("stranger about", kind="about"))
    if forms := read_query(typed):
        wanted = NameQuery(forms=forms, territory="DE", maturity=18, now=NOW, limit=10)
        await index.find(wanted)
