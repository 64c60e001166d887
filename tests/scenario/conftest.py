"""What the scenarios share: footage that costs little, and stacks that leave nothing running."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from firmware_tools.local_stack import LocalStack, Sections
from tests.footage_maker import SHIPPED
from tests.scenario.processes import command_lines

BUNDLE = SHIPPED.parent.parent / "models" / "sightline-reference" / "1"
# Small pictures, a real encoder, short clips: a whole session in seconds on a busy machine.
QUICK: Sections = {
    "camera": {"width": 320, "height": 240, "stream_copy": "never"},
    "encoder": {"bitrate_kbps": 1000},
    "recorder": {"pre_roll_s": 1.0, "post_roll_s": 0.0, "clip_s": 2.0, "label_grace_s": 3.0},
}
QUICK_FOOTAGE = SHIPPED / "05_train_other_look.mp4"
QUICK_RATE_HZ = 35  # of the footage
QUICK_PERIOD_NS = round(1e9 / QUICK_RATE_HZ)

MakeStack = Callable[..., LocalStack]


@pytest.fixture
def make_stack(tmp_path: Path) -> Iterator[MakeStack]:
    """A running LocalStack on quick footage; ended after the test, politely, and nothing of it is
    left."""
    reported: list[str] = []
    with ExitStack() as running:

        def make(agent: Sections | None = None, **words: Any) -> LocalStack:
            words.setdefault("footage", QUICK_FOOTAGE)
            words.setdefault("bundle", BUNDLE)
            words.setdefault("report", reported.append)
            stack = LocalStack(tmp_path / "stack", agent=over(QUICK, agent or {}), **words)
            return running.enter_context(stack)

        yield make
    assert not command_lines(tmp_path)
    assert not [line for line in reported if "did not stop" in line]


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalStack]:
    """Settings and keys of a stack, with no program running."""
    folder = tmp_path_factory.mktemp("files")
    with LocalStack(folder, footage=QUICK_FOOTAGE, bundle=BUNDLE, agent=QUICK) as stack:
        yield stack


@pytest.fixture(scope="session", autouse=True)
def programs_are_installed() -> None:
    """`make test` installs them; without them a scenario proves nothing."""
    missing = [name for name in ("ffprobe", "age") if shutil.which(name) is None]
    assert not missing, f"not installed: {missing} (run `make setup` and `make test`)"


def over(sections: Sections, changes: Sections) -> Sections:
    """`sections` with the keys of `changes` in place."""
    names = {**sections, **changes}
    return {name: {**sections.get(name, {}), **changes.get(name, {})} for name in names}
