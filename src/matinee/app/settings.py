"""Read settings: from `matinee.toml`, then from `MATINEE__SECTION__KEY` in the environment.

Engines are URLs; `{data}` in a value stands for the data directory. An unknown key is an error that names the nearest
known one. Values that an earlier start stored in the data directory (`deployment.toml`) replace the defaults.
"""

from __future__ import annotations

import difflib
import functools
import os
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Literal, TypeAlias, get_type_hints

import msgspec

from matinee.app.domains import DOMAINS
from matinee.kit import url
from matinee.mesh.hosting.settings import BadSettings, Deployment, Settings

Source: TypeAlias = Literal["default", "deployment", "file", "environment", "command line"]
Values: TypeAlias = dict[str, tuple[Any, Source]]
PREFIX = "MATINEE__"
STORED_FILE = "deployment.toml"
# Besides settings that are empty by default: all targets share one process.
_MAY_BE_EMPTY = {"deployment.groups"}
# Names that earlier versions used: they are read, never written.
_EARLIER_STORED_FILE = "house.toml"
_EARLIER_SECTIONS = {"house": "deployment"}


class SettingView(msgspec.Struct, frozen=True, kw_only=True):
    """One setting as `matinee config show` prints it."""

    key: str
    value: Any
    default: Any
    source: Source


def load(
    file: Path | None, environment: Mapping[str, str] | None = None, overrides: Mapping[str, Any] | None = None
) -> Settings:
    """Read the settings. Raises BadSettings with the key, the reason and the source of a wrong value."""
    return _build(_read(file, environment, overrides))


def show(
    file: Path | None, environment: Mapping[str, str] | None = None, overrides: Mapping[str, Any] | None = None
) -> list[SettingView]:
    """Return every setting with its value, default and source; passwords in URLs are masked."""
    values = _read(file, environment, overrides)
    defaults = flatten(default_settings())
    return [
        SettingView(
            key=key,
            value=url.mask(value) if isinstance(value, str) and "://" in value else value,
            default=defaults[key],
            source=values[key][1] if key in values else "default",
        )
        for key, value in flatten(_build(values)).items()
    ]


@functools.cache
def default_settings() -> Settings:
    """Return the defaults of all settings, with `{data}` in their values."""
    own_processes = ";".join(domain.name for domain in DOMAINS.values() if domain.own_process)
    domains = {name: domain.section() for name, domain in DOMAINS.items()}
    return Settings(deployment=Deployment(groups=own_processes), domains=domains)


def sections_of(settings: Settings) -> dict[str, msgspec.Struct]:
    """Return all sections by their names."""
    sections = msgspec.structs.asdict(settings)
    domains: dict[str, msgspec.Struct] = sections.pop("domains")
    return {**sections, **domains}


def flatten(settings: Settings) -> dict[str, Any]:
    """Return the value of every setting by its key, `section.name`."""
    return {
        f"{section}.{name}": value
        for section, values in sections_of(settings).items()
        for name, value in msgspec.structs.asdict(values).items()
    }


def replace_values(settings: Settings, values: Mapping[str, Any]) -> Settings:
    """Return the settings with some values replaced."""
    return _build({key: (value, "deployment") for key, value in {**flatten(settings), **values}.items()})


def default_keys(settings: Settings) -> set[str]:
    """Return the keys whose values are the defaults for this data directory."""
    defaults = flatten(_build({"deployment.data": (settings.deployment.data, "default")}))
    return {key for key, value in flatten(settings).items() if value == defaults[key]}


def read_stored(data: Path) -> dict[str, Any]:
    """Return the values that an earlier start stored in a data directory, by key."""
    file = data / STORED_FILE
    return {
        _current_name(key): value for key, value in _read_file(file if file.exists() else data / _EARLIER_STORED_FILE)
    }


