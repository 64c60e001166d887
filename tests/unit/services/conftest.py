"""Fixtures for the services' tests."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.recorder_rig import MakeRig, Rig


@pytest.fixture
def make_rig(tmp_path: Path) -> Iterator[MakeRig]:
    """Rigs with settings of their own, closed after the test."""
    with ExitStack() as rigs:
        yield lambda **settings: rigs.enter_context(Rig(tmp_path, **settings))
