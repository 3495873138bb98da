"""What the demo catalogue says of its titles, in English and German."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from matinee.catalogue.api import Kind

GENRES: dict[str, Mapping[str, str]] = {
    "animation": {"en": "Animation", "de": "Animation"},
    "drama": {"en": "Drama", "de": "Drama"},
    "family": {"en": "Family", "de": "Familie"},
    "nature": {"en": "Nature", "de": "Natur"},
    "night": {"en": "After dark", "de": "Nach Sonnenuntergang"},
    "science": {"en": "Science", "de": "Wissenschaft"},
}


@dataclass(frozen=True, kw_only=True)
class DemoTitle:
    """A title: `reels` is its film, or its episodes in order with a synopsis each."""

    reels: tuple[str, ...]
    names: Mapping[str, str]
    year: int
    maturity: int
    genres: tuple[str, ...]
    credits: tuple[tuple[str, str, str | None], ...]
    taglines: Mapping[str, str]
    synopses: Mapping[str, str]
    episode_synopses: tuple[Mapping[str, str], ...] = ()
    original_language: str = "en"

    @property
    def kind(self) -> Kind:
        """A series where it has episodes."""
        return "series" if self.episode_synopses else "film"


TITLES = (
    DemoTitle(
        reels=("slow-boat-north",),
        names={"en": "Slow Boat North", "de": "Langsam nach Norden"},
        year=2023,
        maturity=0,
        genres=("animation", "nature", "family"),
        credits=(
            ("Maren Holt", "director", None),
            ("Jonas Vik", "composer", None),
            ("Ruth Adeyemi", "cast", "The sailor"),
        ),
        taglines={
            "en": "Nobody is in a hurry who has a whole evening.",
            "de": "Niemand hat es eilig, der einen ganzen Abend hat.",
        },
        synopses={
            "en": (
                "A small boat, a red sail and one long evening. A sailor leaves without saying where to, and finds "
                "that north is a direction in time."
            ),
            "de": (
                "Ein kleines Boot, ein rotes Segel, ein langer Abend. Jemand fährt los, ohne zu sagen wohin, und "
                "merkt: Norden ist eine Richtung in der Zeit."
            ),
        },
    ),
    DemoTitle(
        reels=("paper-garden",),
        names={"en": "Paper Garden", "de": "Garten aus Papier"},
        year=2024,
        maturity=0,
        genres=("animation", "family"),
        credits=(
            ("Yuki Brandt", "director", None),
            ("Tom Brandt", "director", None),
            ("Noor Haddad", "cast", "The gardener"),
        ),
        taglines={"en": "Cut, fold, wait.", "de": "Schneiden, falten, warten."},
        synopses={
            "en": (
                "A garden grows on a kitchen table, one photograph at a time. Some of the flowers were never planted, "
                "and the snail has an opinion."
            ),
            "de": (
                "Auf einem Küchentisch wächst ein Garten, Foto für Foto. Manche Blumen hat niemand gesät, und die "
                "Schnecke hat dazu eine Meinung."
            ),
        },
    ),
    DemoTitle(
        reels=("last-tram",),
        names={"en": "The Last Tram", "de": "Die letzte Bahn"},
        year=2022,
        maturity=12,
        genres=("drama", "night"),
        credits=(
            ("Adèle Marchetti", "director", None),
            ("Paul Amsel", "writer", None),
            ("Samir Kovač", "cast", "The passenger"),
        ),
        taglines={
            "en": "There is you, and there is you in the window.",
            "de": "Da bist du, und da bist du im Fenster.",
        },
        synopses={
            "en": (
                "Rain, neon, half past one. A passenger rides to the end of the line and watches a city he might have "
                "lived in rush past the glass."
            ),
            "de": (
                "Regen, Neon, halb zwei. Ein Fahrgast fährt bis zur Endstation, und vor der Scheibe rast eine Stadt "
                "vorbei, in der er hätte leben können."
            ),
        },
    ),
    DemoTitle(
        reels=("light-stops",),
        names={"en": "Where the Light Stops", "de": "Wo das Licht endet", "ja": "光の終わるところ"},
        year=2025,
        maturity=6,
        genres=("nature", "science", "night"),
        credits=(
            ("Naoko Ishii", "director", None),
            ("Jonas Vik", "composer", None),
            ("Naoko Ishii", "cast", "The diver"),
        ),
        taglines={"en": "Everyone brings their own light.", "de": "Jeder bringt sein eigenes Licht mit."},
        synopses={
            "en": (
                "A dive without a bottom: past the last sunlight, through jellyfish and slow snow, to those who have "
                "made a lantern of themselves."
            ),
            "de": (
                "Ein Tauchgang ohne Grund: vorbei am letzten Sonnenlicht, durch Quallen und langsamen Schnee, zu "
                "denen, die selbst Laternen sind."
            ),
        },
    ),
    DemoTitle(
        reels=("salt-and-silver",),
        names={"en": "Salt and Silver", "de": "Salz und Silber"},
        year=2019,
        maturity=6,
        genres=("drama", "nature"),
        credits=(
            ("Conrad Lind", "director", None),
            ("Ruth Adeyemi", "cast", "The daughter"),
            ("Elias Brook", "composer", None),
        ),
        taglines={"en": "The seventh always brings something back.", "de": "Die siebte bringt immer etwas zurück."},
        synopses={
            "en": (
                "Shot on the last rolls of a forgotten film stock: a pier, a lighthouse, and a daughter who goes on "
                "counting the waves."
            ),
            "de": (
                "Gedreht auf den letzten Rollen eines vergessenen Films: ein Steg, ein Leuchtturm und eine Tochter, "
                "die weiter die Wellen zählt."
            ),
        },
    ),
    DemoTitle(
        reels=("weather-rain", "weather-snow", "weather-fog"),
        names={"en": "Weather Reports", "de": "Wetterberichte"},
        year=2025,
        maturity=0,
        genres=("animation", "family", "nature"),
        credits=(
            ("Edda Quist", "director", None),
            ("Samir Kovač", "cast", "The forecast"),
            ("Elias Brook", "composer", None),
        ),
        taglines={"en": "One valley. One deployment. Whatever falls.", "de": "Ein Tal. Ein Haus. Was immer fällt."},
        synopses={
            "en": (
                "The forecast for a valley with a single deployment in it, read out with the care that only small places "
                "get."
            ),
            "de": (
                "Die Vorhersage für ein Tal mit einem einzigen Haus, verlesen mit der Sorgfalt, die nur kleinen Orten "
                "gilt."
            ),
        },
        episode_synopses=(
            {
                "en": "It rains. Those who have a roof are asked to listen to it.",
                "de": "Es regnet. Wer ein Dach hat, wird gebeten, ihm zuzuhören.",
            },
            {
                "en": "All roads are closed, including the one you regret. Towards evening, tracks.",
                "de": "Alle Wege sind gesperrt, auch der, den du bereust. Gegen Abend Spuren.",
            },
            {
                "en": "The deployment has been reported missing. By noon it turns out to have been there all along.",
                "de": "Das Haus gilt als vermisst. Gegen Mittag war es die ganze Zeit da.",
            },
        ),
    ),
    DemoTitle(
        reels=("one-street",),
        names={"en": "One Street, Evening", "de": "Eine Straße, abends"},
        year=2021,
        maturity=6,
        genres=("drama", "night", "animation"),
        credits=(
            ("Lena Okafor", "director", None),
            ("Samir Kovač", "cast", "The walker"),
            ("Adèle Marchetti", "writer", None),
        ),
        taglines={"en": "A whole street of other people’s evenings.", "de": "Eine ganze Straße voller fremder Abende."},
        synopses={
            "en": "One take, one walk, two hundred windows. Somebody who is never seen knows everyone who lives here.",
            "de": (
                "Eine Einstellung, ein Spaziergang, zweihundert Fenster. Jemand, den keiner sieht, kennt alle, die "
                "hier wohnen."
            ),
        },
        original_language="de",
    ),
    DemoTitle(
        reels=("letters",),
        names={"en": "Letters Never Sent", "de": "Nie geschickte Briefe"},
        year=2020,
        maturity=12,
        genres=("drama", "night"),
        credits=(
            ("Paul Amsel", "director", None),
            ("Paul Amsel", "writer", None),
            ("Noor Haddad", "cast", "The voice"),
        ),
        taglines={"en": "I am fine. No.", "de": "Mir geht es gut. Nein."},
        synopses={
            "en": (
                "A film without a picture: only type. What was written, what was crossed out, and what is still "
                "falling."
            ),
            "de": "Ein Film ohne Bilder, nur Schrift: was geschrieben, was gestrichen wurde und was noch immer fällt.",
        },
    ),
    DemoTitle(
        reels=("field-guide-to-waves",),
        names={"en": "A Field Guide to Waves", "de": "Kleine Wellenkunde"},
        year=2024,
        maturity=0,
        genres=("science", "nature"),
        credits=(
            ("Ada Moreau", "director", None),
            ("Ada Moreau", "cast", "Herself"),
            ("Elias Brook", "composer", None),
        ),
        taglines={"en": "Nothing travels but the shape.", "de": "Nichts reist, nur die Form."},
        synopses={
            "en": (
                "Three lessons in ink: stones in a pond, a swell upon a swell, sand on a drum. No sum is written "
                "down, and all of them come out."
            ),
            "de": (
                "Drei Lektionen in Tinte: Steine im Teich, Dünung auf Dünung, Sand auf der Trommel. Keine Rechnung "
                "steht da, und alle gehen auf."
            ),
        },
    ),
    DemoTitle(
        reels=("small-cities",),
        names={"en": "Small Cities", "de": "Kleine Städte"},
        year=2023,
        maturity=0,
        genres=("science", "night", "animation"),
        credits=(
            ("Ivo Castellan", "director", None),
            ("Ruth Adeyemi", "cast", "The narrator"),
            ("Jonas Vik", "composer", None),
        ),
        taglines={"en": "Three rules. The rest is cities.", "de": "Drei Regeln. Der Rest sind Städte."},
        synopses={
            "en": (
                "Seen from far above at night, towns are founded, flicker and go dark, and nobody decides it: John "
                "Conway’s Game of Life, played with windows."
            ),
            "de": (
                "Nachts, von weit oben: Städte entstehen, flackern und erlöschen, und niemand entscheidet es. John "
                "Conways Spiel des Lebens, gespielt mit Fenstern."
            ),
        },
    ),
)
