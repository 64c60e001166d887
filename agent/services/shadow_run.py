"""Runs a gated model beside the active one in real sessions, and keeps count over restarts."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import NamedTuple

import msgspec

from agent.core.picture import LORES_HEIGHT, LORES_WIDTH, Rect
from agent.core.shadow import Shadow, Tally
from agent.errors import AgentError
from agent.services.tagger_model import TaggerModel
from agent.storage import atomic
from agent.storage.model_shelf import Wanted
from agent.wire.model_manifest import ModelManifest

log = logging.getLogger("tagger")

SHADOW_FILE = "shadow.json"
_KEEP_EVERY_NS = 60_000_000_000


class ScoredFrame(NamedTuple):
    """What the active model made of one lores frame, and how long it took."""

    pts_ns: int
    took_ns: int
    scores: tuple[float, ...]
    i420: bytes
    active: Rect


class _Kept(msgspec.Struct, frozen=True):
    push: int
    name: str
    version: int
    tally: Tally


class ShadowRun:
    """One candidate's. `model` is loaded; `folder`: where the count is kept."""

    def __init__(
        self, wanted: Wanted, active: ModelManifest, model: TaggerModel, folder: Path
    ) -> None:
        self._wanted, self._model = wanted, model
        self._file = folder / SHADOW_FILE
        self._shadow = Shadow(
            wanted.shadow_minutes, _thresholds(active), _thresholds(model.manifest), self._before()
        )
        self._kept_ns = self._shadow.tally.session_ns
        self._failed = ""

    @property
    def is_done(self) -> bool:
        return self._shadow.is_done or self._failed != ""

    @property
    def line(self) -> str:
        return self._shadow.line

    @property
    def refused(self) -> str:
        """Why the candidate will not do, "" when it will, or when an admin is to say."""
        if self._failed:
            return f"failed beside the active model: {self._failed}"
        asked = self._wanted.agree_above
        label, share = self._shadow.worst
        if asked is not None and share * 10_000 < asked:
            return (
                f"agrees with the active model on {share:.1%} of frames for {label or 'no label'},"
                f" {asked / 100:g} % is asked"
            )
        return ""

    def frame(self, frame: ScoredFrame) -> None:
        """A frame of a session."""
        if self.is_done:
            return
        if self._shadow.is_due(frame.pts_ns):
            self._compare(frame)
        if self.is_done or self._shadow.tally.session_ns - self._kept_ns > _KEEP_EVERY_NS:
            self.keep()

    def _compare(self, frame: ScoredFrame) -> None:
        try:
            found = self._model.score(
                frame.pts_ns, frame.i420, LORES_WIDTH, LORES_HEIGHT, frame.active
            )
        except (AgentError, ValueError) as exc:
            self._failed = str(exc)
            return
        self._shadow.compare(frame.scores, found.scores)

    def keep(self) -> None:
        """The count survives a restart."""
        self._kept_ns = self._shadow.tally.session_ns
        wanted = self._wanted
        kept = _Kept(wanted.push, wanted.name, wanted.version, self._shadow.tally)
        try:
            atomic.write_file(self._file, msgspec.json.encode(kept))
        except OSError as exc:
            log.error("%s cannot be written (%s)", self._file, exc.strerror)

    def _before(self) -> Tally | None:
        wanted = self._wanted
        try:
            kept = msgspec.json.decode(self._file.read_bytes(), type=_Kept)
        except (OSError, msgspec.DecodeError, UnicodeDecodeError):
            return None
        is_it = (kept.push, kept.name, kept.version) == (wanted.push, wanted.name, wanted.version)
        return kept.tally if is_it else None


def _thresholds(manifest: ModelManifest) -> dict[str, float]:
    return {label.id: label.threshold_on for label in manifest.labels}
