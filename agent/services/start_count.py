"""Counts on the card how often the tagger began with the active model and did not last."""

from __future__ import annotations

import logging
from pathlib import Path

import msgspec

from agent.core.model_health import Starts
from agent.storage import atomic

log = logging.getLogger("tagger")

STARTS_FILE = "starts.json"


class StartCount:
    """Kept in `folder`, once there is such a folder."""

    def __init__(self, folder: Path, os_boot: str) -> None:
        self._file, self._os_boot = folder / STARTS_FILE, os_boot
        self._starts = Starts()

    def begin(self, model: str) -> Starts:
        """One more start with `model`."""
        try:
            before = msgspec.json.decode(self._file.read_bytes(), type=Starts)
        except (OSError, msgspec.DecodeError, UnicodeDecodeError):
            before = Starts()
        starts = before.begun(model, self._os_boot)
        self._keep(starts)
        return starts

    def clear(self) -> None:
        """It lasted, ended cleanly, or another model has its turn."""
        if self._starts.in_all or self._file.exists():
            self._keep(Starts())

    @property
    def is_clear(self) -> bool:
        return self._starts.in_all == 0

    def _keep(self, starts: Starts) -> None:
        self._starts = starts
        if not self._file.parent.is_dir():
            return
        try:
            atomic.write_file(self._file, msgspec.json.encode(starts))
        except OSError as exc:
            log.error("%s cannot be written (%s)", self._file, exc.strerror)
