"""Splits that do not leak: no place, session or person on both sides of what is fitted and judged.

Each clip's truth says in `origin` where it comes from, for example {"site": "hall-3", "session":
"2026-05-02-am", "person": "t07"} (pseudonyms do). `split.json` beside the sets may say otherwise
what they must not share; without it: site, session and person.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import combinations
from pathlib import Path

import msgspec

from agent.errors import FootageError

SPLIT_FILE = "split.json"
Origins = Mapping[str, Mapping[str, Mapping[str, str]]]


class Split(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`fitted`: the sets that training and thresholds are made from; the others are judged on, and
    may share among themselves. `by`: what a fitted set must share with no other. `by_set`: instead
    of `by`, for a set that is held out by something else."""

    fitted: tuple[str, ...] = ("train", "val")
    by: tuple[str, ...] = ("site", "session", "person")
    by_set: dict[str, tuple[str, ...]] = {}

    def keys(self, first: str, second: str) -> tuple[str, ...]:
        """What these two sets must not share."""
        return self.by_set.get(first, self.by_set.get(second, self.by))


def read_split(folder: Path) -> Split:
    """The split of a folder of sets. Raises FootageError when its file is not of the format."""
    file = folder / SPLIT_FILE
    if not file.is_file():
        return Split()
    try:
        return msgspec.json.decode(file.read_bytes(), type=Split)
    except (OSError, msgspec.DecodeError, UnicodeDecodeError) as exc:
        raise FootageError(f"{file} cannot be used ({exc})", remedy="mend it") from exc


def leaks(split: Split, origins: Origins) -> list[str]:
    """One line for each thing that two sets share and must not, and for each set whose clips do
    not say. `origins`: set -> clip -> origin."""
    lines: list[str] = []
    silent: dict[tuple[str, str], list[str]] = {}
    fitted = [name for name in origins if name in split.fitted] or list(origins)
    for first, second in combinations(origins, 2):
        if first not in fitted and second not in fitted:
            continue
        for key in split.keys(first, second):
            held = {name: _by_value(origins[name], key) for name in (first, second)}
            for name in (first, second):
                if "" in held[name]:
                    silent[name, key] = held[name].pop("")
            lines += [
                f"{first} and {second} share {key} {value!r}"
                f" ({held[first][value][0]}, {held[second][value][0]}): the split leaks"
                for value in sorted(held[first].keys() & held[second].keys())
            ]
    lines += [
        f"{name}: {len(clips)} clips do not say their {key} (first: {clips[0]}):"
        " whether the split leaks cannot be told"
        for (name, key), clips in silent.items()
    ]
    return lines


def _by_value(clips: Mapping[str, Mapping[str, str]], key: str) -> dict[str, list[str]]:
    """value of `key` -> clips that have it; "" for those that do not say."""
    found: dict[str, list[str]] = {}
    for clip, origin in clips.items():
        found.setdefault(origin.get(key, ""), []).append(clip)
    return found
