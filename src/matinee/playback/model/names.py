"""Names of tracks for people, and which track is the main one."""

from __future__ import annotations

from collections.abc import Callable, Container, Sequence
from typing import TypeAlias, TypeVar

from matinee.catalogue.api import AudioTrack, TextTrack

# Names of languages in themselves, from the Unicode CLDR.
# fmt: off
_LANGUAGES = {
    "af": "Afrikaans", "am": "አማርኛ", "ar": "العربية", "az": "Azərbaycan", "be": "Беларуская", "bg": "Български",
    "bn": "বাংলা", "bo": "བོད་སྐད་", "bs": "Bosanski", "ca": "Català", "cs": "Čeština", "cy": "Cymraeg",
    "da": "Dansk", "de": "Deutsch", "el": "Ελληνικά", "en": "English", "eo": "Esperanto", "es": "Español",
    "et": "Eesti", "eu": "Euskara", "fa": "فارسی", "fi": "Suomi", "fil": "Filipino", "fo": "Føroyskt",
    "fr": "Français", "ga": "Gaeilge", "gd": "Gàidhlig", "gl": "Galego", "gu": "ગુજરાતી", "ha": "Hausa",
    "he": "עברית", "hi": "हिन्दी", "hr": "Hrvatski", "hu": "Magyar", "hy": "Հայերեն", "id": "Indonesia", "ig": "Igbo",
    "is": "Íslenska", "it": "Italiano", "ja": "日本語", "jv": "Jawa", "ka": "Ქართული", "kk": "Қазақ тілі", "km": "ខ្មែរ",
    "kn": "ಕನ್ನಡ", "ko": "한국어", "ku": "Kurdî", "ky": "Кыргызча", "lb": "Lëtzebuergesch", "lo": "ລາວ",
    "lt": "Lietuvių", "lv": "Latviešu", "mi": "Māori", "mk": "Македонски", "ml": "മലയാളം", "mn": "Монгол",
    "mr": "मराठी", "ms": "Melayu", "mt": "Malti", "my": "မြန်မာ", "nb": "Norsk bokmål", "ne": "नेपाली",
    "nl": "Nederlands", "nn": "Norsk nynorsk", "no": "Norsk", "oc": "Occitan", "or": "ଓଡ଼ିଆ", "pa": "ਪੰਜਾਬੀ",
    "pl": "Polski", "ps": "پښتو", "pt": "Português", "qu": "Runasimi", "rm": "Rumantsch", "ro": "Română",
    "ru": "Русский", "rw": "Kinyarwanda", "sd": "سنڌي", "si": "සිංහල", "sk": "Slovenčina", "sl": "Slovenščina",
    "sm": "Samoan", "sn": "ChiShona", "so": "Soomaali", "sq": "Shqip", "sr": "Српски", "st": "Sesotho",
    "su": "Basa Sunda", "sv": "Svenska", "sw": "Kiswahili", "ta": "தமிழ்", "te": "తెలుగు", "tg": "Тоҷикӣ",
    "th": "ไทย", "ti": "ትግርኛ", "tk": "Türkmen dili", "to": "Lea fakatonga", "tr": "Türkçe", "tt": "Татар",
    "ug": "ئۇيغۇرچە", "uk": "Українська", "ur": "اردو", "uz": "O‘zbek", "vi": "Tiếng Việt", "wo": "Wolof",
    "xh": "isiXhosa", "yi": "ייִדיש", "yo": "Èdè Yorùbá", "yue": "粵語", "zh": "中文", "zu": "isiZulu",
}
# fmt: on
_ROLES = {
    "commentary": "commentary",
    "description": "audio description",
    "caption": "captions",
    "forced": "forced",
}
_LAYOUTS = {1: "mono", 2: "stereo", 6: "5.1", 8: "7.1"}
T = TypeVar("T", AudioTrack, TextTrack)
# The language, role, label and number of a sound, which all its layouts and bit rates have.
Sound: TypeAlias = tuple[str, str, str, int]


