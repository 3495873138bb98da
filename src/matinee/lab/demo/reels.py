"""Every demo film and episode in the order of their making: the first is quick, so that something is on early."""

from __future__ import annotations

from matinee.lab.demo import looks, scores, scripts
from matinee.lab.demo.films import (
    last_tram,
    letters,
    light_stops,
    one_street,
    paper_garden,
    salt_and_silver,
    slow_boat,
    small_cities,
    waves,
    weather,
)
from matinee.lab.demo.reel import Line, Look, Reel
from matinee.lab.demo.sound import Score

_WEATHER = {"en": "Weather Reports", "de": "Wetterberichte"}


def _forecast(
    number: int,
    slug: str,
    names: dict[str, str],
    day: weather.Day,
    lines: tuple[Line, ...],
    *,
    held: int,
    score: Score,
    look: Look,
) -> Reel:
    """An episode of the series; the first one's look is the series' own."""
    return Reel(
        slug=slug,
        names=names,
        heading=_WEATHER,
        episode=number,
        seconds=weather.SECONDS,
        held=held,
        scene=weather.scene(day),
        lines=lines,
        score=score,
        look=look,
    )


_ALL = [
    Reel(
        slug="slow-boat-north",
        names={"en": "Slow Boat North", "de": "Langsam nach Norden"},
        seconds=slow_boat.SECONDS,
        held=slow_boat.HELD,
        scene=slow_boat.scene,
        lines=scripts.SLOW_BOAT,
        score=scores.SLOW_BOAT,
        look=looks.SLOW_BOAT,
    ),
    Reel(
        slug="paper-garden",
        names={"en": "Paper Garden", "de": "Garten aus Papier"},
        seconds=paper_garden.SECONDS,
        held=paper_garden.HELD,
        scene=paper_garden.scene,
        lines=scripts.PAPER_GARDEN,
        score=scores.PAPER_GARDEN,
        look=looks.PAPER_GARDEN,
    ),
    Reel(
        slug="last-tram",
        names={"en": "The Last Tram", "de": "Die letzte Bahn"},
        seconds=last_tram.SECONDS,
        held=last_tram.HELD,
        scene=last_tram.scene,
        lines=scripts.LAST_TRAM,
        spoken=("en", "fr"),
        beside=("de",),
        score=scores.LAST_TRAM,
        look=looks.LAST_TRAM,
    ),
    Reel(
        slug="light-stops",
        names={"en": "Where the Light Stops", "de": "Wo das Licht endet"},
        seconds=light_stops.SECONDS,
        held=light_stops.HELD,
        scene=light_stops.scene,
        lines=scripts.LIGHT_STOPS,
        spoken=("en", "ja"),
        score=scores.LIGHT_STOPS,
        look=looks.LIGHT_STOPS,
    ),
    Reel(
        slug="salt-and-silver",
        names={"en": "Salt and Silver", "de": "Salz und Silber"},
        seconds=salt_and_silver.SECONDS,
        held=salt_and_silver.HELD,
        scene=salt_and_silver.scene,
        filters=salt_and_silver.GRAIN,
        crf=20,
        lines=scripts.SALT_AND_SILVER,
        score=scores.SALT_AND_SILVER,
        look=looks.SALT_AND_SILVER,
    ),
    _forecast(
        1,
        "weather-rain",
        {"en": "Rain", "de": "Regen"},
        weather.RAIN,
        scripts.RAIN,
        held=1,
        score=scores.RAIN,
        look=looks.RAIN,
    ),
    Reel(
        slug="one-street",
        names={"en": "One Street, Evening", "de": "Eine Straße, abends"},
        seconds=one_street.SECONDS,
        held=one_street.HELD,
        scene=one_street.scene,
        lines=scripts.ONE_STREET,
        spoken=("de", "en"),
        score=scores.ONE_STREET,
        look=looks.ONE_STREET,
    ),
    Reel(
        slug="letters",
        names={"en": "Letters Never Sent", "de": "Nie geschickte Briefe"},
        seconds=letters.SECONDS,
        held=letters.HELD,
        scene=letters.scene,
        lines=scripts.LETTERS,
        beside=("fr",),
        score=scores.LETTERS,
        look=looks.LETTERS,
    ),
    _forecast(
        2,
        "weather-snow",
        {"en": "Snow", "de": "Schnee"},
        weather.SNOW,
        scripts.SNOW,
        held=2,
        score=scores.SNOW,
        look=looks.SNOW,
    ),
    Reel(
        slug="field-guide-to-waves",
        names={"en": "A Field Guide to Waves", "de": "Kleine Wellenkunde"},
        seconds=waves.SECONDS,
        held=waves.HELD,
        scene=waves.scene,
        lines=scripts.WAVES,
        score=scores.WAVES,
        look=looks.WAVES,
    ),
    Reel(
        slug="small-cities",
        names={"en": "Small Cities", "de": "Kleine Städte"},
        seconds=small_cities.SECONDS,
        held=small_cities.HELD,
        scene=small_cities.scene,
        lines=scripts.SMALL_CITIES,
        score=scores.SMALL_CITIES,
        look=looks.SMALL_CITIES,
    ),
    _forecast(
        3,
        "weather-fog",
        {"en": "Fog", "de": "Nebel"},
        weather.FOG,
        scripts.FOG,
        held=2,
        score=scores.FOG,
        look=looks.FOG,
    ),
]

REELS: dict[str, Reel] = {reel.slug: reel for reel in _ALL}
