"""Writes docs/configuration.md from the settings' own structs, so that it cannot fall behind.

Types, ranges and defaults are read from `agent.config` and `collector.config`; the sentence on
each key lies in `config_meanings`. A key without a sentence is an error, and so is a sentence
without its key.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import msgspec
from msgspec import inspect

from agent.config import Settings
from agent.errors import ConfigError
from collector.config import CollectorSettings
from firmware_tools.config_meanings import AGENT, COLLECTOR

TARGET = Path(__file__).resolve().parent.parent / "docs" / "configuration.md"

_INTRO = """\
# Configuration

Made by `make docs` from the settings' own structs; edit those, not this page.

One TOML file each. Every key has a default unless it says *required*. An unknown key, a wrong type,
a value out of range or settings that contradict each other are refused at the start with one line
that names file, key, value and what is allowed. Relative paths are relative to the file's folder.
Keys and certificates are named by path, never written into the file.
"""


def reference() -> str:
    """The whole page. Raises ConfigError when a key and its sentence do not match."""
    parts = [
        _INTRO,
        "## The camera: `agent.toml`\n",
        "Given by `--config FILE` or `$SIGHTLINE_CONFIG`; `/etc/sightline/agent.toml` otherwise. "
        "Check it: `sightline-agent check-config`.\n",
        *_sections(Settings, AGENT),
        "## The collection server: `collector.toml`\n",
        *_sections(CollectorSettings, COLLECTOR),
    ]
    return "\n".join(parts)


def _sections(settings: type[msgspec.Struct], meanings: dict[str, str]) -> Iterator[str]:
    unused = set(meanings)
    for section in inspect.type_info(settings).fields:  # type: ignore[attr-defined]
        struct = section.type
        summary = " ".join((struct.cls.__doc__ or "").split())
        yield f"### `[{section.encode_name}]`\n\n{summary}\n"
        yield "| key | value | default | |\n|---|---|---|---|"
        for field in struct.fields:
            key = f"{section.encode_name}.{field.encode_name}"
            if key not in meanings:
                raise ConfigError(
                    "config_meanings.py", key, "has no sentence", remedy="say what it is for"
                )
            unused.discard(key)
            allowed, default = _allowed(field.type), _default(field)
            yield f"| `{field.encode_name}` | {allowed} | {default} | {meanings[key]} |"
        yield ""
    if unused:
        raise ConfigError(
            "config_meanings.py", min(unused), "is no setting any more", remedy="take it out"
        )


def _allowed(kind: inspect.Type) -> str:
    if isinstance(kind, inspect.UnionType):
        return _allowed(next(k for k in kind.types if not isinstance(k, inspect.NoneType)))
    if isinstance(kind, inspect.LiteralType):
        return ", ".join(f'`"{value}"`' for value in kind.values)
    if isinstance(kind, (inspect.VarTupleType, inspect.CollectionType)):
        return f"list of {_allowed(kind.item_type)}"
    if isinstance(kind, inspect.DictType):
        return f"table of {_allowed(kind.value_type)}"
    if isinstance(kind, inspect.BoolType):
        return "`true`, `false`"
    if isinstance(kind, (inspect.IntType, inspect.FloatType)):
        name = "whole number" if isinstance(kind, inspect.IntType) else "number"
        return f"{name}, {_number(kind.ge)} to {_number(kind.le)}"
    if isinstance(kind, inspect.StrType):
        return f"text matching `{kind.pattern}`" if kind.pattern else "text"
    if isinstance(kind, inspect.CustomType) and kind.cls is Path:
        return "path"
    raise ConfigError("config_reference.py", str(kind), "a kind of setting it cannot describe")


def _default(field: inspect.Field) -> str:
    if field.required:
        return "*required*"
    value = field.default_factory() if field.default is msgspec.NODEFAULT else field.default
    if value is None:
        return "none"
    if isinstance(value, bool):
        return f"`{str(value).lower()}`"
    if isinstance(value, (int, float)):
        return f"`{_number(value)}`"
    if isinstance(value, dict):
        return "`{}`"
    if isinstance(value, tuple):
        return "`[" + ", ".join(f'"{entry}"' for entry in value) + "]`"
    return f'`"{value}"`'


def _number(value: float | None) -> str:
    if value is None:
        return "any"
    return str(int(value)) if float(value).is_integer() else str(value)


def main() -> int:
    TARGET.parent.mkdir(exist_ok=True)
    TARGET.write_text(reference(), encoding="utf-8")
    print(f"written: {TARGET}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
