"""The people of the generated catalogue."""

from __future__ import annotations

from random import Random

from matinee.catalogue.api import Localised, Person
from matinee.kit.ids import PersonId, derive
from matinee.lab.catalogue.forms import LANGUAGES
from matinee.lab.catalogue.lexicon import PersonNames, list_person_names
from matinee.lab.catalogue.scripts import romanise_cyrillic, romanise_hangul, to_pinyin


def generate_people(count: int, seed: int) -> dict[str, list[Person]]:
    """Generate people by their language, the best known first. Some have the same name, as in reality."""
    rng = Random(f"people/{seed}")  # noqa: S311 - not for security
    total = sum(language.share for language in LANGUAGES.values())
    people = {}
    for tag, language in LANGUAGES.items():
        names = list_person_names(tag)
        people[tag] = [
            Person(person_id=derive(PersonId, "lab", str(seed), tag, str(n)), names=_make_names(tag, names, rng))
            for n in range(max(12, round(count * language.share / total)))
        ]
    return people


def _make_names(tag: str, names: PersonNames, rng: Random) -> Localised:
    first, latin_first = rng.choice(names.first)
    last, latin_last = rng.choice(names.last)
    match tag:
        case "ja":
            return {"ja": last + first, "en": f"{latin_first} {latin_last}"}
        case "zh":
            family, given = "".join(to_pinyin(last)), "".join(to_pinyin(first))
            return {"zh": last + first, "en": f"{family.capitalize()} {given.capitalize()}"}
        case "ko":
            return {
                "ko": last + first,
                "en": f"{romanise_hangul(last).capitalize()} {romanise_hangul(first).capitalize()}",
            }
        case "ru":
            name = f"{first} {last}"
            return {"ru": name, "en": romanise_cyrillic(name)}
        case "es" if rng.random() < 0.3:
            return {tag: f"{first} {last} {rng.choice(names.last)[0]}"}
        case "en" if rng.random() < 0.12:
            return {tag: f"{first} {rng.choice('ABCDEFGHJKLMPRSTW')}. {last}"}
        case _:
            return {tag: f"{first} {last}"}
