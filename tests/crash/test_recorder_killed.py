"""kill -9 of a recorder that records: all that it called durable is sent after the next start."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import partial
from pathlib import Path

import pyrage
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from agent.crypto.jws import Signer
from agent.drivers.clock_system import SystemClock
from agent.errors import ControlError
from agent.ipc.control import ask
from agent.ipc.messages import RecorderStatus, StartRequest, StatusRequest
from agent.storage.spool import Spool
from tests.recorder_rig import Keys, open_item

REPOSITORY = Path(__file__).resolve().parents[2]
SETTINGS = """
device = { device_id = "cam01", kind = "desk" }
paths = { state_dir = "state", runtime_dir = "r" }
camera = { footage = "unused" }
recorder = { pre_roll_s = 1, post_roll_s = 0, clip_s = 2, label_grace_s = 0.5 }
trust = { recipients_file = "recipients.txt", custody_key_file = "custody.key" }
"""


def has_written(frames: int, status: RecorderStatus) -> bool:
    return status.frames_written >= frames


class Program:
    """The recorder's program over one folder; a test may kill it and start it again."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        key = Ed25519PrivateKey.generate()
        self.keys = Keys(pyrage.x25519.Identity.generate(), Signer(key))
        (folder / "custody.key").write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM,
                serialization.PrivateFormat.PKCS8,
                serialization.NoEncryption(),
            )
        )
        (folder / "recipients.txt").write_text(f"{self.keys.identity.to_public()}\n")
        (folder / "agent.toml").write_text(SETTINGS)
        self.config = str(folder / "agent.toml")
        self.spool = Spool(folder / "state")
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.crash.recorder_program", self.config],
            cwd=REPOSITORY,
            stderr=subprocess.DEVNULL,
        )
        self.until(lambda status: status.frames_captured > 0)

    def end(self, number: signal.Signals) -> None:
        if self._process is not None:
            self._process.send_signal(number)
            self._process.wait(30)
            self._process = None

    def press(self) -> None:
        reply = ask(self.folder / "r", StartRequest(pts_ns=SystemClock().boot_ns()))
        assert reply.refused == ""

    def until(self, condition: Callable[[RecorderStatus], bool]) -> RecorderStatus:
        deadline = time.monotonic() + 20
        while time.monotonic() < deadline:
            with suppress(ControlError):
                status = ask(self.folder / "r", StatusRequest(), timeout_ms=500).status
                if condition(status):
                    return status
        raise AssertionError("the recorder did not come that far")


@pytest.fixture
def program(tmp_path: Path) -> Iterator[Program]:
    made = Program(tmp_path)
    yield made
    made.end(signal.SIGKILL)


def test_three_kills_lose_nothing_durable_and_double_nothing(program: Program) -> None:
    durable: dict[str, int] = {}
    for frames in (5, 12, 31):
        program.start()
        program.press()
        status = program.until(partial(has_written, frames))
        program.end(signal.SIGKILL)
        assert status.session_id is not None
        durable[status.session_id] = status.frames_written
    program.start()
    program.end(signal.SIGTERM)
    assert program.spool.clips("recording") == []
    kept = dict.fromkeys(durable, 0)
    for clip_id in program.spool.clips("outbox"):
        item = open_item(program.spool, "outbox", clip_id, program.keys)
        if item.manifest.name.clip is None:
            assert item.record.ended == "recovered"
            continue
        assert item.frames == item.manifest.frames
        kept[item.manifest.session_id] += item.frames
    assert all(kept[session] >= frames for session, frames in durable.items())
    records = [clip for clip in program.spool.clips("outbox") if clip.endswith("record")]
    assert records == [f"{session}-record" for session in sorted(durable)]


def test_a_terminated_recorder_closes_its_session_cleanly(program: Program) -> None:
    program.start()
    program.press()
    status = program.until(lambda status: status.frames_written >= 15)
    program.end(signal.SIGTERM)
    items = [
        open_item(program.spool, "outbox", clip_id, program.keys)
        for clip_id in program.spool.clips("outbox")
    ]
    assert items[-1].record.ended == "stopped"
    assert not any(item.manifest.recovered for item in items)
    assert sum(item.frames for item in items[:-1]) >= status.frames_written