def get_sound(track: AudioTrack) -> Sound:
    """Return the sound that a track is one form of."""
    return track.language, track.role, track.label, track.number


def name_language(tag: str) -> str:
    """Return the name of a language in itself, with the region or script of its tag; else the tag."""
    primary, _, rest = tag.partition("-")
    name = _LANGUAGES.get(primary.lower(), "")
    return (f"{name} ({rest})" if rest else name) or tag


def name_audio(tracks: Sequence[AudioTrack]) -> dict[str, str]:
    """Return a different name for each track, by its id: its layout is named where its sound has several."""
    sounds = name_sounds(tracks)
    layouts: dict[Sound, set[int]] = {}
    for track in tracks:
        layouts.setdefault(get_sound(track), set()).add(track.channels)

    def describe(track: AudioTrack) -> str:
        name = sounds[get_sound(track)]
        layout = _LAYOUTS.get(track.channels, f"{track.channels} channels")
        return f"{name} ({layout})" if len(layouts[get_sound(track)]) > 1 else name

    return _number(tracks, describe)


def name_sounds(tracks: Sequence[AudioTrack]) -> dict[Sound, str]:
    """Return a different name for each sound, whatever layouts it has."""
    first = {get_sound(track): track for track in reversed(tracks)}
    ordered = [track for track in tracks if first[get_sound(track)] is track]
    shared = _find_shared_labels(tracks)
    by_id = _number(ordered, lambda track: _describe(track, shared))
    return {get_sound(track): by_id[track.track_id] for track in ordered}


def name_text(tracks: Sequence[TextTrack]) -> dict[str, str]:
    """Return a different name for each track, by its id."""
    shared = _find_shared_labels(tracks)
    return _number(tracks, lambda track: _describe(track, shared))


def find_original(audio: Sequence[AudioTrack], original_language: str) -> str:
    """Return the language of the tracks that are no dubs: the original one, or the nearest that there is; else ""."""
    languages = [track.language for track in audio]
    if original_language in languages:
        return original_language
    primary = original_language.partition("-")[0].lower()
    return next((language for language in languages if language.partition("-")[0].lower() == primary), "")


def is_dub(track: AudioTrack, original: str) -> bool:
    """Return whether a main track is in another language than the original, as `find_original` returns it."""
    return track.role == "main" and original not in {"", track.language}


def sort_audio(audio: Sequence[AudioTrack], original_language: str) -> list[AudioTrack]:
    """Return the tracks in their order of preference, the main track first."""
    original = find_original(audio, original_language)
    if any(track.language == original and track.role == "main" for track in audio):
        return sorted(audio, key=lambda track: (track.language != original, track.role != "main"))
    return sorted(audio, key=lambda track: (track.role != "main", track.language != original))


def _find_shared_labels(tracks: Sequence[AudioTrack | TextTrack]) -> set[str]:
    """Find the labels of tracks in several languages, such as `Stereo`: they do not name a track."""
    languages: dict[str, set[str]] = {}
    for track in tracks:
        languages.setdefault(_clean_label(track), set()).add(track.language)
    return {label for label, tags in languages.items() if len(tags) > 1}


def _describe(track: AudioTrack | TextTrack, shared: Container[str]) -> str:
    label, language = _clean_label(track), name_language(track.language)
    notes = [] if label or track.role not in _ROLES else [_ROLES[track.role]]
    name = f"{language}: {label}" if label and label in shared else label or language
    return f"{name} ({', '.join(notes)})" if notes else name


def _clean_label(track: AudioTrack | TextTrack) -> str:
    return " ".join("".join(filter(str.isprintable, track.label.replace('"', "'"))).split())


def _number(tracks: Sequence[T], describe: Callable[[T], str]) -> dict[str, str]:
    names: dict[str, str] = {}
    for track in tracks:
        name, count = describe(track), 1
        while name in names:
            count += 1
            name = f"{describe(track)} {count}"
        names[name] = track.track_id
    return {track_id: name for name, track_id in names.items()}
