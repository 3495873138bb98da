"""Text that was typed while another keyboard layout was active: `ghbdtn` for `привет`."""

from __future__ import annotations

_QWERTY = "qwertyuiop[]asdfghjkl;'zxcvbnm,."
# The letters of each layout on the keys of _QWERTY, in the same order; a space where a key has no letter.
_LAYOUTS = {
    "ru": "йцукенгшщзхъфывапролджэячсмитьбю",
    "uk": "йцукенгшщзхїфівапролджєячсмитьбю",
    "el": " ςερτυθιοπ  ασδφγηξκλ  ζχψωβνμ  ",
    "he": " 'קראטוןםפ  שדגכעיחלךף זסבהנמצת ",
    "ar": "ضصثقفغعهخحجدشسيبلاتنمكطئءؤر ىةوز",
    "ko": "ㅂㅈㄷㄱㅅㅛㅕㅑㅐㅔ  ㅁㄴㅇㄹㅎㅗㅓㅏㅣ  ㅋㅌㅊㅍㅠㅜㅡ  ",
}
_KOREAN_CAPITALS = dict(zip("QWERTOP", "ㅃㅉㄸㄲㅆㅒㅖ", strict=True))
_FROM_LATIN = {
    name: {ord(key): letter for key, letter in zip(_QWERTY, layout, strict=True) if letter != " "}
    for name, layout in _LAYOUTS.items()
}
_TO_LATIN = {
    letter: key for layout in _LAYOUTS.values() for letter, key in zip(layout, _QWERTY, strict=True) if letter != " "
}


def swap_layout(text: str) -> list[str]:
    """Return what a text is when it was typed with another layout: in Latin, or in each other script."""
    korean = "".join(_KOREAN_CAPITALS.get(letter, letter) for letter in text)
    text = text.casefold()
    if any(letter in _TO_LATIN for letter in text if not letter.isascii()):
        return ["".join(_TO_LATIN.get(letter, letter) for letter in text)]
    swapped = {name: text.translate(keys) for name, keys in _FROM_LATIN.items()}
    return [*(swapped | {"ko": korean.casefold().translate(_FROM_LATIN["ko"])}).values()]
