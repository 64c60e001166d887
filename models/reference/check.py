"""Is footage fit to train on? One line for each thing that is not.

    python -m models.reference.check DIR [--label ID ...] [--no-split]

DIR as for `models.reference.evaluate`. Exit code 1 when anything is wrong, 0 when nothing is.
"""

from __future__ import annotations

import argparse
import difflib
import hashlib
import sys
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path

from agent.errors import FootageError
from models.reference import recipe
from models.reference.clips import (
    ClipFiles,
    FootageSet,
    Truth,
    count_pictures,
    find_sets,
    read_truth,
    unpaired,
)
from models.reference.splits import leaks, read_split

_RATE_SLACK = 0.01


def known_labels() -> frozenset[str]:
    """The labels of the recipe."""
    return frozenset(rule.id for rule in recipe.LABELS)


def faults(folder: Path, known: Collection[str], *, with_split: bool = True) -> list[str]:
    """One line for each thing that is wrong with the footage in `folder`; none when it is fit.

    `known`: the labels there are. `with_split`: look for what sets share, too. Raises FootageError
    when there is no footage at all.
    """
    lines = unpaired(folder)
    origins: dict[str, dict[str, dict[str, str]]] = {}
    videos: dict[str, str] = {}
    for each in find_sets(folder):
        for clip in each.clips:
            try:
                truth = read_truth(clip.truth)
            except FootageError as exc:
                lines.append(str(exc))
                continue
            origins.setdefault(each.name, {})[f"{each.name}/{clip.name}"] = truth.origin
            lines += _labels(clip, truth, known)
            lines += _pictures(clip, truth)
            lines += _doubles(each, clip, videos)
    if with_split:
        lines += leaks(read_split(folder), origins)
    return lines


def refuse_unfit(folder: Path, *, with_split: bool = True) -> None:
    """Nothing is trained on that is not fit: prints each fault and raises FootageError."""
    lines = faults(folder, known_labels(), with_split=with_split)
    for line in lines:
        print(line)
    if lines:
        raise FootageError(
            f"{folder}: {len(lines)} faults, nothing is trained on", remedy="mend what they name"
        )


def never_true(folder: Path, known: Collection[str]) -> Iterator[str]:
    """One line for each label that nothing can be learnt of in a set: worth knowing, no fault."""
    for each in find_sets(folder):
        truths = [read_truth(clip.truth) for clip in each.clips]
        for label in sorted(known):
            rows = [truth.labels[label] for truth in truths if label in truth.labels]
            if not any((row == 1).any() for row in rows):
                yield f"{each.name}: {label} is never true"
            elif not any((row == 0).any() for row in rows):
                yield f"{each.name}: {label} is never false"


def _labels(clip: ClipFiles, truth: Truth, known: Collection[str]) -> Iterator[str]:
    for label in truth.labels:
        if label not in known:
            close = difflib.get_close_matches(label, known, 1)
            hint = f"; {close[0]} is meant?" if close else ""
            yield f"{clip.truth}: label {label} is not in the recipe{hint}"


def _pictures(clip: ClipFiles, truth: Truth) -> Iterator[str]:
    try:
        count, rate_hz = count_pictures(clip.video)
    except FootageError as exc:
        yield str(exc)
        return
    if count != truth.frames:
        yield f"{clip.video}: {count} pictures, its truth has {truth.frames}"
    if rate_hz and abs(rate_hz / truth.rate_hz - 1) > _RATE_SLACK:
        yield f"{clip.video}: {rate_hz:g} pictures a second, its truth says {truth.rate_hz:g}"


def _doubles(each: FootageSet, clip: ClipFiles, videos: dict[str, str]) -> Iterator[str]:
    """`videos`: SHA-256 -> where it was seen; filled here."""
    with clip.video.open("rb") as stream:
        digest = hashlib.file_digest(stream, "sha256").hexdigest()
    name = f"{each.name}/{clip.name}"
    if digest in videos:
        yield f"{name} is the same video as {videos[digest]}"
    videos.setdefault(digest, name)


def main(words: Sequence[str] | None = None) -> int:
    """Returns the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m models.reference.check", description=(__doc__ or "").split("\n", 1)[0]
    )
    parser.add_argument("folder", type=Path, metavar="DIR", help="the footage")
    parser.add_argument("--label", action="append", default=[], help="a label of your own")
    parser.add_argument(
        "--no-split", action="store_true", help="do not ask what the sets have in common"
    )
    arguments = parser.parse_args(words)
    known = known_labels() | set(arguments.label)
    try:
        lines = faults(arguments.folder, known, with_split=not arguments.no_split)
        notes = [] if lines else list(never_true(arguments.folder, known))
    except FootageError as exc:
        lines, notes = [str(exc)], []
    for line in [*lines, *(f"note: {note}" for note in notes)]:
        print(line)
    if lines:
        print(f"{len(lines)} faults: not fit to train on")
        return 1
    sets = find_sets(arguments.folder)
    print(f"{sum(len(each.clips) for each in sets)} clips in {len(sets)} sets: fit to train on")
    return 0


if __name__ == "__main__":
    sys.exit(main())
