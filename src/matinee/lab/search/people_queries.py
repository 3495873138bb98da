"""Queries for people, for a genre of a person's titles, and for episodes."""

from __future__ import annotations

from random import Random

import msgspec

from matinee.catalogue.api import Person
from matinee.lab.catalogue import GENRES, LANGUAGES
from matinee.lab.catalogue.names import lower
from matinee.lab.search.evaluation import PERSON, JudgedQuery
from matinee.lab.search.index import Grades, NameIndex
from matinee.lab.search.keys import is_alphabetic, make_key, remove_accents
from matinee.lab.search.spelling import misspell
from matinee.lab.search.title_queries import build, get_language

_MOST_RIVALS = 3


def make_person(index: NameIndex, rng: Random) -> JudgedQuery | None:
    """Make a query for a person: the name in any script, plain, swapped, unfinished or misspelled."""
    person = _draw_person(index, rng)
    tag, name = rng.choice(list(person.names.items()))
    language = tag if rng.random() < 0.7 else "en"
    typed = lower(name, tag)
    pattern = rng.choice(("name", "name", "lower-case", "accents", "swapped", "typo", "typo", "unfinished", "joined"))
    match pattern:
        case "name":
            return _build_person(index, name, language, pattern, name)
        case "lower-case":
            return _build_person(index, typed, language, pattern, name)
        case "accents":
            changed = remove_accents(typed) if is_alphabetic(typed) else typed
        case "swapped":
            words = typed.split(" ")
            changed = " ".join([*words[-1:], *words[:-1]])
        case "joined":
            changed = typed.replace(" ", "")
        case "unfinished":
            return _make_unfinished(index, typed, language)
        case _:
            return _make_misspelled(index, typed, name, tag, rng)
    return _build_person(index, changed, language, pattern, name) if changed != typed else None


def make_person_and_genre(index: NameIndex, rng: Random) -> JudgedQuery | None:
    """Make a query of a person and a genre, in the viewer's language."""
    person = _draw_person(index, rng)
    tag, name = rng.choice(list(person.names.items()))
    namesakes = index.people_by_key[make_key(name)]
    titles = [index.by_id[n] for each in namesakes for n in index.titles_by_person[each.person_id]]
    title = rng.choice(titles)
    genre = rng.choice(title.draft.genres)
    language = tag if is_alphabetic(name) else get_language(tag)
    word = lower(genre.names[language], language)
    meant = {each.genre_id for each in GENRES if make_key(each.names[language]) == make_key(word)}
    grades: Grades = {
        title.draft.title_id: 3 if meant.intersection(each.genre_id for each in title.draft.genres) else 1
        for title in titles
    }
    text = f"{lower(name, tag)} {word}" if rng.random() < 0.75 else f"{word} {lower(name, tag)}"
    return build(text, language, "person-genre", "director" if _directs(index, person) else "cast", grades)


def make_episode(index: NameIndex, rng: Random) -> JudgedQuery | None:
    """Make a query for an episode, by its number or its name."""
    if not index.series:
        return None
    title = rng.choice(index.series)
    episode = rng.choice(title.draft.episodes)
    tag, name = rng.choice(list(title.draft.names.items()))
    language, season, number = get_language(tag), episode.season_number, episode.number
    typed = lower(name, tag)
    pattern = rng.choice(("s2e3", "s02e03", "2x03", "words", "name", "name", "series-and-name"))
    grades: Grades = {
        title_id: 3
        for title_id in index.by_key.get(make_key(name), ())
        if any((each.season_number, each.number) == (season, number) for each in index.by_id[title_id].draft.episodes)
    }
    match pattern:
        case "s2e3":
            text = f"{typed} s{season}e{number}"
        case "s02e03":
            text = f"{typed} s{season:02}e{number:02}"
        case "2x03":
            text = f"{typed} {season}x{number:02}"
        case "words":
            text = f"{typed} {LANGUAGES[language].season.format(season, number).lower()}"
        case "series-and-name":
            if tag not in episode.names:
                return None
            text = f"{typed} {lower(episode.names[tag], tag)}"
        case _:
            tag, name = rng.choice(list(episode.names.items()))
            found = index.episodes_by_key.get(make_key(name), [])
            if len(make_key(name)) < 5 or len(found) > _MOST_RIVALS:
                return None
            text, language = lower(name, tag), tag
            grades = {title_id: 3 for title_id, _ in found} | index.grade(name)
    query = build(text, language, "episode", pattern, grades)
    return msgspec.structs.replace(query, episode_id=episode.episode_id)


def _draw_person(index: NameIndex, rng: Random) -> Person:
    """Draw a person, those with many or popular titles more often."""
    return rng.choice(index.draw(rng).draft.credits).person


def _directs(index: NameIndex, person: Person) -> bool:
    titles = (index.by_id[title_id] for title_id in index.titles_by_person[person.person_id])
    return any(
        credit.role == "director" and credit.person == person for title in titles for credit in title.draft.credits
    )


def _build_person(index: NameIndex, text: str, language: str, pattern: str, name: str) -> JudgedQuery:
    found = [*index.people_by_key[make_key(name)], *index.people_by_key.get(make_key(text), ())]
    return build(text, language, PERSON, pattern, {person.person_id: 3 for person in found})


def _make_misspelled(index: NameIndex, typed: str, name: str, tag: str, rng: Random) -> JudgedQuery | None:
    text = misspell(typed, tag, rng)
    key, meant = make_key(text), make_key(name)
    if not is_alphabetic(name) or len(meant) < 7 or key == meant or key in index.people_by_key:
        return None
    rivals = [rival for rival in index.find_near_keys(key, 1, people=True) if rival != meant]
    if len(rivals) > _MOST_RIVALS:
        return None
    query = _build_person(index, text, get_language(tag), "typo", name)
    others = {person.person_id: 1 for rival in rivals for person in index.people_by_key[rival]}
    return msgspec.structs.replace(query, grades=others | query.grades)


def _make_unfinished(index: NameIndex, typed: str, language: str) -> JudgedQuery | None:
    """Make a query that ends within the last word of a name, which few people have in common."""
    words = typed.split(" ")
    if len(words) < 2 or len(words[-1]) < 5:
        return None
    text = " ".join([*words[:-1], words[-1][:3]])
    key = make_key(text)
    found: Grades = {
        person.person_id: 3 for name, people in index.people_by_key.items() if name.startswith(key) for person in people
    }
    return build(text, language, PERSON, "unfinished", found) if len(found) <= 10 else None
