"""The slots of models, as they change: installed, activated, cleared away; each step cut-proof.

    <state_dir>/models/<name>/<version>/     a verified bundle; never changed once it is there
    <state_dir>/models/active, fallback      symlinks `<name>/<version>`
    <state_dir>/models/wanted.json           what the updater found for this camera
    <state_dir>/models/outcome.json          what became of it: the tagger's word
    <state_dir>/models/.incoming/<sha256>    a download, resumable
    <state_dir>/models/.staging/             a bundle on its way into its slot

The updater writes `wanted`, slots and what begins with a dot; the tagger writes the symlinks and
`outcome`.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
from pathlib import Path
from typing import Literal, TypeVar

import msgspec

from agent.errors import ModelError
from agent.storage import atomic
from agent.storage.atomic import Fsync
from agent.storage.model_slots import open_bundle
from agent.wire.telemetry import UpdateState

ACTIVE, FALLBACK = "active", "fallback"
_SLOT = re.compile(r"([a-z0-9][a-z0-9-]{0,39})/([1-9][0-9]{0,6})")
_KEPT_FAILURES = 32
_KEPT_ACTIVATED = 4
AnyNote = TypeVar("AnyNote", bound=msgspec.Struct)
Model = tuple[str, int]


class Wanted(msgspec.Struct, frozen=True, kw_only=True):
    """A bundle in its slot that is to become active; or, with `refused`, why push `push` cannot.
    `shadow_minutes`: so long it runs beside the active model first; then, where they agree on at
    least `agree_above` hundredths of a percent of frames for each label, it becomes active; None:
    when an admin promotes it."""

    push: int
    name: str
    version: int
    refused: str = ""
    shadow_minutes: int = 0
    agree_above: int | None = None

    @property
    def model(self) -> Model:
        return self.name, self.version


class Failure(msgspec.Struct, frozen=True, kw_only=True):
    """A push that failed on this camera. It is not tried again."""

    push: int
    name: str
    version: int
    why: str


class Activated(msgspec.Struct, frozen=True, kw_only=True):
    """A model that became active by push `push`, and what the gate said of it."""

    push: int
    name: str
    version: int
    gate: str


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """What became of push `push`. `activated` and `failures`: the newest last."""

    push: int = 0
    name: str = ""
    version: int = 0
    state: UpdateState | Literal[""] = ""
    why: str = ""
    activated: tuple[Activated, ...] = ()
    failures: tuple[Failure, ...] = ()

    def failed(self, push: int, model: Model) -> Failure | None:
        for each in self.failures:
            if (each.push, each.name, each.version) == (push, *model):
                return each
        return None

    def how_activated(self, model: Model | None) -> Activated | None:
        """None for a model that was there from the start."""
        found = [each for each in self.activated if (each.name, each.version) == model]
        return found[-1] if found else None

    def with_failure(self, push: int, model: Model, why: str) -> tuple[Failure, ...]:
        if self.failed(push, model) is not None:
            return self.failures
        failure = Failure(push=push, name=model[0], version=model[1], why=why)
        return (*self.failures, failure)[-_KEPT_FAILURES:]

    def with_activated(self, push: int, model: Model, gate: str) -> tuple[Activated, ...]:
        others = [each for each in self.activated if (each.name, each.version) != model]
        newest = Activated(push=push, name=model[0], version=model[1], gate=gate)
        return (*others, newest)[-_KEPT_ACTIVATED:]


class ModelShelf:
    """Both sides' view. Raises OSError where the card refuses."""

    def __init__(self, state_dir: Path, *, fsync: Fsync = os.fsync) -> None:
        self.root = state_dir / "models"
        self.incoming = self.root / ".incoming"
        self._staging = self.root / ".staging"
        self._fsync = fsync

    def slot(self, model: Model) -> Path:
        return self.root / model[0] / str(model[1])

    def linked(self, link: str) -> Model | None:
        """(name, version) that `active` or `fallback` points to; None when it leads nowhere."""
        try:
            found = _SLOT.fullmatch(str((self.root / link).readlink()))
        except OSError:
            return None
        if found is None:
            return None
        model = found[1], int(found[2])
        return model if self.slot(model).is_dir() else None

    def wanted(self) -> Wanted | None:
        return self._read("wanted.json", Wanted)

    def want(self, wanted: Wanted) -> None:
        self._write("wanted.json", wanted)

    def outcome(self) -> Outcome:
        return self._read("outcome.json", Outcome) or Outcome()

    def note(self, outcome: Outcome) -> None:
        self._write("outcome.json", outcome)

    def staging(self) -> Path:
        """An empty folder to unpack into."""
        atomic.make_directory(self.root, fsync=self._fsync)
        shutil.rmtree(self._staging, ignore_errors=True)
        self._staging.mkdir(mode=0o700)
        return self._staging

    def put(self, name: str, content: bytes) -> None:
        """A file in the staging folder; durable but for its place."""
        atomic.write_file(self._staging / name, content, fsync=self._fsync)

    def install(self, model: Model) -> None:
        """What is staged becomes the slot of `model`, by one rename. Raises ModelError when the
        slot holds other content and is in use."""
        slot = self.slot(model)
        atomic.fsync_directory(self._staging, fsync=self._fsync)
        if slot.is_dir():
            if self._holds_the_same(slot):
                shutil.rmtree(self._staging, ignore_errors=True)
                atomic.settle(slot, fsync=self._fsync)
                return
            if model in (self.linked(ACTIVE), self.linked(FALLBACK)):
                raise ModelError(
                    f"{model[0]} {model[1]} is installed with other content",
                    remedy="a version never changes: release it under a new number",
                )
            self._remove(slot)
        atomic.make_directory(slot.parent, fsync=self._fsync)
        atomic.move(self._staging, slot, fsync=self._fsync)

    def activate(self, model: Model) -> None:
        """`model` is active, what was active the fallback. After a cut at any point one of the two
        is active, and both are in their slots."""
        before = self.linked(ACTIVE)
        if before == model:
            return
        if before is not None:
            self._link(FALLBACK, before)
        self._link(ACTIVE, model)

    def fall_back(self) -> Model | None:
        """The fallback is active; what it is, or None when there is no other."""
        before, other = self.linked(ACTIVE), self.linked(FALLBACK)
        if other is None or other == before:
            return None
        self._link(ACTIVE, other)
        return other

    def clear(self, keep: Model | None) -> None:
        """Remove slots that nothing needs: not active, not the fallback, not `keep`."""
        kept = {self.linked(ACTIVE), self.linked(FALLBACK), keep}
        for left in self.root.glob(".trash-*"):
            shutil.rmtree(left, ignore_errors=True)
        for folder in list(self._folders(self.root)):
            for slot in list(self._folders(folder)):
                found = _SLOT.fullmatch(f"{folder.name}/{slot.name}")
                if found is not None and (found[1], int(found[2])) not in kept:
                    self._remove(slot)

    def _folders(self, folder: Path) -> list[Path]:
        with contextlib.suppress(OSError), os.scandir(folder) as entries:
            return [
                Path(entry.path)
                for entry in entries
                if entry.is_dir(follow_symlinks=False) and not entry.name.startswith(".")
            ]
        return []

    def _remove(self, slot: Path) -> None:
        """Out of sight by one rename first: a slot is never there in part."""
        trash = self.root / f".trash-{slot.parent.name}-{slot.name}"
        shutil.rmtree(trash, ignore_errors=True)
        atomic.move(slot, trash, fsync=self._fsync)
        shutil.rmtree(trash, ignore_errors=True)

    def _holds_the_same(self, slot: Path) -> bool:
        try:
            return open_bundle(slot).manifest_sha256 == open_bundle(self._staging).manifest_sha256
        except ModelError:
            return False

    def _link(self, name: str, model: Model) -> None:
        atomic.write_link(self.root / name, f"{model[0]}/{model[1]}", fsync=self._fsync)

    def _read(self, name: str, kind: type[AnyNote]) -> AnyNote | None:
        try:
            return msgspec.json.decode((self.root / name).read_bytes(), type=kind)
        except (OSError, msgspec.DecodeError, UnicodeDecodeError):
            return None

    def _write(self, name: str, note: msgspec.Struct) -> None:
        atomic.make_directory(self.root, fsync=self._fsync)
        atomic.write_file(self.root / name, msgspec.json.encode(note), fsync=self._fsync)
