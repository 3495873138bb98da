"""Language tags: between the codes of containers (ISO 639-2) and those of the catalogue (BCP 47)."""

from __future__ import annotations

import re

# fmt: off
_SHORT = {
    "ara": "ar", "bul": "bg", "cat": "ca", "ces": "cs", "cze": "cs", "cym": "cy", "wel": "cy", "dan": "da",
    "deu": "de", "ger": "de", "ell": "el", "gre": "el", "eng": "en", "est": "et", "eus": "eu", "baq": "eu",
    "fas": "fa", "per": "fa", "fin": "fi", "fra": "fr", "fre": "fr", "gle": "ga", "glg": "gl", "heb": "he",
    "hin": "hi", "hrv": "hr", "hun": "hu", "hye": "hy", "arm": "hy", "ind": "id", "isl": "is", "ice": "is",
    "ita": "it", "jpn": "ja", "kat": "ka", "geo": "ka", "kor": "ko", "lav": "lv", "lit": "lt", "mkd": "mk",
    "mac": "mk", "msa": "ms", "may": "ms", "nld": "nl", "dut": "nl", "nor": "no", "nob": "nb", "nno": "nn",
    "pol": "pl", "por": "pt", "ron": "ro", "rum": "ro", "rus": "ru", "slk": "sk", "slo": "sk", "slv": "sl",
    "spa": "es", "sqi": "sq", "alb": "sq", "srp": "sr", "swe": "sv", "tam": "ta", "tel": "te", "tha": "th",
    "tur": "tr", "ukr": "uk", "urd": "ur", "vie": "vi", "zho": "zh", "chi": "zh", "afr": "af", "amh": "am",
    "asm": "as", "aze": "az", "bel": "be", "ben": "bn", "bod": "bo", "tib": "bo", "bos": "bs", "bre": "br",
    "cos": "co", "epo": "eo", "fao": "fo", "fry": "fy", "gla": "gd", "guj": "gu", "hat": "ht", "hau": "ha",
    "ibo": "ig", "jav": "jv", "kal": "kl", "kan": "kn", "kaz": "kk", "khm": "km", "kin": "rw", "kir": "ky",
    "kur": "ku", "lao": "lo", "lat": "la", "ltz": "lb", "mal": "ml", "mar": "mr", "mlg": "mg", "mlt": "mt",
    "mon": "mn", "mri": "mi", "mao": "mi", "mya": "my", "bur": "my", "nep": "ne", "oci": "oc", "ori": "or",
    "pan": "pa", "pus": "ps", "roh": "rm", "sin": "si", "sme": "se", "smo": "sm", "sna": "sn", "snd": "sd",
    "som": "so", "sot": "st", "sun": "su", "swa": "sw", "tat": "tt", "tgk": "tg", "tgl": "tl", "tir": "ti",
    "tuk": "tk", "uig": "ug", "uzb": "uz", "wol": "wo", "xho": "xh", "yid": "yi", "yor": "yo", "zul": "zu",
    "que": "qu", "ton": "to",
    # Withdrawn codes (ISO 639-1 and 639-2 change notices; the IANA registry's preferred values).
    "scr": "hr", "scc": "sr", "mol": "ro", "iw": "he", "in": "id", "ji": "yi", "jw": "jv", "mo": "ro",
}
# fmt: on
# Of two codes of a language, the first is that of its own name (ISO 639-2/T).
_LONG = {short: code for code, short in reversed(_SHORT.items())}
_TAG = re.compile(r"[a-zA-Z]{2,3}(-[a-zA-Z0-9]{1,8})*")


def parse_language(text: str) -> str:
    """Return the BCP 47 tag for a language code of a container or a person; `und` for an invalid one."""
    text = text.strip().replace("_", "-")
    if not _TAG.fullmatch(text):
        return "und"
    first, dash, rest = text.partition("-")
    return _SHORT.get(first.lower(), first.lower()) + dash + rest


def to_iso639_2(tag: str) -> str:
    """Return the code of three letters for the language of a BCP 47 tag; `und` for an unknown one."""
    primary = tag.partition("-")[0].lower()
    return primary if len(primary) == 3 else _LONG.get(primary, "und")