def store_values(data: Path, values: Mapping[str, Any]) -> None:
    """Store values for every later command on a data directory. They may contain passwords: only the owner may read."""
    sections: dict[str, list[str]] = {}
    for key, value in values.items():
        section, _, name = key.partition(".")
        sections.setdefault(section, []).append(f"{name} = {msgspec.json.encode(value).decode()}\n")
    text = "\n".join(f"[{section}]\n{''.join(lines)}" for section, lines in sections.items())
    fresh = data / f"{STORED_FILE}.new"
    fresh.touch(mode=0o600)
    fresh.write_text(f"# Stored by the first start of this deployment. Values set elsewhere replace these.\n{text}")
    fresh.replace(data / STORED_FILE)


def environment_of(settings: Settings) -> dict[str, str]:
    """Return the settings as the environment variables of a supervised process."""
    return {
        PREFIX + key.replace(".", "__").upper(): str(value).lower() if isinstance(value, bool) else str(value)
        for key, value in flatten(settings).items()
    }


def _read(file: Path | None, environment: Mapping[str, str] | None, overrides: Mapping[str, Any] | None) -> Values:
    values: Values = {}
    for key, value in _read_file(file):
        values[_check(key, f"in {file}")] = (value, "file")
    for name, text in (os.environ if environment is None else environment).items():
        if name.upper().startswith(PREFIX):
            key = name[len(PREFIX) :].lower().replace("__", ".")
            values[_check(key, f"in the environment variable {name}")] = (text, "environment")
    for key, value in (overrides or {}).items():
        values[_check(key, "on the command line")] = (value, "command line")
    _check_empty(values)
    data = _data_directory(values)
    stored = {_check(key, f"in {data / STORED_FILE}"): value for key, value in read_stored(data).items()}
    return {**{key: (value, "deployment") for key, value in stored.items()}, **values}


def _check_empty(values: Values) -> None:
    """Raise BadSettings for an empty path, URL or name: an empty path would be the working directory."""
    defaults = flatten(default_settings())
    for key, (value, source) in values.items():
        if isinstance(value, str) and not value.strip() and defaults[key] and key not in _MAY_BE_EMPTY:
            raise BadSettings(detail=f"The setting {key!r} must not be empty ({source}).")


def _data_directory(values: Values) -> Path:
    return Path(str(values.get("deployment.data", (Deployment().data, "default"))[0])).expanduser().absolute()


def _read_file(file: Path | None) -> Iterator[tuple[str, Any]]:
    if file is None or not file.exists():
        return
    try:
        document = tomllib.loads(file.read_text())
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise BadSettings(detail=f"{file} is not TOML: {error}") from error
    for section, values in document.items():
        for key, value in values.items() if isinstance(values, dict) else [("", values)]:
            yield f"{section}.{key}".rstrip("."), value


def _current_name(key: str) -> str:
    section, dot, name = key.partition(".")
    return _EARLIER_SECTIONS.get(section, section) + dot + name


def _check(key: str, source: str) -> str:
    """Return the current name of a key. Raises BadSettings for an unknown one."""
    key = _current_name(key)
    known = flatten(default_settings())
    if key in known:
        return key
    near = difflib.get_close_matches(key, known, n=1, cutoff=0.4)
    raise BadSettings(
        detail=f"There is no setting {key!r} ({source})." + (f" Did you mean {near[0]!r}?" if near else "")
    )


def _build(values: Values) -> Settings:
    data = str(_data_directory(values))
    given = {key: value for key, (value, _) in values.items()} | {"deployment.data": data}
    sections: dict[str, Any] = {
        name: _build_section(name, default, given, data) for name, default in sections_of(default_settings()).items()
    }
    domains = {name: sections.pop(name) for name in DOMAINS}
    return Settings(**sections, domains=domains)


def _build_section(name: str, default: msgspec.Struct, given: Mapping[str, Any], data: str) -> msgspec.Struct:
    values = msgspec.structs.asdict(default)
    for field, kind in get_type_hints(type(default), include_extras=True).items():
        if (key := f"{name}.{field}") in given:
            values[field] = _convert(key, given[key], kind)
    return type(default)(**{k: v.replace("{data}", data) if isinstance(v, str) else v for k, v in values.items()})


def _convert(key: str, value: Any, kind: Any) -> Any:
    try:
        return msgspec.convert(value, kind, strict=False)
    except msgspec.ValidationError as error:
        raise BadSettings(detail=f"The setting {key!r} cannot be {value!r}: {error}") from error
