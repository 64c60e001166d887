"""A card whose power a test cuts at any operation of the storage."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from agent.storage import atomic, clip_files


def fsync_of_the_card(descriptor: int) -> None:
    """Whatever stands for the operating system now."""
    current: Any = vars(atomic)["os"]
    current.fsync(descriptor)


class PowerCutError(BaseException):
    """Nothing that runs on the camera may catch this."""


@dataclass
class Card:
    """Counts what reaches the operating system, and fails the `cut_at`-th operation and, if the
    power is gone, all that follow. A write that is cut leaves half of its bytes."""

    cut_at: int = -1
    error: Callable[[], BaseException] = PowerCutError
    operations: int = 0
    real: Any = field(default=os)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.real, name)

    def _count(self) -> bool:
        self.operations += 1
        return self.operations == self.cut_at

    def open(self, *arguments: Any, **named: Any) -> int:
        if self._count():
            raise self.error()
        descriptor: int = self.real.open(*arguments, **named)
        return descriptor

    def write(self, descriptor: int, content: memoryview) -> int:
        if self._count():
            self.real.write(descriptor, content[: len(content) // 2])
            raise self.error()
        written: int = self.real.write(descriptor, content)
        return written

    def fsync(self, descriptor: int) -> None:
        if self._count():
            raise self.error()

    def rename(self, source: Path, target: Path) -> None:
        if self._count():
            raise self.error()
        self.real.rename(source, target)


@pytest.fixture
def cut(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Card]]:
    """cut(k) cuts the power at the k-th operation from now; cut() brings it back."""

    def at(operation: int = -1, error: Callable[[], BaseException] = PowerCutError) -> Card:
        card = Card(operation, error)
        monkeypatch.setattr(atomic, "os", card)
        monkeypatch.setattr(clip_files, "os", card)
        return card

    yield at
    monkeypatch.undo()
