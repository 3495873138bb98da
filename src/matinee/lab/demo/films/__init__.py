"""The demo films, one module each; `SCENES` has the scene of every film and episode by its slug."""

from __future__ import annotations

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
from matinee.lab.demo.scene import Scene

SCENES: dict[str, Scene] = {
    "slow-boat-north": slow_boat.SCENE,
    "paper-garden": paper_garden.SCENE,
    "last-tram": last_tram.SCENE,
    "light-stops": light_stops.SCENE,
    "salt-and-silver": salt_and_silver.SCENE,
    "one-street": one_street.SCENE,
    "letters": letters.SCENE,
    "field-guide-to-waves": waves.SCENE,
    "small-cities": small_cities.SCENE,
    **weather.SCENES,
}
