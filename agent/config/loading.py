"""Reads one TOML file into settings, or says in one line what is wrong with it.

Every refusal is a `ConfigError` that names file, key, value and allowed range.
"""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from agent.config.base import Section
from agent.config.contradictions import contradictions
from agent.config.sections import Settings
from agent.errors import ConfigError

AnySettings = TypeVar("AnySettings", bound=msgspec.Struct)


def load_settings(file: Path) -> Settings:
    """Read and check `file`. Relative paths in it are relative to the folder of the file.

    Raises ConfigError: file missing or unreadable, not TOML, a key unknown, of the wrong type or
    out of range, or settings that contradict each other.
    """
    settings = load_toml(file, Settings, remedy="run `sightline-agent check-config`")
    for key, problem, remedy in contradictions(settings):
        raise ConfigError(str(file), key, problem, remedy=remedy)
    return settings


def load_toml(file: Path, kind: type[AnySettings], *, remedy: str) -> AnySettings:
    """The TOML `file` as `kind`, a struct of Sections. Relative paths become relative to the folder
    of the file. Raises ConfigError; `remedy` is what it advises for a key that cannot be used."""
    try:
        text = file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as exc:
        reason = getattr(exc, "strerror", None) or "not UTF-8 text"
        raise ConfigError(
            str(file), "", f"cannot be read ({reason})", remedy="give the path with --config FILE"
        ) from exc
    try:
        table = tomllib.loads(text)
    except tomllib.TOMLDecodeError as exc:
        raise ConfigError(str(file), "", f"not TOML: {exc}", remedy="mend that line") from exc
    return _anchor_paths(_convert(file, table, kind, remedy), file.resolve().parent)


def _convert(
    file: Path, table: dict[str, Any], kind: type[AnySettings], remedy: str
) -> AnySettings:
    try:
        return msgspec.convert(table, kind, dec_hook=_path_from_text)
    except msgspec.ValidationError as exc:
        problem, key = _split_path(str(exc))
        key, shown = _locate(table, key, problem)
        raise ConfigError(str(file), key, f"{problem}{shown}", remedy=remedy) from exc


def _path_from_text(kind: type, value: Any) -> Any:
    if kind is Path and isinstance(value, str) and value:
        return Path(value)
    raise ValueError(f"Expected a path as text, got `{type(value).__name__}`")


def _split_path(message: str) -> tuple[str, str]:
    problem, _, path = message.partition(" - at `$")
    return problem, path.rstrip("`").lstrip(".")


def _locate(table: dict[str, Any], key: str, problem: str) -> tuple[str, str]:
    """The full dotted key (an unknown field is named in the message) and the value as text."""
    if "unknown field" in problem:
        field = problem.rsplit("`", 2)[1]
        full = f"{key}.{field}" if key else field
        return full, ""
    value: Any = table
    for step in key.split(".") if key else []:
        value = value.get(step) if isinstance(value, dict) else None
    return key, f" (it is {value!r})" if key and not isinstance(value, dict) else ""


def _anchor_paths(settings: AnySettings, folder: Path) -> AnySettings:
    sections: dict[str, Section] = {}
    for name in settings.__struct_fields__:
        section = getattr(settings, name)
        moved = {
            field: _anchored(getattr(section, field), folder) for field in section.__struct_fields__
        }
        sections[name] = msgspec.structs.replace(section, **moved)
    return msgspec.structs.replace(settings, **sections)


def _anchored(value: Any, folder: Path) -> Any:
    """`value` with each path in it made absolute (`folder / absolute` is the absolute one)."""
    if isinstance(value, Path):
        return folder / value
    if isinstance(value, tuple):
        return tuple(_anchored(item, folder) for item in value)
    return value
