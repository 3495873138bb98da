"""Validation and normalization of accounts, passwords and profiles."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Iterator

from matinee.identity.api import NAME_LIMIT, DeviceInfo
from matinee.kit.problem import Fault, Invalid
from matinee.kit.text import is_unsafe

MATURITY_LIMIT = 21
PASSWORD_LENGTHS = (8, 128)
DEVICE_NAME_LIMIT = 80
# What `<input type=email>` takes (HTML Living Standard §4.10.5.1.5), and letters beyond ASCII (RFC 6531).
_LOCAL = re.compile(r"[^\s\x00-\x1f\x7f\"(),:;<>@\[\\\]]{1,64}")
_LABEL = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?")
_LANGUAGE = re.compile(r"[A-Za-z]{2,3}(?:-[A-Za-z0-9]{2,8}){0,4}")
_AVATAR = re.compile(r"[a-z0-9][a-z0-9-]{0,63}")
_PIN = re.compile(r"[0-9]{4,8}")


def normalize_email(email: str) -> str:
    """Normalize an address to NFKC, lower case, the domain in ASCII form if it has one."""
    plain = email.strip().encode("utf-8", "replace").decode()
    local, at, domain = unicodedata.normalize("NFKC", plain).lower().rpartition("@")
    try:
        return f"{local}{at}{domain.encode('idna').decode()}"
    except UnicodeError:
        return f"{local}{at}{domain}"


def normalize_password(password: str) -> str:
    """Normalize a password to NFKC before hashing (NIST SP 800-63B §3.1.1.2)."""
    # Longer input is invalid anyway; the limit bounds the work.
    return unicodedata.normalize("NFKC", password[: 8 * PASSWORD_LENGTHS[1]])


def check_sign_up(email: str, password: str, name: str, language: str) -> None:
    """Raise Invalid with every fault of a new account."""
    _raise_if_any(
        [
            *_check_email(normalize_email(email)),
            *_check_password(normalize_password(password)),
            *_check_profile(name=name, language=language),
        ]
    )


def check_password(password: str) -> None:
    """Raise Invalid for a password that may not be chosen."""
    _raise_if_any(_check_password(normalize_password(password)))


def list_words(*texts: str) -> list[str]:
    """List texts about a person, their words, and Matinee's name: what a password must not be made of."""
    words = [word for text in texts for word in (text, *re.split(r"[\W_]+", text))]
    return [*dict.fromkeys(word.lower() for word in (*words, "matinee") if word)]


def check_weakness(weakness: str) -> None:
    """Raise Invalid if there is a reason why a password is easy to guess."""
    _raise_if_any([Fault("password", f"this is easy to guess: {weakness}")] if weakness else [])


def check_profile(
    *,
    name: str | None = None,
    avatar: str | None = None,
    language: str | None = None,
    maturity: int | None = None,
    pin: str | None = None,
) -> None:
    """Raise Invalid with every fault of a profile; None and an empty PIN are valid."""
    _raise_if_any(_check_profile(name=name, avatar=avatar, language=language, maturity=maturity, pin=pin))


def clean_name(name: str) -> str:
    """Normalize a name to NFC without surrounding space."""
    return unicodedata.normalize("NFC", name).strip()


def clean_device_name(device: DeviceInfo) -> str:
    """Return the printable part of a device's name; an unusable name never prevents a sign-in."""
    printable = "".join(letter for letter in clean_name(device.name) if not is_unsafe(letter))
    return printable[:DEVICE_NAME_LIMIT] or "Unknown device"


def _raise_if_any(faults: Iterable[Fault]) -> None:
    if found := list(faults):
        raise Invalid(faults=found, detail="; ".join(fault.message for fault in found))


def _check_email(email: str) -> Iterator[Fault]:
    local, at, domain = email.rpartition("@")
    good = (
        at
        and _LOCAL.fullmatch(local)
        and local.isprintable()
        and all(_LABEL.fullmatch(label) for label in domain.split("."))
    )
    if not good or len(email) > 254:
        yield Fault("email", "Give an e-mail address such as name@example.org.")


def _check_password(password: str) -> Iterator[Fault]:
    shortest, longest = PASSWORD_LENGTHS
    if not shortest <= len(password) <= longest or not _is_encodable(password):
        yield Fault("password", f"Choose a password of {shortest} to {longest} characters.")


def _check_profile(
    *,
    name: str | None = None,
    avatar: str | None = None,
    language: str | None = None,
    maturity: int | None = None,
    pin: str | None = None,
) -> Iterator[Fault]:
    if name is not None and not _is_name(clean_name(name)):
        yield Fault("name", f"Give a name of 1 to {NAME_LIMIT} characters.")
    if avatar is not None and not _AVATAR.fullmatch(avatar):
        yield Fault("avatar", "Choose an avatar by its name, such as ember.")
    if language is not None and not _LANGUAGE.fullmatch(language):
        yield Fault("language", "Give a language tag such as en or pt-BR.")
    if maturity is not None and not 0 <= maturity <= MATURITY_LIMIT:
        yield Fault("maturity", f"Give an age from 0 to {MATURITY_LIMIT}.")
    if pin and not _PIN.fullmatch(pin):
        yield Fault("pin", "Choose a PIN of 4 to 8 digits.")


def _is_name(name: str) -> bool:
    categories = {unicodedata.category(letter) for letter in name}
    return len(name) <= NAME_LIMIT and bool(categories - {"Cf", "Zs"}) and not any(map(is_unsafe, name))


def _is_encodable(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
